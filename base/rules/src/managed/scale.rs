//! Who manages replicas when they are written through `/scale`.
//!
//! Upstream lets the entries of the object pass through the form of a Scale and back. An updater of the object is not known
//! again on the way back, because the name of an updater holds its version: its `replicas` moves into an entry of its own.
use hashbrown::{HashMap, HashSet};

use irori_api::row::{Gvk, Row, Tables};
use serde_json::Value;

use super::{
    apply::{ApplyError, apply},
    entry::{Entry, read_entries, write_entries},
    set::Set,
    update::{Writer, track_update},
};
use crate::{
    default::Room,
    tree::{remove, set},
};

const REPLICAS: &[&str] = &["spec", "replicas"];
const SCALE: &str = "autoscaling/v1";

/// The Scale of an object (see `read_scale`) with the entries that own its replicas: what a write of `/scale` starts from.
pub fn scale_entries(row: &Row, object: &Value, scale: &mut Value) {
    let entries = read_entries(object).unwrap_or_default();
    let own = row.gvk.api_version();
    let moved = entries.into_iter().filter(|e| e.api_version == own && e.set.has_fields(REPLICAS));
    let moved = moved.map(|e| Entry { api_version: SCALE.to_owned(), set: Set::of_fields(&[REPLICAS]), ..e }).collect();
    write_entries(scale, moved);
}

/// Sets the managedFields of a Scale that a PUT or patch changed.
pub fn track_scale(tables: &Tables, scale_row: &Row, old_scale: &Value, new_scale: &mut Value, writer: &Writer<'_>) {
    let writer = Writer { subresource: "scale", ..*writer };
    track_update(tables, scale_row, old_scale, new_scale, &writer);
}

/// Applies to a Scale.
pub fn apply_scale(
    tables: &Tables,
    scale_row: &Row,
    old_scale: &Value,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    apply(tables, scale_row, Some(old_scale), config, &Writer { subresource: "scale", ..*writer }, force, &Room::ANY)
}

/// Gives an object the entries that a written Scale brings back. `object` still has its own; the Scale loses its entries.
pub fn take_scale_entries(row: &Row, object: &mut Value, scale: &mut Value) {
    let parent = read_entries(object).unwrap_or_default();
    let scaled = read_entries(scale).unwrap_or_default();
    remove(scale, &["metadata", "managedFields"]);
    let own = row.gvk.api_version();
    let replicas = || Set::of_fields(&[REPLICAS]);
    let known: HashMap<_, _> = parent.iter().map(|entry| (entry.identity(), entry)).collect();
    let there: HashSet<_> = scaled.iter().map(Entry::identity).collect();
    let mut out: Vec<Entry> = Vec::new();
    for entry in parent.iter().filter(|entry| entry.api_version == own) {
        let mut entry = entry.clone();
        if !there.contains(&entry.identity()) {
            entry.set.remove(&replicas());
        }
        if !entry.set.is_empty() {
            out.push(entry);
        }
    }
    for entry in scaled.iter().filter(|entry| entry.set.has_fields(REPLICAS)) {
        let before = known.get(&entry.identity());
        if before.is_some_and(|before| before.api_version == own && before.set.has_fields(REPLICAS)) {
            continue;
        }
        let time = before.and_then(|before| before.time.clone());
        out.push(Entry { api_version: own.clone(), set: replicas(), time, ..entry.clone() });
    }
    write_entries(object, out);
    if object.get("metadata").is_none() {
        set(object, &["metadata"], serde_json::json!({}));
    }
}

/// The row of Scale, for the tracking of `/scale`: no resource has it, so it is made of the type.
pub fn scale_row(tables: &Tables, row: &Row) -> Option<Row> {
    let gvk = Gvk::parse(SCALE, "Scale");
    tables.schemas.of_kind(&gvk)?;
    let of = irori_api::schema::TypeRef::Named("io.k8s.api.autoscaling.v1.Scale".into());
    let mut out = row.clone();
    (out.gvk, out.of, out.storage) = (gvk, of, None);
    out.subresources.clear();
    Some(out)
}
