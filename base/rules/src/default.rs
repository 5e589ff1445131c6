//! Defaults of a kind: those of the schema, then those that are code.
//!
//! Code defaults hang on types, not on kinds: wherever a PodSpec stands (Pod, Deployment, Job, …) it gets the same.
//! Source: the API reference of each type ("Defaults to …").
use irori_api::{
    codec::json::least_bytes,
    quantity::Quantity,
    row::{Row, Tables},
    schema::{Object, Schemas, Shape, Type, TypeRef},
};
use serde_json::{Map, Value, json};

use crate::{canonical::Given, decode::DEPTH_MAX, form::form};

mod core_v1;
mod extras;
mod pod;
#[cfg(test)]
mod tests;
mod workloads;

/// Fills in what the kind's defaults say and leaves the canonical form. Safe to repeat.
pub fn default_object(tables: &Tables, row: &Row, object: &mut Value) {
    default_type(tables, &row.of, object);
}

/// The same for a type without a row of its own.
pub fn default_type(tables: &Tables, of: &TypeRef, object: &mut Value) {
    Filler::new(&tables.schemas).walk(of, object, 0);
}

/// The same for an object that is to be stored. Stops where defaults make it too large: a list of small items may grow to many times
/// what came in.
pub fn default_within(tables: &Tables, row: &Row, object: &mut Value, room: &Room<'_>) -> Result<(), TooLarge> {
    let before = room.taken(object);
    if before <= room.bytes_max {
        let most = room.grown_max.max(before.saturating_add(GROWTH_BYTES_FREE)).min(room.bytes_max);
        let left = most - before;
        let mut filler = Filler { room: Some(room), left: Some(left), ..Filler::new(&tables.schemas) };
        filler.walk(&row.of, object, 0);
        if filler.over {
            return Err(TooLarge { bytes_max: most });
        }
    }
    // Fields may also have gone.
    if room.taken(object) > room.bytes_max { Err(TooLarge { bytes_max: room.bytes_max }) } else { Ok(()) }
}

/// Defaults that an object of any size may get.
const GROWTH_BYTES_FREE: usize = 64 * 1024;

/// How large an object may be, in bytes of its JSON at least: without escapes, numbers as one.
#[derive(Clone, Copy)]
pub struct Room<'a> {
    pub bytes_max: usize,
    /// How large its defaults may make it, where it is smaller without them.
    pub grown_max: usize,
    /// The fields of the object that count; what a request cannot change, or is not stored, does not.
    pub counts: &'a dyn Fn(&str) -> bool,
}

impl Room<'_> {
    /// Any object goes in.
    pub const ANY: Room<'static> = Room { bytes_max: usize::MAX, grown_max: usize::MAX, counts: &|_| true };

    fn taken(&self, object: &Value) -> usize {
        let fields = object.as_object().into_iter().flatten().filter(|(name, _)| (self.counts)(name));
        fields.map(|(_, value)| least_bytes(value)).sum()
    }
}

/// An object is too large with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object has more than {bytes_max} bytes with its defaults")]
pub struct TooLarge {
    pub bytes_max: usize,
}

/// A default of a field, with its own defaults.
pub(crate) fn filled(schemas: &Schemas, of: &TypeRef, mut default: Value) -> Value {
    Filler::new(schemas).walk(of, &mut default, 0);
    default
}

struct Filler<'a> {
    schemas: &'a Schemas,
    room: Option<&'a Room<'a>>,
    /// Bytes that may still be added; `None`: any number.
    left: Option<usize>,
    over: bool,
}

impl<'a> Filler<'a> {
    fn new(schemas: &'a Schemas) -> Self {
        Self { schemas, room: None, left: None, over: false }
    }

    fn walk(&mut self, of: &TypeRef, value: &mut Value, depth: usize) {
        if let Some(of) = self.schemas.resolve(of) {
            self.walk_type(of, value, depth);
        }
    }

    fn walk_type(&mut self, of: &Type, value: &mut Value, depth: usize) {
        if depth >= DEPTH_MAX || self.over {
            return;
        }
        match (&of.shape, value) {
            (Shape::Object(shape), Value::Object(fields)) => self.object(of, shape, fields, depth),
            (Shape::Map { values }, Value::Object(entries)) => {
                let Some(of) = self.schemas.resolve(values).filter(|of| of.is_composite()) else { return };
                entries.values_mut().for_each(|entry| self.walk_type(of, entry, depth + 1));
            }
            (Shape::List(list), Value::Array(items)) => {
                let Some(of) = self.schemas.resolve(&list.items).filter(|of| of.is_composite()) else { return };
                items.iter_mut().for_each(|item| self.walk_type(of, item, depth + 1));
            }
            (Shape::Any, value) => {
                let Some(schema) = of.schema_or_else() else { return };
                match value {
                    Value::Array(items) => items.iter_mut().for_each(|item| self.walk(&schema, item, depth + 1)),
                    value => self.walk(&schema, value, depth + 1),
                }
            }
            _ => {}
        }
    }

    fn object(&mut self, of: &Type, shape: &Object, fields: &mut Map<String, Value>, depth: usize) {
        let form = form(self.schemas, of, shape);
        // The few fields of the object itself are not counted.
        let before = self.left.filter(|_| depth > 0).map(|_| own_bytes(fields));
        let given = Given::note(of, fields);
        by_code(&of.name, fields);
        // What devices have is counted as it is said.
        let counted = !of.name.starts_with("io.k8s.api.resource.");
        for (name, value) in fields.iter_mut() {
            let Some((at, field)) = shape.fields.find(name) else { continue };
            if counted && value.is_object() {
                in_milli(self.schemas, &field.of, value);
            }
            let default = form.fields[at].default.as_ref();
            let absent = match &*value {
                Value::Null => true,
                Value::String(text) => text.is_empty() && default.and_then(Value::as_str).is_some_and(|d| !d.is_empty()),
                _ => false,
            };
            match default.filter(|_| absent) {
                Some(default) => value.clone_from(default),
                None if value.is_object() || value.is_array() => {
                    // What does not count has room of its own.
                    let apart = self.room.filter(|room| depth == 0 && !(room.counts)(name));
                    let left = self.left;
                    if let Some(room) = apart {
                        self.left = Some(room.grown_max.max(GROWTH_BYTES_FREE));
                    }
                    self.walk(&field.of, value, depth + 1);
                    if apart.is_some() {
                        self.left = left;
                    }
                }
                None => {}
            }
        }
        for at in &form.defaulted {
            let (name, _) = shape.fields.at(*at);
            if !fields.contains_key(name) {
                let Some(default) = &form.fields[*at].default else { continue };
                // Its brackets are counted with the object's own bytes.
                if before.is_some() && (default.is_object() || default.is_array()) {
                    self.spend(least_bytes(default) - 2);
                }
                fields.insert(name.clone(), default.clone());
            }
        }
        given.settle(self.schemas, of, fields);
        if let Some(before) = before {
            self.spend(own_bytes(fields).saturating_sub(before));
        }
    }

    fn spend(&mut self, bytes: usize) {
        match self.left.map(|left| left.checked_sub(bytes)) {
            Some(None) => self.over = true,
            left => self.left = left.flatten(),
        }
    }
}

/// Bytes of an object without what is in its parts, at least.
fn own_bytes(fields: &Map<String, Value>) -> usize {
    let bytes = |value: &Value| if value.is_object() || value.is_array() { 2 } else { least_bytes(value) };
    fields.iter().map(|(name, value)| name.len() + 3 + bytes(value)).sum()
}

/// Amounts by the names of resources are kept in thousandths.
fn in_milli(schemas: &Schemas, of: &TypeRef, amounts: &mut Value) {
    let Some(Shape::Map { values }) = schemas.resolve(of).map(|of| &of.shape) else { return };
    if !matches!(schemas.resolve(values).map(|of| &of.shape), Some(Shape::Quantity)) {
        return;
    }
    for amount in amounts.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(given) = amount.as_str().and_then(|text| text.parse::<Quantity>().ok())
            && given.in_milli() != given
        {
            *amount = given.in_milli().to_string().into();
        }
    }
}

/// The defaults of a type that no table can say.
fn by_code(name: &str, o: &mut Map<String, Value>) {
    let Some(name) = name.strip_prefix("io.k8s.") else { return };
    if let Some(name) = name.strip_prefix("api.core.v1.") {
        pod::by_code(name, o);
        core_v1::by_code(name, o);
    } else if name.starts_with("api.apps.") || name.starts_with("api.batch.") || name.starts_with("api.autoscaling.") {
        workloads::by_code(name, o);
    } else {
        extras::by_code(name, o);
    }
}

/// Sets a field that is absent, null or an empty string.
fn or(o: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if blank(o, name) {
        o.insert(name.to_owned(), value.into());
    }
}

/// Sets a field that is absent, null or zero.
fn or_nonzero(o: &mut Map<String, Value>, name: &str, value: i64) {
    if o.get(name).and_then(Value::as_i64).unwrap_or(0) == 0 {
        o.insert(name.to_owned(), value.into());
    }
}

/// Sets a field that is absent or null (a pointer: an empty string counts as set).
fn or_pointer(o: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if matches!(o.get(name), None | Some(Value::Null)) {
        o.insert(name.to_owned(), value.into());
    }
}

fn blank(o: &Map<String, Value>, name: &str) -> bool {
    match o.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        _ => false,
    }
}

fn has(o: &Map<String, Value>, name: &str) -> bool {
    o.get(name).is_some_and(|v| !v.is_null())
}

fn is(o: &Map<String, Value>, name: &str, text: &str) -> bool {
    o.get(name).and_then(Value::as_str).unwrap_or("") == text
}

/// The object in a field, made if absent.
fn child<'a>(o: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    or_pointer(o, name, json!({}));
    o.get_mut(name)?.as_object_mut()
}

fn objects<'a>(o: &'a mut Map<String, Value>, name: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    o.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}
