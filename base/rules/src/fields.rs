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
            "spec.host",
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
        ("", "Namespace") => &["metadata.name", "status.phase"],
        ("", "Secret") => &["metadata.name", "metadata.namespace", "type"],
        ("", "Service") => &["metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"],
        ("", "ReplicationController") => &["metadata.name", "metadata.namespace", "status.replicas"],
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
            "source",
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

/// The value of a selectable field, `""` where the object has none; `None` if the kind does not support the field. The object is as it
/// is kept: an Event of events.k8s.io has the fields of the core's.
pub fn field_value(row: &Row, object: &Value, field: &str) -> Option<String> {
    if !selectable_fields(row).contains(&field) {
        return None;
    }
    let event = row.gvk.kind == "Event";
    Some(match field {
        "spec.host" => plain(object, "spec.nodeName", ""),
        "reportingController" => plain(object, "reportingComponent", ""),
        "source" if event => {
            let component = text(object, &["source", "component"]);
            let reporting = text(object, &["reportingComponent"]);
            if component.is_empty() { reporting } else { component }.to_owned()
        }
        "status.podIPs" => text(object, &["status", "podIP"]).to_owned(),
        "status.successful" => plain(object, "status.succeeded", "0"),
        "status.replicas" => plain(object, field, "0"),
        "spec.hostNetwork" | "spec.unschedulable" => plain(object, field, "false"),
        other => match other.strip_prefix("regarding.") {
            Some(of) => plain(object, &format!("involvedObject.{of}"), ""),
            None => plain(object, other, ""),
        },
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

#[cfg(test)]
mod tests {
    use irori_api::row::Tables;
    use serde_json::json;

    use super::*;

    fn row(group: &str, resource: &str) -> std::sync::Arc<Row> {
        Tables::builtin().resource(group, "v1", resource).expect("a built-in kind").clone()
    }

    #[test]
    fn an_event_is_selected_by_the_names_of_either_group() {
        let kept = json!({
            "involvedObject": {"kind": "Pod", "name": "p"},
            "reportingComponent": "kubelet",
            "source": {"host": "n"},
            "type": "Normal",
        });
        let cases = [
            ("", "involvedObject.kind", "Pod"),
            ("", "reportingComponent", "kubelet"),
            ("events.k8s.io", "regarding.kind", "Pod"),
            ("events.k8s.io", "regarding.name", "p"),
            ("events.k8s.io", "regarding.fieldPath", ""),
            ("events.k8s.io", "reportingController", "kubelet"),
            ("events.k8s.io", "source", "kubelet"),
            ("events.k8s.io", "type", "Normal"),
        ];
        for (group, field, wanted) in cases {
            assert_eq!(field_value(&row(group, "events"), &kept, field).as_deref(), Some(wanted), "{group} {field}");
        }
        assert_eq!(field_value(&row("events.k8s.io", "events"), &kept, "involvedObject.kind"), None);
    }

    #[test]
    fn a_pod_has_the_old_name_of_its_node() {
        let pod = json!({"spec": {"nodeName": "n"}});
        assert_eq!(field_value(&row("", "pods"), &pod, "spec.host").as_deref(), Some("n"));
    }

    #[test]
    fn what_is_no_field_of_a_kind_is_refused_in_its_words() {
        let only = "\"name\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"";
        for (resource, wanted) in [
            ("namespaces", "field label not supported: name"),
            ("persistentvolumes", only),
            ("persistentvolumeclaims", only),
            ("configmaps", only),
        ] {
            let row = row("", resource);
            assert!(!selectable_fields(&row).contains(&"name"), "{resource}");
            assert_eq!(unsupported_field(&row, "name"), wanted);
        }
    }
}
