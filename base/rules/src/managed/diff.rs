//! What differs between two objects of a kind, as sets of paths.
use irori_api::schema::List;
use serde_json::Value;

use super::{
    set::{Set, Step},
    typed::{At, Place, Typed, entries, listed, pairs, step_to, steps},
};
use crate::decode::DEPTH_MAX;

/// The paths that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub added: Set,
    pub removed: Set,
    pub modified: Set,
}

/// Compares two trees. The error says which list has an item without keys; such objects are not tracked.
pub(super) fn compare(typed: Typed<'_>, at: At<'_>, old: &Value, new: &Value) -> Result<Diff, String> {
    let mut diff = Diff::default();
    walk(typed, at, (Some(old), Some(new)), &mut diff, 0)?;
    Ok(diff)
}

type Pair<'v> = (Option<&'v Value>, Option<&'v Value>);

fn empty(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    }
}

/// Most of an object is the same after a change: no steps are made for it.
fn same(pair: Pair<'_>) -> bool {
    matches!(pair, (Some(old), Some(new)) if old == new)
}

fn walk(typed: Typed<'_>, at: At<'_>, pair: Pair<'_>, diff: &mut Diff, depth: usize) -> Result<(), String> {
    if depth >= DEPTH_MAX {
        return Err("nested too deeply".to_owned());
    }
    let place = typed.place(at);
    let whole = match place {
        Place::Leaf => true,
        // An empty map or list differs from none, so both sides empty is one value.
        Place::Struct(_) | Place::Map(_) | Place::Items(_) => empty(pair.0) && empty(pair.1),
        Place::Free => {
            let map = |value: Option<&Value>| matches!(value, None | Some(Value::Object(_)));
            !map(pair.0) || !map(pair.1) || (empty(pair.0) && empty(pair.1))
        }
    };
    match (whole, place) {
        (true, _) => return leaf(pair, diff),
        (false, Place::Items(list)) => items(typed, list, pair, diff, depth)?,
        (false, place) => fields(typed, place, pair, diff, depth)?,
    }
    match pair {
        (None, _) => diff.added.own = true,
        (_, None) => diff.removed.own = true,
        _ => {}
    }
    Ok(())
}

fn leaf(pair: Pair<'_>, diff: &mut Diff) -> Result<(), String> {
    match pair {
        (None, None) => {}
        (None, Some(_)) => diff.added.own = true,
        (Some(_), None) => diff.removed.own = true,
        (Some(old), Some(new)) => diff.modified.own = old != new,
    }
    Ok(())
}

fn fields(typed: Typed<'_>, place: Place<'_>, pair: Pair<'_>, diff: &mut Diff, depth: usize) -> Result<(), String> {
    for (name, old, new) in pairs(entries(pair.0), entries(pair.1)) {
        let pair = (old, new);
        if !same(pair) {
            let at = typed.field(place, name).ok_or_else(|| format!(".{name}: field not declared in schema"))?;
            below(typed, at, step_to(name), pair, diff, depth)?;
        }
    }
    Ok(())
}

fn below(typed: Typed<'_>, at: At<'_>, step: Step, pair: Pair<'_>, diff: &mut Diff, depth: usize) -> Result<(), String> {
    let mut child = Diff::default();
    walk(typed, at, pair, &mut child, depth + 1)?;
    for (set, child) in [(&mut diff.added, child.added), (&mut diff.removed, child.removed), (&mut diff.modified, child.modified)]
    {
        set.push(step.clone(), child);
    }
    Ok(())
}

fn items(typed: Typed<'_>, list: &List, pair: Pair<'_>, diff: &mut Diff, depth: usize) -> Result<(), String> {
    let (old, new) = (listed(pair.0), listed(pair.1));
    // Sorted by step, then side, then position: each step is one run.
    let mut all: Vec<(Step, bool, &Value)> = Vec::with_capacity(old.len() + new.len());
    for (side, values) in [(false, old), (true, new)] {
        all.extend(steps(typed, list, values)?.into_iter().zip(values).map(|(step, value)| (step, side, value)));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.cmp(&b.1)));
    for run in all.chunk_by(|a, b| a.0 == b.0) {
        let step = &run[0].0;
        let (before, after) = run.split_at(run.partition_point(|(_, side, _)| !side));
        let at = At::of(&list.items);
        let owned = || Set { own: true, below: Vec::new() };
        match (before.len(), after.len()) {
            (0 | 1, 0 | 1) => {
                let pair = (before.first().map(|(_, _, v)| *v), after.first().map(|(_, _, v)| *v));
                if !same(pair) {
                    below(typed, at, step.clone(), pair, diff, depth)?;
                }
            }
            // Items that share a key are one value.
            (2.., 2..) => {
                if !before.iter().map(|(_, _, v)| v).eq(after.iter().map(|(_, _, v)| v)) {
                    diff.modified.push(step.clone(), owned());
                }
            }
            (2.., _) => {
                if let Some((_, _, value)) = after.first() {
                    below(typed, at, step.clone(), (None, Some(value)), diff, depth)?;
                }
                diff.removed.push(step.clone(), owned());
            }
            (_, _) => {
                if let Some((_, _, value)) = before.first() {
                    below(typed, at, step.clone(), (Some(value), None), diff, depth)?;
                }
                diff.added.push(step.clone(), owned());
            }
        }
    }
    Ok(())
}
