//! Whether a value is one of a schema.
//!
//! Source: https://json-schema.org/draft/2020-12/json-schema-validation as far as structural schemas have it; texts are those that a
//! stock server tells of custom resources. Places are those within the value.
//! Limits: 50,000 steps for all values of one definition, 100 compiled patterns; beyond them a value passes.
use hashbrown::HashMap;

use regex::Regex;
use serde_json::Value;

use super::{Findings, Way, format, items_of, pattern, property, values_of};
use crate::tree::{flag, get, int, items, text};

const STEPS_MAX: usize = 50_000;
const PATTERNS_MAX: usize = 100;

/// What is spent and kept across the values of one definition.
#[derive(Default)]
pub struct Work {
    steps: usize,
    patterns: HashMap<String, Option<Regex>>,
}

impl Work {
    fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps.max(1));
        self.steps <= STEPS_MAX
    }

    fn matches(&mut self, pattern: &str, given: &str) -> bool {
        if !self.patterns.contains_key(pattern) {
            if self.patterns.len() >= PATTERNS_MAX {
                return true;
            }
            self.patterns.insert(pattern.to_owned(), pattern::matcher(pattern));
        }
        self.patterns.get(pattern).and_then(Option::as_ref).is_none_or(|regex| regex.is_match(given))
    }
}

pub fn check(value: &Value, schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    if found.full() || !work.spend(1) {
        return;
    }
    kind(value, schema, at, found);
    junctors(value, schema, at, work, found);
    match value {
        Value::String(given) => self::text_rules(given, schema, at, work, found),
        Value::Number(given) => number(given, schema, at, found),
        Value::Array(given) => list(given, schema, at, work, found),
        Value::Object(_) => object(value, schema, at, work, found),
        _ => {}
    }
    one_of_enum(value, schema, at, work, found);
}

/// `spec.a in body`, or ` in body` for the value itself.
fn in_body(at: &Way<'_>) -> String {
    let path = at.path();
    if path == irori_api::field::FieldPath::root() { " in body".into() } else { format!("{path} in body") }
}

/// The type of a value, and its format where numbers have one.
fn kind_of(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(n) if n.is_f64() => ("number", "double"),
        Value::Number(_) => ("integer", "int64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn kind(value: &Value, schema: &Value, at: &Way<'_>, found: &mut Findings) {
    let (wanted, format) = (text(schema, &["type"]), text(schema, &["format"]));
    let (given, given_format) = kind_of(value);
    let mut told =
        |wanted: &str, given: &str| found.type_invalid(at, format!("{} must be of type {wanted}: {given:?}", in_body(at)));
    if value.is_null() {
        if !wanted.is_empty() && !flag(schema, &["nullable"]) {
            told(wanted, "null");
        }
        return;
    }
    if wanted.is_empty() && format.is_empty() {
        return;
    }
    let whole = value.as_f64().is_some_and(|f| f.fract() == 0.0);
    let fits =
        wanted == given || (given == "number" && wanted == "integer" && whole) || (given == "integer" && wanted == "number");
    let listed = value.is_string() || value.is_array();
    if !listed && !format.is_empty() && !fits && given_format != format {
        told(format, given_format);
    } else if !matches!(wanted, "number" | "integer") && !format.is_empty() && listed {
        // The format says more than the type.
    } else if !fits && !wanted.is_empty() {
        told(wanted, given);
    }
}

fn text_rules(given: &str, schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    let format = text(schema, &["format"]);
    if matches!(text(schema, &["type"]), "" | "string") && !format.is_empty() && !format::has(given, format) {
        found.type_invalid(at, format!("{} must be of type {format}: {given:?}", in_body(at)));
    }
    let chars = || i64::try_from(given.chars().count()).unwrap_or(i64::MAX);
    if let Some(most) = int(schema, &["maxLength"]).filter(|most| chars() > *most) {
        found.too_long(at, most);
    }
    if let Some(least) = int(schema, &["minLength"]).filter(|least| chars() < *least) {
        found.invalid(at, given, format!("{} should be at least {least} chars long", in_body(at)));
    }
    let pattern = text(schema, &["pattern"]);
    if !pattern.is_empty() && !work.matches(pattern, given) {
        found.invalid(at, given, format!("{} should match '{pattern}'", in_body(at)));
    }
}

fn number(given: &serde_json::Number, schema: &Value, at: &Way<'_>, found: &mut Findings) {
    let limit = |field: &str| get(schema, &[field]).and_then(Value::as_f64);
    let Some(n) = given.as_f64() else { return };
    let mut told = |why: String| found.invalid(at, Value::Number(given.clone()), format!("{} should be {why}", in_body(at)));
    if let Some(step) = limit("multipleOf").filter(|step| *step > 0.0 && (n / step).fract() != 0.0) {
        told(format!("a multiple of {step}"));
    }
    if let Some(most) = limit("maximum") {
        match flag(schema, &["exclusiveMaximum"]) {
            true if n >= most => told(format!("less than {most}")),
            false if n > most => told(format!("less than or equal to {most}")),
            _ => {}
        }
    }
    if let Some(least) = limit("minimum") {
        match flag(schema, &["exclusiveMinimum"]) {
            true if n <= least => told(format!("greater than {least}")),
            false if n < least => told(format!("greater than or equal to {least}")),
            _ => {}
        }
    }
}

fn count(given: usize) -> i64 {
    i64::try_from(given).unwrap_or(i64::MAX)
}

fn list(given: &[Value], schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    if let Some(items) = items_of(schema) {
        for (i, item) in given.iter().enumerate() {
            check(item, items, &at.index(i), work, found);
        }
    }
    if let Some(least) = int(schema, &["minItems"]).filter(|least| count(given.len()) < *least) {
        let why = format!("{} should have at least {least} items", in_body(at));
        found.invalid(at, count(given.len()), why);
    }
    if let Some(most) = int(schema, &["maxItems"]).filter(|most| count(given.len()) > *most) {
        found.too_many(at, given.len(), most);
    }
}

fn object(value: &Value, schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    let Some(given) = value.as_object() else { return };
    if let Some(least) = int(schema, &["minProperties"]).filter(|least| count(given.len()) < *least) {
        let why = format!("{} should have at least {least} properties", in_body(at));
        found.invalid(at, count(given.len()), why);
    }
    if let Some(most) = int(schema, &["maxProperties"]).filter(|most| count(given.len()) > *most) {
        found.too_many(at, given.len(), most);
    }
    let required = items(schema, &["required"]);
    if !work.spend(required.len()) {
        return;
    }
    for name in required.iter().filter_map(Value::as_str).filter(|name| !given.contains_key(*name)) {
        found.required(&at.child(name), "");
    }
    for (name, part) in given {
        if let Some(schema) = property(schema, name).or_else(|| values_of(schema)) {
            check(part, schema, &at.child(name), work, found);
        }
    }
}

fn one_of_enum(value: &Value, schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    let known = items(schema, &["enum"]);
    if known.is_empty() || !work.spend(known.len()) {
        return;
    }
    let same =
        |other: &Value| other == value || (value.is_number() && other.as_f64().is_some() && other.as_f64() == value.as_f64());
    if known.iter().any(same) || (value.is_null() && flag(schema, &["nullable"])) {
        return;
    }
    let shown: Vec<String> = known.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
    found.not_supported(at, value.clone(), &shown);
}

fn junctors(value: &Value, schema: &Value, at: &Way<'_>, work: &mut Work, found: &mut Findings) {
    let path = || match at.path() {
        path if path == irori_api::field::FieldPath::root() => String::new(),
        path => path.to_string(),
    };
    // These are told of the whole value.
    let root = irori_api::field::FieldPath::root();
    let whole = Way::start(&root);
    let mut tried = |field: &str| -> Option<Vec<Findings>> {
        let parts = items(schema, &[field]);
        let try_one = |part: &Value, work: &mut Work| {
            let mut inner = Findings::default();
            check(value, part, at, work, &mut inner);
            inner
        };
        (!parts.is_empty()).then(|| parts.iter().map(|part| try_one(part, work)).collect())
    };
    let least_wrong = |tried: Vec<Findings>| tried.into_iter().min_by_key(Findings::len).unwrap_or_default();
    if let Some(all) = tried("anyOf")
        && !all.iter().any(Findings::is_empty)
    {
        found.invalid(&whole, "", format!("{:?} must validate at least one schema (anyOf)", path()));
        found.append(least_wrong(all));
    }
    if let Some(all) = tried("oneOf") {
        match all.iter().filter(|one| one.is_empty()).count() {
            1 => {}
            0 => {
                let why = format!("{:?} must validate one and only one schema (oneOf). Found none valid", path());
                found.invalid(&whole, "", why);
                found.append(least_wrong(all));
            }
            n => {
                let why = format!("{:?} must validate one and only one schema (oneOf). Found {n} valid alternatives", path());
                found.invalid(&whole, "", why);
            }
        }
    }
    if let Some(all) = tried("allOf") {
        let (good, count) = (all.iter().filter(|one| one.is_empty()).count(), all.len());
        all.into_iter().for_each(|one| found.append(one));
        if good < count {
            let none = if good == 0 { ". None validated" } else { "" };
            found.invalid(&whole, "", format!("{:?} must validate all the schemas (allOf){none}", path()));
        }
    }
    if let Some(not) = get(schema, &["not"]) {
        let mut inner = Findings::default();
        check(value, not, at, work, &mut inner);
        if inner.is_empty() && work.spend(1) {
            found.invalid(&whole, "", format!("{:?} must not validate the schema (not)", path()));
        }
    }
}

/// Whether pruning would leave a value as it is: it has no fields that its schema does not name.
pub fn is_pruned(value: &Value, schema: Option<&Value>) -> bool {
    let preserves = schema.is_some_and(|schema| flag(schema, &[super::PRESERVE]));
    match value {
        Value::Object(fields) => fields.iter().all(|(name, part)| {
            let Some(schema) = schema else { return false };
            if flag(schema, &[super::EMBEDDED]) && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") {
                return true;
            }
            match (property(schema, name), get(schema, &["additionalProperties"])) {
                (Some(schema), _) => is_pruned(part, Some(schema)),
                (None, Some(values)) => is_pruned(part, Some(values).filter(|values| values.is_object())),
                (None, None) => preserves,
            }
        }),
        Value::Array(parts) => {
            let items = schema.and_then(items_of);
            // Below what is preserved only what has a schema of its own is pruned again.
            (preserves && items.is_none()) || parts.iter().all(|part| is_pruned(part, items))
        }
        _ => true,
    }
}
