//! What may change of volumes and claims, and what their controllers may say of them.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/>
use std::cmp::Ordering;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
    quantity::Quantity,
};
use serde_json::Value;

use super::{check, storage::SOURCES};
use crate::{
    scalar::quantity_compare,
    tree::{get, items, map, remove, set, text},
};

/// A volume is where it is; which secret enlarges it may be added.
pub fn volume(new: &Value, old: &Value, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let differs = |field: &str| {
        let (is, was) = (get(new, &["spec", field]), get(old, &["spec", field]));
        if let (Some(is), Some(was)) = (is, was)
            && field == "csi"
            && get(was, &["controllerExpandSecretRef"]).is_none()
        {
            return !crate::tree::same_without(is, was, &["controllerExpandSecretRef"]);
        }
        is != was
    };
    if SOURCES.iter().any(|(field, _)| differs(field)) {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(FieldPath::new("spec").child("persistentvolumesource"), why);
    }
    // These paths begin at the root in the API itself.
    let spec = |object| get(object, &["spec"]).unwrap_or(&Value::Null);
    check::immutable(errors, spec(new), spec(old), &root, &["volumeMode"]);
    if let Some(was) = get(old, &["spec", "nodeAffinity"]) {
        let is = get(new, &["spec", "nodeAffinity"]).unwrap_or(&Value::Null);
        if !same_nodes(is, was) {
            check::wrong_go(errors, root.child("nodeAffinity"), Wrong::Invalid, &shown_nodes(is), "field is immutable");
        }
    }
    let class = ["spec", "volumeAttributesClassName"];
    if get(old, &class).is_some() && get(new, &class).is_none() {
        errors.forbidden(check::below(&root, &class), "update from non-nil value to nil is forbidden");
    }
}

/// Labels of nodes under their old names, which may be changed to the new ones.
const RENAMED: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

const TERMS: [&str; 2] = ["required", "nodeSelectorTerms"];

fn same_nodes(is: &Value, was: &Value) -> bool {
    let mut renamed = was.clone();
    for (i, term) in crate::tree::items_mut(&mut renamed, &TERMS).iter_mut().enumerate() {
        for (j, wanted) in crate::tree::items_mut(term, &["matchExpressions"]).iter_mut().enumerate() {
            let key = items(is, &TERMS).get(i).and_then(|term| items(term, &["matchExpressions"]).get(j));
            let key = key.map_or("", |wanted| text(wanted, &["key"]));
            if RENAMED.contains(&(text(wanted, &["key"]), key)) {
                set(wanted, &["key"], key);
            }
        }
    }
    *is == renamed
}

fn shown_nodes(affinity: &Value) -> String {
    if affinity.is_null() {
        return "null".into();
    }
    let list = |of: &Value, field: &str, one: &dyn Fn(&Value) -> String| match get(of, &[field]) {
        Some(Value::Array(all)) => format!("[{}]", all.iter().map(one).collect::<Vec<_>>().join(",")),
        _ => "null".into(),
    };
    let wanted = |wanted: &Value| {
        check::go(wanted, &[("Key", "key", "\"\""), ("Operator", "operator", "\"\""), ("Values", "values", "null")])
    };
    let term = |term: &Value| {
        let [by_label, by_field] = ["matchExpressions", "matchFields"].map(|field| list(term, field, &wanted));
        format!("{{\"MatchExpressions\":{by_label},\"MatchFields\":{by_field}}}")
    };
    let required = get(affinity, &["required"]);
    let required =
        required.map_or("null".into(), |r| format!("{{\"NodeSelectorTerms\":{}}}", list(r, "nodeSelectorTerms", &term)));
    format!("{{\"Required\":{required}}}")
}

/// A claim stays as it is, save for its volume, which is named once, its class, if it had none, and the size of what is bound.
pub fn claim(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let mut allowed = get(new, &["spec"]).cloned().unwrap_or(Value::Null);
    let before = get(old, &["spec"]).unwrap_or(&Value::Null);
    let storage = ["resources", "requests", "storage"];
    let bound = text(old, &["status", "phase"]) == "Bound";
    let unnamed = text(before, &["volumeName"]).is_empty();
    let classless = get(before, &["storageClassName"]).is_none() && keeps_old_class(new, old);
    for (may_change, path) in [
        (unnamed, &["volumeName"][..]),
        (classless, &["storageClassName"]),
        (bound && get(&allowed, &["resources", "requests"]).is_some(), &storage),
        (true, &["volumeAttributesClassName"]),
    ] {
        match get(before, path) {
            _ if !may_change => {}
            Some(value) => set(&mut allowed, path, value.clone()),
            None => drop(remove(&mut allowed, path)),
        }
    }
    if allowed != *before {
        errors.forbidden(
            at.clone(),
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        );
    }
    let size = |object: &Value| text(object, &["spec", "resources", "requests", "storage"]).to_owned();
    let has = text(old, &["status", "capacity", "storage"]);
    // What was never reached may be asked for less again.
    let smaller = quantity_compare(&size(new), &size(old)).is_lt();
    if smaller && !has.is_empty() && quantity_compare(&size(new), has) != Ordering::Greater {
        errors.forbidden(check::below(&at, &storage), "field can not be less than status.capacity");
    }
    let spec = get(new, &["spec"]).unwrap_or(&Value::Null);
    // This path begins at the root in the API itself.
    check::immutable(errors, spec, before, &FieldPath::root(), &["volumeMode"]);
    let class = "volumeAttributesClassName";
    let in_use = get(old, &["status", "currentVolumeAttributesClassName"]).is_some();
    if in_use && get(before, &[class]).is_some() && get(spec, &[class]).is_none() {
        let why = "update to nil is forbidden when status.currentVolumeAttributesClassName is not nil";
        errors.forbidden(at.child(class), why);
    }
}

/// The annotation that named the class of a claim before there was a field for it.
const OLD_CLASS: [&str; 3] = ["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"];

fn keeps_old_class(new: &Value, old: &Value) -> bool {
    get(old, &OLD_CLASS).is_none_or(|class| get(new, &["spec", "storageClassName"]) == Some(class))
}

/// How far a claim is on its way to another size.
const RESIZES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
];

/// The status of a claim.
pub fn claim_status(new: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    for (name, amount) in map(new, &["status", "capacity"]).into_iter().flatten() {
        basic_amount(amount, &at.child("capacity").key(name), errors);
    }
    // This path is spelled so by the API itself.
    let resizes = at.child("allocatedResourceStatus");
    for (name, state) in map(new, &["status", "allocatedResourceStatuses"]).into_iter().flatten() {
        resource(name, &resizes, errors);
        if !state.as_str().is_some_and(|state| RESIZES.contains(&state)) {
            let mut known = RESIZES.to_vec();
            known.sort_unstable();
            errors.not_supported(resizes.clone(), name.as_str(), &known);
        }
    }
    let at = at.child("allocatedResources");
    for (name, amount) in map(new, &["status", "allocatedResources"]).into_iter().flatten() {
        if resource(name, &at, errors) {
            basic_amount(amount, &at.key(name), errors);
        }
    }
}

/// Of the server's own resources, a claim has storage alone.
fn resource(name: &str, at: &FieldPath, errors: &mut ErrorList) -> bool {
    let before = errors.len();
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && (!name.contains('/') || name.contains("kubernetes.io/")) && name != "storage" {
        errors.not_supported(at.clone(), name, &["storage"]);
    }
    errors.invalid_each(at, name, wrong);
    errors.len() == before
}

fn basic_amount(amount: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let whole = amount.as_str().unwrap_or("0").parse::<Quantity>().map_or(0, |amount| amount.value());
    if whole < 0 {
        errors.invalid(at.clone(), whole, "must be a valid resource quantity");
    }
}
