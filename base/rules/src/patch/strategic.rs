//! Strategic merge patch: a merge patch that knows lists.
//!
//! Source: the Kubernetes page on strategic merge patch and its directives `$patch`, `$retainKeys`, `$setElementOrder/…` and
//! `$deleteFromPrimitiveList/…`; merge keys and strategies come from the schema.
use std::collections::BTreeSet;

use irori_api::schema::{Field, Schemas, Shape, Type, TypeRef};
use serde_json::{Map, Value};

use super::{
    PatchError,
    numbers::{Numbers, in_order, place},
};
use crate::decode::DEPTH_MAX;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

pub fn apply(schemas: &Schemas, of: &TypeRef, object: &Value, patch: &Value) -> Result<Value, PatchError> {
    if patch.is_null() {
        return Ok(object.clone());
    }
    let (Value::Object(object), Value::Object(patch)) = (object, patch) else {
        let what = super::json::json_kind(patch);
        return Err(PatchError::BadRequest(format!(
            "json: cannot unmarshal {what} into Go value of type map[string]interface {{}}"
        )));
    };
    let merged = merge_map(schemas, Some(of), object.clone(), patch.clone(), 0)?;
    Ok(Value::Object(merged))
}

fn bad(text: &str) -> PatchError {
    PatchError::BadRequest(text.to_owned())
}

fn primitive_list() -> PatchError {
    bad("invalid patch format of primitive list")
}

/// The field of a type, if the type names fields.
fn field_of<'a>(schemas: &'a Schemas, of: Option<&'a TypeRef>, name: &str) -> Option<&'a Field> {
    match &schemas.resolve(of?)?.shape {
        Shape::Object(object) => object.fields.get(name),
        _ => None,
    }
}

/// The type behind a key: of the field, or of the values of a map.
fn type_behind<'a>(schemas: &'a Schemas, of: Option<&'a TypeRef>, name: &str) -> Option<&'a TypeRef> {
    match &schemas.resolve(of?)?.shape {
        Shape::Object(object) => object.fields.get(name).map(|f| &f.of),
        Shape::Map { values } => Some(values),
        _ => None,
    }
}

fn merge_map(
    schemas: &Schemas,
    of: Option<&TypeRef>,
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    depth: usize,
) -> Result<Map<String, Value>, PatchError> {
    if depth >= DEPTH_MAX {
        return Err(bad("exceeded max depth"));
    }
    match patch.get(PATCH).map(|directive| directive.as_str()) {
        None => {}
        Some(Some("replace")) => {
            patch.remove(PATCH);
            return Ok(patch);
        }
        Some(Some("delete")) => return Ok(Map::new()),
        // To merge is what happens anyway, and cannot be asked for.
        Some(_) => return Err(unknown_directive(&patch)),
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(schemas, of, &mut original, &mut patch, depth)?;
    for (key, value) in patch {
        let (name, deletes) = match key.strip_prefix(DELETE) {
            Some(name) => (name.to_owned(), true),
            None => (key, false),
        };
        if value.is_null() {
            original.remove(&name);
            continue;
        }
        let Some(place) = original.get_mut(&name) else {
            if !deletes {
                original.insert(name, plain(value, depth)?);
            }
            continue;
        };
        *place = match (place.take(), value) {
            (Value::Object(old), Value::Object(new)) => {
                let replace = field_of(schemas, of, &name).is_some_and(|f| f.patch_strategy.iter().any(|s| s == "replace"));
                if replace {
                    plain(Value::Object(new), depth)?
                } else {
                    Value::Object(merge_map(schemas, type_behind(schemas, of, &name), old, new, depth + 1)?)
                }
            }
            (Value::Array(old), Value::Array(new)) => Value::Array(merge_list(schemas, of, &name, old, new, deletes, depth)?),
            (old, _) if deletes => old,
            (_, new) => plain(new, depth)?,
        };
    }
    Ok(original)
}

fn unknown_directive(patch: &Map<String, Value>) -> PatchError {
    let directive = patch.get(PATCH).map_or(String::new(), go);
    PatchError::Plain(format!("unknown patch type: {directive} in map: {}", go(&Value::Object(patch.clone()))))
}

/// Something else than a list where there has to be one.
fn no_list(value: &Value) -> PatchError {
    let kind = match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    PatchError::Plain(format!("expected a []interface {{}}, but received a {kind}"))
}

/// What a list that merges may hold: values of one kind, and no lists.
fn same_kinds(old: &[Value], patch: &[Value]) -> Result<(), PatchError> {
    let kind = |value: &Value| match value {
        Value::Number(n) if n.is_f64() => "float",
        other => super::json::json_kind(other),
    };
    let mut items = old.iter().chain(patch);
    let Some(first) = items.next() else { return Ok(()) };
    if first.is_array() {
        return Err(super::json::refused());
    }
    if items.all(|item| kind(item) == kind(first)) {
        return Ok(());
    }
    let [old, patch] = [old, patch].map(|list| go(&Value::Array(list.to_vec())));
    Err(PatchError::Plain(format!("list element types are not identical: [{old} {patch}]")))
}

/// `$retainKeys`: of the original, only the named keys stay. Every key of the patch has to be named.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), PatchError> {
    let Some(kept) = patch.remove(RETAIN) else { return Ok(()) };
    let wrong = || bad("invalid patch format of retainKeys");
    let kept: BTreeSet<String> = kept
        .as_array()
        .ok_or_else(wrong)?
        .iter()
        .map(|k| k.as_str().map(str::to_owned).ok_or_else(wrong))
        .collect::<Result<_, _>>()?;
    for (key, value) in patch.iter() {
        if value.is_null() || key.starts_with(DELETE) || key.starts_with(ORDER) {
            continue;
        }
        if !kept.contains(key) {
            return Err(wrong());
        }
    }
    original.retain(|key, _| kept.contains(key));
    Ok(())
}

/// Lists whose order the patch tells by `$setElementOrder/NAME`.
fn merge_ordered_lists(
    schemas: &Schemas,
    of: Option<&TypeRef>,
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), PatchError> {
    let names: Vec<String> = patch.keys().filter_map(|key| key.strip_prefix(ORDER)).map(str::to_owned).collect();
    for name in names {
        let order = match patch.remove(&format!("{ORDER}{name}")) {
            Some(Value::Array(order)) => order,
            other => return Err(no_list(&other.unwrap_or_default())),
        };
        let (key, merges) = strategy_of(schemas, of, &name);
        if !merges {
            return Err(unordered(schemas, of, &name));
        }
        let old = match original.get(&name) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(items.clone()),
            Some(other) => return Err(no_list(other)),
        };
        let given = match patch.get(&name) {
            None => None,
            Some(Value::Array(items)) => Some(items.clone()),
            Some(other) => return Err(no_list(other)),
        };
        if let Some(items) = &given {
            check_order(items, &order, key)?;
        }
        let gone = match patch.get(&format!("{DELETE}{name}")) {
            None => Vec::new(),
            Some(Value::Array(items)) => items.clone(),
            Some(_) => return Err(primitive_list()),
        };
        patch.remove(&name);
        patch.remove(&format!("{DELETE}{name}"));
        let Some(server) = old.clone().or_else(|| given.as_ref().map(|_| Vec::new())) else { continue };
        let mut merged = server.clone();
        without(&mut merged, &gone, None);
        if let Some(items) = given {
            merged = merge_list(schemas, of, &name, merged, items, false, depth)?;
        }
        let numbers = Numbers::of([&order, &server, &merged], key);
        let (order, server, [.., of_merged]) = (numbers.places(0), numbers.places(1), numbers.lists);
        let merged = in_order(of_merged.into_iter().zip(merged).collect(), &order, &server);
        original.insert(name, Value::Array(merged));
    }
    Ok(())
}

/// The items of a patch have to stand in the order that the patch itself tells.
fn check_order(items: &[Value], order: &[Value], key: Option<&str>) -> Result<(), PatchError> {
    let wrong = || {
        PatchError::Plain(format!(
            "The order in patch list:\n{}\n doesn't match {} list:\n{}\n",
            go(&Value::Array(items.to_vec())),
            ORDER.trim_end_matches('/'),
            go(&Value::Array(order.to_vec()))
        ))
    };
    let mut last = None;
    let numbers = Numbers::of([order, items], key);
    let (places, [_, of_items]) = (numbers.places(0), numbers.lists);
    for (_, number) in items.iter().zip(of_items).filter(|(item, _)| item.get(PATCH).is_none()) {
        let Some(at) = place(&places, number) else { return Err(wrong()) };
        if last.is_some_and(|last| at < last) {
            return Err(wrong());
        }
        last = Some(at);
    }
    Ok(())
}

/// The order of a list that does not merge, or that a struct does not have.
fn unordered(schemas: &Schemas, of: Option<&TypeRef>, name: &str) -> PatchError {
    match of.and_then(|of| schemas.resolve(of)) {
        Some(Type { name: owner, shape: Shape::Object(object), .. }) if !object.fields.contains_key(name) => {
            let owner = owner.rsplit('.').next().unwrap_or(owner);
            PatchError::Plain(format!("unable to find api field in struct {owner} for the json field {name:?}"))
        }
        _ => bad("invalid patch format of setElementOrder list"),
    }
}

/// The merge key of a list, if its items have one, and whether the list merges at all.
fn strategy_of<'a>(schemas: &'a Schemas, of: Option<&'a TypeRef>, name: &str) -> (Option<&'a str>, bool) {
    let Some(field) = field_of(schemas, of, name) else { return (None, false) };
    (field.patch_merge_key.as_deref(), field.patch_strategy.iter().any(|s| s == "merge"))
}

fn merge_list(
    schemas: &Schemas,
    of: Option<&TypeRef>,
    name: &str,
    mut old: Vec<Value>,
    patch: Vec<Value>,
    deletes: bool,
    depth: usize,
) -> Result<Vec<Value>, PatchError> {
    let (key, merges) = strategy_of(schemas, of, name);
    if merges {
        same_kinds(&old, &patch)?;
    }
    if deletes {
        if patch.iter().any(|v| v.is_object() || v.is_array()) {
            return Err(primitive_list());
        }
        without(&mut old, &patch, None);
        return Ok(old);
    }
    if !merges {
        return patch.into_iter().map(|item| plain(item, depth)).collect();
    }
    let Some(key) = key else {
        return Ok(merge_primitives(old, patch));
    };
    let items_of = field_of(schemas, of, name).and_then(|f| match &schemas.resolve(&f.of)?.shape {
        Shape::List(list) => Some(&list.items),
        _ => None,
    });
    let (old, patch) = match directives(old, patch, key)? {
        Listed::Replace(items) => return items.into_iter().map(|item| plain(item, depth)).collect(),
        Listed::Merge { old, patch } => (old, patch),
    };
    let numbers = Numbers::of([&old, &patch], Some(key));
    let (before, told, [of_old, of_patch]) = (numbers.places(0), numbers.places(1), numbers.lists);
    let mut places = before.clone();
    let mut server: Vec<(Option<usize>, Value)> = of_old.into_iter().zip(old).collect();
    for (number, item) in of_patch.into_iter().zip(patch) {
        let Value::Object(fields) = item else {
            return Err(PatchError::Plain(format!("expected a map in the list of {name}, got {}", go(&item))));
        };
        let Some(number) = number else { return Err(no_key(&Value::Object(fields), key)) };
        match places[number] {
            Some(at) => {
                if let Value::Object(existing) = server[at].1.take() {
                    server[at].1 = Value::Object(merge_map(schemas, items_of, existing, fields, depth + 1)?);
                }
            }
            None => {
                places[number] = Some(server.len());
                // A key that is null is left out like any other field.
                let number = fields.get(key).filter(|value| !value.is_null()).map(|_| number);
                server.push((number, plain(Value::Object(fields), depth)?));
            }
        }
    }
    Ok(in_order(server, &told, &before))
}

fn merge_primitives(old: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let numbers = Numbers::of([&old, &patch], None);
    let (before, told, [of_old, of_patch]) = (numbers.places(0), numbers.places(1), numbers.lists);
    let mut known: Vec<bool> = before.iter().map(Option::is_some).collect();
    let mut merged: Vec<(Option<usize>, Value)> = of_old.into_iter().zip(old).collect();
    let fresh = of_patch
        .into_iter()
        .zip(patch)
        .filter(|(number, _)| number.is_some_and(|number| !std::mem::replace(&mut known[number], true)));
    merged.extend(fresh);
    in_order(merged, &told, &before)
}

/// Takes the items out of a list that are named in another.
fn without(list: &mut Vec<Value>, gone: &[Value], key: Option<&str>) {
    if gone.is_empty() {
        return;
    }
    let numbers = Numbers::of([gone, list], key);
    let (gone, [_, of_list]) = (numbers.places(0), numbers.lists);
    let mut of_list = of_list.into_iter();
    list.retain(|_| place(&gone, of_list.next().flatten()).is_none());
}

enum Listed {
    Replace(Vec<Value>),
    Merge { old: Vec<Value>, patch: Vec<Value> },
}

/// Carries out the directives that stand in a list as items of their own.
fn directives(mut old: Vec<Value>, patch: Vec<Value>, key: &str) -> Result<Listed, PatchError> {
    let (mut replace, mut gone) = (false, Vec::new());
    let mut rest = Vec::with_capacity(patch.len());
    for item in patch {
        match item.get(PATCH).map(|d| d.as_str().unwrap_or("")) {
            None => rest.push(item),
            Some("delete") => {
                if item.get(key).is_none() {
                    return Err(no_key(&item, key));
                }
                gone.push(item);
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(PatchError::Plain("merging lists cannot yet be specified in the patch".into())),
            Some(_) => return Err(unknown_directive(item.as_object().unwrap_or(&Map::new()))),
        }
    }
    if !gone.is_empty() {
        without(&mut old, &gone, Some(key));
    }
    Ok(if replace { Listed::Replace(rest) } else { Listed::Merge { old, patch: rest } })
}

fn no_key(item: &Value, key: &str) -> PatchError {
    PatchError::Plain(format!("map: {} does not contain declared merge key: {key}", go(item)))
}

/// A value that the original does not have: without directives and nulls.
fn plain(value: Value, depth: usize) -> Result<Value, PatchError> {
    if depth >= DEPTH_MAX {
        return Err(bad("exceeded max depth"));
    }
    Ok(match value {
        Value::Object(mut fields) => {
            match fields.get(PATCH).map(|d| d.as_str().unwrap_or("")) {
                Some("delete") => return Ok(Value::Object(Map::new())),
                None | Some("replace" | "merge") => drop(fields.remove(PATCH)),
                Some(_) => return Err(unknown_directive(&fields)),
            }
            let mut out = Map::new();
            for (key, value) in fields {
                let directive = key == RETAIN || key.starts_with(ORDER) || key.starts_with(DELETE);
                if !directive && !value.is_null() {
                    out.insert(key, plain(value, depth + 1)?);
                }
            }
            Value::Object(out)
        }
        Value::Array(items) => {
            let kept = items.into_iter().filter(|item| item.get(PATCH).is_none());
            Value::Array(kept.map(|item| plain(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        other => other,
    })
}

/// A value as Go prints it with `%v`.
pub fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut keys: Vec<(&String, &Value)> = fields.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            format!("map[{}]", keys.into_iter().map(|(k, v)| format!("{k}:{}", go(v))).collect::<Vec<_>>().join(" "))
        }
        Value::Number(n) => match n.as_f64() {
            Some(whole) if n.is_f64() && whole.fract() == 0.0 && whole.abs() < 1e21 => format!("{whole:.0}"),
            _ => n.to_string(),
        },
        Value::Bool(said) => said.to_string(),
    }
}
