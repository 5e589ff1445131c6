//! Defaulting, validation, merge and printing of objects.
//!
//! What it is: the rules of every kind as pure functions on JSON trees: object in, object or errors out. Rows and schemas
//! (`irori_api::{row, schema}`) drive all of it; what a table cannot say is a [`Strategy`] of the kind.
//! What it is not: it knows no HTTP, no users, no store. Time, names and looked-up facts are arguments.
//!
//! Flow of a write: `decode` -> (`patch`) -> `default_object` -> admission (not here) -> `prepare` -> `validate` -> `warn` -> stored.
//! Flow of a read: stored -> (`convert`) -> `print` or as it is.
//!
//! Invariant: no I/O, no clock, no randomness, no async. Invariant: nothing here panics on any input tree. Invariant: decoding,
//! defaulting and the canonical form are each safe to repeat.
//! Limits: 512 levels of nesting; 100 unknown fields are told; a JSON patch has at most 10,000 operations, and its copies make
//! at most 3 MiB.
//! Not here yet: types and costs of CEL expressions (their syntax and variables are looked at), and with them whether defaults of
//! custom resources satisfy their rules.
//! Failure modes: `DecodeError` is a 400, `PatchError` says its own code, an `ErrorList` is a 422 Invalid.
pub mod canonical;
mod chain;
pub mod convert;
pub mod decode;
pub mod default;
pub mod fields;
mod form;
pub mod limit_range;
pub mod managed;
pub mod patch;
pub mod prepare;
pub mod print;
pub mod quota;
pub mod scalar;
pub mod scale;
pub mod security;
mod templates;
pub mod tree;
pub mod validate;
pub mod warn;

pub use convert::convert;
pub use decode::{DecodeError, Decoded, decode, decode_tree, decode_type};
pub use default::{Room, TooLarge, default_object, default_type, default_within};
pub use fields::{field_value, selectable_fields, unsupported_field};
pub use patch::{PatchError, PatchKind, apply_patch};
pub use prepare::{Birth, Part, Strategy, bind_pod, drop_twin_owners, generated_name, prepare_create, prepare_update, strategy};
pub use print::{hide_internal, human_duration, order_rows, prints_by_default, table_cells, table_columns, table_conditions};
pub use scale::{read_scale, write_scale};
pub use templates::template_path;
pub use validate::{validate_access_review, validate_create, validate_finalize, validate_scale, validate_update};
pub use warn::{early_warnings, status_warnings, warnings};
