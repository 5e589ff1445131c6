//! Each schema on its own: what is not supported, lists and maps, and the rules of validation in it.
//!
//! Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy (lists and maps) and
//! https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules.
use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    EMBEDDED, Findings, LIST_KEYS, LIST_TYPE, MAP_TYPE, PRESERVE, RULES, Ratchet, TYPES, Way, follow, items_of, properties,
    property,
};
use crate::{
    tree::{flag, get, items, items as list, map, text},
    validate::{
        cel::{self, Outcome},
        definition::shown,
    },
};

const REASONS: &[&str] = &["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// What is known of the place that is looked at.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// Why no default may stand here.
    defaults: Option<&'a str>,
    in_meta: bool,
    /// The first schema above whose parts cannot be found again in the object as it was.
    uncorrelated: Option<&'a Way<'a>>,
    /// Expressions are compiled.
    rules: bool,
}

struct Walk<'a> {
    ratchet: &'a Ratchet,
    found: &'a mut Findings,
    /// What expressions get wrong is told after everything else.
    expressions: Findings,
}

/// `rules`: whether expressions are compiled, which needs a schema that is structural.
pub fn check(schema: &Value, ratchet: &Ratchet, rules: bool, at: &Way<'_>, found: &mut Findings) {
    let mut walk = Walk { ratchet, found, expressions: Findings::default() };
    walk.one(schema, Place { defaults: None, in_meta: false, uncorrelated: None, rules }, true, at);
    let expressions = walk.expressions;
    found.append(expressions);
}

impl Walk<'_> {
    fn one(&mut self, schema: &Value, place: Place<'_>, root: bool, at: &Way<'_>) {
        if self.found.full() {
            return;
        }
        let before = self.found.len();
        self.own(schema, place, at);
        self.parts(schema, place, root, at);
        if get(schema, &[PRESERVE]) == Some(&Value::Bool(false)) {
            self.found.invalid(&at.child(PRESERVE), false, "must be true or undefined");
        }
        lists_and_maps(schema, self.ratchet, at, self.found);
        let rules = items(schema, &[RULES]);
        let rules_at = at.child(RULES);
        for (i, rule) in rules.iter().enumerate() {
            shape_of_rule(rule, schema, &rules_at.index(i), self.found);
        }
        if place.rules && self.found.len() == before {
            for (i, rule) in rules.iter().enumerate() {
                compile(rule, schema, place, &rules_at.index(i), &mut self.expressions);
            }
        }
    }

    /// What is not supported.
    fn own(&mut self, schema: &Value, place: Place<'_>, at: &Way<'_>) {
        let found = &mut *self.found;
        if let Some(kind) = unknown_type(schema).filter(|_| self.ratchet.known_types) {
            found.not_supported(&at.child("type"), kind, TYPES);
        }
        if let (Some(_), Some(why)) = (get(schema, &["default"]), place.defaults) {
            found.forbidden(&at.child("default"), format!("must not be set {why}"));
        }
        let filled = |field: &str| map(schema, &[field]).is_some_and(|all| !all.is_empty());
        for (field, set) in [
            ("id", !text(schema, &["id"]).is_empty()),
            ("additionalItems", get(schema, &["additionalItems"]).is_some()),
            ("patternProperties", filled("patternProperties")),
            ("definitions", filled("definitions")),
            ("dependencies", get(schema, &["dependencies"]).is_some()),
            ("$ref", get(schema, &["$ref"]).is_some()),
        ] {
            if set {
                found.forbidden(&at.child(field), format!("{field} is not supported"));
            }
        }
        if text(schema, &["type"]) == "null" {
            found.forbidden(&at.child("type"), "type cannot be set to null, use nullable as an alternative");
        }
        if !items(schema, &["items"]).is_empty() {
            found.forbidden(&at.child("items"), "items must be a schema object and not an array");
        }
        if place.in_meta && flag(schema, &[EMBEDDED]) {
            found.forbidden(&at.child(EMBEDDED), "must not be used inside of resource meta");
        }
        if flag(schema, &["uniqueItems"]) {
            let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            found.forbidden(&at.child("uniqueItems"), why);
        }
        let values = get(schema, &["additionalProperties"]);
        if values.is_some_and(|values| *values != Value::Bool(true)) && properties(schema).next().is_some() {
            let why = "additionalProperties and properties are mutual exclusive";
            found.forbidden(&at.child("additionalProperties"), why);
        }
    }

    /// The schemas below.
    fn parts(&mut self, schema: &Value, place: Place<'_>, root: bool, at: &Way<'_>) {
        if let Some(values) = super::values_of(schema) {
            let inner = if place.in_meta {
                Place { defaults: Some("inside additionalProperties applying to object metadata"), ..place }
            } else {
                place
            };
            self.one(values, inner, false, &at.child("additionalProperties"));
        }
        let below = at.child("properties");
        let unknown_map = get(schema, &[MAP_TYPE]).is_some_and(|kind| *kind != "granular" && *kind != "atomic");
        let meta = root || flag(schema, &[EMBEDDED]);
        for (name, part) in properties(schema) {
            let mut inner = place;
            if unknown_map {
                inner.uncorrelated = place.uncorrelated.or(Some(at));
            }
            let why = match name.as_str() {
                "metadata" => Some("in top-level metadata"),
                "kind" => Some("in top-level kind"),
                "apiVersion" => Some("in top-level apiVersion"),
                _ => None,
            };
            if meta && why.is_some() {
                inner.in_meta = true;
                inner.defaults = if root { why } else { place.defaults };
            }
            self.one(part, inner, false, &below.key(name));
        }
        let plain = Place { rules: false, ..place };
        if let Some(not) = get(schema, &["not"]) {
            self.one(not, plain, false, &at.child("not"));
        }
        for field in ["allOf", "oneOf", "anyOf"] {
            let at = at.child(field);
            for (i, part) in items(schema, &[field]).iter().enumerate() {
                self.one(part, plain, false, &at.index(i));
            }
        }
        let defined = at.child("definitions");
        for (name, part) in map(schema, &["definitions"]).into_iter().flatten() {
            self.one(part, plain, false, &defined.key(name));
        }
        let mut inner = place;
        if text(schema, &[LIST_TYPE]) != "map" {
            inner.uncorrelated = place.uncorrelated.or(Some(at));
        }
        let listed = at.child("items");
        if let Some(part) = items_of(schema) {
            self.one(part, inner, false, &listed);
        }
        for (i, part) in items(schema, &["items"]).iter().enumerate() {
            self.one(part, inner, false, &listed.index(i));
        }
        let dependent = at.child("dependencies");
        for (name, part) in map(schema, &["dependencies"]).into_iter().flatten().filter(|(_, part)| part.is_object()) {
            self.one(part, plain, false, &dependent.key(name));
        }
    }
}

/// The type of a schema, if there is no such.
pub fn unknown_type(schema: &Value) -> Option<&str> {
    Some(text(schema, &["type"])).filter(|kind| !kind.is_empty() && !TYPES.contains(kind))
}

/// The extension that makes items of a set parts of their own, which those of a set may not have.
pub fn set_of_parts(schema: &Value) -> Option<&'static str> {
    let items = items_of(schema).filter(|_| text(schema, &[LIST_TYPE]) == "set")?;
    match text(items, &["type"]) {
        "array" => get(items, &[LIST_TYPE]).filter(|kind| **kind != "atomic").map(|_| LIST_TYPE),
        "object" => Some(MAP_TYPE).filter(|_| text(items, &[MAP_TYPE]) != "atomic"),
        _ => None,
    }
}

fn lists_and_maps(schema: &Value, ratchet: &Ratchet, at: &Way<'_>, found: &mut Findings) {
    let kind = text(schema, &["type"]);
    let must_be = |found: &mut Findings, wanted: &str, of: &str| {
        let (at, why) = (at.child("type"), format!("must be {wanted} if {of} is specified"));
        if kind.is_empty() { found.required(&at, &why) } else { found.invalid(&at, kind, why) }
    };
    if let Some(given) = get(schema, &[MAP_TYPE]).and_then(Value::as_str) {
        if kind != "object" {
            must_be(found, "object", MAP_TYPE);
        }
        if !matches!(given, "atomic" | "granular") {
            found.not_supported(&at.child(MAP_TYPE), given, &["atomic", "granular"]);
        }
    }
    let list = get(schema, &[LIST_TYPE]).and_then(Value::as_str);
    if let Some(given) = list {
        if kind != "array" {
            must_be(found, "array", LIST_TYPE);
        } else if let Some(field) = set_of_parts(schema).filter(|_| ratchet.atomic_sets) {
            let shown = || shown::json(get(schema, &["items", LIST_TYPE]).unwrap_or(&Value::Null));
            let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
            found.invalid_shown(&at.child("items").child(field), shown, why);
        }
        if !matches!(given, "atomic" | "set" | "map") {
            found.not_supported(&at.child(LIST_TYPE), given, &["atomic", "set", "map"]);
        }
    }
    let keys = items(schema, &[LIST_KEYS]);
    if !keys.is_empty() && list != Some("map") {
        let (at, why) = (at.child(LIST_TYPE), "must be map if x-kubernetes-list-map-keys is non-empty");
        match list {
            None => found.required(&at, why),
            Some(given) => found.invalid(&at, given, why),
        }
    }
    if list == Some("map") {
        keyed_list(schema, keys, at, found);
    }
    if ratchet.good_keys {
        keys_and_items(schema, at, found);
    }
}

fn keyed_list(schema: &Value, keys: &[Value], at: &Way<'_>, found: &mut Findings) {
    let items_at = at.child("items");
    if keys.is_empty() {
        found.required(&at.child(LIST_KEYS), "must not be empty if x-kubernetes-list-type is map");
    }
    let Some(items) = items_of(schema) else {
        match get(schema, &["items"]) {
            None => found.required(&items_at, "must have a schema if x-kubernetes-list-type is map"),
            Some(list) => {
                let why = "must only have a single schema if x-kubernetes-list-type is map";
                found.invalid_shown(&items_at, || shown::json(list), why);
            }
        }
        return;
    };
    let kind = text(items, &["type"]);
    if kind != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        return found.invalid(&items_at.child("type"), kind, why);
    }
    let told = |found: &mut Findings, why: &str| {
        found.invalid_shown(&at.child(LIST_KEYS), || shown::json(get(schema, &[LIST_KEYS]).unwrap_or(&Value::Null)), why);
    };
    let (below, mut seen) = (items_at.child("properties"), BTreeSet::new());
    for key in keys.iter().filter_map(Value::as_str) {
        match property(items, key) {
            Some(field) if matches!(text(field, &["type"]), "array" | "object") => {
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                found.invalid(&below.key(key).child("type"), kind, why);
            }
            Some(_) => {}
            None => told(found, "entries must all be names of item properties"),
        }
        if !seen.insert(key) {
            told(found, "must not contain duplicate entries");
        }
    }
}

/// Items of sets and maps are there, and so are their keys.
fn keys_and_items(schema: &Value, at: &Way<'_>, found: &mut Findings) {
    let kind = text(schema, &[LIST_TYPE]);
    let Some(items) = items_of(schema).filter(|_| matches!(kind, "set" | "map")) else { return };
    let items_at = at.child("items");
    if flag(items, &["nullable"]) {
        found.forbidden(&items_at.child("nullable"), format!("cannot be nullable when x-kubernetes-list-type is {kind}"));
    }
    if kind != "map" {
        return;
    }
    let required: BTreeSet<&str> = list(items, &["required"]).iter().filter_map(Value::as_str).collect();
    let below = items_at.child("properties");
    for key in list(schema, &[LIST_KEYS]).iter().filter_map(Value::as_str) {
        let Some(field) = property(items, key) else { continue };
        let at = below.key(key);
        if !required.contains(key) && get(field, &["default"]).is_none() {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            found.required(&at.child("default"), why);
        }
        if flag(field, &["nullable"]) {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            found.forbidden(&at.child("nullable"), why);
        }
    }
}

/// Whether keys or items of a list may be missing.
pub fn has_bad_keys(schema: &Value) -> bool {
    let (root, mut found) = (irori_api::field::FieldPath::root(), Findings::default());
    keys_and_items(schema, &Way::start(&root), &mut found);
    !found.is_empty()
}

/// What a rule has to say, and how; not yet what its expressions mean.
fn shape_of_rule(rule: &Value, schema: &Value, at: &Way<'_>, found: &mut Findings) {
    let broken = |text: &str| text.contains(['\n', '\r']);
    let (expression, message) = (text(rule, &["rule"]).trim(), text(rule, &["message"]));
    let message_at = at.child("message");
    if expression.is_empty() {
        found.required(&at.child("rule"), "rule is not specified");
    } else if !message.is_empty() && message.trim().is_empty() {
        found.invalid(&message_at, message, "message must be non-empty if specified");
    } else if broken(message.trim()) {
        found.invalid(&message_at, message, "message must not contain line breaks");
    } else if broken(expression) && message.is_empty() {
        found.required(&message_at, "message must be specified if rule contains line breaks");
    }
    let told = text(rule, &["messageExpression"]);
    if !told.is_empty() && told.trim().is_empty() {
        found.required(&at.child("messageExpression"), "messageExpression must be non-empty if specified");
    }
    if let Some(reason) = get(rule, &["reason"]).and_then(Value::as_str).filter(|reason| !REASONS.contains(reason)) {
        found.not_supported(&at.child("reason"), reason, REASONS);
    }
    let path = text(rule, &["fieldPath"]);
    if path.is_empty() {
        return;
    }
    let path_at = at.child("fieldPath");
    if path.trim().is_empty() {
        found.invalid(&path_at, path, "fieldPath must be non-empty if specified");
    }
    if broken(path) {
        found.invalid(&path_at, path, "fieldPath must not contain line breaks");
    }
    if follow(path, schema, true).is_err() {
        found.invalid(&path_at, path, "fieldPath must be a valid path");
    }
}

/// Whether the expressions of a rule can be read, and whether they may look at the object as it was.
fn compile(rule: &Value, schema: &Value, place: Place<'_>, at: &Way<'_>, found: &mut Findings) {
    let expression = text(rule, &["rule"]);
    let wrong = cel::fault(expression, VARIABLES)
        .or_else(|| cel::selection_fault(expression, "self", scalar(schema)?))
        .or_else(|| (cel::outcome(expression) == Outcome::Sum).then(|| "cel expression must evaluate to a bool".into()));
    if let Some(why) = &wrong {
        found.invalid_shown(&at.child("rule"), || shown::rule(rule), why);
    }
    let told = text(rule, &["messageExpression"]);
    let unfit = || (cel::outcome(told) == Outcome::Truth).then(|| "must evaluate to a string".to_owned());
    if !told.is_empty()
        && let Some(why) = cel::fault(told, VARIABLES).or_else(unfit)
    {
        found.invalid_shown(&at.child("messageExpression"), || shown::rule(rule), &format!("messageExpression {why}"));
    }
    // What a rule that does not compile looks at is not known.
    if wrong.is_none() && cel::mentions(expression, "oldSelf") {
        if let Some(above) = place.uncorrelated {
            let above = above.path();
            let why = format!("oldSelf cannot be used on the uncorrelatable portion of the schema within {above}");
            found.invalid(&at.child("rule"), expression, why);
        }
    } else if let Some(given) = get(rule, &["optionalOldSelf"]) {
        found.invalid(&at.child("optionalOldSelf"), given.clone(), "may not be set if oldSelf is not used in rule");
    }
}

/// The type in expressions of a value that is one number, text or truth.
fn scalar(schema: &Value) -> Option<&'static str> {
    match text(schema, &["type"]) {
        "integer" => Some("int"),
        "number" => Some("double"),
        "boolean" => Some("bool"),
        "string" if text(schema, &["format"]).is_empty() => Some("string"),
        _ => None,
    }
}

const VARIABLES: &[&str] = &["self", "oldSelf"];
