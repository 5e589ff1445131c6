//! Merging an applied object into the live one, and taking paths out of an object.
use hashbrown::{HashMap, HashSet};
use irori_api::schema::List;
use serde_json::{Map, Value};

use super::{
    set::{Set, Step},
    typed::{At, Place, Typed, entries, listed, pairs, step_to, steps},
};

/// The live value with what the applied one says. `None`: nothing is left.
pub(super) fn merge(
    typed: Typed<'_>,
    at: At<'_>,
    live: Option<&Value>,
    applied: Option<&Value>,
) -> Result<Option<Value>, String> {
    let (Some(old), Some(new)) = (live, applied) else { return Ok(applied.or(live).cloned()) };
    let empty = |v: &Value| match v {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match typed.place(at) {
        Place::Leaf => Ok(applied.cloned()),
        Place::Free if !(old.is_object() && new.is_object()) => Ok(applied.cloned()),
        _ if empty(old) && empty(new) => Ok(applied.cloned()),
        Place::Items(list) => merge_items(typed, list, listed(live), listed(applied)),
        place => {
            let mut out = Vec::new();
            for (name, old, new) in pairs(entries(live), entries(applied)) {
                let at = typed.field(place, name).ok_or_else(|| format!(".{name}: field not declared in schema"))?;
                out.extend(merge(typed, at, old, new)?.map(|merged| (name.clone(), merged)));
            }
            Ok((!out.is_empty()).then(|| Value::Object(out.into_iter().collect())))
        }
    }
}

/// Where each step stands in a list; `None` for one that stands there twice: of items with one key none can be merged.
fn places(steps: &[Step]) -> HashMap<&str, Option<usize>> {
    let mut places = HashMap::with_capacity(steps.len());
    for (i, step) in steps.iter().enumerate() {
        places.entry(&**step).and_modify(|at| *at = None).or_insert(Some(i));
    }
    places
}

/// Items keep the order of the applied list where it names them; those it does not name stay where they were among the others.
fn merge_items(typed: Typed<'_>, list: &List, live: &[Value], applied: &[Value]) -> Result<Option<Value>, String> {
    let (left, right) = (steps(typed, list, live)?, steps(typed, list, applied)?);
    let (in_left, in_right) = (places(&left), places(&right));
    let mut shared = right.iter().filter(|step| in_left.contains_key(&***step));
    let mut next = shared.next();
    let mut placed = HashSet::with_capacity(right.len());
    let mut out = Vec::with_capacity(left.len().max(right.len()));
    let at = At::of(&list.items);
    let both = |step: &str| {
        let value = |places: &HashMap<&str, Option<usize>>| places.get(step).copied().flatten();
        merge(typed, at, value(&in_left).map(|i| &live[i]), value(&in_right).map(|i| &applied[i]))
    };
    let (mut l, mut r) = (0, 0);
    while l < left.len() || r < right.len() {
        if l < left.len() && r < right.len() {
            if left[l] == right[r] {
                placed.insert(&*right[r]);
                out.extend(both(&right[r])?);
                (l, r) = (l + 1, r + 1);
                next = shared.next();
                continue;
            }
            if in_right.contains_key(&*left[l]) && next.is_some_and(|next| *next != left[l]) {
                // A shared item, but its turn comes later.
                l += 1;
                continue;
            }
        }
        if l < left.len() {
            if !in_right.contains_key(&*left[l]) {
                out.push(live[l].clone());
                l += 1;
                continue;
            }
            if placed.contains(&*left[l]) {
                l += 1;
            }
        }
        if r < right.len() {
            placed.insert(&*right[r]);
            out.extend(both(&right[r])?);
            if next == Some(&right[r]) {
                next = shared.next();
            }
            r += 1;
        }
    }
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

/// The value without the paths of a set.
pub(super) fn without(typed: Typed<'_>, at: At<'_>, value: &Value, paths: &Set) -> Value {
    match (typed.place(at), value) {
        (Place::Items(list), Value::Array(items)) => {
            let (mut out, mut step) = (Vec::with_capacity(items.len()), String::new());
            for item in items {
                let below = typed.write_step(list, item, &mut step).ok().and_then(|()| paths.get(&step));
                match below {
                    Some(below) if below.own => {}
                    // An item of which nothing is left is none: a list told apart by keys holds no null.
                    Some(below) => {
                        out.extend(Some(without(typed, At::of(&list.items), item, below)).filter(|left| !left.is_null()))
                    }
                    None => out.push(item.clone()),
                }
            }
            if out.is_empty() { Value::Null } else { Value::Array(out) }
        }
        (place @ (Place::Struct(_) | Place::Map(_) | Place::Free), Value::Object(fields)) => {
            let (mut out, mut paths) = (Vec::with_capacity(fields.len()), paths.cursor());
            for (name, value) in fields {
                let kept = match paths.field(name) {
                    Some(below) if below.own => continue,
                    Some(below) => typed.field(place, name).map(|at| without(typed, at, value, below)),
                    None => None,
                };
                out.push((name.clone(), kept.unwrap_or_else(|| value.clone())));
            }
            if out.is_empty() { Value::Null } else { Value::Object(out.into_iter().collect()) }
        }
        _ => value.clone(),
    }
}

/// The paths that an object sets, as apply counts them: leaves, items, entries of maps, and empty objects.
pub(super) fn paths_of(typed: Typed<'_>, at: At<'_>, value: &Value) -> Result<Set, String> {
    let mut set = Set::default();
    match (typed.place(at), value) {
        (Place::Items(list), Value::Array(items)) => {
            let mut named: Vec<(Step, &Value)> = steps(typed, list, items)?.into_iter().zip(items).collect();
            named.sort_by(|a, b| a.0.cmp(&b.0));
            set.below.reserve(named.len());
            for run in named.chunk_by(|a, b| a.0 == b.0) {
                let mut child = match run {
                    [(_, item)] => paths_of(typed, At::of(&list.items), item)?,
                    _ => Set::default(),
                };
                child.own = true;
                set.push(run[0].0.clone(), child);
            }
        }
        (place @ (Place::Struct(_) | Place::Map(_) | Place::Free), Value::Object(fields)) => {
            set.below.reserve_exact(fields.len());
            for (name, value) in fields {
                let at = typed.field(place, name).ok_or_else(|| format!(".{name}: field not declared in schema"))?;
                let mut child = paths_of(typed, at, value)?;
                let declared = matches!(place, Place::Struct(object) if object.fields.contains_key(name));
                child.own |= !declared || value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if !child.is_empty() {
                    set.push(step_to(name), child);
                }
            }
            set.sort();
        }
        (Place::Struct(_) | Place::Map(_) | Place::Items(_), _) => {}
        _ => set.own = true,
    }
    Ok(set)
}

/// The same, looking only at places on the way to, at or below a member of `limit`.
pub(super) fn paths_within(typed: Typed<'_>, at: At<'_>, value: &Value, limit: &Set) -> Result<Set, String> {
    let mut set = Set::default();
    match (typed.place(at), value) {
        _ if limit.below.is_empty() => return paths_of(typed, at, value),
        (Place::Items(list), Value::Array(items)) => {
            let (mut named, mut step) = (Vec::new(), String::new());
            for item in items {
                typed.write_step(list, item, &mut step)?;
                named.extend(limit.get(&step).map(|limit| (Step::from(step.as_str()), item, limit)));
            }
            named.sort_by(|a, b| a.0.cmp(&b.0));
            for run in named.chunk_by(|a, b| a.0 == b.0) {
                let mut child = match run {
                    [(_, item, limit)] => paths_within(typed, At::of(&list.items), item, limit)?,
                    _ => Set::default(),
                };
                child.own = true;
                set.push(run[0].0.clone(), child);
            }
        }
        (place @ (Place::Struct(_) | Place::Map(_) | Place::Free), Value::Object(fields)) => {
            for (step, limit) in &limit.below {
                let Some((name, value)) = step.strip_prefix("f:").and_then(|name| fields.get_key_value(name)) else { continue };
                let at = typed.field(place, name).ok_or_else(|| format!(".{name}: field not declared in schema"))?;
                let mut child = paths_within(typed, at, value, limit)?;
                let declared = matches!(place, Place::Struct(object) if object.fields.contains_key(name));
                child.own |= !declared || value.is_null() || value.as_object().is_some_and(Map::is_empty);
                // All that stands below it may be no member of `limit`: what a default filled in.
                child.own |= limit.own && child.is_empty() && !paths_of(typed, at, value)?.is_empty();
                set.push(step.clone(), child);
            }
        }
        (Place::Struct(_) | Place::Map(_) | Place::Items(_), _) => {}
        _ => set.own = true,
    }
    Ok(set)
}

/// The type of what a step leads to, and whether the step is a named field.
fn below<'a>(typed: Typed<'a>, place: Place<'a>, step: &str) -> (At<'a>, bool) {
    match (place, step.strip_prefix("f:")) {
        (Place::Items(list), _) => (At::of(&list.items), false),
        (Place::Struct(object), Some(name)) => (typed.field(place, name).unwrap_or(At::FREE), object.fields.contains_key(name)),
        (place, Some(name)) => (typed.field(place, name).unwrap_or(At::FREE), false),
        _ => (At::FREE, false),
    }
}

/// What of a set is in none of the others, each `with_named_fields`.
pub(super) fn unowned(typed: Typed<'_>, at: At<'_>, set: &Set, others: &[&Set]) -> Set {
    let (place, mut cursors) = (typed.place(at), others.iter().map(|other| other.cursor()).collect::<Vec<_>>());
    let mut out = Set { own: set.own && !others.iter().any(|other| other.own), below: Vec::new() };
    for (step, child) in &set.below {
        let theirs: Vec<&Set> = cursors.iter_mut().filter_map(|cursor| cursor.find(step)).collect();
        let (at, named) = below(typed, place, step);
        let mut left = if theirs.is_empty() { with_named_fields(typed, at, child) } else { unowned(typed, at, child, &theirs) };
        // A named field on the way is everybody's who has something below it.
        left.own = if theirs.is_empty() { left.own || named } else { left.own && !named };
        out.push(step.clone(), left);
    }
    out
}

/// The set where each named field on the way to a member is a member too.
pub(super) fn with_named_fields(typed: Typed<'_>, at: At<'_>, set: &Set) -> Set {
    let place = typed.place(at);
    let mut out = Set { own: set.own, below: Vec::with_capacity(set.below.len()) };
    for (step, child) in &set.below {
        let (at, named) = below(typed, place, step);
        let mut child = with_named_fields(typed, at, child);
        child.own |= named;
        out.below.push((step.clone(), child));
    }
    out
}
