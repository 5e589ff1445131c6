//! Create and update rules of pods.
use hashbrown::HashMap;

use serde_json::{Map, Value, json};

use super::{Birth, Part, keep};
use crate::tree::{get, int, items, items_mut, map, remove, set, set_if_absent, text};

pub fn create(object: &mut Value, _: &Birth) {
    let mut status = json!({"phase": "Pending", "qosClass": qos_class(object)});
    if !items(object, &["spec", "schedulingGates"]).is_empty() {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    set(object, &["status"], status);
    if int(object, &["spec", "terminationGracePeriodSeconds"]).is_some_and(|s| s < 0) {
        set(object, &["spec", "terminationGracePeriodSeconds"], 1);
    }
    spread_keys(object);
}

pub fn update(new: &mut Value, old: &Value, part: Part<'_>, _now: &str) {
    match part {
        Part::Main => {}
        Part::Status => {
            // Who owns a pod is not for its status to say.
            match get(old, &["metadata", "ownerReferences"]) {
                Some(owners) => set(new, &["metadata", "ownerReferences"], owners.clone()),
                None => drop(remove(new, &["metadata", "ownerReferences"])),
            }
            if text(new, &["status", "qosClass"]).is_empty()
                && let Some(class) = get(old, &["status", "qosClass"])
            {
                set_if_absent(new, &["status"], json!({}));
                set(new, &["status", "qosClass"], class.clone());
            }
        }
        Part::Sub("ephemeralcontainers") => {
            let containers = get(new, &["spec", "ephemeralContainers"]).cloned();
            keep(new, old, "spec");
            keep(new, old, "status");
            match containers {
                Some(containers) => set(new, &["spec", "ephemeralContainers"], containers),
                None => drop(remove(new, &["spec", "ephemeralContainers"])),
            }
        }
        Part::Sub("resize") => resize(new, old),
        Part::Sub(_) => {}
    }
}

/// Of a resize, only the resources of containers count.
fn resize(new: &mut Value, old: &Value) {
    let mut asked: HashMap<String, Option<Value>> = HashMap::new();
    for container in ["containers", "initContainers"].iter().flat_map(|list| items(new, &["spec", list])) {
        asked.entry(text(container, &["name"]).to_owned()).or_insert_with(|| get(container, &["resources"]).cloned());
    }
    keep(new, old, "spec");
    keep(new, old, "status");
    for list in ["containers", "initContainers"] {
        for container in items_mut(new, &["spec", list]) {
            if let Some(Some(resources)) = asked.get(text(container, &["name"])) {
                set(container, &["resources"], resources.clone());
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

/// Puts a pod on a node, as `pods/binding` does: the name of the node, the binding's annotations, the condition.
pub fn bind_pod(pod: &mut Value, node: &str, annotations: Option<&Map<String, Value>>, now: &str) {
    set(pod, &["spec", "nodeName"], node);
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
