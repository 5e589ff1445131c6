//! Annotations by which pods are still steered: mirrors of static pods, what fields have replaced, what a deletion costs.
//!
//! Source: https://kubernetes.io/docs/reference/labels-annotations-taints/.
use hashbrown::HashSet;

use irori_api::{
    codec::{Limits, json},
    field::{ErrorList, FieldPath},
    row::Row,
};
use serde_json::Value;

use super::{check, is_pod, selector, volume};
use crate::{
    template_path,
    tree::{get, items, map, text},
};

#[cfg(test)]
mod tests;

/// On the object that stands for a static pod.
pub const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// These two stand before the name of a container.
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Lists of containers in the order in which they are visited.
const CONTAINERS: [&str; 3] = ["initContainers", "containers", "ephemeralContainers"];

/// What is wrong with those of a pod or a template, but for the cost. `at`: the path of the annotations.
pub fn content(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(annotations) = map(of, &["metadata", "annotations"]) else { return };
    if let Some(value) = annotations.get(MIRROR)
        && text(of, &["spec", "nodeName"]).is_empty()
    {
        errors.invalid(at.key(MIRROR), value.clone(), "must set spec.nodeName if mirror pod annotation is set");
    }
    tolerations(annotations.get(TOLERATIONS).and_then(Value::as_str).unwrap_or(""), at, errors);
    let mut names: Option<HashSet<&str>> = None;
    for (key, value) in annotations {
        let value = value.as_str().unwrap_or("");
        if key == SECCOMP_POD || key.starts_with(SECCOMP) {
            seccomp(value, &at.child(key), errors);
        } else if let Some(container) = key.strip_prefix(APP_ARMOR) {
            let names = names.get_or_insert_with(|| {
                let all = CONTAINERS.into_iter().flat_map(|list| items(of, &["spec", list]));
                all.map(|container| text(container, &["name"])).collect()
            });
            if !names.contains(container) {
                errors.invalid(at.key(key), container, "container not found");
            }
            if !matches!(value, "" | "runtime/default" | "unconfined") && !value.starts_with("localhost/") {
                errors.invalid(at.key(key), value, format!("invalid AppArmor profile name: {value:?}"));
            }
        }
    }
}

/// Tolerations as a text of JSON.
fn tolerations(written: &str, at: &FieldPath, errors: &mut ErrorList) {
    if written.is_empty() {
        return;
    }
    match json::read(written.as_bytes(), &Limits::default()) {
        Ok(read) => selector::tolerations(items(&read.value, &[]), &at.child(TOLERATIONS), errors),
        Err(wrong) => errors.invalid(at.clone(), TOLERATIONS, wrong.to_string()),
    }
}

fn seccomp(profile: &str, at: &FieldPath, errors: &mut ErrorList) {
    match profile {
        "runtime/default" | "docker/default" | "unconfined" => {}
        _ => match profile.strip_prefix("localhost/") {
            Some(path) => volume::local_path(errors, path, at),
            None => errors.invalid(at.clone(), profile, "must be a valid seccomp profile"),
        },
    }
}

/// What is wrong with the cost of a deletion in a pod or a template. One that was wrong already stays.
pub fn cost(row: &Row, new: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    // The path of a template is told without its metadata.
    let (path, told) = match template_path(row) {
        Some(path) => (path, path),
        None if is_pod(row) => (&[][..], &["metadata"][..]),
        None => return,
    };
    let wrong = |object: &'_ Value| {
        let cost = get(get(object, path)?, &["metadata", "annotations", DELETION_COST])?;
        (!is_cost(cost.as_str().unwrap_or(""))).then(|| cost.clone())
    };
    if let (Some(cost), None) = (wrong(new), old.and_then(wrong)) {
        let at = check::below(&FieldPath::root(), told).child("annotations");
        errors.invalid(at.key(DELETION_COST), cost, "must be a 32bit integer");
    }
}

/// A number of 32 bits without a plus or leading zeros.
fn is_cost(cost: &str) -> bool {
    let begins_well = cost == "0" || cost.starts_with(|first| matches!(first, '-' | '1'..='9'));
    begins_well && cost.parse::<i32>().is_ok()
}

/// What is wrong with a change of those of a pod.
pub fn change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("metadata").child("annotations");
    let of = |pod: &'_ Value| map(pod, &["metadata", "annotations"]).cloned().unwrap_or_default();
    let (is, was) = (of(new), of(old));
    let mut kept = |key: &str, did: &str| {
        if key.starts_with(APP_ARMOR) {
            errors.forbidden(at.key(key), format!("may not {did} AppArmor annotations"));
        }
        if key == MIRROR {
            errors.forbidden(at.key(key), format!("may not {did} mirror pod annotation"));
        }
    };
    was.iter().filter(|(key, value)| is.get(*key) != Some(*value)).for_each(|(key, _)| kept(key, "remove or update"));
    is.keys().filter(|key| !was.contains_key(*key)).for_each(|key| kept(key, "add"));
    content(new, &at, errors);
}

/// Seccomp profiles that annotation and field say differently. `at`: the path of the spec.
pub fn seccomp_fields(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let agree = |annotation: &str, context: &Value, at: &FieldPath, errors: &mut ErrorList| {
        let written = get(of, &["metadata", "annotations", annotation]).and_then(Value::as_str);
        if let (Some(written), Some(profile)) = (written, get(context, &["seccompProfile"])) {
            let at = at.child("seccompProfile");
            same_profile(written, profile, "seccomp", &["runtime/default", "docker/default"], &at, errors);
        }
    };
    if let Some(context) = get(of, &["spec", "securityContext"]) {
        agree(SECCOMP_POD, context, &at.child("securityContext"), errors);
    }
    each_container(of, at, |container, at| {
        if let Some(context) = get(container, &["securityContext"]) {
            agree(&format!("{SECCOMP}{}", text(container, &["name"])), context, &at.child("securityContext"), errors);
        }
    });
}

/// The same of AppArmor profiles, where the pod's own counts for containers that have none.
pub fn app_armor_fields(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if text(of, &["spec", "os", "name"]) == "windows" {
        return;
    }
    let of_pod = get(of, &["spec", "securityContext", "appArmorProfile"]);
    each_container(of, at, |container, at| {
        let annotation = format!("{APP_ARMOR}{}", text(container, &["name"]));
        let written = get(of, &["metadata", "annotations", &annotation]).and_then(Value::as_str);
        if let (Some(written), Some(profile)) = (written, get(container, &["securityContext", "appArmorProfile"]).or(of_pod)) {
            let at = at.child("securityContext").child("appArmorProfile");
            same_profile(written, profile, "apparmor", &["runtime/default"], &at, errors);
        }
    });
}

fn each_container<'a>(of: &'a Value, at: &FieldPath, mut visit: impl FnMut(&'a Value, &FieldPath)) {
    for list in CONTAINERS {
        for (i, container) in items(of, &["spec", list]).iter().enumerate() {
            visit(container, &at.child(list).index(i));
        }
    }
}

fn same_profile(written: &str, profile: &Value, what: &str, default: &[&str], at: &FieldPath, errors: &mut ErrorList) {
    let same_type = match text(profile, &["type"]) {
        "Unconfined" => written == "unconfined",
        "RuntimeDefault" => default.contains(&written),
        "Localhost" => written.starts_with("localhost/"),
        _ => return,
    };
    if !same_type {
        errors.forbidden(at.child("type"), format!("{what} type in annotation and field must match"));
    } else if let Some(name) = written.strip_prefix("localhost/")
        && get(profile, &["localhostProfile"]).and_then(Value::as_str) != Some(name)
    {
        errors.forbidden(at.child("localhostProfile"), format!("{what} profile in annotation and field must match"));
    }
}
