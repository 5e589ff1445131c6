//! Create and update rules of pods.
use std::collections::VecDeque;

use hashbrown::HashMap;

use serde_json::{Map, Value, json};

use super::{Birth, Part, app_armor, keep};
use crate::tree::{get, int, items, items_mut, map, remove, set, set_if_absent, text};

pub fn create(object: &mut Value, birth: &Birth) {
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(object)});
    if !items(object, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": birth.creation_timestamp,
        }]);
    }
    set(object, &["status"], status);
    if int(object, &["spec", "terminationGracePeriodSeconds"]).is_some_and(|s| s < 0) {
        set(object, &["spec", "terminationGracePeriodSeconds"], 1);
    }
    spread_keys(object);
    app_armor::fulfil(object);
}

pub fn update(new: &mut Value, old: &Value, part: Part<'_>, _now: &str) {
    match part {
        Part::Main => {}
        Part::Status => {
            // Who owns a pod is not for its status to say.
            keep_metadata(new, old, &["ownerReferences"]);
            if text(new, &["status", "qosClass"]).is_empty()
                && let Some(class) = get(old, &["status", "qosClass"])
            {
                set_if_absent(new, &["status"], json!({}));
                set(new, &["status", "qosClass"], class.clone());
            }
            keep_observed_generations(new, old);
        }
        Part::Sub("ephemeralcontainers") => {
            let containers = get(new, &["spec", "ephemeralContainers"]).cloned();
            keep_all_but_asked(new, old);
            put(new, &["spec", "ephemeralContainers"], containers);
        }
        Part::Sub("resize") => resize(new, old),
        Part::Sub(_) => {}
    }
}

/// Sets a value, or takes it away.
fn put(value: &mut Value, path: &[&str], new: Option<Value>) {
    match new {
        Some(new) => set(value, path, new),
        None => drop(remove(value, path)),
    }
}

fn keep_metadata(new: &mut Value, old: &Value, fields: &[&str]) {
    for field in fields {
        let path = ["metadata", field];
        put(new, &path, get(old, &path).cloned());
    }
}

/// These subresources change what they are for, and no metadata.
fn keep_all_but_asked(new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    keep(new, old, "status");
    keep_metadata(new, old, &["labels", "annotations", "finalizers", "ownerReferences"]);
}

/// Who does not know of `observedGeneration` does not clear it. Of conditions of one type the first belongs to the first, and so on.
fn keep_observed_generations(new: &mut Value, old: &Value) {
    let observed = |of: &Value, path: &[&str]| int(of, path).filter(|generation| *generation != 0);
    if let (None, Some(was)) =
        (observed(new, &["status", "observedGeneration"]), observed(old, &["status", "observedGeneration"]))
    {
        set_if_absent(new, &["status"], json!({}));
        set(new, &["status", "observedGeneration"], was);
    }
    let mut by_type: HashMap<&str, VecDeque<Option<i64>>> = HashMap::new();
    for condition in items(old, &["status", "conditions"]) {
        by_type.entry(text(condition, &["type"])).or_default().push_back(observed(condition, &["observedGeneration"]));
    }
    for condition in items_mut(new, &["status", "conditions"]) {
        let was = by_type.get_mut(text(condition, &["type"])).and_then(VecDeque::pop_front).flatten();
        if let (None, Some(was)) = (observed(condition, &["observedGeneration"]), was) {
            set(condition, &["observedGeneration"], was);
        }
    }
}

/// Of a resize, only resources and how they are changed count. Other containers, or others in their places, are left for validation
/// to refuse.
fn resize(new: &mut Value, old: &Value) {
    const LISTS: [&str; 2] = ["containers", "initContainers"];
    let names = |pod: &Value, list| -> Vec<String> {
        items(pod, &["spec", list]).iter().map(|container| text(container, &["name"]).to_owned()).collect()
    };
    let count = |pod: &Value| LISTS.map(|list| items(pod, &["spec", list]).len());
    if count(new) != count(old) {
        return;
    }
    let whole = remove(new, &["spec", "resources"]);
    let same_places = LISTS.map(|list| names(new, list) == names(old, list));
    let asked = LISTS.map(|list| remove(new, &["spec", list]));
    keep_all_but_asked(new, old);
    put(new, &["spec", "resources"], whole);
    for ((list, same_places), asked) in LISTS.into_iter().zip(same_places).zip(asked) {
        if !same_places {
            put(new, &["spec", list], asked);
            continue;
        }
        let asked = asked.as_ref().and_then(Value::as_array).into_iter().flatten();
        for (container, asked) in items_mut(new, &["spec", list]).iter_mut().zip(asked) {
            for field in ["resources", "resizePolicy"] {
                put(container, &[field], get(asked, &[field]).cloned());
            }
        }
    }
}

/// Label keys of affinity terms and spread constraints become selectors on the pod's own values.
fn spread_keys(object: &mut Value) {
    let labels = map(object, &["metadata", "labels"]).cloned().unwrap_or_default();
    for affinity in ["podAffinity", "podAntiAffinity"] {
        for term in items_mut(object, &["spec", "affinity", affinity, "requiredDuringSchedulingIgnoredDuringExecution"]) {
            term_keys(term, &labels);
        }
        for weighted in items_mut(object, &["spec", "affinity", affinity, "preferredDuringSchedulingIgnoredDuringExecution"]) {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                term_keys(term, &labels);
            }
        }
    }
    for constraint in items_mut(object, &["spec", "topologySpreadConstraints"]) {
        add_keys(constraint, "matchLabelKeys", "In", &labels);
    }
}

fn term_keys(term: &mut Value, labels: &Map<String, Value>) {
    add_keys(term, "matchLabelKeys", "In", labels);
    add_keys(term, "mismatchLabelKeys", "NotIn", labels);
}

fn add_keys(term: &mut Value, field: &str, operator: &str, labels: &Map<String, Value>) {
    if get(term, &["labelSelector"]).is_none() {
        return;
    }
    let added: Vec<Value> = items(term, &[field])
        .iter()
        .filter_map(Value::as_str)
        .filter_map(|key| labels.get(key).map(|value| json!({"key": key, "operator": operator, "values": [value]})))
        .collect();
    if added.is_empty() {
        return;
    }
    let mut expressions = items(term, &["labelSelector", "matchExpressions"]).to_vec();
    expressions.extend(added);
    set(term, &["labelSelector", "matchExpressions"], expressions);
}

/// Guaranteed, Burstable or BestEffort, from the cpu and memory of all containers (or of the pod, where it says them itself).
pub fn qos_class(pod: &Value) -> &'static str {
    let whole = get(pod, &["spec", "resources"])
        .filter(|r| map(r, &["limits"]).or_else(|| map(r, &["requests"])).is_some_and(|m| !m.is_empty()));
    let resources: Vec<Value> = match whole {
        Some(resources) => vec![resources.clone()],
        None => ["containers", "initContainers"]
            .iter()
            .flat_map(|list| items(pod, &["spec", list]))
            .map(|c| get(c, &["resources"]).cloned().unwrap_or(Value::Null))
            .collect(),
    };
    let amount = |r: &Value, side: &str, name: &str| {
        get(r, &[side, name]).and_then(Value::as_str).filter(|q| !crate::scalar::quantity_is_zero(q)).map(str::to_owned)
    };
    let mut any = false;
    let mut guaranteed = true;
    for r in &resources {
        for name in ["cpu", "memory"] {
            let (limit, request) = (amount(r, "limits", name), amount(r, "requests", name));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some()
                && match (&limit, &request) {
                    (Some(limit), Some(request)) => crate::scalar::quantity_compare(limit, request).is_eq(),
                    _ => true,
                };
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// Puts a pod on a node, as `pods/binding` does: the name of the node, the binding's annotations, the condition. A nomination is over.
pub fn bind_pod(pod: &mut Value, node: &str, annotations: Option<&Map<String, Value>>, now: &str) {
    set(pod, &["spec", "nodeName"], node);
    remove(pod, &["status", "nominatedNodeName"]);
    for (key, value) in annotations.into_iter().flatten() {
        set(pod, &["metadata", "annotations", key], value.clone());
    }
    let scheduled = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now});
    let mut conditions = items(pod, &["status", "conditions"]).to_vec();
    match conditions.iter_mut().find(|c| text(c, &["type"]) == "PodScheduled") {
        Some(condition) if text(condition, &["status"]) == "True" => {}
        Some(condition) => *condition = scheduled,
        None => conditions.push(scheduled),
    }
    set(pod, &["status", "conditions"], conditions);
}
