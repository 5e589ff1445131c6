//! Statuses: counts are not negative, and parts are not more than the whole.
//!
//! Source: the descriptions of the status fields in the API reference of each kind.
use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::check;
use crate::tree::{get, int};

/// Counts of a kind's status.
fn counts(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("apps", "ReplicaSet") | ("", "ReplicationController") => {
            &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"]
        }
        ("apps", "Deployment") => &[
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
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
    if (group, kind) == ("batch", "Job") {
        return super::batch::status::change(new, old, errors);
    }
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
    let collisions = |object: &Value| int(object, &["status", "collisionCount"]);
    if collisions(old).is_some_and(|was| collisions(new).is_none_or(|is| is < was)) {
        let given = collisions(new).map_or(Value::Null, Value::from);
        errors.invalid(at.child("collisionCount"), given, "cannot be decremented");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, status: Value, old: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        change("apps", kind, &json!({ "status": status }), &json!({ "status": old }), &mut errors);
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
    fn collisions_are_never_fewer() {
        assert_eq!(told("Deployment", json!({"collisionCount": 2}), json!({"collisionCount": 1})), [""; 0]);
        assert_eq!(
            told("Deployment", json!({"collisionCount": 1}), json!({"collisionCount": 2})),
            ["status.collisionCount: Invalid value: 1: cannot be decremented"]
        );
    }
}
