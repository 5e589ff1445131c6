//! Field selectors: which a kind supports, and their values.
use irori_api::row::Row;
use serde_json::Value;

use crate::tree::{get, text};

/// What every kind supports.
const PLAIN: &[&str] = &["metadata.name", "metadata.namespace"];

/// The fields of a kind that a field selector may name. Source: the field label conversions of each API group.
pub fn selectable_fields(row: &Row) -> &'static [&'static str] {
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("", "Pod") => &[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        ("", "Node") => &["metadata.name", "spec.unschedulable"],
        ("", "Namespace") => &["metadata.name", "status.phase", "name"],
        ("", "Secret") => &["metadata.name", "metadata.namespace", "type"],
        ("", "Service") => &["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
        ("", "ReplicationController") => &["metadata.name", "metadata.namespace", "status.replicas"],
        ("", "PersistentVolume") => &["metadata.name", "name"],
        ("", "PersistentVolumeClaim") => &["metadata.name", "metadata.namespace", "name"],
        ("", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("events.k8s.io", "Event") => &[
            "metadata.name",
            "metadata.namespace",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        ("apps", "ReplicaSet") => &["metadata.name", "metadata.namespace", "status.replicas"],
        ("batch", "Job") => &["metadata.name", "metadata.namespace", "status.successful"],
        ("certificates.k8s.io", "CertificateSigningRequest") => &["metadata.name", "spec.signerName"],
        ("networking.k8s.io", "IPAddress") => &["metadata.name"],
        ("resource.k8s.io", "ResourceSlice") => &["metadata.name", "spec.nodeName", "spec.driver"],
        _ => PLAIN,
    }
}

/// The value of a selectable field, `""` where the object has none; `None` if the kind does not support the field.
pub fn field_value(row: &Row, object: &Value, field: &str) -> Option<String> {
    if !selectable_fields(row).contains(&field) {
        return None;
    }
    let event = row.gvk.kind == "Event";
    Some(match field {
        "name" => text(object, &["metadata", "name"]).to_owned(),
        "source" if event => {
            let component = text(object, &["source", "component"]);
            let reporting = text(object, &["reportingComponent"]);
            if component.is_empty() { reporting } else { component }.to_owned()
        }
        "status.podIPs" => text(object, &["status", "podIP"]).to_owned(),
        "status.successful" => plain(object, "status.succeeded", "0"),
        "status.replicas" => plain(object, field, "0"),
        "spec.hostNetwork" | "spec.unschedulable" => plain(object, field, "false"),
        other => plain(object, other, ""),
    })
}

fn plain(object: &Value, field: &str, absent: &str) -> String {
    let path: Vec<&str> = field.split('.').collect();
    match get(object, &path) {
        None | Some(Value::Null) => absent.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The refusal of a field that a kind does not support: the whole message of the 400 answer.
pub fn unsupported_field(row: &Row, field: &str) -> String {
    if selectable_fields(row) == PLAIN {
        return format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    }
    format!("field label not supported: {field}")
}
