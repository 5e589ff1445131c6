//! Metadata of every object: names, labels, annotations, owners, finalizers, managers of fields.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
    row::Row,
};
use serde_json::Value;

use super::{address, check, definition::shown};
use crate::{
    managed,
    tree::{get, int, items, map, text},
};

/// Bytes of all annotations of an object.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// Bytes of the subresource by which a manager wrote.
const SUBRESOURCE_BYTES_MAX: usize = 256;

/// What is wrong with a name.
fn name_faults(row: &Row, object: &Value, name: &str) -> Vec<String> {
    if row.gvk.group == "apiregistration.k8s.io" {
        return super::extension::name_faults(object, name);
    }
    if row.gvk.group == "apiextensions.k8s.io" {
        return super::definition::name_faults(object, name);
    }
    name_rule(row)(name)
}

/// The rule for names of a kind.
fn name_rule(row: &Row) -> fn(&str) -> Vec<String> {
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "Namespace") => names::dns_label,
        ("apps", "StatefulSet") => names::dns_label,
        ("", "Event") => names::path_segment,
        ("", "Service") => names::dns_label,
        ("rbac.authorization.k8s.io" | "certificates.k8s.io" | "policy", _) => names::path_segment,
        ("networking.k8s.io", "IPAddress") => ip_name,
        ("storage.k8s.io", "CSIDriver") => names::dns_subdomain,
        _ => names::dns_subdomain,
    }
}

fn ip_name(name: &str) -> Vec<String> {
    address::canonical_ip_fault(name).into_iter().collect()
}

pub fn object(row: &Row, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("metadata");
    let rule = |name: &str| name_faults(row, object, name);
    let meta = get(object, &["metadata"]).unwrap_or(&Value::Null);
    let base = text(meta, &["generateName"]);
    if !base.is_empty() {
        // These kinds look at whole names alone.
        let wrong = match row.gvk.kind.as_str() {
            "DeviceClass" | "ReplicationController" => names::path_segment(base),
            _ => rule(&unfinished(base)),
        };
        errors.invalid_each(&at.child("generateName"), base, wrong);
    }
    let name = text(meta, &["name"]);
    if name.is_empty() {
        errors.required(at.child("name"), "name or generateName is required");
    } else {
        errors.invalid_each(&at.child("name"), name, rule(name));
    }
    let namespace = text(meta, &["namespace"]);
    if row.namespaced {
        if namespace.is_empty() {
            errors.required(at.child("namespace"), "");
        } else {
            errors.invalid_each(&at.child("namespace"), namespace, names::dns_label(namespace));
        }
    } else if !namespace.is_empty() {
        errors.forbidden(at.child("namespace"), "not allowed on this type");
    }
    parts(meta, &at, errors);
    managed_fields(meta, &Value::Null, &at.child("managedFields"), errors);
    standard_finalizers(row, meta, &at, errors);
}

/// A name as far as it is given: what stands before the random end may end with a dash.
fn unfinished(base: &str) -> String {
    match base.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{}a", &rest[..rest.char_indices().next_back().map_or(0, |(at, _)| at)]),
        _ => base.to_owned(),
    }
}

/// What templates have of metadata too.
pub fn parts(meta: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::not_negative(errors, meta, at, &["generation"]);
    labels(get(meta, &["labels"]), &at.child("labels"), errors);
    annotations(meta, &at.child("annotations"), errors);
    owners(items(meta, &["ownerReferences"]), &at.child("ownerReferences"), errors);
    let finalizers = items(meta, &["finalizers"]);
    for finalizer in finalizers.iter().filter_map(Value::as_str) {
        errors.invalid_each(&at.child("finalizers"), finalizer, names::qualified_name(finalizer));
    }
    let both = ["orphan", "foregroundDeletion"];
    if both.iter().all(|name| finalizers.iter().any(|finalizer| finalizer == name)) {
        let why = format!("finalizer {} and {} cannot be both set", both[0], both[1]);
        errors.invalid(at.child("finalizers"), Value::Array(finalizers.to_vec()), why);
    }
}

/// Who manages fields has a name of some length that can be read. What stood there before stays.
fn managed_fields(meta: &Value, before: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let names = |entry| (text(entry, &["manager"]), text(entry, &["subresource"]));
    let before: HashSet<_> = items(before, &["managedFields"]).iter().map(names).collect();
    for (i, entry) in items(meta, &["managedFields"]).iter().enumerate() {
        let (manager, subresource) = names(entry);
        if before.contains(&(manager, subresource)) {
            continue;
        }
        let at = at.index(i);
        managed::check_manager(errors, &at.child("manager"), manager);
        if subresource.len() > SUBRESOURCE_BYTES_MAX {
            errors.too_long(at.child("subresource"), SUBRESOURCE_BYTES_MAX);
        }
    }
}

/// Most kinds take only finalizers with a domain, or the few standard ones.
fn standard_finalizers(row: &Row, meta: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let any = matches!(
        row.gvk.group.as_str(),
        "node.k8s.io"
            | "coordination.k8s.io"
            | "admissionregistration.k8s.io"
            | "apiregistration.k8s.io"
            | "apiextensions.k8s.io"
    ) || (row.gvk.kind == "Event" && row.gvk.group.is_empty())
        || row.protobuf.is_none();
    for (i, name) in items(meta, &["finalizers"]).iter().filter_map(Value::as_str).enumerate() {
        if !any && names::qualified_name(name).is_empty() && !is_standard_finalizer(name) {
            errors.invalid(at.child("finalizers").index(i), name, NOT_A_FINALIZER);
        }
    }
}

const NOT_A_FINALIZER: &str = "name is neither a standard finalizer name nor is it fully qualified";

fn is_standard_finalizer(name: &str) -> bool {
    name.contains('/') || matches!(name, "kubernetes" | "orphan" | "foregroundDeletion")
}

/// What a namespace itself waits for, as its own subresource changes it.
pub fn namespace_finalizers(namespace: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec").child("finalizers");
    for (i, name) in items(namespace, &["spec", "finalizers"]).iter().filter_map(Value::as_str).enumerate() {
        finalizer(name, &at.index(i), errors);
    }
}

/// A finalizer of a namespace's content.
pub fn finalizer(name: &str, at: &FieldPath, errors: &mut ErrorList) {
    let wrong = names::qualified_name(name);
    if wrong.is_empty() && !is_standard_finalizer(name) {
        errors.invalid(at.clone(), name, NOT_A_FINALIZER);
    }
    errors.invalid_each(at, name, wrong);
}

/// Keys are qualified names, values are label values.
pub fn labels(labels: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        errors.invalid_each(at, key.as_str(), names::qualified_name(key));
        let value = value.as_str().unwrap_or("");
        errors.invalid_each(at, value, names::label_value(value));
    }
}

pub fn annotations(meta: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let mut bytes = 0;
    for (key, value) in map(meta, &["annotations"]).into_iter().flatten() {
        errors.invalid_each(at, key.as_str(), names::qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().unwrap_or("").len();
    }
    if bytes > ANNOTATIONS_MAX {
        errors.too_long(at.clone(), ANNOTATIONS_MAX);
    }
}

/// An owner as a stock server shows it: its fields in their order.
fn shown_owner(owner: &Value) -> String {
    let words = ["apiVersion", "kind", "name", "uid"].map(|field| (field, Some(Value::from(text(owner, &[field])))));
    let flags = ["controller", "blockOwnerDeletion"].map(|field| (field, get(owner, &[field]).cloned()));
    let fields = words.into_iter().chain(flags).filter_map(|(field, value)| Some(format!("{field:?}:{}", shown::json(&value?))));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

fn owners(owners: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut controller: Option<&str> = None;
    for (i, owner) in owners.iter().enumerate() {
        let at = at.index(i);
        let version = text(owner, &["apiVersion"]);
        if version.rsplit('/').next().unwrap_or("").is_empty() || version.matches('/').count() > 1 {
            errors.invalid(at.child("apiVersion"), version, "version must not be empty");
        }
        for (field, why) in [("kind", "must not be empty"), ("name", "must not be empty"), ("uid", "must not be empty")] {
            if text(owner, &[field]).is_empty() {
                errors.invalid(at.child(field), "", why);
            }
        }
        if (version, text(owner, &["kind"])) == ("v1", "Event") {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            check::wrong_go(errors, at.clone(), Wrong::Invalid, &shown_owner(owner), why);
        }
        if crate::tree::flag(owner, &["controller"]) {
            let name = text(owner, &["name"]);
            if let Some(first) = controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                let all = format!("[{}]", owners.iter().map(shown_owner).collect::<Vec<_>>().join(","));
                check::wrong_go(errors, FieldPath::new("metadata").child("ownerReferences"), Wrong::Invalid, &all, &why);
            }
            controller = Some(name);
        }
    }
}

/// What may not change in metadata, whatever the kind.
pub fn change(row: &Row, new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("metadata");
    let (is, was) = (get(new, &["metadata"]).unwrap_or(&Value::Null), get(old, &["metadata"]).unwrap_or(&Value::Null));
    if get(was, &["deletionTimestamp"]).is_some() {
        let before = items(was, &["finalizers"]);
        let added: Vec<String> =
            items(is, &["finalizers"]).iter().filter(|f| !before.contains(f)).map(Value::to_string).collect();
        if !added.is_empty() {
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.join(", ")
            );
            errors.forbidden(at.child("finalizers"), why);
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        check::immutable(errors, is, was, &at, &[field]);
    }
    if int(is, &["generation"]).unwrap_or(0) < int(was, &["generation"]).unwrap_or(0) {
        errors.invalid(at.child("generation"), int(is, &["generation"]).unwrap_or(0), "must not be decremented");
    }
    parts(is, &at, errors);
    managed_fields(is, was, &at.child("managedFields"), errors);
    standard_finalizers(row, is, &at, errors);
}
