//! Which objects a quota is about.
//!
//! Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-scopes
use serde_json::{Value, json};

use super::Resource;
use crate::{
    prepare::qos_class,
    tree::{get, int, items, text},
};

/// Whether all scopes of a quota are about the object. Only pods and claims have scopes; the rest falls under quotas without.
pub fn covers(quota: &Value, resource: Resource<'_>, object: &Value) -> bool {
    let listed = items(quota, &["spec", "scopes"]).iter().filter_map(Value::as_str);
    let mut wanted: Vec<Value> = listed.map(|scope| json!({"scopeName": scope, "operator": "Exists"})).collect();
    wanted.extend(items(quota, &["spec", "scopeSelector", "matchExpressions"]).iter().cloned());
    wanted.iter().all(|expression| match resource {
        ("", "pods") => pod(expression, object),
        ("", "persistentvolumeclaims") => claim(expression, object),
        _ => false,
    })
}

fn pod(expression: &Value, pod: &Value) -> bool {
    let ends = int(pod, &["spec", "activeDeadlineSeconds"]).is_some_and(|s| s >= 0);
    match text(expression, &["scopeName"]) {
        "Terminating" => ends,
        "NotTerminating" => !ends,
        "BestEffort" => qos_class(pod) == "BestEffort",
        "NotBestEffort" => qos_class(pod) != "BestEffort",
        "PriorityClass" => among(expression, text(pod, &["spec", "priorityClassName"])),
        "CrossNamespacePodAffinity" => looks_elsewhere(pod),
        _ => false,
    }
}

fn claim(expression: &Value, claim: &Value) -> bool {
    text(expression, &["scopeName"]) == "VolumeAttributesClass"
        && among(expression, text(claim, &["spec", "volumeAttributesClassName"]))
}

fn among(expression: &Value, value: &str) -> bool {
    let named = items(expression, &["values"]).iter().any(|v| v == value);
    match text(expression, &["operator"]) {
        "In" => named,
        "NotIn" => !named,
        "DoesNotExist" => value.is_empty(),
        _ => !value.is_empty(),
    }
}

/// Whether a pod wants to be near or far from pods of other namespaces.
fn looks_elsewhere(pod: &Value) -> bool {
    ["podAffinity", "podAntiAffinity"].into_iter().any(|side| {
        let path = |when: &'static str| ["spec", "affinity", side, when];
        let required = items(pod, &path("requiredDuringSchedulingIgnoredDuringExecution")).iter();
        let preferred = items(pod, &path("preferredDuringSchedulingIgnoredDuringExecution")).iter();
        let terms = required.chain(preferred.filter_map(|p| get(p, &["podAffinityTerm"])));
        terms.into_iter().any(|t| !items(t, &["namespaces"]).is_empty() || get(t, &["namespaceSelector"]).is_some())
    })
}
