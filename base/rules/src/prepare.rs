//! What the server itself sets or resets before an object is validated and stored.
//!
//! Shared by all kinds: metadata of the server, status kept for `/status`, everything else kept for the main resource,
//! generation. What a kind does beyond is a function of its [`Strategy`].
use irori_api::row::{Row, Tables};
use serde_json::Value;

use crate::{
    canonical::canonical,
    tree::{get, int, remove, same_without, set, set_if_absent, text},
};

mod app_armor;
mod disabled;
mod kinds;
mod owners;
mod pod;
mod service;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use app_armor::warnings as app_armor_warnings;
pub use owners::drop_twin_owners;
pub use pod::{bind_pod, qos_class};
pub use table::strategy;

/// Which part of an object a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The resource itself: spec, data, metadata.
    Main,
    /// `/status`.
    Status,
    /// Another subresource that writes the object (`approval`, `ephemeralcontainers`, `resize`, `finalize`, …).
    Sub(&'a str),
}

/// What a new object gets from its surroundings.
#[derive(Clone, Debug)]
pub struct Birth {
    pub uid: String,
    /// RFC 3339 in seconds, `Z`.
    pub creation_timestamp: String,
    /// The name made from generateName (see `generated_name`); empty if the object brings its own.
    pub generated_name: String,
    /// Namespace of the request; empty for cluster scope.
    pub namespace: String,
}

/// What a kind does beyond the table.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// metadata.generation is kept: 1 at creation, one more for each change of what is not metadata or status.
    pub generation: bool,
    /// The kind has a status that only `/status` may write; cleared at creation.
    pub status: bool,
    /// PUT to a name that does not exist creates it.
    pub create_on_update: bool,
    /// PUT without resourceVersion is taken.
    pub unconditional_update: bool,
    /// Objects may stay for a while after a delete (pods).
    pub graceful: bool,
    /// Beyond the shared rules at creation.
    pub create: fn(&mut Value, &Birth),
    /// Beyond the shared rules at an update: new, old, part, now.
    pub update: fn(&mut Value, &Value, Part<'_>, &str),
}

/// The longest part of generateName that is used, in bytes.
const GENERATE_NAME_MAX: usize = 58;

/// The name made of generateName and five random characters.
pub fn generated_name(base: &str, suffix: &str) -> String {
    let mut end = base.len().min(GENERATE_NAME_MAX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &base[..end])
}

/// Makes a decoded, defaulted object new: metadata of the server, status and generation reset.
pub fn prepare_create(tables: &Tables, row: &Row, object: &mut Value, birth: &Birth) {
    let strategy = strategy(row);
    if row.storage.is_none() {
        // A review is answered, never born.
        canonical(&tables.schemas, &row.of, object);
        return;
    }
    for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        remove(object, &["metadata", name]);
    }
    if text(object, &["metadata", "name"]).is_empty() && !birth.generated_name.is_empty() {
        set(object, &["metadata", "name"], birth.generated_name.as_str());
    }
    if row.namespaced {
        set(object, &["metadata", "namespace"], birth.namespace.as_str());
    } else {
        remove(object, &["metadata", "namespace"]);
    }
    set(object, &["metadata", "uid"], birth.uid.as_str());
    set(object, &["metadata", "creationTimestamp"], birth.creation_timestamp.as_str());
    if strategy.generation {
        set(object, &["metadata", "generation"], 1);
    }
    if strategy.status {
        remove(object, &["status"]);
    }
    disabled::drop_disabled(row, object, None);
    (strategy.create)(object, birth);
    canonical(&tables.schemas, &row.of, object);
}

/// Fields of an object that are no content: everything else bumps the generation.
const NO_CONTENT: &[&str] = &["apiVersion", "kind", "metadata", "status"];

/// Makes an update carry only what its part may change, fills in what a client may leave out, and bumps the generation.
/// `now`: RFC 3339 in seconds, for the kinds that note when a phase changed.
pub fn prepare_update(tables: &Tables, row: &Row, new: &mut Value, old: &Value, part: Part<'_>, now: &str) {
    let strategy = strategy(row);
    keep_system_metadata(new, old);
    if !row.namespaced {
        remove(new, &["metadata", "namespace"]);
    }
    match part {
        Part::Main if strategy.status => keep(new, old, "status"),
        Part::Main => {}
        Part::Status => keep_content(new, old),
        Part::Sub(_) => {}
    }
    disabled::drop_disabled(row, new, Some(old));
    (strategy.update)(new, old, part, now);
    canonical(&tables.schemas, &row.of, new);
    if strategy.generation && part != Part::Status && content_changed(new, old) {
        set(new, &["metadata", "generation"], int(old, &["metadata", "generation"]).unwrap_or(0) + 1);
    }
    if (strategy.generation && part == Part::Main) && row.gvk.kind == "Deployment" && !content_changed(new, old) {
        // A deployment's rollout also follows its annotations.
        let annotations = ["metadata", "annotations"];
        if !crate::tree::same(get(new, &annotations), get(old, &annotations)) {
            set(new, &["metadata", "generation"], int(old, &["metadata", "generation"]).unwrap_or(0) + 1);
        }
    }
    if row.gvk.kind == "EndpointSlice" && !content_changed(new, old) {
        let labels = ["metadata", "labels"];
        if !crate::tree::same(get(new, &labels), get(old, &labels)) {
            set(new, &["metadata", "generation"], int(old, &["metadata", "generation"]).unwrap_or(0) + 1);
        }
    }
}

fn keep_system_metadata(new: &mut Value, old: &Value) {
    set_if_absent(new, &["metadata"], serde_json::json!({}));
    // What a client says of these two is not looked at.
    for name in ["creationTimestamp", "deletionTimestamp"] {
        if let Some(value) = get(old, &["metadata", name]) {
            set(new, &["metadata", name], value.clone());
        }
    }
    for name in ["uid", "deletionGracePeriodSeconds", "name", "namespace"] {
        if let (None, Some(value)) = (get(new, &["metadata", name]), get(old, &["metadata", name])) {
            set(new, &["metadata", name], value.clone());
        }
    }
    // The generation is the server's alone.
    match get(old, &["metadata", "generation"]) {
        Some(generation) => set(new, &["metadata", "generation"], generation.clone()),
        None => drop(remove(new, &["metadata", "generation"])),
    }
    remove(new, &["metadata", "selfLink"]);
}

/// Takes a top-level field from the old object.
fn keep(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => set(new, &[field], value.clone()),
        None => drop(remove(new, &[field])),
    }
}

/// Takes everything but metadata and status from the old object.
fn keep_content(new: &mut Value, old: &Value) {
    let (Some(to), Some(from)) = (new.as_object_mut(), old.as_object()) else { return };
    to.retain(|name, _| NO_CONTENT.contains(&name.as_str()));
    for (name, value) in from.iter().filter(|(name, _)| !NO_CONTENT.contains(&name.as_str())) {
        to.insert(name.clone(), value.clone());
    }
}

fn content_changed(new: &Value, old: &Value) -> bool {
    !same_without(new, old, NO_CONTENT)
}
