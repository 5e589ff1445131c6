//! Defaults of a kind: those of the schema, then those that are code.
//!
//! Code defaults hang on types, not on kinds: wherever a PodSpec stands (Pod, Deployment, Job, …) it gets the same.
//! Source: the API reference of each type ("Defaults to …").
use irori_api::{
    quantity::Quantity,
    row::{Row, Tables},
    schema::{Field, Schemas, Shape, Type, TypeRef},
};
use serde_json::{Map, Value, json};

use crate::{canonical::Given, decode::DEPTH_MAX};

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
    walk(&tables.schemas, of, object, 0);
}

fn walk(schemas: &Schemas, of: &TypeRef, value: &mut Value, depth: usize) {
    let Some(of) = schemas.resolve(of) else { return };
    if depth >= DEPTH_MAX {
        return;
    }
    match (&of.shape, value) {
        (Shape::Object(_), Value::Object(fields)) => object(schemas, of, fields, depth),
        (Shape::Map { values }, Value::Object(entries)) => {
            if leaf(schemas, values) {
                return;
            }
            entries.values_mut().for_each(|entry| walk(schemas, values, entry, depth + 1));
        }
        (Shape::List(list), Value::Array(items)) => {
            if leaf(schemas, &list.items) {
                return;
            }
            items.iter_mut().for_each(|item| walk(schemas, &list.items, item, depth + 1));
        }
        (Shape::Any, value) => {
            let Some(schema) = of.schema_or_else() else { return };
            match value {
                Value::Array(items) => items.iter_mut().for_each(|item| walk(schemas, &schema, item, depth + 1)),
                value => walk(schemas, &schema, value, depth + 1),
            }
        }
        _ => {}
    }
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

fn leaf(schemas: &Schemas, of: &TypeRef) -> bool {
    !matches!(schemas.resolve(of).map(|t| &t.shape), Some(Shape::Object(_) | Shape::Map { .. } | Shape::List(_) | Shape::Any))
}

fn object(schemas: &Schemas, of: &Type, fields: &mut Map<String, Value>, depth: usize) {
    let Shape::Object(shape) = &of.shape else { return };
    let given = Given::note(of, fields);
    by_code(&of.name, fields);
    let mut made = Vec::new();
    let filled = |field: &Field| {
        let mut default = field.default.clone()?;
        walk(schemas, &field.of, &mut default, depth + 1);
        Some(default)
    };
    for (name, field) in shape.filled_in().filter(|(name, _)| !fields.contains_key(*name)) {
        made.extend(filled(field).map(|default| (name, default)));
    }
    // What devices have is counted as it is said.
    let counted = !of.name.starts_with("io.k8s.api.resource.");
    for (name, value) in fields.iter_mut() {
        let Some(field) = shape.fields.get(name) else { continue };
        if counted && value.is_object() {
            in_milli(schemas, &field.of, value);
        }
        let absent = match &*value {
            Value::Null => true,
            Value::String(text) => {
                text.is_empty() && field.default.as_ref().is_some_and(|d| d.as_str().is_some_and(|d| !d.is_empty()))
            }
            _ => false,
        };
        match if absent { filled(field) } else { None } {
            Some(default) => *value = default,
            None if value.is_object() || value.is_array() => walk(schemas, &field.of, value, depth + 1),
            None => {}
        }
    }
    for (name, value) in made {
        fields.insert(name.clone(), value);
    }
    given.settle(schemas, of, fields, depth);
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
