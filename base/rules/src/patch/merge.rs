//! JSON merge patch, RFC 7386.
use serde_json::{Map, Value};

use super::PatchError;
use crate::decode::DEPTH_MAX;

pub fn apply(object: &Value, patch: &Value) -> Result<Value, PatchError> {
    if patch.is_null() {
        return Err(PatchError::BadRequest("Invalid JSON Patch".into()));
    }
    if !patch.is_object() {
        let what = super::json::json_kind(patch);
        return Err(PatchError::BadRequest(format!(
            "error decoding patch: json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
        )));
    }
    let mut out = object.clone();
    merge(&mut out, patch, 0);
    Ok(out)
}

fn merge(target: &mut Value, patch: &Value, depth: usize) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if depth >= DEPTH_MAX {
        return;
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value, depth + 1);
        }
    }
}
