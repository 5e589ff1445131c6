//! Strategic merge patch: a merge patch that knows lists.
//!
//! Source: the Kubernetes page on strategic merge patch and its directives `$patch`, `$retainKeys`, `$setElementOrder/…` and
//! `$deleteFromPrimitiveList/…`; merge keys and strategies come from the schema.
use std::collections::{BTreeSet, HashMap};

use irori_api::schema::{Field, Schemas, Shape, TypeRef};
use serde_json::{Map, Value};

use super::PatchError;
use crate::decode::DEPTH_MAX;

const PATCH: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const ORDER: &str = "$setElementOrder/";
const DELETE: &str = "$deleteFromPrimitiveList/";

pub fn apply(schemas: &Schemas, of: &TypeRef, object: &Value, patch: &Value) -> Result<Value, PatchError> {
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
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            // To merge is what happens anyway.
            Some("merge") => merge_map(schemas, of, original, patch, depth),
            _ => Err(unknown_directive(&directive, &patch)),
        };
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
        let Some(old) = original.remove(&name) else {
            if !deletes {
                original.insert(name, plain(value, depth)?);
            }
            continue;
        };
        let new = match (old, value) {
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
        original.insert(name, new);
    }
    Ok(original)
}

fn unknown_directive(directive: &Value, patch: &Map<String, Value>) -> PatchError {
    PatchError::Plain(format!("unknown patch type {} in map: '{}'", go(directive), go(&Value::Object(patch.clone()))))
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
        let wrong = || bad("invalid patch format of setElementOrder list");
        let Some(Value::Array(order)) = patch.remove(&format!("{ORDER}{name}")) else { return Err(wrong()) };
        let (key, merges) = strategy_of(schemas, of, &name);
        if !merges {
            return Err(wrong());
        }
        let old = match original.get(&name) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(items.clone()),
            Some(_) => return Err(wrong()),
        };
        let given = match patch.get(&name) {
            None => None,
            Some(Value::Array(items)) => Some(items.clone()),
            Some(_) => return Err(wrong()),
        };
        if let Some(items) = &given {
            check_order(items, &order, key, &name)?;
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
        let gone = Places::of(&gone, None);
        merged.retain(|item| gone.find(item).is_none());
        if let Some(items) = given {
            merged = merge_list(schemas, of, &name, merged, items, false, depth)?;
        }
        let told_order = Places::of(&order, key);
        let (told, untold): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|item| told_order.find(item).is_some());
        let merged = in_order(told, untold, &order, &server, key);
        original.insert(name, Value::Array(merged));
    }
    Ok(())
}

/// The items of a patch have to stand in the order that the patch itself tells.
fn check_order(items: &[Value], order: &[Value], key: Option<&str>, name: &str) -> Result<(), PatchError> {
    let wrong = || {
        PatchError::Plain(format!(
            "The order in patch list:\n{}\n doesn't match {ORDER}{name} list:\n{}\n",
            go(&Value::Array(items.to_vec())),
            go(&Value::Array(order.to_vec()))
        ))
    };
    let mut last = None;
    let places = Places::of(order, key);
    for item in items.iter().filter(|item| item.get(PATCH).is_none()) {
        let Some(at) = places.find(item) else { return Err(wrong()) };
        if last.is_some_and(|last| at < last) {
            return Err(wrong());
        }
        last = Some(at);
    }
    Ok(())
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
    old: Vec<Value>,
    patch: Vec<Value>,
    deletes: bool,
    depth: usize,
) -> Result<Vec<Value>, PatchError> {
    if deletes {
        if patch.iter().any(|v| v.is_object() || v.is_array()) {
            return Err(primitive_list());
        }
        let gone = Places::of(&patch, None);
        return Ok(old.into_iter().filter(|item| gone.find(item).is_none()).collect());
    }
    let (key, merges) = strategy_of(schemas, of, name);
    if !merges {
        return patch.into_iter().map(|item| plain(item, depth)).collect();
    }
    if old.iter().chain(&patch).any(Value::is_array) {
        return Err(PatchError::Unprocessable("lists of lists are not supported".into()));
    }
    let Some(key) = key else {
        return Ok(merge_primitives(old, patch));
    };
    let items_of = field_of(schemas, of, name).and_then(|f| match &schemas.resolve(&f.of)?.shape {
        Shape::List(list) => Some(&list.items),
        _ => None,
    });
    let (mut server, patch) = match directives(old, patch, key)? {
        Listed::Replace(items) => return items.into_iter().map(|item| plain(item, depth)).collect(),
        Listed::Merge { old, patch } => (old, patch),
    };
    let before = server.clone();
    let mut places = Places::of(&server, Some(key));
    for item in &patch {
        let Value::Object(fields) = item else {
            return Err(PatchError::Plain(format!("expected a map in the list of {name}, got {}", go(item))));
        };
        if !fields.contains_key(key) {
            return Err(no_key(item, key));
        }
        match places.find(item) {
            Some(at) => {
                if let Value::Object(existing) = server[at].take() {
                    server[at] = Value::Object(merge_map(schemas, items_of, existing, fields.clone(), depth + 1)?);
                }
            }
            None => {
                places.note(item, server.len());
                server.push(plain(item.clone(), depth)?);
            }
        }
    }
    let given = Places::of(&patch, Some(key));
    let (told, untold): (Vec<Value>, Vec<Value>) = server.into_iter().partition(|item| given.find(item).is_some());
    Ok(in_order(told, untold, &patch, &before, Some(key)))
}

fn merge_primitives(old: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut merged = old.clone();
    let mut known = Places::of(&old, None);
    for item in &patch {
        if known.find(item).is_none() {
            known.note(item, merged.len());
            merged.push(item.clone());
        }
    }
    let given = Places::of(&patch, None);
    let (told, untold): (Vec<Value>, Vec<Value>) = merged.into_iter().partition(|item| given.find(item).is_some());
    in_order(told, untold, &patch, &old, None)
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
            Some(_) => {
                let directive = item.get(PATCH).cloned().unwrap_or(Value::Null);
                return Err(unknown_directive(&directive, item.as_object().unwrap_or(&Map::new())));
            }
        }
    }
    if !gone.is_empty() {
        let gone = Places::of(&gone, Some(key));
        old.retain(|item| gone.find(item).is_none());
    }
    Ok(if replace { Listed::Replace(rest) } else { Listed::Merge { old, patch: rest } })
}

fn no_key(item: &Value, key: &str) -> PatchError {
    PatchError::Plain(format!("map: {} does not contain declared merge key: {key}", go(item)))
}

/// Where items stand in a list, told by their key or by themselves. Looked up, not searched: lists may be long.
struct Places<'a> {
    key: Option<&'a str>,
    at: HashMap<String, usize>,
}

impl<'a> Places<'a> {
    fn of(list: &[Value], key: Option<&'a str>) -> Self {
        let mut places = Places { key, at: HashMap::with_capacity(list.len()) };
        list.iter().enumerate().for_each(|(i, item)| places.note(item, i));
        places
    }

    fn mark(&self, item: &Value) -> Option<String> {
        match self.key {
            Some(key) => item.get(key).map(Value::to_string),
            None => Some(item.to_string()),
        }
    }

    fn note(&mut self, item: &Value, at: usize) {
        if let Some(mark) = self.mark(item) {
            self.at.entry(mark).or_insert(at);
        }
    }

    fn find(&self, item: &Value) -> Option<usize> {
        self.at.get(&self.mark(item)?).copied()
    }
}

/// One list of the items that the patch told (in its order) and those that only the server knows (in theirs). An item of the
/// server goes before one of the patch only where it stood before it on the server.
fn in_order(mut told: Vec<Value>, mut untold: Vec<Value>, order: &[Value], server: &[Value], key: Option<&str>) -> Vec<Value> {
    let (order, server) = (Places::of(order, key), Places::of(server, key));
    told.sort_by_cached_key(|item| order.find(item));
    untold.sort_by_cached_key(|item| server.find(item));
    let mut out = Vec::with_capacity(told.len() + untold.len());
    let mut told = told.into_iter().peekable();
    for item in untold {
        let at = server.find(&item);
        while let Some(next) = told.peek() {
            match (at, server.find(next)) {
                (Some(at), Some(next)) if at < next => break,
                _ => out.extend(told.next()),
            }
        }
        out.push(item);
    }
    out.extend(told);
    out
}

/// A value that the original does not have: without directives and nulls.
fn plain(value: Value, depth: usize) -> Result<Value, PatchError> {
    if depth >= DEPTH_MAX {
        return Err(bad("exceeded max depth"));
    }
    Ok(match value {
        Value::Object(mut fields) => {
            match fields.remove(PATCH).as_ref().map(|d| d.as_str().unwrap_or("")) {
                Some("delete") => return Ok(Value::Object(Map::new())),
                None | Some("replace" | "merge") => {}
                Some(other) => return Err(unknown_directive(&other.into(), &fields)),
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
fn go(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let mut keys: Vec<(&String, &Value)> = fields.iter().collect();
            keys.sort_by_key(|(key, _)| *key);
            format!("map[{}]", keys.into_iter().map(|(k, v)| format!("{k}:{}", go(v))).collect::<Vec<_>>().join(" "))
        }
        other => other.to_string(),
    }
}
