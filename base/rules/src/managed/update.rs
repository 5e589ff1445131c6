//! Who manages what after a create, an update or a patch.
use std::borrow::Cow;

use hashbrown::HashMap;

use irori_api::{
    row::{Gvk, Row, Tables},
    schema::TypeRef,
};
use serde_json::{Map, Value};

use super::{
    diff::{Diff, compare},
    entry::{Entry, cap, is_reset, read_entries, write_entries},
    set::Set,
    strip::{Reset, SERVER, reset},
    typed::{At, Place, Typed, entries},
};
use crate::{
    canonical::canonical,
    convert::convert,
    tree::{get, remove, set, text},
};

/// Who writes, when, and through which part.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// See `manager_name`.
    pub manager: &'a str,
    /// `status`, `ephemeralcontainers`, …; empty for the main resource.
    pub subresource: &'a str,
    /// RFC 3339 in seconds, `Z`.
    pub now: &'a str,
}

/// Where upstream keeps the template generation of a daemon set in its v1 form.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// A kind in one version, as requests of one part of it see it.
pub(super) struct Kind<'a> {
    pub tables: &'a Tables,
    pub of: &'a TypeRef,
    pub gvk: Gvk,
    pub reset: Reset,
}

impl<'a> Kind<'a> {
    pub fn of_row(tables: &'a Tables, row: &'a Row, subresource: &str) -> Kind<'a> {
        Kind { tables, of: &row.of, gvk: row.gvk.clone(), reset: reset(row, subresource) }
    }

    pub fn typed(&self) -> Typed<'a> {
        Typed::new(&self.tables.schemas, self.of)
    }

    /// The object that has nothing set.
    pub fn blank(&self) -> Value {
        let mut blank = Value::Object(Map::new());
        canonical(&self.tables.schemas, self.of, &mut blank);
        self.without_nulls(At::of(self.of), &mut blank);
        blank
    }

    /// The canonical form writes what is required and missing as null. Upstream leaves out structs that are pointers, and the
    /// one required list that it writes only when set.
    fn without_nulls(&self, at: At<'_>, value: &mut Value) {
        let (typed, Value::Object(fields)) = (self.typed(), value) else { return };
        let place = typed.place(at);
        fields.retain(|name, value| {
            let Some(at) = typed.field(place, name) else { return true };
            if value.is_null() {
                let required =
                    matches!(place, Place::Struct(owner) if owner.fields.get(name).is_some_and(|field| field.required));
                return name != "validationActions" && !(required && matches!(typed.place(at), Place::Struct(_)));
            }
            self.without_nulls(at, value);
            true
        });
    }

    /// An updated object as it is compared: the hidden counter of a daemon set is part of its form, zero where nobody set it.
    fn compared<'v>(&self, object: &'v Value) -> Cow<'v, Value> {
        let path = ["metadata", "annotations", TEMPLATE_GENERATION];
        if self.gvk.kind != "DaemonSet" || self.gvk.group != "apps" || get(object, &path).is_some() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        set(&mut object, &path, "0");
        Cow::Owned(object)
    }

    pub fn compare(&self, old: &Value, new: &Value) -> Result<Diff, String> {
        let diff = compare(self.typed(), At::of(self.of), old, new)?;
        Ok(Diff {
            added: self.reset.filter(diff.added),
            removed: self.reset.filter(diff.removed),
            modified: self.reset.filter(diff.modified),
        })
    }

    /// The same kind in another version; `None` where this server does not serve it.
    pub fn at(&self, api_version: &str) -> Option<Kind<'a>> {
        let row = self.tables.kind(&Gvk::parse(api_version, &self.gvk.kind))?;
        let own = self.tables.kind(&self.gvk)?;
        let shared = |row: &Row| row.storage.as_ref().map(|storage| storage.prefix.clone());
        let reset = self.reset.clone();
        (shared(row) == shared(own)).then(|| Kind { tables: self.tables, of: &row.of, gvk: row.gvk.clone(), reset })
    }

    /// An object of this kind in another version.
    pub fn converted(&self, object: &Value, to: &Kind<'_>) -> Value {
        let mut object = object.clone();
        set(&mut object, &["apiVersion"], self.gvk.api_version());
        set(&mut object, &["kind"], self.gvk.kind.as_str());
        convert(object, &to.gvk)
    }
}

/// What a change does to the entries of others: takes from them what it changed or removed. Gives what it took from whom
/// by change; with `force` off and anything to take, the entries stay as they are.
pub(super) fn take(
    kind: &Kind<'_>,
    entries: &mut Vec<Entry>,
    but: Option<&Entry>,
    (old, new): (&Value, &Value),
    diff: &Diff,
    force: bool,
) -> Result<Vec<(Entry, Set)>, String> {
    let mut known: HashMap<String, Option<Diff>> = HashMap::new();
    let own = kind.gvk.api_version();
    let mut conflicts = Vec::new();
    let mut removed = Vec::new();
    let mut gone = vec![false; entries.len()];
    for (i, entry) in entries.iter().enumerate() {
        if but.is_some_and(|but| but.same_manager(entry)) {
            continue;
        }
        if entry.api_version != own && !known.contains_key(&entry.api_version) {
            let there = kind.at(&entry.api_version);
            let there = there.map(|there| there.compare(&kind.converted(old, &there), &kind.converted(new, &there)));
            known.insert(entry.api_version.clone(), there.transpose()?);
        }
        let diff = match known.get(&entry.api_version) {
            Some(None) => {
                gone[i] = true;
                continue;
            }
            Some(Some(diff)) => diff,
            None => diff,
        };
        let mut conflict = entry.set.intersection(&diff.modified);
        if !diff.added.is_empty() {
            conflict = conflict.union(entry.set.intersection(&diff.added));
        }
        if !conflict.is_empty() {
            conflicts.push((i, conflict));
        }
        if !diff.removed.is_empty() {
            let taken = entry.set.intersection(&diff.removed);
            removed.push((i, taken));
        }
    }
    let told = conflicts.iter().map(|(i, set)| (entries[*i].clone(), set.clone())).collect();
    if !force && !conflicts.is_empty() {
        return Ok(told);
    }
    for (i, set) in conflicts.into_iter().chain(removed) {
        entries[i].set.remove(&set);
    }
    let mut i = 0;
    entries.retain(|entry| {
        i += 1;
        !entry.set.is_empty() && !gone[i - 1]
    });
    Ok(told)
}

/// Sets the managedFields of a new object: decoded and defaulted, before admission changes it.
pub fn track_create(tables: &Tables, row: &Row, object: &mut Value, writer: &Writer<'_>) {
    let kind = Kind::of_row(tables, row, writer.subresource);
    create(&kind, object, writer);
}

/// The same for what a subresource takes in a POST and has no row (TokenRequest, Eviction, Binding).
pub fn track_create_type(tables: &Tables, gvk: &Gvk, of: &TypeRef, object: &mut Value, writer: &Writer<'_>) {
    create(&Kind { tables, of, gvk: gvk.clone(), reset: Reset::none() }, object, writer);
}

fn create(kind: &Kind<'_>, object: &mut Value, writer: &Writer<'_>) {
    let entries = if is_reset(object) { Vec::new() } else { read_entries(object).unwrap_or_default() };
    let old = kind.blank();
    track(kind, entries, &old, object, writer);
}

/// Sets the managedFields of a changed object (by PUT or a patch that is not apply): decoded and defaulted, before admission
/// and `prepare_update`. `old` is the object as it is stored, in the version of the request.
pub fn track_update(tables: &Tables, row: &Row, old: &Value, new: &mut Value, writer: &Writer<'_>) {
    let kind = Kind::of_row(tables, row, writer.subresource);
    let entries = entries_of_update(old, new, writer);
    if entries.is_empty() && !text(old, &["metadata", "uid"]).is_empty() {
        // Nobody has been tracked so far; only an apply begins to.
        remove(new, &["metadata", "managedFields"]);
        return;
    }
    track(&kind, entries, old, new, writer);
}

/// The entries to start from: those of the request where it brings any that can be read, else those of the object.
pub(super) fn entries_of_update(old: &Value, new: &Value, writer: &Writer<'_>) -> Vec<Entry> {
    if writer.subresource.is_empty() {
        if is_reset(new) {
            return Vec::new();
        }
        match read_entries(new) {
            Ok(entries) if !entries.is_empty() => return entries,
            _ => {}
        }
    }
    read_entries(old).unwrap_or_default()
}

/// Computes and writes the entries after a change from `old` to `new`. An object that cannot be compared loses its entries.
pub(super) fn track(kind: &Kind<'_>, mut entries: Vec<Entry>, old: &Value, new: &mut Value, writer: &Writer<'_>) {
    let done = changed(kind, &mut entries, old, &kind.compared(new), writer);
    match done {
        Ok(()) => write_entries(new, entries),
        Err(_) => drop(remove(new, &["metadata", "managedFields"])),
    }
}

/// The entries after a change.
pub(super) fn changed(
    kind: &Kind<'_>,
    entries: &mut Vec<Entry>,
    old: &Value,
    new: &Value,
    writer: &Writer<'_>,
) -> Result<(), String> {
    let diff = kind.compare(old, new)?;
    take(kind, entries, None, (old, new), &diff, true)?;
    let mut taken = diff.modified.union(diff.added);
    taken.remove(&SERVER);
    if !taken.is_empty() {
        let mut entry = Entry {
            manager: if writer.manager.is_empty() { "unknown".to_owned() } else { writer.manager.to_owned() },
            applied: false,
            api_version: kind.gvk.api_version(),
            subresource: writer.subresource.to_owned(),
            time: Some(writer.now.to_owned()),
            set: taken,
        };
        if let Some(at) = entries.iter().position(|known| known.same_manager(&entry)) {
            entry.set = entry.set.union(entries.swap_remove(at).set);
        }
        entries.push(entry);
    }
    cap(entries);
    Ok(())
}

/// Where nothing but times of entries changed, takes the old entries: the write is none. Call it last, on what would be stored.
pub fn keep_times(old: &Value, new: &mut Value) {
    let path = ["metadata", "managedFields"];
    let (Some(before), Some(after)) = (get(old, &path), get(new, &path)) else { return };
    let timeless = before.as_array().zip(after.as_array()).is_some_and(|(before, after)| {
        before.len() == after.len() && before.iter().zip(after).all(|(a, b)| same_but(a, b, &["time"]))
    });
    if before == after || !timeless {
        return;
    }
    let none = Value::Null;
    let metadata = |object| get(object, &["metadata"]).unwrap_or(&none);
    let same = same_but(old, new, &["metadata"]) && same_but(metadata(old), metadata(new), &["managedFields", "resourceVersion"]);
    if same {
        let before = before.clone();
        set(new, &path, before);
    }
}

/// Whether two objects have the same fields but for some.
fn same_but(a: &Value, b: &Value, but: &[&str]) -> bool {
    let others = |(name, _): &(&String, &Value)| !but.contains(&name.as_str());
    let fields = |value| entries(Some(value)).into_iter().flatten().filter(others);
    fields(a).eq(fields(b))
}
