//! Whether a schema is structural: fields and their types are said outside of `allOf`, `anyOf`, `oneOf` and `not`, once.
use serde_json::Value;

use super::{
    EMBEDDED, Findings, INT_OR_STRING, LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE, RULES, Way, complete, items_of, pattern,
    properties, property, unsupported, values_of,
};
use crate::tree::{flag, get, items, map, text};

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Whether nothing speaks against it.
pub fn is(schema: &Value) -> bool {
    let root = irori_api::field::FieldPath::root();
    unsupported(schema).is_none() && check(schema, &Way::start(&root)).is_empty()
}

pub fn check(schema: &Value, at: &Way<'_>) -> Findings {
    let mut found = Findings::default();
    one(schema, Level::Root, at, &mut found);
    complete::check(schema, at, &mut found);
    found.sort();
    found
}

fn one(schema: &Value, level: Level, at: &Way<'_>, found: &mut Findings) {
    if found.full() {
        return;
    }
    let kind = text(schema, &["type"]);
    if kind == "array" && get(schema, &["items"]).is_none() {
        found.required(&at.child("items"), "must be specified");
    }
    if let Some(items) = items_of(schema) {
        one(items, Level::Item, &at.child("items"), found);
    }
    let below = at.child("properties");
    for (name, schema) in properties(schema) {
        one(schema, Level::Field, &below.key(name), found);
    }
    if get(schema, &["additionalProperties"]).is_some() {
        let at = at.child("additionalProperties");
        if level == Level::Root {
            found.forbidden(&at, "must not be used at the root");
        }
        if let Some(values) = values_of(schema) {
            one(values, Level::Field, &at, found);
        }
    }
    own(schema, kind, level, at, found);
    let whole = is_int_or_string(items(schema, &["anyOf"]));
    let first = items(schema, &["allOf"]).first().is_some_and(|first| is_int_or_string(items(first, &["anyOf"])));
    junctors(schema, whole, first, at, found);
}

/// What a schema says itself, without the schemas below it.
fn own(schema: &Value, kind: &str, level: Level, at: &Way<'_>, found: &mut Findings) {
    let (preserves, embedded) = (flag(schema, &[PRESERVE]), flag(schema, &[EMBEDDED]));
    if flag(schema, &[INT_OR_STRING]) {
        for (set, field) in [(preserves, PRESERVE), (embedded, EMBEDDED)] {
            if set {
                found.invalid(&at.child(field), true, "must be false if x-kubernetes-int-or-string is true");
            }
        }
    }
    let type_at = at.child("type");
    if embedded && kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        if kind.is_empty() { found.required(&type_at, why) } else { found.invalid(&type_at, kind, why) }
    } else if kind.is_empty() && !flag(schema, &[INT_OR_STRING]) && !preserves {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        found.required(&type_at, why);
    }
    if embedded && get(schema, &["additionalProperties"]).is_some() {
        found.forbidden(&at.child("additionalProperties"), "must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        found.invalid(&type_at, kind, "must be object at the root");
    }
    let below = at.child("properties");
    let has_meta = level == Level::Root || embedded;
    for name in ["kind", "apiVersion"] {
        let given = property(schema, name).filter(|_| has_meta).map(|field| text(field, &["type"]));
        if let Some(given) = given.filter(|given| *given != "string") {
            found.invalid(&below.key(name).child("type"), given, "must be string");
        }
    }
    if let Some(meta) = property(schema, "metadata") {
        let at = below.key("metadata");
        let given = text(meta, &["type"]);
        if has_meta && given != "object" {
            found.invalid(&at.child("type"), given, "must be object");
        }
        if level == Level::Root && !says_names_alone(meta) {
            let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            found.forbidden(&at, why);
        }
    }
    if embedded && !preserves && properties(schema).next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        found.required(&below, why);
    }
}

/// Of its metadata a definition restricts names alone.
fn says_names_alone(meta: &Value) -> bool {
    let fields_fit = properties(meta).all(|(name, _)| matches!(name.as_str(), "name" | "generateName"));
    let plain = |(field, value): (&String, &Value)| {
        matches!(field.as_str(), "type" | "default" | "properties" | "example") || super::is_zero(value)
    };
    fields_fit && meta.as_object().is_none_or(|fields| fields.iter().all(plain))
}

/// `anyOf: [{type: integer}, {type: string}]`, which stands beside `x-kubernetes-int-or-string`.
fn is_int_or_string(any_of: &[Value]) -> bool {
    let says = |part: &Value, wanted: &str| {
        let fields = part.as_object();
        text(part, &["type"]) == wanted
            && fields.is_some_and(|fields| fields.iter().all(|(name, value)| name == "type" || super::is_zero(value)))
    };
    matches!(any_of, [first, second] if says(first, "integer") && says(second, "string"))
}

/// What `allOf`, `anyOf`, `oneOf` and `not` of a schema say. `whole`: its `anyOf` is let be; `first`: that of its first `allOf`.
fn junctors(schema: &Value, whole: bool, first: bool, at: &Way<'_>, found: &mut Findings) {
    for field in ["anyOf", "allOf", "oneOf"] {
        if field == "anyOf" && whole {
            continue;
        }
        let at = at.child(field);
        for (i, part) in items(schema, &[field]).iter().enumerate() {
            nested(part, first && field == "allOf" && i == 0, &at.index(i), found);
        }
    }
    if let Some(not) = get(schema, &["not"]) {
        nested(not, false, &at.child("not"), found);
    }
    let given = text(schema, &["pattern"]);
    if let Some(why) = pattern::fault(given) {
        let why = format!("must be a valid regular expression, but isn't: error parsing regexp: {why}");
        found.invalid(&at.child("pattern"), given, why);
    }
}

/// A schema within a junctor: it restricts values, and says nothing of their form.
fn nested(schema: &Value, whole: bool, at: &Way<'_>, found: &mut Findings) {
    if found.full() {
        return;
    }
    junctors(schema, whole, false, at, found);
    if let Some(items) = items_of(schema) {
        nested(items, false, &at.child("items"), found);
    }
    let below = at.child("properties");
    for (name, schema) in properties(schema) {
        nested(schema, false, &below.key(name), found);
    }
    for field in ["type", "title", "description"] {
        if !text(schema, &[field]).is_empty() {
            found.forbidden(&at.child(field), "must be empty to be structural");
        }
    }
    for field in ["additionalProperties", "default", "externalDocs", LIST_TYPE, MAP_TYPE] {
        if get(schema, &[field]).is_some() {
            found.forbidden(&at.child(field), "must be undefined to be structural");
        }
    }
    for field in ["nullable", PRESERVE, EMBEDDED, INT_OR_STRING] {
        if flag(schema, &[field]) {
            found.forbidden(&at.child(field), "must be false to be structural");
        }
    }
    for field in [LIST_KEYS, RULES] {
        if !items(schema, &[field]).is_empty() {
            found.forbidden(&at.child(field), "must be empty to be structural");
        }
    }
    if map(schema, &["properties"]).is_some_and(|fields| fields.contains_key("metadata")) {
        found.forbidden(&below.key("metadata"), "must not be specified in a nested context");
    }
}
