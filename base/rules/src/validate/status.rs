//! Statuses: counts are not negative, and parts are not more than the whole.
//!
//! Source: the descriptions of the status fields in the API reference of each kind.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::{check, condition, limits, node, service, storage_change};
use crate::tree::{get, int, items, text};

/// Counts of a kind's status.
fn counts(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "ReplicaSet") | ("", "ReplicationController") => &[
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "terminatingReplicas",
            "observedGeneration",
        ],
        ("apps", "Deployment") => &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ],
        ("apps", "StatefulSet") => &[
            "replicas",
            "readyReplicas",
            "currentReplicas",
            "updatedReplicas",
            "availableReplicas",
            "observedGeneration",
            "collisionCount",
        ],
        ("apps", "DaemonSet") => &[
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ],
        ("policy", "PodDisruptionBudget") => &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"],
        ("autoscaling", _) => &["currentReplicas", "desiredReplicas"],
        _ => &[],
    }
}

/// Parts of `replicas`.
fn parts(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "ReplicaSet") | ("", "ReplicationController") => &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        ("apps", "Deployment") => &["updatedReplicas", "readyReplicas", "availableReplicas"],
        ("apps", "StatefulSet") => &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
        _ => &[],
    }
}

pub fn change(group: &str, kind: &str, new: &Value, old: &Value, errors: &mut ErrorList) {
    match (group, kind) {
        ("", "Namespace") => namespace(new, errors),
        ("", "Node") => node::status(new, errors),
        ("", "PersistentVolumeClaim") => storage_change::claim_status(new, errors),
        ("", "ResourceQuota") => limits::quota_status(new, errors),
        ("", "Service") => service::status(new, old, errors),
        ("batch", "Job") => super::batch::status::change(new, old, errors),
        ("networking.k8s.io", "Ingress") => super::network::ingress_status(new, old, errors),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => condition::policy_status(new, errors),
        ("apiregistration.k8s.io", "APIService") => super::extension::status(new, errors),
        ("resource.k8s.io", "ResourceClaim") => super::claims::status(new, old, errors),
        ("storage.k8s.io", "VolumeAttachment") => super::classes::attachment_status(new, errors),
        _ => counted(group, kind, new, old, errors),
    }
}

/// A namespace ends with its deletion alone.
fn namespace(new: &Value, errors: &mut ErrorList) {
    let phase = text(new, &["status", "phase"]);
    let (wanted, when) = match get(new, &["metadata", "deletionTimestamp"]) {
        None => ("Active", "empty"),
        Some(_) => ("Terminating", "not empty"),
    };
    if phase != wanted {
        // This path is spelled with a capital in the API itself.
        let why = format!("may only be '{wanted}' if `deletionTimestamp` is {when}");
        errors.invalid(FieldPath::new("status").child("Phase"), phase, why);
    }
}

fn counted(group: &str, kind: &str, new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    let status = get(new, &["status"]).unwrap_or(&Value::Null);
    for field in counts(group, kind) {
        check::not_negative(errors, status, &at, &[field]);
    }
    let number = |field: &str| int(status, &[field]).unwrap_or(0);
    for field in parts(group, kind).iter().filter(|field| number(field) > number("replicas")) {
        errors.invalid(at.child(field), number(field), "cannot be greater than status.replicas");
    }
    if !parts(group, kind).is_empty() && number("availableReplicas") > number("readyReplicas") {
        let why = if kind == "StatefulSet" {
            "cannot be greater than status.readyReplicas"
        } else {
            "cannot be greater than readyReplicas"
        };
        errors.invalid(at.child("availableReplicas"), number("availableReplicas"), why);
    }
    let told = at.child("conditions");
    match (group, kind) {
        ("policy", "PodDisruptionBudget") => condition::conditions(items(status, &["conditions"]), &told, errors),
        ("flowcontrol.apiserver.k8s.io", _) => types(items(status, &["conditions"]), &told, errors),
        _ => {}
    }
    let collisions = |object: &Value| int(object, &["status", "collisionCount"]);
    if collisions(old).is_some_and(|was| collisions(new).is_none_or(|is| is < was)) {
        let given = collisions(new).map_or(Value::Null, Value::from);
        errors.invalid(at.child("collisionCount"), given, "cannot be decremented");
    }
}

/// Each condition has a type, and no two the same.
fn types(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, condition) in list.iter().enumerate() {
        let at = at.index(i).child("type");
        let kind = text(condition, &["type"]);
        if !seen.insert(kind) {
            errors.duplicate(at.clone(), kind);
        }
        if kind.is_empty() {
            errors.required(at, "must not be empty");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, status: Value, old: Value) -> Vec<String> {
        told_of("apps", kind, status, old)
    }

    fn told_of(group: &str, kind: &str, status: Value, old: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        change(group, kind, &json!({ "status": status }), &json!({ "status": old }), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_part_is_not_more_than_the_whole() {
        assert_eq!(told("ReplicaSet", json!({"replicas": 2, "readyReplicas": 2, "availableReplicas": 1}), json!({})), [""; 0]);
        assert_eq!(
            told("ReplicaSet", json!({"replicas": 1, "readyReplicas": 2, "availableReplicas": 1}), json!({})),
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
        );
        assert_eq!(
            told("Deployment", json!({"replicas": 1, "availableReplicas": 1}), json!({})),
            ["status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas"]
        );
        assert_eq!(told("DaemonSet", json!({"numberReady": -1}), json!({})).len(), 1);
    }

    #[test]
    fn pods_that_are_ending_are_counted_too() {
        for kind in ["Deployment", "ReplicaSet"] {
            assert_eq!(
                told(kind, json!({"terminatingReplicas": -1}), json!({})),
                ["status.terminatingReplicas: Invalid value: -1: must be greater than or equal to 0"]
            );
        }
    }

    #[test]
    fn conditions_of_the_common_form_are_whole() {
        let of = |conditions: Value| told_of("policy", "PodDisruptionBudget", json!({"conditions": conditions}), json!({}));
        let good = json!({"type": "a.b/C", "status": "True", "reason": "A,b:c_1", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        assert_eq!(of(json!([good])), [""; 0]);
        assert_eq!(of(json!([good, good])), ["status.conditions[1].type: Duplicate value: \"a.b/C\""]);
        for (field, value, fault) in [
            ("type", json!("Bad Type!"), "type: Invalid value"),
            ("status", json!("x"), "status: Unsupported value: \"x\": supported values: \"False\", \"True\", \"Unknown\""),
            ("observedGeneration", json!(-1), "observedGeneration: Invalid value: -1: must be greater than or equal to zero"),
            ("lastTransitionTime", json!(null), "lastTransitionTime: Required value: must be set"),
            ("reason", json!(""), "reason: Required value: must be set"),
            ("reason", json!("1a"), "reason: Invalid value: \"1a\": a condition reason must start"),
            ("reason", json!("a".repeat(1025)), "reason: Too long"),
            ("message", json!("a".repeat(32_769)), "message: Too long"),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let told = of(json!([bad]));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(&format!("status.conditions[0].{fault}")), "{told:?}");
        }
    }

    #[test]
    fn conditions_of_flow_control_have_a_type_each() {
        for kind in ["FlowSchema", "PriorityLevelConfiguration"] {
            let of = |types: &[&str]| {
                let conditions: Vec<Value> = types.iter().map(|kind| json!({"type": kind})).collect();
                told_of("flowcontrol.apiserver.k8s.io", kind, json!({"conditions": conditions}), json!({}))
            };
            assert_eq!(of(&["A", "B"]), [""; 0]);
            assert_eq!(of(&["A", "A"]), ["status.conditions[1].type: Duplicate value: \"A\""]);
            assert_eq!(of(&[""]), ["status.conditions[0].type: Required value: must not be empty"]);
        }
    }

    #[test]
    fn collisions_are_never_fewer() {
        assert_eq!(told("Deployment", json!({"collisionCount": 2}), json!({"collisionCount": 1})), [""; 0]);
        assert_eq!(
            told("Deployment", json!({"collisionCount": 1}), json!({"collisionCount": 2})),
            ["status.collisionCount: Invalid value: 1: cannot be decremented"]
        );
    }
}
