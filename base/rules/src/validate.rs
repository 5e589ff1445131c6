//! Validation: which field is wrong and why, with the paths and texts of a stock server.
//!
//! Each kind's rules follow its API reference page. Kinds without rules of their own are held to metadata alone; what is
//! immutable is checked by `immutable`.
use irori_api::{
    field::{ErrorList, FieldPath},
    row::{Row, Tables},
};
use serde_json::Value;

use crate::prepare::Part;

mod access;
mod batch;
mod check;
mod container;
mod core_v1;
mod immutable;
mod limits;
mod meta;
mod network;
mod pod;
mod resize;
mod scaling;
mod selector;
mod service;
mod storage;
#[cfg(test)]
mod tests;
mod volume;
mod workloads;

/// What is wrong with a new object; empty if nothing.
pub fn validate_create(_tables: &Tables, row: &Row, object: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    if row.storage.is_none() {
        return errors;
    }
    meta::object(row, object, &mut errors);
    content(row, object, true, &mut errors);
    errors
}

/// What is wrong with a change; empty if nothing.
pub fn validate_update(_tables: &Tables, row: &Row, new: &Value, old: &Value, part: Part<'_>) -> ErrorList {
    let mut errors = ErrorList::default();
    meta::change(row, new, old, &mut errors);
    match part {
        Part::Status => {}
        _ => {
            content(row, new, false, &mut errors);
            immutable::change(row, new, old, part, &mut errors);
        }
    }
    errors
}

/// What is wrong with a Scale; empty if nothing.
pub fn validate_scale(scale: &Value) -> ErrorList {
    let mut errors = ErrorList::default();
    check::not_negative(&mut errors, scale, &FieldPath::root(), &["spec", "replicas"]);
    errors
}

/// The rules of a kind for everything but metadata. `fresh`: at creation.
fn content(row: &Row, object: &Value, fresh: bool, errors: &mut ErrorList) {
    let (group, kind) = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    match (group, kind) {
        ("", "Pod") => pod::pod(object, fresh, errors),
        ("", "PodTemplate") => pod::template(object, &FieldPath::new("template"), errors),
        ("", "Service") => service::service(object, errors),
        ("", "Endpoints") => network::endpoints(object, errors),
        ("", "PersistentVolume" | "PersistentVolumeClaim") | ("storage.k8s.io", _) => storage::content(kind, object, errors),
        ("", _) | ("events.k8s.io", "Event") => core_v1::content(group, kind, object, fresh, errors),
        ("apps", _) => workloads::content(kind, object, errors),
        ("batch", _) => batch::content(kind, object, errors),
        ("autoscaling" | "policy" | "scheduling.k8s.io" | "node.k8s.io", _) => scaling::content(group, kind, object, errors),
        ("networking.k8s.io" | "discovery.k8s.io", _) => network::content(kind, object, errors),
        ("rbac.authorization.k8s.io" | "certificates.k8s.io" | "coordination.k8s.io", _) => access::content(kind, object, errors),
        _ => {}
    }
    if (group, kind) == ("", "ReplicationController") {
        workloads::content(kind, object, errors);
    }
}
