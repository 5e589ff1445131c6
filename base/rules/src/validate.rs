//! Validation: which field is wrong and why, with the paths and texts of a stock server.
//!
//! Each kind's rules follow its API reference page. Kinds without rules of their own are held to metadata alone; what is
//! immutable is checked by `immutable`. A rule that hangs on the version of the request (events) is given that version's row.
use irori_api::{
    field::{ErrorList, FieldPath},
    row::Row,
};
use serde_json::Value;

use crate::{prepare::Part, template_path, tree};

mod access;
mod address;
mod autoscaler;
mod batch;
mod cel;
mod certificates;
mod check;
mod claims;
mod classes;
mod compute;
mod condition;
mod container;
mod context;
mod core_v1;
mod cron;
mod definition;
mod devices;
mod disk;
mod dns;
mod endpoints;
mod env;
mod ephemeral;
mod extension;
mod flow;
mod hooks;
mod immutable;
mod limits;
mod meta;
mod mount;
mod network;
mod node;
mod pod;
mod pod_annotations;
mod pod_change;
mod pod_status;
mod policies;
mod probe;
mod projected;
mod resize;
mod reviews;
mod scaling;
mod schema;
mod selector;
mod service;
mod slices;
mod status;
mod storage;
mod storage_change;
#[cfg(test)]
mod tests;
mod volume;
mod windows;
mod workloads;

pub(crate) use definition::unknown_formats;

/// What is wrong with a new object in the form that is stored; empty if nothing. `asked`: the version of the request.
pub fn validate_create(row: &Row, asked: &Row, object: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    if row.storage.is_none() {
        return errors;
    }
    meta::object(asked, object, &mut errors);
    content(row, asked, object, None, &mut errors);
    pod_annotations::cost(row, object, None, &mut errors);
    errors
}

/// What is wrong with a change in the form that is stored; empty if nothing. `asked`: the version of the request.
pub fn validate_update(row: &Row, asked: &Row, new: &Value, old: &Value, part: Part<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    meta::change(row, new, old, &mut errors);
    match part {
        Part::Status if is_definition(row) => definition::status(new, &mut errors),
        Part::Status if is_pod(row) => pod_status::change(row, new, old, &mut errors),
        Part::Status | Part::Sub(_) if row.gvk.group == "certificates.k8s.io" => {
            certificates::change(new, old, part, &mut errors);
        }
        Part::Status => status::change(&row.gvk.group, &row.gvk.kind, new, old, &mut errors),
        _ if is_definition(row) => definition::update(new, old, &mut errors),
        _ if is_pod(row) => pod_change::change(row, new, old, part, &mut errors),
        _ => {
            let rules = |object: &Value, errors: &mut ErrorList| {
                let before = errors.len();
                content(row, asked, object, Some(old), errors);
                again(row, asked, object, old, errors.len() > before, errors);
            };
            if keeps_old(row) {
                kept(new, old, rules, &mut errors);
            } else {
                rules(new, &mut errors);
            }
            pod_annotations::cost(row, new, Some(old), &mut errors);
            immutable::change(asked, new, old, &mut errors);
        }
    }
    errors
}

/// Rules for pods and volumes grow with every version: what one was stored with, it may keep.
fn keeps_old(row: &Row) -> bool {
    (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("", "PersistentVolume") || template_path(row).is_some()
}

/// What the rules say of an object that they did not say before its change.
fn kept(new: &Value, old: &Value, rules: impl Fn(&Value, &mut ErrorList), errors: &mut ErrorList) {
    let mut found = ErrorList::default();
    rules(new, &mut found);
    if !found.is_empty() {
        let mut before = ErrorList::default();
        rules(old, &mut before);
        found.forgive(&before);
    }
    errors.append(found);
}

fn is_pod(row: &Row) -> bool {
    (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("", "Pod")
}

/// For some kinds a stock server goes over the whole object, and then over its spec as a part of the change: it tells what is wrong there twice.
/// `wrong`: whether anything was found the first time.
fn again(row: &Row, asked: &Row, new: &Value, old: &Value, wrong: bool, errors: &mut ErrorList) {
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("batch", "Job") => batch::spec_with_selector(tree::get(new, &["spec"]).unwrap_or(&Value::Null), errors),
        ("apps", "ReplicaSet" | "DaemonSet") | ("", "ReplicationController") | ("rbac.authorization.k8s.io", _) if wrong => {
            content(row, asked, new, Some(old), errors);
        }
        _ => {}
    }
}

fn is_definition(row: &Row) -> bool {
    (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("apiextensions.k8s.io", "CustomResourceDefinition")
}

/// What is wrong with a review of access of a kind; empty if nothing.
pub fn validate_access_review(row: &Row, review: &Value) -> ErrorList {
    reviews::access(&row.gvk.kind, review)
}

/// What is wrong with a Scale; empty if nothing.
pub fn validate_scale(scale: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    check::not_negative(&mut errors, scale, &FieldPath::root(), &["spec", "replicas"]);
    errors
}

/// What is wrong with the finalizers that a namespace itself is to have (`namespaces/NAME/finalize`); empty if nothing.
pub fn validate_finalize(namespace: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    meta::namespace_finalizers(namespace, &mut errors);
    errors
}

/// The rules of a kind for everything but metadata. `old`: what it was, at an update.
fn content(row: &Row, asked: &Row, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let fresh = old.is_none();
    let (group, kind) = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    match (group, kind) {
        ("", "Pod") => pod::pod(object, fresh, errors),
        ("", "PodTemplate") => pod::template(object, &FieldPath::new("template"), errors),
        ("", "Service") => service::service(object, old, errors),
        ("", "Node") => node::content(object, old, errors),
        ("", "Endpoints") => endpoints::endpoints(object, old, errors),
        ("", "PersistentVolume" | "PersistentVolumeClaim") | ("storage.k8s.io", _) => {
            storage::content(kind, object, fresh, errors);
        }
        ("", _) => core_v1::content(&asked.gvk.group, kind, object, old, errors),
        ("apps", _) => workloads::content(kind, object, fresh, errors),
        ("batch", "Job") => batch::job(object, old, errors),
        ("batch", "CronJob") => cron::cron_job(object, old, errors),
        ("autoscaling", _) => autoscaler::autoscaler(object, old, errors),
        ("policy" | "scheduling.k8s.io" | "node.k8s.io", _) => scaling::content(group, kind, object, errors),
        ("networking.k8s.io" | "discovery.k8s.io", _) => network::content(kind, object, old, errors),
        ("certificates.k8s.io", "CertificateSigningRequest") if fresh => certificates::request(object, errors),
        ("rbac.authorization.k8s.io" | "coordination.k8s.io", _) => access::content(kind, object, errors),
        ("flowcontrol.apiserver.k8s.io", _) => flow::content(kind, object, errors),
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") => {
            hooks::content(kind, object, errors);
        }
        ("admissionregistration.k8s.io", _) => policies::content(kind, object, errors),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::create(object, errors),
        ("apiregistration.k8s.io", _) => extension::content(object, errors),
        ("resource.k8s.io", _) => devices::content(kind, object, errors),
        _ => {}
    }
    if (group, kind) == ("", "ReplicationController") {
        workloads::content(kind, object, fresh, errors);
    }
}
