//! Field management: who owns which field of an object, and server-side apply.
//!
//! What it is: `metadata.managedFields` after every kind of write, and the merge, conflicts and removals of apply, as the
//! Kubernetes page "Server-Side Apply" describes them. It follows the schema: list keys, sets, atomic lists and maps.
//! What it is not: it stores nothing and asks nobody; time and names are arguments.
//!
//! How a request calls it (`w` is a [`Writer`] whose name comes from [`manager_name`]):
//! * create: decode, default, then [`track_create`], then admission, `prepare_create`, validate, store. A POST of a subresource
//!   without a row (token, eviction): [`track_create_type`].
//! * PUT and the three patches, also of `/status` and the other subresources that write the object: decode and default the new
//!   object, then [`track_update`] with the stored one in the version of the request, then admission, `prepare_update`,
//!   validate. The comparison has to see the object as the client meant it, before `prepare_update` resets fields.
//! * apply: parse the YAML, do not decode it, and call [`apply`](apply()); then admission and `prepare_*`. A `fieldManager` is required
//!   (422 before this is called); a body whose name differs from the path is the caller's to refuse.
//! * every write but a create ends with [`keep_times`] on what would be stored, then the no-op test.
//! * `/scale`: `read_scale` of the stored object, [`scale_entries`] into it, then [`track_scale`] or [`apply_scale`] with
//!   [`scale_row`], then `write_scale` and [`take_scale_entries`].
//! * deletes do not touch managedFields.
//!
//! Invariant: an apply repeated gives the same object and no conflict. Invariant: an object whose lists cannot be keyed is stored
//! without managedFields rather than refused.
//! Limits: `UPDATERS_MAX` entries of `Update`, then `ancient-changes` per version; `MANAGER_BYTES_MAX` bytes of a name;
//! 100 errors of an applied object are told. Work grows with the size of what comes in, not faster (but for sorting).
//! Costs (release, 1 KB): create 5 to 25 µs, update 10 to 40 µs, apply 20 to 110 µs with decoding and defaults.
//! Known difference: an empty list that is not required is not noted as set; it is dropped before this module sees it. Not here: sets written when a list was atomic are not carried over to a schema where it no longer is.
mod apply;
mod check;
mod diff;
mod entry;
mod merge;
mod scale;
mod set;
mod strip;
#[cfg(test)]
mod tests;
mod typed;
mod update;

pub use apply::{ApplyConflict, ApplyError, LAST_APPLIED, apply};
pub use diff::Diff;
pub use entry::{Entry, MANAGER_BYTES_MAX, UPDATERS_MAX, check_manager, manager_name, read_entries, write_entries};
pub use scale::{apply_scale, scale_entries, scale_row, take_scale_entries, track_scale};
pub use set::{Set, path_text};
pub use update::{TEMPLATE_GENERATION, Writer, keep_times, track_create, track_create_type, track_update};
