//! What may change in a pod: very little, by itself and by the subresources that write it.
//!
//! Source: https://kubernetes.io/docs/concepts/workloads/pods/#pod-update-and-replacement.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath},
    row::Row,
};
use serde_json::{Value, json};

use super::{immutable::first_by_name, kept, meta, pod, pod_annotations, resize, selector};
use crate::{
    prepare::Part,
    tree::{get, int, items, map, remove, same, same_without, text},
};

#[cfg(test)]
mod tests;

const POD: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                   `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                   `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What is wrong with a change of anything but the status. The pod as a whole is looked at as well, as at its creation; what is
/// looked at twice is told twice.
pub fn change(row: &Row, new: &Value, old: &Value, part: Part<'_>, errors: &mut ErrorList) {
    meta::object(row, new, errors);
    pod_annotations::cost(row, new, Some(old), errors);
    kept(new, old, |object, errors| pod::pod(object, false, errors), errors);
    match part {
        Part::Sub("resize") => resize::change(new, old, errors),
        Part::Sub("ephemeralcontainers") => {
            pod_annotations::change(new, old, errors);
            pod_annotations::cost(row, new, Some(old), errors);
            ephemeral(new, old, errors);
        }
        _ => {
            pod_annotations::change(new, old, errors);
            pod_annotations::cost(row, new, Some(old), errors);
            main(new, old, errors);
        }
    }
}

/// Whether the pod stands for one that its node has from a file: nothing can be done to it from here, which is then all that is told.
pub fn is_mirror(old: &Value, why: &str, errors: &mut ErrorList) -> bool {
    let mirror = get(old, &["metadata", "annotations", pod_annotations::MIRROR]).is_some();
    if mirror {
        only(errors, why);
    }
    mirror
}

/// Tells this of the pod and nothing else.
pub fn only(errors: &mut ErrorList, why: &str) {
    *errors = ErrorList::default();
    errors.forbidden(FieldPath::new(""), why);
}

/// Ephemeral containers are added, and never changed or removed.
fn ephemeral(new: &Value, old: &Value, errors: &mut ErrorList) {
    if is_mirror(old, "static pods do not support ephemeral containers", errors) {
        return;
    }
    let at = FieldPath::new("spec").child("ephemeralContainers");
    let is = first_by_name(items(new, &["spec", "ephemeralContainers"]));
    for was in items(old, &["spec", "ephemeralContainers"]) {
        let name = text(was, &["name"]);
        match is.get(name) {
            None => errors.forbidden(at.clone(), format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(kept) if *kept != was => {
                errors.forbidden(at.clone(), format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

fn main(new: &Value, old: &Value, errors: &mut ErrorList) {
    const CONTAINERS: [&str; 2] = ["containers", "initContainers"];
    let at = FieldPath::new("spec");
    for list in CONTAINERS {
        let (is, was) = (items(new, &["spec", list]), items(old, &["spec", list]));
        if is.len() != was.len() {
            errors.forbidden(at.child(list), "pod updates may not add or remove containers");
            return;
        }
        for (i, container) in is.iter().enumerate() {
            image(text(container, &["image"]), &at.child(list).index(i).child("image"), errors);
        }
    }
    if !deadline(new, old, &at, errors) {
        return;
    }
    tolerations(new, old, &at.child("tolerations"), errors);
    gates(new, old, &at.child("schedulingGates"), errors);
    let (is, was) = (get(new, &["spec"]).unwrap_or(&Value::Null), get(old, &["spec"]).unwrap_or(&Value::Null));
    let mut mutable = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    let grace = |spec: &Value| int(spec, &["terminationGracePeriodSeconds"]);
    if grace(was).unwrap_or(0) < 0 && grace(is) == Some(1) {
        mutable.push("terminationGracePeriodSeconds");
    }
    let mut fixed_affinity = true;
    if !items(was, &["schedulingGates"]).is_empty() {
        // A gated pod has not been looked at yet: it may still become choosier.
        choosier(is, was, &at, errors);
        mutable.extend(["nodeSelector", "affinity"]);
        let but_nodes = |spec: &Value| {
            let mut affinity = get(spec, &["affinity"]).cloned().unwrap_or(Value::Null);
            remove(&mut affinity, &["nodeAffinity"]);
            affinity
        };
        fixed_affinity = same(Some(&but_nodes(is)), Some(&but_nodes(was)));
    }
    mutable.extend(CONTAINERS);
    // Of a container the image may change.
    let same_containers = |list| {
        let (is, was) = (items(is, &[list]), items(was, &[list]));
        is.iter().zip(was).all(|(is, was)| same_without(is, was, &["image"]))
    };
    if !fixed_affinity || !same_without(is, was, &mutable) || !CONTAINERS.into_iter().all(same_containers) {
        errors.forbidden(at, POD);
    }
}

fn image(image: &str, at: &FieldPath, errors: &mut ErrorList) {
    if image.is_empty() {
        errors.required(at.clone(), "");
    } else if image.trim() != image {
        errors.invalid(at.clone(), image, "must not have leading or trailing whitespace");
    }
}

/// A deadline may be set, and come nearer. `false`: the rest is not looked at.
fn deadline(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) -> bool {
    let path = ["spec", "activeDeadlineSeconds"];
    let at = at.child("activeDeadlineSeconds");
    match (int(old, &path), int(new, &path)) {
        (_, Some(is)) if !(0..=i64::from(i32::MAX)).contains(&is) => {
            errors.invalid(at, is, format!("must be between 0 and {}, inclusive", i32::MAX));
            return false;
        }
        (Some(was), Some(is)) if is > was => {
            errors.invalid(at, is, "must be less than or equal to previous value");
            return false;
        }
        (Some(_), None) => errors.invalid(at, Value::Null, "must not update from a positive integer to nil value"),
        _ => {}
    }
    true
}

/// Tolerations may be added; those that are there may only change their seconds.
fn tolerations(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let bare = |toleration: &Value| {
        let mut bare = toleration.clone();
        remove(&mut bare, &["tolerationSeconds"]);
        bare
    };
    let list = items(new, &["spec", "tolerations"]);
    let is: HashSet<Value> = list.iter().map(bare).collect();
    if items(old, &["spec", "tolerations"]).iter().map(bare).all(|kept| is.contains(&kept)) {
        selector::tolerations(list, at, errors);
    } else {
        errors.forbidden(at.clone(), "existing toleration can not be modified except its tolerationSeconds");
    }
}

/// Gates may only go.
fn gates(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let names = |pod: &'_ Value| -> Vec<String> {
        items(pod, &["spec", "schedulingGates"]).iter().map(|gate| text(gate, &["name"]).to_owned()).collect()
    };
    let (is, was) = (names(new), names(old));
    let was: HashSet<&str> = was.iter().map(String::as_str).collect();
    // Of gates of one name the last is told.
    let last: HashMap<&str, usize> = is.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    for (i, name) in is.iter().enumerate().filter(|(i, name)| last[name.as_str()] == *i && !was.contains(name.as_str())) {
        let why = format!("only deletion is allowed, but found new scheduling gate '{name}'");
        errors.forbidden(at.index(i).child("name"), why);
    }
}

/// What a gated pod asks of nodes may only grow.
fn choosier(is: &Value, was: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let selected = |spec: &'_ Value| map(spec, &["nodeSelector"]).cloned().unwrap_or_default();
    let (labels, before) = (selected(is), selected(was));
    if before.iter().any(|(key, value)| labels.get(key) != Some(value)) {
        let shown = get(is, &["nodeSelector"]).cloned().unwrap_or(Value::Null);
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(at.child("nodeSelector"), shown, why);
    }
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let path = ["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"];
    let (terms, before) = (items(is, &path), items(was, &path));
    let at = path.iter().fold(at.clone(), |at, step| at.child(step));
    if before.is_empty() {
        return;
    }
    if terms.len() != before.len() {
        let shown = if terms.is_empty() { Value::Null } else { terms.iter().map(shown_term).collect() };
        errors.invalid(at, shown, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
        return;
    }
    for (i, (term, before)) in terms.iter().zip(before).enumerate() {
        let parts = ["matchExpressions", "matchFields"].map(|part| (items(term, &[part]), items(before, &[part])));
        // A term without any part matches nothing, and goes on doing so.
        let matched_nothing = parts.iter().all(|(_, before)| before.is_empty());
        let grows = if matched_nothing {
            parts.iter().all(|(is, _)| is.is_empty())
        } else {
            parts.iter().all(|(is, before)| is.starts_with(before))
        };
        if !grows {
            errors.invalid(at.index(i), shown_term(term), "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// A term as a stock server shows it: by its names inside.
fn shown_term(term: &Value) -> Value {
    let part = |name: &str| -> Value {
        let requirement = |one: &Value| {
            let values = get(one, &["values"]).cloned().unwrap_or(Value::Null);
            json!({"Key": text(one, &["key"]), "Operator": text(one, &["operator"]), "Values": values})
        };
        match items(term, &[name]) {
            [] => Value::Null,
            list => list.iter().map(requirement).collect(),
        }
    };
    json!({"MatchExpressions": part("matchExpressions"), "MatchFields": part("matchFields")})
}
