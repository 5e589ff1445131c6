//! Nodes.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/>
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{
    address::{self, Kept},
    check, limits,
};
use crate::tree::{get, items, map, same, text};

pub fn content(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    taints(object, errors);
    resources(object, errors);
    if old.is_none() {
        networks(object, errors);
    }
}

/// What nobody changes once it is said: which networks, which machine.
pub fn change(new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    addresses(new, errors);
    let networks = ["spec", "podCIDRs"];
    if !items(old, &networks).is_empty() && !same(get(new, &networks), get(old, &networks)) {
        errors.forbidden(at.child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid");
    }
    let machine = text(old, &["spec", "providerID"]);
    if !machine.is_empty() && machine != text(new, &["spec", "providerID"]) {
        errors.forbidden(at.child("providerID"), "node updates may not change providerID except from \"\" to valid");
    }
    if text(new, &["spec", "externalID"]) != text(old, &["spec", "externalID"]) {
        errors.forbidden(at.child("externalID"), "may not be updated");
    }
}

pub fn status(new: &Value, errors: &mut ErrorList) {
    resources(new, errors);
    addresses(new, errors);
}

fn addresses(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status").child("addresses");
    let mut seen = HashSet::new();
    for (i, address) in items(object, &["status", "addresses"]).iter().enumerate() {
        if !seen.insert([text(address, &["type"]), text(address, &["address"])]) {
            let shown = check::go(address, &[("Type", "type", "\"\""), ("Address", "address", "\"\"")]);
            check::wrong_go(errors, at.index(i), Wrong::Duplicate, &shown, "");
        }
    }
}

/// Amounts that a node has. These paths are spelled with dots in the API itself.
fn resources(object: &Value, errors: &mut ErrorList) {
    for field in ["capacity", "allocatable"] {
        for (name, amount) in map(object, &["status", field]).into_iter().flatten() {
            limits::amount(name, amount, &FieldPath::new("status").child(field).child(name), errors);
        }
    }
}

fn taints(object: &Value, errors: &mut ErrorList) {
    // Taints are told below metadata, as stock servers do.
    let at = FieldPath::new("metadata").child("taints");
    let mut seen = HashSet::new();
    for (i, taint) in items(object, &["spec", "taints"]).iter().enumerate() {
        let at = at.index(i);
        let (key, effect) = (text(taint, &["key"]), text(taint, &["effect"]));
        errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
        let value = text(taint, &["value"]);
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            errors.invalid(at.child("value"), value, wrong.join(";"));
        }
        match effect {
            "" => errors.required(at.child("effect"), ""),
            "NoSchedule" | "PreferNoSchedule" | "NoExecute" => {}
            other => errors.not_supported(at.child("effect"), other, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
        }
        if !seen.insert((key, effect)) {
            let fields = [
                ("Key", "key", "\"\""),
                ("Value", "value", "\"\""),
                ("Effect", "effect", "\"\""),
                ("TimeAdded", "timeAdded", "null"),
            ];
            let why = "taints must be unique by key and effect pair";
            check::wrong_go(errors, at, Wrong::Duplicate, &check::go(taint, &fields), why);
        }
    }
}

fn networks(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("podCIDRs");
    let all = items(object, &["spec", "podCIDRs"]);
    for (i, cidr) in all.iter().filter_map(Value::as_str).enumerate() {
        address::cidr(errors, cidr, &at.index(i), &Kept::default());
    }
    let is_six = |cidr: &Value| cidr.as_str().is_some_and(|cidr| cidr.contains(':'));
    if all.len() > 2 || (all.len() == 2 && is_six(&all[0]) == is_six(&all[1])) {
        errors.invalid(at, Value::Array(all.to_vec()), "may specify no more than one CIDR for each IP family");
    }
}
