//! Server-side apply.
//!
//! What the applier says is merged into the live object; what it said before, says no more and nobody else owns, is taken
//! out; a value of somebody else that would change is a conflict, unless it is forced.
use std::collections::BTreeMap;

use irori_api::row::{Row, Tables};
use serde_json::Value;

use super::{
    check::check,
    diff::Diff,
    entry::{Entry, cap, read_entries, write_entries},
    merge::{merge, paths_of, paths_within, unowned, with_named_fields, without},
    set::{Set, path_text},
    strip::SERVER,
    typed::At,
    update::{Kind, Writer, changed, take},
};
use crate::{
    decode::decode_tree,
    default::{Room, TooLarge, default_within},
    tree::{get, map, remove, set, text},
};

/// The annotation in which `kubectl apply` without server-side apply keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Bytes of all annotations of an object: above it the annotation of `kubectl` is dropped.
const ANNOTATION_BYTES_MAX: usize = 256 * 1024;

/// Why an apply is refused. Each says with which code and reason the API answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 400 BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// 409 Conflict; causes have the reason `FieldManagerConflict`.
    #[error("{message}")]
    Conflict { message: String, causes: Vec<ApplyConflict> },
    /// 500 without a reason: upstream's plain error.
    #[error("{0}")]
    Plain(String),
    /// 413.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// One field that somebody else owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplyConflict {
    /// `.spec.replicas`.
    pub field: String,
    /// `conflict with "m2" using apps/v1`.
    pub message: String,
}

/// The object that an apply makes: decoded, defaulted, with its managedFields; before admission and `prepare_create` or
/// `prepare_update`. `live` is the stored object in the version of the request, `None` where there is none yet. `config` is the
/// parsed body as it came. Applying the same twice gives the same object.
pub fn apply(
    tables: &Tables,
    row: &Row,
    live: Option<&Value>,
    config: &Value,
    writer: &Writer<'_>,
    force: bool,
    room: &Room<'_>,
) -> Result<Value, ApplyError> {
    let kind = Kind::of_row(tables, row, writer.subresource);
    check_version(&kind, config)?;
    let entries = live.map(read_entries).unwrap_or(Ok(Vec::new()));
    let entries = entries.map_err(|why| ApplyError::Plain(format!("failed to decode managed fields: {why}")))?;
    let live = live.map_or_else(|| kind.blank(), without_entries);
    let config = Config { value: config, typed: typed_config(&kind, config)? };
    // Tried again only where `kubectl` may take its own back.
    let again = (writer.manager == "kubectl" && !force).then(|| entries.clone());
    let out = match try_apply(&kind, &live, &config, entries, writer, force)? {
        Tried::Done(out) => out,
        Tried::Conflicts(conflicts) => {
            let left = not_last_applied(&kind, &live, conflicts, writer);
            let (true, Some(entries)) = (left.is_empty(), again) else { return Err(conflict_error(&left)) };
            match try_apply(&kind, &live, &config, entries, writer, true)? {
                Tried::Done(out) => out,
                Tried::Conflicts(left) => return Err(conflict_error(&left)),
            }
        }
    };
    let mut object = match out.object {
        None => live,
        Some(object) => {
            let mut decoded = decode_tree(tables, &row.gvk.api_version(), &row.gvk.kind, &row.of, object)
                .map_err(|source| not_converted(&kind, config.value, &source.why))?
                .object;
            default_within(tables, row, &mut decoded, room)?;
            decoded
        }
    };
    if writer.manager == "kubectl" {
        note_last_applied(&mut object, config.value);
    }
    write_entries(&mut object, out.entries);
    Ok(object)
}

/// A copy without managedFields, which may be most of an object.
fn without_entries(object: &Value) -> Value {
    let Value::Object(fields) = object else { return object.clone() };
    let copied = fields.iter().map(|(name, value)| match value {
        Value::Object(metadata) if name == "metadata" => {
            let kept = metadata.iter().filter(|(name, _)| *name != "managedFields");
            (name.clone(), Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect()))
        }
        value => (name.clone(), value.clone()),
    });
    Value::Object(copied.collect())
}

struct Config<'a> {
    value: &'a Value,
    typed: Set,
}

struct Applied {
    /// `None`: nothing changed.
    object: Option<Value>,
    entries: Vec<Entry>,
}

enum Tried {
    Done(Applied),
    Conflicts(Vec<(Entry, Set)>),
}

fn check_version(kind: &Kind<'_>, config: &Value) -> Result<(), ApplyError> {
    let (version, name) = (text(config, &["apiVersion"]), text(config, &["kind"]));
    if version != kind.gvk.api_version() || name != kind.gvk.kind {
        return Err(ApplyError::BadRequest(format!("invalid object type: {}", gvk_text(version, name))));
    }
    if get(config, &["metadata", "managedFields"]).is_some() {
        return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
    }
    Ok(())
}

/// `apps/v1, Kind=Deployment`, as Go prints a group, version and kind.
fn gvk_text(version: &str, kind: &str) -> String {
    let group = if version.contains('/') || version.is_empty() { "" } else { "/" };
    let version = if version.is_empty() { "/" } else { version };
    format!("{group}{version}, Kind={kind}")
}

/// An applied object as errors name it.
fn named(kind: &Kind<'_>, config: &Value) -> String {
    let (namespace, name) = (text(config, &["metadata", "namespace"]), text(config, &["metadata", "name"]));
    format!("{namespace}/{name}; {}", gvk_text(&kind.gvk.api_version(), &kind.gvk.kind))
}

/// The merged object has values that its kind cannot hold.
fn not_converted(kind: &Kind<'_>, config: &Value, why: &str) -> ApplyError {
    let (named, gvk) = (named(kind, config), gvk_text(&kind.gvk.api_version(), &kind.gvk.kind));
    ApplyError::Plain(format!(
        "failed to convert new object ({named}) to proper version: unable to convert unstructured object to {gvk}: {why}"
    ))
}

/// The paths of the applied object; the error says what is wrong with its types.
fn typed_config(kind: &Kind<'_>, config: &Value) -> Result<Set, ApplyError> {
    let fail = |why: String| ApplyError::Plain(format!("failed to create typed patch object ({}): {why}", named(kind, config)));
    let errors = check(kind.typed(), At::of(kind.of), config);
    match errors.as_slice() {
        [] => {}
        [one] => return Err(fail(one.clone())),
        many => return Err(fail(format!("errors:\n{}", many.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n")))),
    }
    let paths = paths_of(kind.typed(), At::of(kind.of), config).map_err(fail)?;
    Ok(kind.reset.filter(paths))
}

fn try_apply(
    kind: &Kind<'_>,
    live: &Value,
    config: &Config<'_>,
    mut entries: Vec<Entry>,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Tried, ApplyError> {
    if entries.is_empty() {
        // What is there was made before anybody was tracked.
        let before = Writer { manager: "before-first-apply", ..*writer };
        changed(kind, &mut entries, &kind.blank(), live, &before).map_err(ApplyError::Plain)?;
    }
    let mut who = Entry {
        manager: if writer.manager.is_empty() { "unknown".to_owned() } else { writer.manager.to_owned() },
        applied: true,
        api_version: kind.gvk.api_version(),
        subresource: writer.subresource.to_owned(),
        time: None,
        set: Set::default(),
    };
    let last = entries.iter().position(|known| known.same_manager(&who)).map(|at| entries.swap_remove(at));
    who.time = last.as_ref().and_then(|last| last.time.clone());
    entries.push(Entry { set: config.typed.clone(), ..who.clone() });

    let at = At::of(kind.of);
    let merged = merge(kind.typed(), at, Some(live), Some(config.value)).map_err(ApplyError::Plain)?.unwrap_or(Value::Null);
    let object = match last.as_ref().filter(|last| !last.set.is_empty()) {
        Some(last) => prune(kind, merged, &entries, last).map_err(ApplyError::Plain)?,
        None => merged,
    };
    // What changed matters to others only.
    let alone = entries.iter().all(|known| known.same_manager(&who));
    let diff = if alone { Diff::default() } else { kind.compare(live, &object).map_err(ApplyError::Plain)? };
    let conflicts = take(kind, &mut entries, Some(&who), (live, &object), &diff, force).map_err(ApplyError::Plain)?;
    if !force && !conflicts.is_empty() {
        return Ok(Tried::Conflicts(conflicts));
    }
    let unchanged = *live == object;
    for known in entries.iter_mut().filter(|known| known.same_manager(&who)) {
        known.set.remove(&SERVER);
        if !unchanged {
            known.time = Some(writer.now.to_owned());
        }
    }
    entries.retain(|entry| !entry.set.is_empty());
    cap(&mut entries);
    Ok(Tried::Done(Applied { object: (!unchanged).then_some(object), entries }))
}

/// Takes out what the applier owned, leaves out now, and nobody owns.
fn prune(kind: &Kind<'_>, merged: Value, entries: &[Entry], last: &Entry) -> Result<Value, String> {
    let own = kind.gvk.api_version();
    if last.api_version == own {
        return prune_at(kind, merged, entries, last);
    }
    // The last apply spoke another version: what it owned is known in that form only.
    match kind.at(&last.api_version) {
        None => Ok(merged),
        Some(there) => {
            let pruned = prune_at(&there, kind.converted(&merged, &there), entries, last)?;
            Ok(there.converted(&pruned, kind))
        }
    }
}

fn prune_at(kind: &Kind<'_>, merged: Value, entries: &[Entry], last: &Entry) -> Result<Value, String> {
    if entries.iter().all(|entry| entry.api_version == kind.gvk.api_version()) {
        return prune_within(kind, merged, entries, last);
    }
    prune_whole(kind, merged, entries, last)
}

/// Where all speak this version: looks only at what the applier owned and nobody owns any more. Takes out what `prune_whole` does, at a
/// part of the cost.
fn prune_within(kind: &Kind<'_>, merged: Value, entries: &[Entry], last: &Entry) -> Result<Value, String> {
    let (typed, at) = (kind.typed(), At::of(kind.of));
    let named = |set: &Set| with_named_fields(typed, at, set);
    let free = unowned(typed, at, &last.set, &entries.iter().map(|entry| &entry.set).collect::<Vec<_>>());
    if free.is_empty() {
        return Ok(merged);
    }
    let within = |value: &Value| paths_within(typed, at, value, &free).map(|paths| named(&paths));
    let there = free.intersection(&within(&merged)?);
    let bare = without(typed, at, &merged, &free);
    let gone = there.difference(&within(&bare)?);
    let pruned = if gone == free { bare } else { without(typed, at, &merged, &gone) };
    // What stands empty now may go too.
    let more = there.difference(&within(&pruned)?);
    Ok(if more == gone { pruned } else { without(typed, at, &merged, &more) })
}

fn prune_whole(kind: &Kind<'_>, merged: Value, entries: &[Entry], last: &Entry) -> Result<Value, String> {
    let (typed, at) = (kind.typed(), At::of(kind.of));
    let named = |set: &Set| with_named_fields(typed, at, set);
    let last = named(&last.set);
    let mut pruned = without(typed, at, &merged, &last);
    let all = named(&paths_of(typed, at, &merged)?);
    let own = kind.gvk.api_version();
    // This version first.
    let mut by_version: BTreeMap<(bool, &str), Set> = BTreeMap::new();
    for entry in entries {
        let owned = by_version.entry((entry.api_version != own, &entry.api_version)).or_default();
        *owned = std::mem::take(owned).union(entry.set.clone());
    }
    for ((_, version), owned) in by_version {
        if version == own {
            let kept = named(&paths_of(typed, at, &pruned)?).union(named(&owned));
            pruned = without(typed, at, &merged, &all.difference(&kept));
        } else if let Some(there) = kind.at(version) {
            let (typed, at) = (there.typed(), At::of(there.of));
            let named = |set: &Set| with_named_fields(typed, at, set);
            let (merged, less) = (kind.converted(&merged, &there), kind.converted(&pruned, &there));
            let all = named(&paths_of(typed, at, &merged)?);
            let kept = named(&paths_of(typed, at, &less)?).union(named(&owned));
            pruned = there.converted(&without(typed, at, &merged, &all.difference(&kept)), kind);
        }
    }
    // Only what the applier owned before may go.
    let kept = named(&paths_of(typed, at, &pruned)?);
    Ok(without(typed, at, &merged, &all.difference(&kept).intersection(&last)))
}

/// The conflicts that stay where `kubectl` moves from client-side to server-side apply: what its annotation says it set is its own.
fn not_last_applied(kind: &Kind<'_>, live: &Value, mut conflicts: Vec<(Entry, Set)>, writer: &Writer<'_>) -> Vec<(Entry, Set)> {
    if writer.manager != "kubectl" {
        return conflicts;
    }
    let Ok(applied) = serde_json::from_str::<Value>(text(live, &["metadata", "annotations", LAST_APPLIED])) else {
        return conflicts;
    };
    if text(&applied, &["apiVersion"]) != kind.gvk.api_version() || !check(kind.typed(), At::of(kind.of), &applied).is_empty() {
        return conflicts;
    }
    let (Ok(mut own), Ok(diff)) = (paths_of(kind.typed(), At::of(kind.of), &applied), kind.compare(&applied, live)) else {
        return conflicts;
    };
    for changed in [diff.modified, diff.added, diff.removed] {
        own.remove(&changed);
    }
    for (_, set) in &mut conflicts {
        set.remove(&own);
    }
    conflicts.retain(|(_, set)| !set.is_empty());
    conflicts
}

/// JSON as Go writes it: safe within HTML.
fn go_json(value: &Value) -> String {
    let escaped = [('<', "\\u003c"), ('>', "\\u003e"), ('&', "\\u0026"), ('\u{2028}', "\\u2028"), ('\u{2029}', "\\u2029")];
    escaped.iter().fold(value.to_string(), |text, (c, written)| if text.contains(*c) { text.replace(*c, written) } else { text })
}

/// Keeps the annotation of client-side apply in step, so that `kubectl` may go back to it.
fn note_last_applied(object: &mut Value, config: &Value) {
    if text(object, &["metadata", "annotations", LAST_APPLIED]).is_empty() {
        return;
    }
    let mut applied = config.clone();
    remove(&mut applied, &["metadata", "annotations", LAST_APPLIED]);
    remove(&mut applied, &["metadata", "managedFields"]);
    set(object, &["metadata", "annotations", LAST_APPLIED], format!("{}\n", go_json(&applied)));
    let bytes: usize = map(object, &["metadata", "annotations"])
        .into_iter()
        .flatten()
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if bytes > ANNOTATION_BYTES_MAX {
        remove(object, &["metadata", "annotations", LAST_APPLIED]);
    }
}

fn conflict_error(conflicts: &[(Entry, Set)]) -> ApplyError {
    let mut by_manager: Vec<(&Entry, Vec<String>)> =
        conflicts.iter().map(|(entry, set)| (entry, set.paths().iter().map(|path| path_text(path)).collect())).collect();
    by_manager.sort_by(|a, b| a.0.identity().cmp(&b.0.identity()));
    let causes: Vec<ApplyConflict> = by_manager
        .iter()
        .flat_map(|(entry, paths)| paths.iter().map(|path| (manager_text(entry), path)))
        .map(|(manager, path)| ApplyConflict { field: path.clone(), message: format!("conflict with {manager}") })
        .collect();
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => {
            let mut lines = Vec::new();
            for (entry, paths) in &by_manager {
                lines.push(format!("conflicts with {}:", manager_text(entry)));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    ApplyError::Conflict { message, causes }
}

fn manager_text(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if !entry.applied {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}

#[cfg(test)]
mod tests {
    use irori_api::row::Gvk;
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    /// What is left of the merged object after an apply by `manager`, found in both ways.
    fn pruned(kind: &Kind<'_>, live: &Value, config: &Value, manager: &str) -> Option<(Value, Value)> {
        let mut entries = read_entries(live).unwrap();
        let own = |entry: &Entry| entry.applied && entry.manager == manager;
        let last = entries.iter().position(own).map(|at| entries.swap_remove(at))?;
        let mut bare = live.clone();
        remove(&mut bare, &["metadata", "managedFields"]);
        entries.push(Entry { set: typed_config(kind, config).unwrap(), ..last.clone() });
        let merged = merge(kind.typed(), At::of(kind.of), Some(&bare), Some(config)).unwrap().unwrap();
        let whole = prune_whole(kind, merged.clone(), &entries, &last).unwrap();
        Some((whole, prune_within(kind, merged, &entries, &last).unwrap()))
    }

    #[test]
    fn both_ways_to_prune_take_out_the_same() {
        let tables = Tables::builtin();
        let row = tables.kind(&Gvk::new("", "v1", "Pod")).unwrap();
        let kind = Kind::of_row(&tables, row, "");
        let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
        let mut labelled = pod(json!({}));
        labelled["metadata"]["labels"] = json!({"a": "b"});
        labelled["metadata"]["finalizers"] = json!(["a.b/c"]);
        let configs = [
            labelled,
            pod(json!({"volumes": [{"name": "v", "downwardAPI": {"items": []}}]})),
            pod(json!({"volumes": [{"name": "v", "projected": {"sources": []}}, {"name": "w"}]})),
            pod(json!({"volumes": [{"name": "v", "emptyDir": {}}]})),
            pod(json!({"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "b"}], "resources": {}}]})),
            pod(json!({"containers": [{"name": "c", "livenessProbe": {"httpGet": {"port": 80}}}, {"name": "d", "image": "i"}]})),
            pod(json!({"containers": [{"name": "c"}], "securityContext": {"runAsUser": 0}})),
            pod(json!({"tolerations": [{"key": "k"}], "nodeSelector": {"a": "b"}, "hostNetwork": false})),
            pod(json!({})),
        ];
        let by = |manager| Writer { manager, subresource: "", now: NOW };
        let (mut compared, mut changed) = (0, 0);
        for first in &configs {
            let one = apply(&tables, row, None, first, &by("m"), false, &Room::ANY).unwrap();
            for second in &configs {
                let two = apply(&tables, row, Some(&one), second, &by("n"), true, &Room::ANY).unwrap();
                for third in &configs {
                    let (whole, within) = pruned(&kind, &two, third, "m").unwrap();
                    assert_eq!(within, whole, "{first}\n{second}\n{third}");
                    compared += 1;
                    changed += usize::from(pruned(&kind, &two, first, "m").unwrap().0 != whole);
                }
            }
        }
        assert!(compared == 729 && changed > 400, "{compared} {changed}");
    }

    #[test]
    fn a_source_of_a_volume_that_only_a_default_holds_goes_with_what_was_applied() {
        let tables = Tables::builtin();
        let row = tables.kind(&Gvk::new("", "v1", "Pod")).unwrap();
        let writer = Writer { manager: "m", subresource: "", now: NOW };
        let pod =
            |volume: Value| json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"volumes": [volume]}});
        let one = apply(&tables, row, None, &pod(json!({"name": "v", "downwardAPI": {"items": []}})), &writer, false, &Room::ANY)
            .unwrap();
        assert_eq!(one["spec"]["volumes"][0]["downwardAPI"], json!({"defaultMode": 420}));
        let two =
            apply(&tables, row, Some(&one), &pod(json!({"name": "v", "emptyDir": {}})), &writer, false, &Room::ANY).unwrap();
        assert_eq!(two["spec"]["volumes"], json!([{"name": "v", "emptyDir": {}}]));
    }
}
