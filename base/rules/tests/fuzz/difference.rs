//! The strategic merge patch that leads from one object to another, as a client makes it.
use std::collections::HashSet;

use irori_api::schema::{Schemas, Shape, TypeRef};
use serde_json::{Map, Value, json};

/// The patch; `None` where the lists have no unique keys to tell items apart by, or a key is a word of patches.
pub fn strategic(schemas: &Schemas, of: Option<&TypeRef>, from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else { return Some(to.clone()) };
    if from.keys().chain(to.keys()).any(|name| name.starts_with('$')) {
        return None;
    }
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    let shape = of.and_then(|of| schemas.resolve(of)).map(|of| &of.shape);
    for (name, new) in to {
        let old = from.get(name);
        if old == Some(new) {
            continue;
        }
        let field = match shape {
            Some(Shape::Object(object)) => object.fields.get(name),
            _ => None,
        };
        let inner = match shape {
            Some(Shape::Map { values }) => Some(values),
            _ => field.map(|field| &field.of),
        };
        let says = |what: &str| field.is_some_and(|field| field.patch_strategy.iter().any(|s| s == what));
        match (old, new) {
            (Some(Value::Object(old)), Value::Object(new)) if says("retainKeys") => {
                let Value::Object(mut changed) =
                    strategic(schemas, inner, &Value::Object(old.clone()), &Value::Object(new.clone()))?
                else {
                    return None;
                };
                changed.retain(|_, value| !value.is_null());
                changed.insert("$retainKeys".to_owned(), new.keys().cloned().collect());
                patch.insert(name.clone(), Value::Object(changed));
            }
            (Some(old @ Value::Object(_)), Value::Object(_)) if !says("replace") => {
                patch.insert(name.clone(), strategic(schemas, inner, old, new)?);
            }
            (_, Value::Array(items)) if says("merge") => {
                let before = old.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                let items_of = inner.and_then(|of| schemas.resolve(of)).and_then(|of| match &of.shape {
                    Shape::List(list) => Some(&list.items),
                    _ => None,
                });
                match field.and_then(|field| field.patch_merge_key.as_deref()) {
                    Some(key) => by_key(schemas, items_of, (name, key), before, items, &mut patch)?,
                    None => by_value(name, before, items, &mut patch)?,
                }
            }
            _ => {
                patch.insert(name.clone(), new.clone());
            }
        }
    }
    Some(Value::Object(patch))
}

fn by_key(
    schemas: &Schemas,
    of: Option<&TypeRef>,
    (name, key): (&str, &str),
    before: &[Value],
    after: &[Value],
    patch: &mut Map<String, Value>,
) -> Option<()> {
    let keys = |items: &[Value]| -> Option<Vec<Value>> {
        let keys: Vec<Value> =
            items.iter().map(|item| item.get(key).filter(|key| !key.is_null()).cloned()).collect::<Option<_>>()?;
        let told: HashSet<String> = keys.iter().map(Value::to_string).collect();
        (told.len() == keys.len()).then_some(keys)
    };
    let (old_keys, new_keys) = (keys(before)?, keys(after)?);
    let mut changes = Vec::new();
    for (item, id) in after.iter().zip(&new_keys) {
        match old_keys.iter().position(|old| old == id) {
            Some(at) if before[at] == *item => {}
            Some(at) => {
                let mut change = strategic(schemas, of, &before[at], item)?;
                change[key] = id.clone();
                changes.push(change);
            }
            None => changes.push(item.clone()),
        }
    }
    for id in old_keys.iter().filter(|id| !new_keys.contains(id)) {
        changes.push(json!({"$patch": "delete", key: id}));
    }
    patch.insert(name.to_owned(), changes.into());
    patch.insert(format!("$setElementOrder/{name}"), new_keys.iter().map(|id| json!({key: id})).collect());
    Some(())
}

fn by_value(name: &str, before: &[Value], after: &[Value], patch: &mut Map<String, Value>) -> Option<()> {
    let unique = |items: &[Value]| items.iter().map(Value::to_string).collect::<HashSet<_>>().len() == items.len();
    if !unique(before) || !unique(after) {
        return None;
    }
    let missing = |items: &[Value], others: &[Value]| -> Vec<Value> {
        items.iter().filter(|item| !others.contains(item)).cloned().collect()
    };
    patch.insert(name.to_owned(), missing(after, before).into());
    let gone = missing(before, after);
    if !gone.is_empty() {
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), gone.into());
    }
    patch.insert(format!("$setElementOrder/{name}"), after.to_vec().into());
    Some(())
}
