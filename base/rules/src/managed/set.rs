//! Sets of field paths, and their text form `FieldsV1`.
//!
//! A set is a trie. A step is kept as it is written: `f:replicas` for a field, `k:{"name":"c"}` for the item of a list with
//! keys, `v:"a"` for an item of a set, `i:3` for a position. Steps are sorted by their text.
use std::{cmp::Ordering, sync::Arc};

use serde_json::{Map, Value};

use crate::decode::DEPTH_MAX;

/// Shared: an apply makes many sets of the same steps.
pub(super) type Step = Arc<str>;

/// Fields of an object that somebody owns. The root itself is never owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Whether the path up to here is a member.
    pub(super) own: bool,
    /// By step, sorted; no child is empty.
    pub(super) below: Vec<(Step, Set)>,
}

/// The step to a field.
pub(super) fn field(name: &str) -> Step {
    let mut step = String::with_capacity(name.len() + 2);
    step.push_str("f:");
    step.push_str(name);
    step.into()
}

impl Set {
    /// A set of paths of field names, such as `["metadata", "labels"]`.
    pub fn of_fields(paths: &[&[&str]]) -> Set {
        let mut set = Set::default();
        for path in paths {
            let end = path.iter().fold(&mut set, |at, name| at.child(&field(name)));
            end.own = true;
        }
        set
    }

    pub fn is_empty(&self) -> bool {
        !self.own && self.below.is_empty()
    }

    /// Whether a path of field names is a member.
    pub fn has_fields(&self, path: &[&str]) -> bool {
        path.iter().try_fold(self, |at, name| at.get(&field(name))).is_some_and(|found| found.own)
    }

    pub(super) fn get(&self, step: &str) -> Option<&Set> {
        let at = self.below.binary_search_by(|(known, _)| (**known).cmp(step)).ok()?;
        self.below.get(at).map(|(_, set)| set)
    }

    /// For questions in the order of the steps.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { rest: &self.below }
    }

    fn child(&mut self, step: &str) -> &mut Set {
        let at = match self.below.binary_search_by(|(known, _)| (**known).cmp(step)) {
            Ok(at) => at,
            Err(at) => {
                self.below.insert(at, (step.into(), Set::default()));
                at
            }
        };
        &mut self.below[at].1
    }

    /// Adds a child unless it is empty. The order is put right by `sort`.
    pub(super) fn push(&mut self, step: Step, child: Set) {
        if !child.is_empty() {
            self.below.push((step, child));
        }
    }

    /// Sorts the steps of this level; they are sorted already nearly always.
    pub(super) fn sort(&mut self) {
        if !self.below.is_sorted_by(|a, b| a.0 < b.0) {
            self.below.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }

    /// Members of either.
    #[must_use]
    pub fn union(self, other: Set) -> Set {
        if self.is_empty() {
            return other;
        }
        let mut out = Set { own: self.own || other.own, below: Vec::with_capacity(self.below.len().max(other.below.len())) };
        let (mut left, mut right) = (self.below.into_iter().peekable(), other.below.into_iter().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some(a), Some(b)) => a.0.cmp(&b.0),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return out,
            };
            match order {
                Ordering::Less => out.below.extend(left.next()),
                Ordering::Greater => out.below.extend(right.next()),
                Ordering::Equal => {
                    if let (Some((step, a)), Some((_, b))) = (left.next(), right.next()) {
                        out.below.push((step, a.union(b)));
                    }
                }
            }
        }
    }

    /// Members of both.
    #[must_use]
    pub fn intersection(&self, other: &Set) -> Set {
        let (mut out, mut others) = (Set { own: self.own && other.own, below: Vec::new() }, other.cursor());
        for (step, child) in &self.below {
            if let Some(there) = others.find(step) {
                out.push(step.clone(), child.intersection(there));
            }
        }
        out
    }

    /// Members of this one that are not members of the other.
    #[must_use]
    pub fn difference(&self, other: &Set) -> Set {
        let (mut out, mut others) = (Set { own: self.own && !other.own, below: Vec::new() }, other.cursor());
        for (step, child) in &self.below {
            match others.find(step) {
                Some(there) => out.push(step.clone(), child.difference(there)),
                None => out.below.push((step.clone(), child.clone())),
            }
        }
        out
    }

    /// Without the members of the other, and without all that is below them.
    pub fn exclude(&mut self, other: &Set) {
        if self.below.is_empty() || other.is_empty() {
            return;
        }
        let mut others = other.cursor();
        self.below.retain_mut(|(step, child)| match others.find(step) {
            Some(there) if there.own => false,
            Some(there) => {
                child.exclude(there);
                !child.is_empty()
            }
            None => true,
        });
    }

    /// Without the members of the other; what is below them stays.
    pub fn remove(&mut self, other: &Set) {
        self.own &= !other.own;
        let mut others = other.cursor();
        self.below.retain_mut(|(step, child)| {
            if let Some(there) = others.find(step) {
                child.remove(there);
            }
            !child.is_empty()
        });
    }

    /// Only what is on the way to, at or below a path in `paths`; `*` stands for any step.
    #[must_use]
    pub fn include(&self, paths: &[&[&str]]) -> Set {
        let mut out = Set { own: self.own, below: Vec::new() };
        for (step, child) in &self.below {
            let fits = |word: &str| word == "*" || step.strip_prefix("f:") == Some(word);
            let rest: Vec<&[&str]> =
                paths.iter().filter_map(|path| path.split_first()).filter(|(word, _)| fits(word)).map(|(_, rest)| rest).collect();
            if rest.iter().any(|path| path.is_empty()) {
                out.below.push((step.clone(), child.clone()));
            } else if !rest.is_empty() {
                out.push(step.clone(), child.include(&rest));
            }
        }
        out
    }

    /// Each member: those of a level before those below it. Steps are in the order of their values.
    pub fn paths(&self) -> Vec<Vec<&str>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect<'a>(&'a self, way: &mut Vec<&'a str>, out: &mut Vec<Vec<&'a str>>) {
        let mut steps: Vec<&(Step, Set)> = self.below.iter().collect();
        steps.sort_by(|a, b| order(&a.0, &b.0));
        for (step, _) in steps.iter().filter(|(_, child)| child.own) {
            out.push(way.iter().copied().chain([&**step]).collect());
        }
        for (step, child) in steps {
            way.push(step);
            child.collect(way, out);
            way.pop();
        }
    }

    /// The FieldsV1 of the set.
    pub fn write(&self) -> Value {
        // In order, so that the map is made in one go: `.` is less than any step.
        let own = (self.own && !self.below.is_empty()).then(|| (".".to_owned(), Value::Object(Map::new())));
        Value::Object(own.into_iter().chain(self.below.iter().map(|(step, child)| (step.to_string(), child.write()))).collect())
    }

    /// Reads FieldsV1. Steps of an unknown kind are left out, as a newer server may write them.
    pub fn read(fields: &Value) -> Result<Set, String> {
        read(fields, true, 0)
    }
}

/// Steps of a set that are asked for in their order.
pub(super) struct Cursor<'a> {
    rest: &'a [(Step, Set)],
}

impl<'a> Cursor<'a> {
    pub fn find(&mut self, step: &str) -> Option<&'a Set> {
        while let [(known, set), rest @ ..] = self.rest {
            match (**known).cmp(step) {
                Ordering::Less => self.rest = rest,
                Ordering::Equal => return Some(set),
                Ordering::Greater => break,
            }
        }
        None
    }

    /// The same for the name of a field.
    pub fn field(&mut self, name: &str) -> Option<&'a Set> {
        while let [(known, set), rest @ ..] = self.rest {
            match known.strip_prefix("f:").map_or_else(|| (**known).cmp("f:"), |known| known.cmp(name)) {
                Ordering::Less => self.rest = rest,
                Ordering::Equal => return Some(set),
                Ordering::Greater => break,
            }
        }
        None
    }
}

fn read(fields: &Value, root: bool, depth: usize) -> Result<Set, String> {
    let Value::Object(map) = fields else { return Err("fieldsV1 is not made of objects".to_owned()) };
    if depth >= DEPTH_MAX {
        return Err("fieldsV1 is nested too deeply".to_owned());
    }
    let mut set = Set { own: map.is_empty() && !root, below: Vec::with_capacity(map.len()) };
    for (step, child) in map {
        if step == "." {
            set.own = !root;
        } else if let Some(step) = normal(step)? {
            let child = read(child, false, depth + 1)?;
            set.push(step, child);
        }
    }
    set.sort();
    set.below.dedup_by(|b, a| a.0 == b.0);
    Ok(set)
}

/// Whether a step is surely written as this server writes it: one text, or one key and its text, with nothing to escape.
fn is_plain(kind: &str, rest: &str) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| byte >= 0x20 && !matches!(byte, b'"' | b'\\'));
    let text =
        |given: &str| given.len() >= 2 && given.starts_with('"') && given.ends_with('"') && plain(&given[1..given.len() - 1]);
    match kind {
        "v" => text(rest),
        _ => {
            let inner = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            inner
                .and_then(|inner| inner.split_once("\":"))
                .is_some_and(|(key, value)| key.strip_prefix('"').is_some_and(plain) && text(value))
        }
    }
}

/// A step as this server writes it; `None` for one of an unknown kind.
fn normal(step: &str) -> Result<Option<Step>, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("read step `{step}`: {why}");
    let Some((kind, rest)) = step.split_once(':') else { return Err(wrong(&"no kind")) };
    Ok(match kind {
        "f" => Some(step.into()),
        "i" => {
            rest.parse::<i64>().map_err(|e| wrong(&e))?;
            Some(step.into())
        }
        "v" | "k" if is_plain(kind, rest) => Some(step.into()),
        "v" | "k" => {
            let value: Value = serde_json::from_str(rest).map_err(|e| wrong(&e))?;
            if kind == "k" && !value.is_object() {
                return Err(wrong(&"no object"));
            }
            Some(format!("{kind}:{value}").into())
        }
        _ => None,
    })
}

/// The order of steps: fields, keys, values, positions; numbers by size.
fn order(a: &str, b: &str) -> Ordering {
    let rank = |step: &str| match step.as_bytes().first() {
        Some(b'f') => 0,
        Some(b'k') => 1,
        Some(b'v') => 2,
        _ => 3,
    };
    let value = |step: &str| step.get(2..).and_then(|rest| serde_json::from_str::<Value>(rest).ok()).unwrap_or(Value::Null);
    rank(a).cmp(&rank(b)).then_with(|| if rank(a) == 0 { a.cmp(b) } else { values(&value(a), &value(b)) })
}

fn values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a.as_f64().unwrap_or(0.0).partial_cmp(&b.as_f64().unwrap_or(0.0)).unwrap_or(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Object(a), Value::Object(b)) => {
            let each = a.iter().zip(b).map(|((k, v), (l, w))| k.cmp(l).then_with(|| values(v, w)));
            each.fold(Ordering::Equal, Ordering::then).then(a.len().cmp(&b.len()))
        }
        _ => a.to_string().cmp(&b.to_string()),
    }
}

/// A path as errors write it: `.spec.containers[name="c"].image`.
pub fn path_text(path: &[&str]) -> String {
    path.iter().map(|step| step_text(step)).collect()
}

/// One step as errors write it.
pub fn step_text(step: &str) -> String {
    let (kind, rest) = step.split_at(step.len().min(2));
    match kind {
        "f:" => format!(".{rest}"),
        "v:" => format!("[={rest}]"),
        "k:" => match serde_json::from_str::<Map<String, Value>>(rest) {
            Ok(keys) => format!("[{}]", keys.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")),
            Err(_) => format!("[{rest}]"),
        },
        _ => format!("[{rest}]"),
    }
}
