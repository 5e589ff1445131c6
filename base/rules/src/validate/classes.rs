//! Storage classes, drivers and what they say of nodes and capacity.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, compute, devices, selector, storage};
use crate::tree::{get, int, items, map, text};

/// Parameters of one class, and the bytes of their keys and values.
const PARAMETERS_MAX: usize = 512;
const PARAMETER_BYTES_MAX: usize = 256 * 1024;
/// Bytes of what a driver calls a node.
const NODE_ID_MAX: usize = 192;
/// Bytes of what a driver says of an attached volume.
const ATTACHED_BYTES_MAX: usize = 256 * 1024;
/// Bytes of the message of an error; what is told of a longer one is the limit above, as stock servers do.
const ERROR_BYTES_MAX: usize = 1024;

pub fn content(kind: &str, object: &Value, spec: &Value, errors: &mut ErrorList) {
    let (root, at) = (FieldPath::root(), FieldPath::new("spec"));
    match kind {
        "StorageClass" => {
            check::required_name(errors, object, &root, &["provisioner"], |p| names::qualified_name(&p.to_lowercase()));
            parameters(object, errors);
            // An empty text is a policy, as stock servers take it.
            match get(object, &["reclaimPolicy"]).and_then(Value::as_str) {
                None => errors.required(root.child("reclaimPolicy"), ""),
                Some("") => {}
                Some(_) => check::one_of(errors, object, &root, &["reclaimPolicy"], &["Delete", "Retain"]),
            }
            match get(object, &["volumeBindingMode"]) {
                None => errors.required(root.child("volumeBindingMode"), ""),
                Some(_) => check::one_of(errors, object, &root, &["volumeBindingMode"], &["Immediate", "WaitForFirstConsumer"]),
            }
            topologies(items(object, &["allowedTopologies"]), &root.child("allowedTopologies"), errors);
        }
        "VolumeAttributesClass" => {
            check::required_name(errors, object, &root, &["driverName"], |p| names::qualified_name(&p.to_lowercase()));
            if map(object, &["parameters"]).is_none_or(|p| p.is_empty()) {
                errors.required(root.child("parameters"), "must contain at least one key/value pair");
            }
            parameters(object, errors);
        }
        "VolumeAttachment" => attachment(spec, &at, errors),
        "CSINode" => csi_node(items(spec, &["drivers"]), &at.child("drivers"), errors),
        "CSIDriver" => csi_driver(spec, &at, errors),
        "CSIStorageCapacity" => {
            let class = text(object, &["storageClassName"]);
            errors.invalid_each(&root.child("storageClassName"), class, names::dns_subdomain(class));
            selector::label_selector(get(object, &["nodeTopology"]), &root.child("nodeTopology"), errors);
            if let Some(amount) = get(object, &["capacity"]).and_then(Value::as_str) {
                compute::quantity_not_negative(amount, &root.child("capacity"), errors);
            }
        }
        _ => {}
    }
}

fn parameters(object: &Value, errors: &mut ErrorList) {
    let Some(given) = map(object, &["parameters"]) else { return };
    let at = FieldPath::new("parameters");
    if given.len() > PARAMETERS_MAX {
        errors.too_long(at, PARAMETERS_MAX);
        return;
    }
    if given.contains_key("") {
        errors.invalid(at.clone(), "", "field can not be empty.");
    }
    let bytes: usize = given.iter().map(|(key, value)| key.len() + value.as_str().unwrap_or("").len()).sum();
    if bytes > PARAMETER_BYTES_MAX {
        errors.too_long(at, PARAMETER_BYTES_MAX);
    }
}

/// Terms of labels that nodes have.
fn topologies(terms: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, term) in terms.iter().enumerate() {
        let requirements = items(term, &["matchLabelExpressions"]);
        let mut keys = HashSet::new();
        for (j, requirement) in requirements.iter().enumerate() {
            let at = at.index(i).child("matchLabelExpressions").index(j);
            let values = items(requirement, &["values"]);
            if values.is_empty() {
                errors.required(at.child("values"), "");
            }
            devices::unique(values.iter().filter_map(Value::as_str), &at.child("values"), errors);
            let key = text(requirement, &["key"]);
            errors.invalid_each(&at.child("key"), key, names::qualified_name(key));
            if !keys.insert(key) {
                errors.duplicate(at.child("key"), key);
            }
        }
        // A term without requirements equals the nothing that stock servers compare with first.
        if !seen.insert(requirements_of(term)) || requirements.is_empty() {
            errors.duplicate(at.index(i).child("matchLabelExpressions"), "");
        }
    }
}

/// What a term asks for, in one order: two terms that ask for the same are equal.
fn requirements_of(term: &Value) -> Vec<(&str, Vec<&str>)> {
    let mut all = Vec::new();
    for requirement in items(term, &["matchLabelExpressions"]) {
        let mut values: Vec<&str> = items(requirement, &["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        all.push((text(requirement, &["key"]), values));
    }
    all.sort_unstable();
    all
}

fn attachment(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    devices::driver(errors, text(spec, &["attacher"]), &at.child("attacher"));
    let source = at.child("source");
    match (get(spec, &["source", "persistentVolumeName"]), get(spec, &["source", "inlineVolumeSpec"])) {
        (None, None) => errors.required(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (None, Some(inline)) => storage::persistent_volume(inline, true, &source.child("inlineVolumeSpec"), errors),
        (Some(_), Some(_)) => errors.forbidden(source, "must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
        (Some(name), None) => {
            if name == "" {
                errors.required(source.child("persistentVolumeName"), "must specify non empty persistentVolumeName");
            }
            let name = name.as_str().unwrap_or("");
            errors.invalid_each(&source.child("persistentVolumeName"), name, names::dns_subdomain(name));
        }
    }
    let node = text(spec, &["nodeName"]);
    errors.invalid_each(&at.child("nodeName"), node, names::dns_subdomain(node));
}

pub fn attachment_status(object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    let status = get(object, &["status"]).unwrap_or(&Value::Null);
    let said = map(status, &["attachmentMetadata"]).into_iter().flatten();
    if said.map(|(key, value)| key.len() + value.as_str().unwrap_or("").len()).sum::<usize>() > ATTACHED_BYTES_MAX {
        errors.too_long(at.child("attachmentMetadata"), ATTACHED_BYTES_MAX);
    }
    for field in ["attachError", "detachError"] {
        let at = at.child(field);
        if text(status, &[field, "message"]).len() > ERROR_BYTES_MAX {
            errors.too_long(at.child("message"), ATTACHED_BYTES_MAX);
        }
        if let Some(code) = int(status, &[field, "errorCode"]).filter(|code| *code < 0) {
            errors.invalid(at.child("errorCode"), code, "must be between 0 and 2147483647, inclusive");
        }
    }
}

fn csi_node(drivers: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, one) in drivers.iter().enumerate() {
        let at = at.index(i);
        let name = text(one, &["name"]);
        devices::driver(errors, name, &at.child("name"));
        let id = text(one, &["nodeID"]);
        if id.is_empty() {
            errors.required(at.child("nodeID"), "");
        } else if id.len() > NODE_ID_MAX {
            errors.invalid(at.child("nodeID"), id, format!("must be {NODE_ID_MAX} characters or less"));
        }
        check::not_negative(errors, one, &at, &["allocatable", "count"]);
        if !seen.insert(name) {
            errors.duplicate(at.child("name"), name);
        }
        // Keys are told at their driver.
        let mut known = HashSet::new();
        for key in items(one, &["topologyKeys"]).iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.required(at.clone(), "");
            }
            if !known.insert(key) {
                errors.duplicate(at.clone(), key);
            }
            errors.invalid_each(&at, key, names::qualified_name(key));
        }
    }
}

fn csi_driver(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::one_of(errors, spec, at, &["fsGroupPolicy"], &["File", "None", "ReadWriteOnceWithFSType"]);
    let requests = items(spec, &["tokenRequests"]);
    let mut seen = HashSet::new();
    for (i, request) in requests.iter().enumerate() {
        let at = at.child("tokenRequests").index(i);
        let audience = text(request, &["audience"]);
        if !seen.insert(audience) {
            errors.duplicate(at.child("audience"), audience);
            continue;
        }
        if let Some(seconds) = int(request, &["expirationSeconds"]) {
            let at = at.child("expirationSeconds");
            if seconds < 600 {
                errors.invalid(at, seconds, "may not specify a duration less than 10 minutes");
            } else if seconds > 1 << 32 {
                errors.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds");
            }
        }
    }
    for mode in items(spec, &["volumeLifecycleModes"]).iter().filter_map(Value::as_str) {
        if !matches!(mode, "Ephemeral" | "Persistent") {
            errors.not_supported(at.child("volumeLifecycleModes"), mode, &["Persistent", "Ephemeral"]);
        }
    }
    if let Some(seconds) = int(spec, &["nodeAllocatableUpdatePeriodSeconds"]).filter(|s| *s < 10) {
        let at = at.child("nodeAllocatableUpdatePeriodSeconds");
        errors.invalid(at, seconds, "must be greater than or equal to 10 seconds");
    }
    if let (Some(given), true) = (get(spec, &["serviceAccountTokenInSecrets"]), requests.is_empty()) {
        let why = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.invalid(at.child("serviceAccountTokenInSecrets"), given.clone(), why);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(kind: &str, object: Value) -> Vec<String> {
        let mut errors = ErrorList::default();
        content(kind, &object, object.get("spec").unwrap_or(&Value::Null), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_class_has_at_most_512_parameters_of_256_kib() {
        let class = |parameters: Value| {
            told(
                "StorageClass",
                json!({"provisioner": "p.example", "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "parameters": parameters}),
            )
        };
        let many =
            |n: usize| -> Value { (0..n).map(|i| (format!("k{i}"), json!("v"))).collect::<serde_json::Map<_, _>>().into() };
        assert_eq!(class(many(512)), [""; 0]);
        assert_eq!(class(many(513)), ["parameters: Too long: may not be more than 512 bytes"]);
        assert_eq!(class(json!({"k": "v".repeat(PARAMETER_BYTES_MAX - 1)})), [""; 0]);
        assert_eq!(
            class(json!({"k": "v".repeat(PARAMETER_BYTES_MAX)})),
            ["parameters: Too long: may not be more than 262144 bytes"]
        );
    }

    #[test]
    fn topologies_of_a_class_differ() {
        let term = |values: Value| json!({"matchLabelExpressions": [{"key": "zone", "values": values}]});
        let class = |terms: Value| {
            let mut errors = ErrorList::default();
            topologies(terms.as_array().unwrap(), &FieldPath::new("t"), &mut errors);
            errors.len()
        };
        assert_eq!(class(json!([term(json!(["a"])), term(json!(["b"]))])), 0);
        assert_eq!(class(json!([term(json!(["a", "b"])), term(json!(["b", "a"]))])), 1);
        assert_eq!(class(json!([{}])), 1);
    }

    #[test]
    fn an_empty_policy_is_one_and_an_empty_mode_is_none() {
        let class = |policy: Value, mode: Value| {
            told("StorageClass", json!({"provisioner": "p.example", "reclaimPolicy": policy, "volumeBindingMode": mode}))
        };
        assert_eq!(class(json!(""), json!("Immediate")), [""; 0]);
        assert_eq!(class(Value::Null, Value::Null).len(), 2);
        assert_eq!(
            class(json!("Delete"), json!("")),
            ["volumeBindingMode: Unsupported value: \"\": supported values: \"Immediate\", \"WaitForFirstConsumer\""]
        );
    }

    #[test]
    fn keys_of_a_topology_are_told_where_they_stand() {
        let mut errors = ErrorList::default();
        let terms = json!([{"matchLabelExpressions": [{"key": "zone", "values": ["a"]}, {"key": "rack", "values": []}]}]);
        topologies(terms.as_array().unwrap(), &FieldPath::new("t"), &mut errors);
        assert_eq!(errors.to_string(), "t[0].matchLabelExpressions[1].values: Required value");
        let node =
            |keys: Value| told("CSINode", json!({"spec": {"drivers": [{"name": "d", "nodeID": "i", "topologyKeys": keys}]}}));
        assert_eq!(node(json!(["a", "a"])), ["spec.drivers[0]: Duplicate value: \"a\""]);
        assert!(node(json!(["b c"]))[0].starts_with("spec.drivers[0]: Invalid value: \"b c\": name part must consist"));
        assert_eq!(node(json!([""]))[0], "spec.drivers[0]: Required value");
    }

    #[test]
    fn what_is_said_of_an_attachment_is_short() {
        let told = |status: Value| {
            let mut errors = ErrorList::default();
            attachment_status(&json!({ "status": status }), &mut errors);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(told(json!({"attachError": {"message": "x".repeat(1024), "errorCode": 0}})), [""; 0]);
        assert_eq!(
            told(json!({
                "attachmentMetadata": {"k": "x".repeat(ATTACHED_BYTES_MAX)},
                "attachError": {"message": "x".repeat(1025)},
                "detachError": {"errorCode": -1},
            })),
            [
                "status.attachmentMetadata: Too long: may not be more than 262144 bytes",
                "status.attachError.message: Too long: may not be more than 262144 bytes",
                "status.detachError.errorCode: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ]
        );
    }

    #[test]
    fn the_id_of_a_node_has_at_most_192_bytes() {
        let node = |id: &str| told("CSINode", json!({"spec": {"drivers": [{"name": "d.example", "nodeID": id}]}}));
        assert_eq!(node(&"i".repeat(192)), [""; 0]);
        assert!(node(&"i".repeat(193))[0].ends_with("must be 192 characters or less"));
    }

    #[test]
    fn tokens_of_a_driver_live_ten_minutes_or_more() {
        let driver = |seconds: i64| {
            told("CSIDriver", json!({"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": seconds}]}}))
        };
        assert_eq!((driver(600).len(), driver(599).len(), driver(1 << 32).len(), driver((1 << 32) + 1).len()), (0, 1, 0, 1));
    }
}
