//! Defaults: each is a value of its schema, and has no fields that pruning would take away.
use irori_api::field::{ErrorList, FieldError, FieldPath};
use serde_json::{Value, json};

use super::{
    EMBEDDED, Findings, Way, items_of, metadata, properties,
    value::{self, Work},
};
use crate::{
    chain::Chain,
    tree::{flag, get},
    validate::definition::shown,
};

/// A step from an object to a field of it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item,
}

/// Where a default stands in the object around it.
type Around<'a> = Chain<'a, Step<'a>>;

struct Walk {
    work: Work,
    pruned: bool,
    found: Findings,
}

/// `pruned`: whether unknown fields count.
pub fn check(schema: &Value, pruned: bool, at: &Way<'_>) -> Findings {
    let mut walk = Walk { work: Work::default(), pruned, found: Findings::default() };
    walk.one(schema, true, None, false, schema, at);
    walk.found
}

/// Whether a default has fields that pruning would take away.
pub fn unpruned(schema: &Value) -> bool {
    let own = get(schema, &["default"]).is_some_and(|default| !value::is_pruned(default, Some(schema)));
    own || items_of(schema).is_some_and(unpruned) || properties(schema).any(|(_, part)| unpruned(part))
}

impl Walk {
    /// `whole`: the schema is that of an object with a kind; `root`: the nearest such above.
    fn one(&mut self, schema: &Value, whole: bool, around: Option<&Around<'_>>, in_meta: bool, root: &Value, at: &Way<'_>) {
        if self.found.full() {
            return;
        }
        let whole = whole || flag(schema, &[EMBEDDED]);
        let (around, in_meta, root) = if whole { (None, false, schema) } else { (around, in_meta, root) };
        if let Some(default) = get(schema, &["default"]) {
            if in_meta {
                self.of_meta(default, schema, around, root, &at.child("default"));
            } else {
                self.plain(default, schema, whole, &at.child("default"));
            }
        }
        if let Some(items) = items_of(schema) {
            let here = Around { up: around, step: Step::Item };
            self.one(items, false, Some(&here), in_meta, root, &at.child("items"));
        }
        let below = at.child("properties");
        for (name, part) in properties(schema) {
            let here = Around { up: around, step: Step::Field(name) };
            let in_meta = in_meta || (whole && matches!(name.as_str(), "metadata" | "apiVersion" | "kind"));
            self.one(part, false, Some(&here), in_meta, root, &below.key(name));
        }
    }

    fn plain(&mut self, default: &Value, schema: &Value, whole: bool, at: &Way<'_>) {
        if self.pruned && !value::is_pruned(default, Some(schema)) {
            self.told(default, at, "must not have unknown fields");
        }
        let wrong = metadata::check(default, schema, whole, &at.path());
        if wrong.is_empty() {
            self.of_schema(default, schema, at);
        }
        wrong.into_iter().for_each(|error| self.found.take(error));
    }

    /// A default of a kind or of metadata has to make a good one.
    fn of_meta(&mut self, default: &Value, schema: &Value, around: Option<&Around<'_>>, root: &Value, at: &Way<'_>) {
        let wrong = metadata::check(&surrounded(default, around), root, true, &FieldPath::root());
        if wrong.is_empty() {
            return self.of_schema(default, schema, at);
        }
        let mut list = ErrorList::default();
        list.extend(wrong);
        self.told(default, at, &format!("must result in valid metadata: {list}"));
    }

    fn of_schema(&mut self, default: &Value, schema: &Value, at: &Way<'_>) {
        let (root, mut inner) = (FieldPath::root(), Findings::default());
        value::check(default, schema, &Way::start(&root), &mut self.work, &mut inner);
        if inner.is_empty() {
            return;
        }
        let place = at.path();
        for error in inner.into_errors() {
            let field = if error.field == root { place.clone() } else { place.child(&error.field.to_string()) };
            self.found.take(FieldError { field, ..error });
        }
    }

    fn told(&mut self, default: &Value, at: &Way<'_>, why: &str) {
        match default {
            Value::Array(_) | Value::Object(_) => self.found.invalid_shown(at, || shown::json(default), why),
            plain => self.found.invalid(at, plain.clone(), why),
        }
    }
}

/// An object with a kind, and with this value at its place.
fn surrounded(default: &Value, around: Option<&Around<'_>>) -> Value {
    let steps = around.into_iter().flat_map(Chain::upwards);
    let mut value = steps.fold(default.clone(), |value, step| match step {
        Step::Field(name) => json!({ name: value }),
        Step::Item => json!([value]),
    });
    if let Some(fields) = value.as_object_mut() {
        for (name, said) in [("apiVersion", "validation/v1"), ("kind", "Validation")] {
            fields.entry(name).or_insert_with(|| said.into());
        }
    }
    value
}
