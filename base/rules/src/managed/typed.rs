//! How a value at a path is treated: as one piece, field by field, or item by item. Read off the schema.
use std::cmp::Ordering;

use irori_api::schema::{List, ListKind, Object, Schemas, Shape, TypeRef};
use serde_json::{Map, Value};

use super::set::{Step, field};

/// The kind of a place in an object.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// Scalars, atomic lists and maps, and what has no schema.
    Leaf,
    Struct(&'a Object),
    Map(&'a TypeRef),
    /// A list whose items are told apart by keys, or a set.
    Items(&'a List),
    /// No schema, in a custom kind: objects field by field, all else in one piece.
    Free,
}

/// What is walked.
#[derive(Clone, Copy)]
pub(super) struct Typed<'a> {
    pub schemas: &'a Schemas,
    /// The object is of a custom kind.
    pub custom: bool,
}

/// The type of a place: `None` for one without a schema.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    pub of: Option<&'a TypeRef>,
    /// The field says whether its map is one value, whatever its type says.
    pub atomic: Option<bool>,
}

impl<'a> At<'a> {
    pub fn of(of: &'a TypeRef) -> At<'a> {
        At { of: Some(of), atomic: None }
    }

    pub const FREE: At<'static> = At { of: None, atomic: None };
}

impl<'a> Typed<'a> {
    pub fn new(schemas: &'a Schemas, root: &TypeRef) -> Typed<'a> {
        let builtin = matches!(root, TypeRef::Named(name) if name.starts_with("io.k8s."));
        Typed { schemas, custom: !builtin }
    }

    pub fn place(&self, at: At<'a>) -> Place<'a> {
        let free = if self.custom { Place::Free } else { Place::Leaf };
        let Some(of) = at.of.and_then(|of| self.schemas.resolve(of)) else { return free };
        match &of.shape {
            _ if at.atomic == Some(true) => Place::Leaf,
            Shape::Object(object) if object.atomic && at.atomic.is_none() => Place::Leaf,
            Shape::Object(object) => Place::Struct(object),
            Shape::Map { values } => Place::Map(values),
            Shape::List(list) => match list.kind {
                ListKind::Atomic | ListKind::Unsaid => Place::Leaf,
                ListKind::Set | ListKind::Map { .. } => Place::Items(list),
            },
            Shape::Any => free,
            _ => Place::Leaf,
        }
    }

    /// The type of a field of a place; `None` where the place has no such field.
    pub fn field(&self, place: Place<'a>, name: &str) -> Option<At<'a>> {
        match place {
            Place::Struct(object) => match object.fields.get(name) {
                Some(field) => {
                    // PersistentVolumeSpec says so of this one reference.
                    let granular = !self.custom && name == "claimRef";
                    let atomic = if granular { Some(false) } else { field.atomic.then_some(true) };
                    Some(At { of: Some(&field.of), atomic })
                }
                None => object.preserve_unknown.then_some(At::FREE),
            },
            Place::Map(values) => Some(At::of(values)),
            Place::Free => Some(At::FREE),
            Place::Leaf | Place::Items(_) => None,
        }
    }

    /// The step to an item of a list; the error says why the item has none.
    pub fn step(&self, list: &List, item: &Value) -> Result<Step, String> {
        let mut step = String::new();
        self.write_step(list, item, &mut step)?;
        Ok(step.into())
    }

    /// The same into a text that is used again: for who only looks it up.
    pub fn write_step(&self, list: &List, item: &Value, step: &mut String) -> Result<(), String> {
        step.clear();
        let ListKind::Map { keys } = &list.kind else {
            return match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supporting lists in associative lists".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                Value::String(text) => {
                    step.push_str("v:");
                    quote(step, text);
                    Ok(())
                }
                scalar => {
                    step.push_str(&format!("v:{scalar}"));
                    Ok(())
                }
            };
        };
        let Value::Object(fields) = item else {
            return Err(if item.is_null() {
                "associative list with keys may not have a null element".to_owned()
            } else {
                "associative list with keys may not have non-map elements".to_owned()
            });
        };
        let mut named: Vec<(&str, &Value)> = Vec::with_capacity(keys.len());
        for key in keys {
            let of_schema = || self.schemas.object(&list.items)?.fields.get(key)?.default.as_ref();
            match fields.get(key).or_else(of_schema) {
                Some(value) => named.push((key, value)),
                None => {
                    return Err(format!(
                        "associative list with keys has an element that omits key field \"{key}\" (and doesn't have default value)"
                    ));
                }
            }
        }
        named.sort_unstable_by_key(|(key, _)| *key);
        step.push_str("k:{");
        for (i, (key, value)) in named.iter().enumerate() {
            if i > 0 {
                step.push(',');
            }
            quote(step, key);
            step.push(':');
            match value {
                Value::String(text) => quote(step, text),
                value => step.push_str(&value.to_string()),
            }
        }
        step.push('}');
        Ok(())
    }
}

fn quote(out: &mut String, text: &str) {
    if text.bytes().all(|c| c >= 0x20 && c != b'"' && c != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}

/// The entries of a value that is an object; none of null.
pub(super) fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// The entries of two maps side by side, in the order of their names.
pub(super) fn pairs<'v>(
    old: Option<&'v Map<String, Value>>,
    new: Option<&'v Map<String, Value>>,
) -> impl Iterator<Item = (&'v String, Option<&'v Value>, Option<&'v Value>)> {
    let (mut old, mut new) = (old.into_iter().flatten().peekable(), new.into_iter().flatten().peekable());
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        let (old, new) = (old.next_if(|_| order.is_le()), new.next_if(|_| order.is_ge()));
        let name = old.or(new)?.0;
        Some((name, old.map(|(_, value)| value), new.map(|(_, value)| value)))
    })
}

/// The items of a value that is a list; none of null.
pub(super) fn listed(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The step to each item, in the order of the list.
pub(super) fn steps(typed: Typed<'_>, list: &List, items: &[Value]) -> Result<Vec<Step>, String> {
    let mut step = String::new();
    items.iter().map(|item| typed.write_step(list, item, &mut step).map(|()| step.as_str().into())).collect()
}

/// Steps to the fields of an object.
pub(super) fn step_to(name: &str) -> Step {
    field(name)
}
