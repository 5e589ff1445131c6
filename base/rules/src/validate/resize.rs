//! What a resize may change: cpu and memory of containers, and of the pod, within the pod's class of service.
//!
//! Source: the Kubernetes page "Resize CPU and Memory Resources assigned to Containers".
use irori_api::field::{ErrorList, FieldPath};
use serde_json::Value;

use super::pod_change::{is_mirror, only};
use crate::{
    prepare::qos_class,
    tree::{get, items, map, same, same_without, text},
};

const LISTS: [&str; 2] = ["initContainers", "containers"];
const OTHERS: &str = "only cpu and memory resources are mutable";

/// What is wrong with a change by `pods/resize`, where resources and resize policies of containers are all that may differ.
pub fn change(new: &Value, old: &Value, errors: &mut ErrorList) {
    if is_mirror(old, "static pods cannot be resized", errors) {
        return;
    }
    if text(old, &["spec", "os", "name"]) == "windows" {
        return only(errors, "windows pods cannot be resized");
    }
    let at = FieldPath::new("spec");
    let class = match text(old, &["status", "qosClass"]) {
        "" => qos_class(old),
        class => class,
    };
    if class != qos_class(new) {
        let told = text(new, &["status", "qosClass"]);
        errors.invalid(at.clone(), told, "Pod QOS Class may not change as a result of resizing");
    }
    if !can_be_resized(old) {
        errors.forbidden(at.clone(), "Pod running on node without support for resize");
    }
    if !same_places(new, old, &at, errors) {
        return;
    }
    for (list, i, is, was) in pairs(new, old) {
        if list == "containers" || is_sidecar(was) {
            removed(resources(is), resources(was), &at.child(list).index(i).child("resources"), errors);
        }
    }
    let whole = |pod| resources(get(pod, &["spec"]).unwrap_or(&Value::Null));
    removed(whole(new), whole(old), &at.child("resources"), errors);
    for (list, _, is, was) in pairs(new, old) {
        let same_but_amounts = same_without(is, was, &["resources"]) && same_others(resources(is), resources(was));
        let (fine, why) = match list {
            "containers" => (same_but_amounts, OTHERS),
            _ if is_sidecar(was) => (same_but_amounts, "only cpu and memory resources for sidecar containers are mutable"),
            _ => (is == was, "resources for non-sidecar init containers are immutable"),
        };
        if !fine {
            errors.forbidden(at.clone(), why);
        }
    }
    if !same_others(whole(new), whole(old)) {
        errors.forbidden(at, OTHERS);
    }
}

/// Of a container, or of the spec.
fn resources(of: &Value) -> &Value {
    get(of, &["resources"]).unwrap_or(&Value::Null)
}

/// Containers with their counterparts.
fn pairs<'a>(new: &'a Value, old: &'a Value) -> impl Iterator<Item = (&'static str, usize, &'a Value, &'a Value)> {
    LISTS.into_iter().flat_map(move |list| {
        let both = items(new, &["spec", list]).iter().zip(items(old, &["spec", list]));
        both.enumerate().map(move |(i, (is, was))| (list, i, is, was))
    })
}

fn is_sidecar(container: &Value) -> bool {
    text(container, &["restartPolicy"]) == "Always"
}

/// The containers are the same ones, in the same places.
fn same_places(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) -> bool {
    let before = errors.len();
    for list in ["containers", "initContainers"] {
        let (is, was) = (items(new, &["spec", list]), items(old, &["spec", list]));
        if is.len() != was.len() {
            errors.forbidden(at.child(list), format!("{list} may not be added or removed on resize"));
            continue;
        }
        for (i, _) in is.iter().zip(was).enumerate().filter(|(_, (is, was))| text(is, &["name"]) != text(was, &["name"])) {
            let why = format!("{list} may not be renamed or reordered on resize");
            errors.forbidden(at.child(list).index(i).child("name"), why);
        }
    }
    errors.len() == before
}

/// What was asked for may become another amount, but not nothing.
fn removed(is: &Value, was: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (side, why) in [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")] {
        if map(was, &[side]).into_iter().flatten().any(|(name, _)| get(is, &[side, name]).is_none()) {
            errors.forbidden(at.child(side), why);
        }
    }
}

/// Whether nothing but cpu and memory differs.
fn same_others(is: &Value, was: &Value) -> bool {
    let others = |of: &Value, side: &str| {
        let mut others = map(of, &[side]).cloned().unwrap_or_default();
        others.retain(|name, _| !matches!(name.as_str(), "cpu" | "memory"));
        others
    };
    ["requests", "limits"].into_iter().all(|side| others(is, side) == others(was, side))
        && same(get(is, &["claims"]), get(was, &["claims"]))
}

/// A node that can resize says what its containers have: the first that runs stands for all.
fn can_be_resized(pod: &Value) -> bool {
    let running = |status: &&Value| get(status, &["state", "running"]).is_some();
    let first = items(pod, &["status", "containerStatuses"]).iter().find(running);
    first.is_none_or(|status| get(status, &["resources"]).is_some())
}
