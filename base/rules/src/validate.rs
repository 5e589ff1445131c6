//! Validation: which field is wrong and why, with the paths and texts of a stock server.
//!
//! Each kind's rules follow its API reference page. Kinds without rules of their own are held to metadata alone; what is
//! immutable is checked by `immutable`. A rule that hangs on the version of the request (events) is given that version's row.
use irori_api::{
    field::{ErrorList, FieldPath},
    row::Row,
};
use serde_json::Value;

use crate::prepare::Part;

mod access;
mod batch;
mod cel;
mod check;
mod classes;
mod container;
mod core_v1;
mod definition;
mod devices;
mod extension;
mod flow;
mod hooks;
mod immutable;
mod limits;
mod meta;
mod network;
mod pod;
mod policies;
mod resize;
mod scaling;
mod schema;
mod selector;
mod service;
mod slices;
mod status;
mod storage;
#[cfg(test)]
mod tests;
mod volume;
mod workloads;

pub(crate) use definition::unknown_formats;

/// What is wrong with a new object in the form that is stored; empty if nothing. `asked`: the version of the request.
pub fn validate_create(row: &Row, asked: &Row, object: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    if row.storage.is_none() {
        return errors;
    }
    meta::object(asked, object, &mut errors);
    content(row, asked, object, true, &mut errors);
    errors
}

/// What is wrong with a change in the form that is stored; empty if nothing. `asked`: the version of the request.
pub fn validate_update(row: &Row, asked: &Row, new: &Value, old: &Value, part: Part<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    meta::change(row, new, old, &mut errors);
    match part {
        Part::Status if is_definition(row) => definition::status(new, &mut errors),
        Part::Status => status::change(&row.gvk.group, &row.gvk.kind, new, old, &mut errors),
        _ if is_definition(row) => definition::update(new, old, &mut errors),
        _ => {
            content(row, asked, new, false, &mut errors);
            immutable::change(asked, new, old, part, &mut errors);
        }
    }
    errors
}

fn is_definition(row: &Row) -> bool {
    (row.gvk.group.as_str(), row.gvk.kind.as_str()) == ("apiextensions.k8s.io", "CustomResourceDefinition")
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

/// The rules of a kind for everything but metadata. `fresh`: at creation.
fn content(row: &Row, asked: &Row, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let (group, kind) = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    match (group, kind) {
        ("", "Pod") => pod::pod(object, fresh, errors),
        ("", "PodTemplate") => pod::template(object, &FieldPath::new("template"), errors),
        ("", "Service") => service::service(object, errors),
        ("", "Endpoints") => network::endpoints(object, errors),
        ("", "PersistentVolume" | "PersistentVolumeClaim") | ("storage.k8s.io", _) => storage::content(kind, object, errors),
        ("", _) => core_v1::content(&asked.gvk.group, kind, object, fresh, errors),
        ("apps", _) => workloads::content(kind, object, errors),
        ("batch", _) => batch::content(kind, object, errors),
        ("autoscaling" | "policy" | "scheduling.k8s.io" | "node.k8s.io", _) => scaling::content(group, kind, object, errors),
        ("networking.k8s.io" | "discovery.k8s.io", _) => network::content(kind, object, errors),
        ("rbac.authorization.k8s.io" | "certificates.k8s.io" | "coordination.k8s.io", _) => access::content(kind, object, errors),
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
        workloads::content(kind, object, errors);
    }
}
