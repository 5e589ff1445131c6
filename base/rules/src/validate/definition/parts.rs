//! What a version says besides its schema: its end, subresources, columns and selectable fields.
use std::collections::BTreeSet;

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::full;
use crate::{
    tree::{flag, get, text},
    validate::schema,
};

/// Bytes of the warning that users of a deprecated version get.
const WARNING_BYTES_MAX: usize = 256;

/// Fields of a version that lists may be selected by.
const SELECTABLE_MAX: usize = 8;

const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: &[&str] = &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

pub fn deprecation(version: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(warning) = get(version, &["deprecationWarning"]).and_then(Value::as_str) else { return };
    if !flag(version, &["deprecated"]) {
        errors.invalid(at.clone(), warning, "can only be set for deprecated versions");
        return;
    }
    if warning.len() > WARNING_BYTES_MAX {
        errors.invalid(at.clone(), warning, "must be <= 256 characters long");
    }
    if warning.is_empty() {
        errors.invalid(at.clone(), warning, "must not be an empty string");
    }
    let hidden = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if let Some((i, _)) = warning.char_indices().find(|(_, c)| hidden(*c)) {
        let why = format!("must only contain printable UTF-8 characters; non-printable character found at index {i}");
        errors.invalid(at.clone(), warning, why);
    }
}

pub fn subresources(of: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(scale) = of.and_then(|of| get(of, &["scale"])) else { return };
    let at = at.child("scale");
    for (field, below, told, needed) in [
        ("specReplicasPath", &[".spec."][..], ".spec", true),
        ("statusReplicasPath", &[".status."], ".status", true),
        ("labelSelectorPath", &[".spec.", ".status."], "either .spec or .status", false),
    ] {
        let (path, at) = (text(scale, &[field]), at.child(field));
        if path.is_empty() {
            if needed {
                errors.required(at, "");
            }
        } else if !path.starts_with('.') {
            errors.invalid(at, path, NO_PATH);
        } else if !below.iter().any(|prefix| path.starts_with(prefix)) {
            errors.invalid(at, path, format!("should be a json path under {told}"));
        }
    }
}

const NO_PATH: &str = "must be a simple json path starting with .";

pub fn columns(list: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    for (i, column) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
        if full(errors) {
            return;
        }
        let at = at.index(i);
        if text(column, &["name"]).is_empty() {
            errors.required(at.child("name"), "");
        }
        let kind = text(column, &["type"]);
        let of = format!("must be one of {}", COLUMN_TYPES.join(","));
        if kind.is_empty() {
            errors.required(at.child("type"), &of);
        } else if !COLUMN_TYPES.contains(&kind) {
            errors.invalid(at.child("type"), kind, of);
        }
        let format = text(column, &["format"]);
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            errors.invalid(at.child("format"), format, format!("must be one of {}", COLUMN_FORMATS.join(",")));
        }
        let path = text(column, &["jsonPath"]);
        if path.is_empty() {
            errors.required(at.child("JSONPath"), "");
        } else if !path.starts_with('.') {
            errors.invalid(at.child("JSONPath"), path, NO_PATH);
        }
    }
}

pub fn selectable(fields: &[Value], schema: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(why) = schema::unsupported(schema) {
        let of = at.to_string();
        let of = of.strip_suffix("selectableFields").unwrap_or("");
        errors.invalid(FieldPath::new(&format!("{of}schema.openAPIV3Schema")), "", why);
    }
    let mut seen = BTreeSet::new();
    for (i, field) in fields.iter().enumerate() {
        if full(errors) {
            return;
        }
        let (path, at) = (text(field, &["jsonPath"]), at.index(i).child("jsonPath"));
        if path.is_empty() {
            errors.required(at, "");
            continue;
        }
        let found = match schema::follow(path, schema, false) {
            Ok(found) => found,
            Err(why) => {
                errors.invalid(at, path, format!("is an invalid path: {why}"));
                continue;
            }
        };
        if found.first() == Some("metadata") {
            errors.invalid(at.clone(), path, "must not point to fields in metadata");
        }
        if !matches!(text(found.schema, &["type"]), "string" | "boolean" | "integer") {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are \
                       allowed.";
            errors.invalid(at.clone(), path, why);
        }
        if !seen.insert(found.path.join(".")) {
            errors.duplicate(at, path);
        }
    }
    if seen.len() > SELECTABLE_MAX {
        errors.too_many(at.clone(), seen.len(), SELECTABLE_MAX);
    }
}
