//! Schemas of custom resources: which of them a server can prune, default and validate by.
//!
//! Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/, "Specifying a structural
//! schema" and after it.
//!
//! Flow: [`check`] -> root -> `structural` (with `complete`) -> `defaults` -> `props` (each schema on its own, then its rules).
//! Invariant: reads any JSON tree without a panic; parts below `items` and `additionalProperties` may be of any type.
//! Limits: those of `decode` for depth; 1,000 errors and 4 MiB of text are told; defaults are compared in at most 50,000 steps.
use serde_json::Value;

use crate::tree::{flag, get, items, map, text};

mod complete;
mod defaults;
mod field_path;
mod format;
mod metadata;
mod pattern;
mod props;
mod structural;
#[cfg(test)]
mod tests;
mod value;
mod way;

pub use field_path::follow;
pub use way::{ERRORS_MAX, Findings, Way};

pub const EMBEDDED: &str = "x-kubernetes-embedded-resource";
pub const INT_OR_STRING: &str = "x-kubernetes-int-or-string";
pub const LIST_KEYS: &str = "x-kubernetes-list-map-keys";
pub const LIST_TYPE: &str = "x-kubernetes-list-type";
pub const MAP_TYPE: &str = "x-kubernetes-map-type";
pub const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
pub const RULES: &str = "x-kubernetes-validations";

const TYPES: &[&str] = &["array", "boolean", "integer", "number", "object", "string"];

/// Which rules count: those that a stored definition broke already are not held against its changes.
#[derive(Clone, Copy)]
pub struct Ratchet {
    /// Every version has a schema.
    pub schema_needed: bool,
    pub structural: bool,
    known_types: bool,
    pruned_defaults: bool,
    atomic_sets: bool,
    good_keys: bool,
}

impl Default for Ratchet {
    fn default() -> Self {
        let on = true;
        Ratchet { schema_needed: on, structural: on, known_types: on, pruned_defaults: on, atomic_sets: on, good_keys: on }
    }
}

impl Ratchet {
    /// What counts for changes of a definition with these schemas.
    pub fn of(old: &[Option<&Value>]) -> Ratchet {
        let all = || old.iter().copied().flatten();
        let none = |test: &dyn Fn(&Value) -> bool| !all().any(|schema| any(schema, test));
        Ratchet {
            schema_needed: old.iter().all(Option::is_some),
            structural: all().all(structural::is),
            known_types: none(&|schema| props::unknown_type(schema).is_some()),
            pruned_defaults: !all().any(|schema| structural::is(schema) && defaults::unpruned(schema)),
            atomic_sets: none(&|schema| props::set_of_parts(schema).is_some()),
            good_keys: none(&props::has_bad_keys),
        }
    }
}

/// What may stand at the root beside a status of its own, whose schema is taken from `properties.status`.
const AT_ROOT: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    PRESERVE,
    RULES,
];

const AT_ROOT_TOLD: &str = "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength \
                            Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example \
                            XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status \
                            subresource is enabled";

/// Holds the schema of a version to its rules. `status`: whether the version has a status of its own.
pub fn check(schema: &Value, status: bool, ratchet: &Ratchet, at: &Way<'_>, found: &mut Findings) {
    if status {
        root(schema, at, found);
    }
    if flag(schema, &["nullable"]) {
        found.forbidden(&at.child("nullable"), "nullable cannot be true at the root");
    }
    let (mut unread, mut rules) = (None, false);
    if ratchet.structural {
        unread = unsupported(schema);
        if unread.is_none() {
            let mut wrong = structural::check(schema, at);
            if wrong.is_empty() {
                wrong = defaults::check(schema, ratchet.pruned_defaults, at);
            }
            rules = wrong.is_empty();
            found.append(wrong);
        }
    }
    props::check(schema, ratchet, rules, at, found);
    if let Some(why) = unread.filter(|_| found.is_empty()) {
        found.invalid(at, "", why);
    }
}

fn root(schema: &Value, at: &Way<'_>, found: &mut Findings) {
    let told = |found: &mut Findings| found.invalid_shown(at, || super::definition::shown::schema(schema), AT_ROOT_TOLD);
    if ["id", "$schema", "$ref"].iter().any(|field| get(schema, &[field]).is_some()) {
        return told(found);
    }
    let kind = text(schema, &["type"]);
    if !kind.is_empty() && kind != "object" {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return found.invalid(&at.child("type"), kind, why);
    }
    let stranger = |(field, value): (&String, &Value)| !value.is_null() && !AT_ROOT.contains(&field.as_str());
    if schema.as_object().into_iter().flatten().any(stranger) {
        told(found);
    }
}

/// Whether this schema or one below it is such.
pub fn any(schema: &Value, test: impl Fn(&Value) -> bool + Copy) -> bool {
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        if test(schema) {
            return true;
        }
        below(schema, |part| left.push(part));
    }
    false
}

/// Each schema that stands directly in another.
fn below<'a>(schema: &'a Value, mut take: impl FnMut(&'a Value)) {
    let mut each = |value: &'a Value| {
        if value.is_object() {
            take(value);
        }
    };
    for field in ["allOf", "anyOf", "oneOf"] {
        items(schema, &[field]).iter().for_each(&mut each);
    }
    match get(schema, &["items"]) {
        Some(Value::Array(list)) => list.iter().for_each(&mut each),
        Some(one) => each(one),
        None => {}
    }
    for field in ["not", "additionalProperties", "additionalItems"] {
        get(schema, &[field]).into_iter().for_each(&mut each);
    }
    for field in ["properties", "patternProperties", "definitions", "dependencies"] {
        map(schema, &[field]).into_iter().flat_map(|all| all.values()).for_each(&mut each);
    }
}

/// Whether a schema says something of this API alone.
pub fn has_extensions(schema: &Value) -> bool {
    flag(schema, &[EMBEDDED])
        || flag(schema, &[INT_OR_STRING])
        || get(schema, &[PRESERVE]).is_some()
        || get(schema, &[LIST_TYPE]).is_some()
        || !items(schema, &[LIST_KEYS]).is_empty()
        || !items(schema, &[RULES]).is_empty()
}

/// Formats that the server checks nothing by, where they stand, each time.
pub fn unknown_formats(schema: &Value) -> Vec<&str> {
    let (mut told, mut left) = (Vec::new(), vec![schema]);
    while let Some(schema) = left.pop() {
        let format = text(schema, &["format"]);
        if !format.is_empty() && !format::is_known(text(schema, &["type"]), format) {
            told.push(format);
        }
        below(schema, |part| left.push(part));
    }
    told
}

/// Why a schema cannot be read as one of this API at all: the first such place.
pub fn unsupported(schema: &Value) -> Option<String> {
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        for (field, name) in [("id", "id"), ("$schema", "schema"), ("$ref", "$ref")] {
            if !text(schema, &[field]).is_empty() {
                return Some(format!("OpenAPIV3Schema '{name}' is not supported"));
            }
        }
        for field in ["patternProperties", "dependencies"] {
            if map(schema, &[field]).is_some_and(|all| !all.is_empty()) {
                return Some(format!("OpenAPIV3Schema '{field}' is not supported"));
            }
        }
        if get(schema, &["additionalItems"]).is_some() {
            return Some("OpenAPIV3Schema 'additionalItems' is not supported".into());
        }
        if map(schema, &["definitions"]).is_some_and(|all| !all.is_empty()) {
            return Some("OpenAPIV3Schema 'definitions' is not supported".into());
        }
        if !items(schema, &["items"]).is_empty() {
            return Some("OpenAPIV3Schema 'items' must be a schema, but is an array".into());
        }
        if get(schema, &[PRESERVE]) == Some(&Value::Bool(false)) {
            return Some(format!("internal error: '{PRESERVE}' must be true or undefined"));
        }
        below(schema, |part| left.push(part));
    }
    None
}

/// The schema of the items of a list.
fn items_of(schema: &Value) -> Option<&Value> {
    get(schema, &["items"]).filter(|items| items.is_object())
}

/// The schema of the values of a map.
fn values_of(schema: &Value) -> Option<&Value> {
    get(schema, &["additionalProperties"]).filter(|values| values.is_object())
}

/// The schema of a field.
fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    get(schema, &["properties"])?.as_object()?.get(name)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map(schema, &["properties"]).into_iter().flatten()
}

/// Whether a value says nothing: what an unset field holds.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
