//! Whether every field that `allOf`, `anyOf`, `oneOf` and `not` of a root speak of is a field of the schema itself. Those further down
//! are not held to it, as in a stock server.
use serde_json::Value;

use super::{Findings, Way, items_of, properties, property};
use crate::tree::{get, items};

pub fn check(schema: &Value, at: &Way<'_>, found: &mut Findings) {
    junctors(schema, Some(schema), at, at, found);
}

/// `said`: a schema with junctors; `of`: what stands at the same place outside of them; `at` and `said_at`: their places.
fn junctors(said: &Value, of: Option<&Value>, at: &Way<'_>, said_at: &Way<'_>, found: &mut Findings) {
    if let Some(not) = get(said, &["not"]) {
        nested(not, of, at, &said_at.child("not"), found);
    }
    for field in ["allOf", "anyOf", "oneOf"] {
        let said_at = said_at.child(field);
        for (i, part) in items(said, &[field]).iter().enumerate() {
            nested(part, of, at, &said_at.index(i), found);
        }
    }
}

fn nested(said: &Value, of: Option<&Value>, at: &Way<'_>, said_at: &Way<'_>, found: &mut Findings) {
    if found.full() {
        return;
    }
    let Some(schema) = of else { return found.required(at, &format!("because it is defined in {}", said_at.path())) };
    junctors(said, of, at, said_at, found);
    if let Some(items) = items_of(said) {
        nested(items, items_of(schema), &at.child("items"), &said_at.child("items"), found);
    }
    let (below, said_below) = (at.child("properties"), said_at.child("properties"));
    for (name, part) in properties(said) {
        nested(part, property(schema, name), &below.key(name), &said_below.key(name), found);
    }
}
