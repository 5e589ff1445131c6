//! What a resize may change: cpu and memory of containers, within the pod's class of service.
//!
//! Source: the Kubernetes page "Resize CPU and Memory Resources assigned to Containers".
use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use crate::{
    prepare::qos_class,
    tree::{get, items, map, text},
};

/// What is wrong with a change by `pods/resize`, where resources of containers are all that may differ.
pub fn change(new: &Value, old: &Value, errors: &mut ErrorList) {
    if get(old, &["metadata", "annotations", "kubernetes.io/config.mirror"]).is_some() {
        return errors.forbidden(FieldPath::new(""), "static pods cannot be resized");
    }
    if text(old, &["spec", "os", "name"]) == "windows" {
        return errors.forbidden(FieldPath::new(""), "windows pods cannot be resized");
    }
    let spec = FieldPath::new("spec");
    let class = match text(old, &["status", "qosClass"]) {
        "" => qos_class(old),
        class => class,
    };
    if class != qos_class(new) {
        let told = text(new, &["status", "qosClass"]);
        errors.invalid(spec.clone(), told, "Pod QOS Class may not change as a result of resizing");
    }
    if !can_be_resized(old) {
        errors.forbidden(spec.clone(), "Pod running on node without support for resize");
    }
    for list in ["containers", "initContainers"] {
        let resources = |pod: &'_ Value| -> Vec<Value> {
            items(pod, &["spec", list]).iter().map(|c| get(c, &["resources"]).cloned().unwrap_or(Value::Null)).collect()
        };
        for (i, (is, was)) in resources(new).iter().zip(resources(old)).enumerate() {
            container(is, &was, &spec.child(list).index(i).child("resources"), errors);
        }
    }
}

fn container(is: &Value, was: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (side, why) in [("limits", "resource limits cannot be removed"), ("requests", "resource requests cannot be removed")] {
        let gone = map(was, &[side]).into_iter().flatten().any(|(name, _)| get(is, &[side, name]).is_none());
        if gone {
            errors.forbidden(at.child(side), why);
        }
        let names = map(is, &[side]).into_iter().chain(map(was, &[side])).flatten().map(|(name, _)| name);
        for name in names.filter(|name| !matches!(name.as_str(), "cpu" | "memory")) {
            if get(is, &[side, name]) != get(was, &[side, name]) {
                errors.forbidden(FieldPath::new("spec"), "only cpu and memory resources are mutable");
                return;
            }
        }
    }
    if get(is, &["claims"]) != get(was, &["claims"]) {
        errors.forbidden(FieldPath::new("spec"), "only cpu and memory resources are mutable");
    }
}

/// A node that can resize says what its running containers have.
fn can_be_resized(pod: &Value) -> bool {
    let running = |status: &&Value| get(status, &["state", "running"]).is_some();
    items(pod, &["status", "containerStatuses"]).iter().filter(running).all(|status| get(status, &["resources"]).is_some())
}
