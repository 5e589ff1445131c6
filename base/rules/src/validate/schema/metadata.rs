//! What kind an object within another is, and its metadata: whether they are well formed.
use irori_api::{
    field::{ErrorList, FieldError, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{EMBEDDED, items_of, property, values_of};
use crate::{
    decode::json_kind,
    tree::{flag, get, map, text},
    validate::{definition::shown, meta},
};

/// Holds each embedded object of a value to the form of kinds and metadata. `whole`: the value is one itself.
pub fn check(value: &Value, schema: &Value, whole: bool, at: &FieldPath) -> Vec<FieldError> {
    let mut typed = Vec::new();
    walk(value, schema, whole, at, &mut |object, at| {
        if typed.is_empty() {
            typed.extend(types(object, at));
        }
    });
    if !typed.is_empty() {
        return typed;
    }
    let mut errors = ErrorList::default();
    walk(value, schema, whole, at, &mut |object, at| rules(object, at, &mut errors));
    errors.into_iter().collect()
}

fn walk(value: &Value, schema: &Value, whole: bool, at: &FieldPath, look: &mut dyn FnMut(&Value, &FieldPath)) {
    match value {
        Value::Object(fields) => {
            if whole || flag(schema, &[EMBEDDED]) {
                look(value, at);
            }
            for (name, part) in fields {
                if let Some(schema) = property(schema, name) {
                    walk(part, schema, false, &at.child(name), look);
                } else if let Some(schema) = values_of(schema) {
                    walk(part, schema, false, &at.key(name), look);
                }
            }
        }
        Value::Array(parts) => {
            let Some(schema) = items_of(schema) else { return };
            for (i, part) in parts.iter().enumerate() {
                walk(part, schema, false, &at.index(i), look);
            }
        }
        _ => {}
    }
}

/// The first field that is not of its type.
fn types(object: &Value, at: &FieldPath) -> Option<FieldError> {
    for name in ["apiVersion", "kind"] {
        if let Some(given) = object.get(name).filter(|given| !given.is_string()) {
            return Some(shown_invalid(at.child(name), given, "must be a string"));
        }
    }
    let meta = object.get("metadata").filter(|meta| !meta.is_null())?;
    let told = |what: &Value, field: &str, wanted: &str| {
        let place = if field.is_empty() { "value".into() } else { format!("struct field ObjectMeta.{field}") };
        let why = format!("json: cannot unmarshal {} into Go {place} of type {wanted}", json_kind(what));
        Some(shown_invalid(at.child("metadata"), meta, &why))
    };
    let Some(fields) = meta.as_object() else { return told(meta, "", "v1.ObjectMeta") };
    for name in ["name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"] {
        if let Some(given) = fields.get(name).filter(|given| !given.is_string() && !given.is_null()) {
            return told(given, name, if name == "uid" { "types.UID" } else { "string" });
        }
    }
    for name in ["labels", "annotations"] {
        let Some(given) = fields.get(name).filter(|given| !given.is_null()) else { continue };
        let Some(entries) = given.as_object() else { return told(given, name, "map[string]string") };
        if let Some(wrong) = entries.values().find(|entry| !entry.is_string() && !entry.is_null()) {
            return told(wrong, name, "string");
        }
    }
    None
}

fn shown_invalid(at: FieldPath, value: &Value, why: &str) -> FieldError {
    match value {
        Value::Array(_) | Value::Object(_) => {
            FieldError::without_value(at, Wrong::Invalid, format!("{}: {why}", shown::json(value)))
        }
        value => FieldError::new(at, Wrong::Invalid, value.clone(), why),
    }
}

fn rules(object: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let version = text(object, &["apiVersion"]);
    if version.is_empty() {
        errors.required(at.child("apiVersion"), "");
    } else if version.matches('/').count() > 1 {
        errors.invalid(at.child("apiVersion"), version, format!("unexpected GroupVersion string: {version}"));
    }
    let kind = text(object, &["kind"]);
    let wrong = names::dns_1035_label(&kind.to_lowercase());
    if kind.is_empty() {
        errors.required(at.child("kind"), "");
    } else if !wrong.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.invalid(at.child("kind"), kind, why);
    }
    if map(object, &["metadata"]).is_none() {
        return;
    }
    let (meta, at) = (get(object, &["metadata"]).unwrap_or(&Value::Null), at.child("metadata"));
    for (field, rule) in [
        ("generateName", names::path_segment as fn(&str) -> Vec<String>),
        ("name", names::path_segment),
        ("namespace", names::dns_label),
    ] {
        let given = text(meta, &[field]);
        if !given.is_empty() {
            errors.invalid_each(&at.child(field), given, rule(given));
        }
    }
    meta::parts(meta, &at, errors);
}
