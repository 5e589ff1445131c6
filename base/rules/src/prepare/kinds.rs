//! Create and update rules of kinds that have few.
use hashbrown::HashMap;

use serde_json::{Map, Value, json};

use super::{Birth, Part, keep};
use crate::tree::{flag, get, get_mut, items, items_mut, remove, same, set, set_if_absent, text};

pub fn create_namespace(object: &mut Value, _: &Birth) {
    set(object, &["status", "phase"], "Active");
    let kept = items(object, &["spec", "finalizers"]).iter().any(|f| f == "kubernetes");
    if !kept {
        let mut finalizers = items(object, &["spec", "finalizers"]).to_vec();
        finalizers.push("kubernetes".into());
        set(object, &["spec", "finalizers"], finalizers);
    }
    label_namespace(object);
}

fn label_namespace(object: &mut Value) {
    let name = text(object, &["metadata", "name"]).to_owned();
    set(object, &["metadata", "labels", "kubernetes.io/metadata.name"], name);
}

pub fn update_namespace(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    match part {
        Part::Main => keep(new, old, "spec"),
        Part::Sub("finalize") => keep(new, old, "status"),
        _ => {}
    }
    label_namespace(new);
}

/// Where a node's configuration came from is no longer asked for.
pub fn create_node(object: &mut Value, _: &Birth) {
    remove(object, &["spec", "configSource"]);
    remove(object, &["status", "config"]);
}

/// Limits without a name are named by chance, as upstream does.
pub fn create_limit_range(object: &mut Value, birth: &Birth) {
    if text(object, &["metadata", "name"]).is_empty() {
        set(object, &["metadata", "name"], birth.uid.as_str());
    }
}

pub fn update_node(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    remove(new, &["spec", "configSource"]);
    if part == Part::Main {
        keep(new, old, "status");
    }
}

pub fn create_volume(object: &mut Value, birth: &Birth) {
    set(object, &["status"], json!({"phase": "Pending", "lastPhaseTransitionTime": birth.creation_timestamp}));
}

pub fn update_volume(new: &mut Value, old: &Value, part: Part<'_>, now: &str) {
    if part != Part::Status {
        return;
    }
    let phase = ["status", "phase"];
    let noted = ["status", "lastPhaseTransitionTime"];
    if text(new, &phase) != text(old, &phase) {
        if same(get(new, &noted), get(old, &noted)) {
            set(new, &noted, now);
        }
    } else if let (None, Some(time)) = (get(new, &noted), get(old, &noted)) {
        set(new, &noted, time.clone());
    }
}

pub fn create_claim(object: &mut Value, _: &Birth) {
    set(object, &["status"], json!({"phase": "Pending"}));
    data_source(object, &Value::Null);
}

pub fn update_claim(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    if part == Part::Main {
        data_source(new, old);
    }
}

/// Of the two ways to name where a claim's data come from, each fills the other where it can say it. Where there was none
/// before, sources in other namespaces are dropped (their feature is off), and so is what the old way never took.
///
/// <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#volume-populators-and-data-sources>
fn data_source(object: &mut Value, before: &Value) {
    let has = |object: &Value, way: &str| get(object, &["spec", way]).is_some();
    let elsewhere = !text(object, &["spec", "dataSourceRef", "namespace"]).is_empty();
    if elsewhere && !has(before, "dataSourceRef") {
        remove(object, &["spec", "dataSourceRef"]);
    }
    if !has(before, "dataSource") && !has(before, "dataSourceRef") && !has(object, "dataSourceRef") {
        let source = ["apiGroup", "kind"].map(|part| text(object, &["spec", "dataSource", part]));
        if !matches!(source, ["", "PersistentVolumeClaim"] | ["snapshot.storage.k8s.io", "VolumeSnapshot"]) {
            remove(object, &["spec", "dataSource"]);
        }
    }
    let (old_way, new_way) = (get(object, &["spec", "dataSource"]).cloned(), get(object, &["spec", "dataSourceRef"]).cloned());
    match (old_way, new_way) {
        (Some(source), None) => set(object, &["spec", "dataSourceRef"], source),
        (None, Some(mut source)) if text(&source, &["namespace"]).is_empty() => {
            remove(&mut source, &["namespace"]);
            set(object, &["spec", "dataSource"], source);
        }
        _ => {}
    }
}

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub fn create_daemon_set(object: &mut Value, _: &Birth) {
    set(object, &["metadata", "annotations", TEMPLATE_GENERATION], "1");
}

pub fn update_daemon_set(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    if part != Part::Main {
        return;
    }
    let at = ["metadata", "annotations", TEMPLATE_GENERATION];
    let before: i64 = text(old, &at).parse().unwrap_or(1);
    let after = if same(get(new, &["spec", "template"]), get(old, &["spec", "template"])) { before } else { before + 1 };
    set(new, &at, after.to_string());
}

pub fn update_deployment(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    if part == Part::Status {
        match get(old, &["metadata", "labels"]) {
            Some(labels) => set(new, &["metadata", "labels"], labels.clone()),
            None => drop(remove(new, &["metadata", "labels"])),
        }
    }
}

/// The pods of a job are told by its uid, unless the user selects by hand.
pub fn create_job(object: &mut Value, birth: &Birth) {
    if flag(object, &["spec", "manualSelector"]) {
        return;
    }
    let unlabelled = same(get(object, &["metadata", "labels"]), get(object, &["spec", "template", "metadata", "labels"]));
    let name = text(object, &["metadata", "name"]).to_owned();
    let labels = ["spec", "template", "metadata", "labels"];
    set_if_absent(object, &["spec", "template", "metadata"], json!({}));
    set_if_absent(object, &labels, Value::Object(Map::new()));
    for (key, value) in [
        ("controller-uid", birth.uid.as_str()),
        ("job-name", name.as_str()),
        ("batch.kubernetes.io/controller-uid", birth.uid.as_str()),
        ("batch.kubernetes.io/job-name", name.as_str()),
    ] {
        let at = ["spec", "template", "metadata", "labels", key];
        set_if_absent(object, &at, value);
    }
    if unlabelled && let Some(all) = get(object, &labels).cloned() {
        set(object, &["metadata", "labels"], all);
    }
    let chosen = ["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"];
    set_if_absent(object, &["spec", "selector"], json!({}));
    set_if_absent(object, &chosen, birth.uid.as_str());
}

pub fn update_job(_: &mut Value, _: &Value, _: Part<'_>, _: &str) {}

/// A priority class counts no changes.
pub fn keep_generation(_: &mut Value, _: &Value, _: Part<'_>, _: &str) {}

pub fn create_definition(object: &mut Value, _: &Birth) {
    let stored: Vec<Value> = stored_version(object).into_iter().collect();
    set(object, &["status"], json!({"acceptedNames": {"kind": "", "plural": ""}, "storedVersions": stored}));
}

/// The version that objects are stored in: the first that says so.
fn stored_version(object: &Value) -> Option<Value> {
    items(object, &["spec", "versions"])
        .iter()
        .find(|version| flag(version, &["storage"]))
        .and_then(|version| get(version, &["name"]).cloned())
}

pub fn update_definition(new: &mut Value, old: &Value, part: Part<'_>, _: &str) {
    if part == Part::Status {
        // Only the status: metadata stays as it was, save what tells versions apart.
        let version = get(new, &["metadata", "resourceVersion"]).cloned();
        let managed = get(new, &["metadata", "managedFields"]).cloned();
        keep(new, old, "metadata");
        for (name, value) in [("resourceVersion", version), ("managedFields", managed)] {
            match value {
                Some(value) => set(new, &["metadata", name], value),
                None => drop(remove(new, &["metadata", name])),
            }
        }
        return;
    }
    // A version that becomes the stored one is remembered as one that objects may be stored in.
    let mut known = items(new, &["status", "storedVersions"]).to_vec();
    if let Some(version) = stored_version(new).filter(|version| !known.contains(version)) {
        known.push(version);
    }
    set(new, &["status", "storedVersions"], known);
}

/// A request for a certificate never changes; `approval` writes conditions, `status` the certificate.
pub fn update_signing_request(new: &mut Value, old: &Value, part: Part<'_>, now: &str) {
    keep(new, old, "spec");
    match part {
        Part::Main => {}
        Part::Status => {
            // Approval is not the status's to write: those conditions stay as they were. Where there are more or fewer, validation says so.
            for kind in ["Approved", "Denied"] {
                let of_kind = |condition: &&Value| text(condition, &["type"]) == kind;
                let before = items(old, &["status", "conditions"]);
                if before.iter().filter(of_kind).count() != items(new, &["status", "conditions"]).iter().filter(of_kind).count() {
                    continue;
                }
                let written = items_mut(new, &["status", "conditions"]).iter_mut().filter(|condition| of_kind(&&**condition));
                for (written, kept) in written.zip(before.iter().filter(of_kind)) {
                    *written = kept.clone();
                }
            }
        }
        Part::Sub(_) => {
            let conditions = items(new, &["status", "conditions"]).to_vec();
            keep(new, old, "status");
            set_conditions(new, conditions);
        }
    }
    if part != Part::Main {
        date_conditions(new, old, now);
    }
}

fn set_conditions(object: &mut Value, conditions: Vec<Value>) {
    if conditions.is_empty() {
        remove(object, &["status", "conditions"]);
    } else {
        set_if_absent(object, &["status"], json!({}));
        set(object, &["status", "conditions"], conditions);
    }
}

fn date_conditions(new: &mut Value, old: &Value, now: &str) {
    let mut before = HashMap::new();
    for condition in items(old, &["status", "conditions"]) {
        before.entry((text(condition, &["type"]), text(condition, &["status"]))).or_insert(condition);
    }
    for condition in get_mut(new, &["status", "conditions"]).and_then(Value::as_array_mut).into_iter().flatten() {
        let twin = before.get(&(text(condition, &["type"]), text(condition, &["status"]))).copied();
        if text(condition, &["lastUpdateTime"]).is_empty() {
            set(condition, &["lastUpdateTime"], now);
        }
        if text(condition, &["lastTransitionTime"]).is_empty() {
            let at = twin.and_then(|c| get(c, &["lastTransitionTime"]).cloned()).unwrap_or_else(|| now.into());
            set(condition, &["lastTransitionTime"], at);
        }
    }
}

/// Taints of devices note when they were added.
pub fn create_slice(object: &mut Value, birth: &Birth) {
    date_taints(object, &birth.creation_timestamp);
}

/// A taint that was there keeps its time: saying it again adds nothing.
pub fn update_slice(new: &mut Value, old: &Value, _: Part<'_>, now: &str) {
    let words = |taint: &Value| ["key", "value", "effect"].map(|part| text(taint, &[part]).to_owned());
    let mut before = HashMap::new();
    for device in items(old, &["spec", "devices"]) {
        for taint in items(device, &["taints"]) {
            before.entry((text(device, &["name"]).to_owned(), words(taint))).or_insert_with(|| get(taint, &["timeAdded"]));
        }
    }
    for device in items_mut(new, &["spec", "devices"]) {
        let name = text(device, &["name"]).to_owned();
        for taint in items_mut(device, &["taints"]) {
            if let Some(Some(time)) = before.get(&(name.clone(), words(taint))) {
                set_if_absent(taint, &["timeAdded"], (*time).clone());
            }
        }
    }
    date_taints(new, now);
}

fn date_taints(object: &mut Value, now: &str) {
    for device in items_mut(object, &["spec", "devices"]) {
        for taint in items_mut(device, &["taints"]) {
            set_if_absent(taint, &["timeAdded"], now);
        }
    }
}

/// Coordinated leader election is off in a stock server: its fields are dropped.
pub fn create_lease(object: &mut Value, _: &Birth) {
    remove(object, &["spec", "strategy"]);
    remove(object, &["spec", "preferredHolder"]);
}

pub fn update_lease(new: &mut Value, _: &Value, _: Part<'_>, _: &str) {
    remove(new, &["spec", "strategy"]);
    remove(new, &["spec", "preferredHolder"]);
}
