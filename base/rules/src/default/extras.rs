//! Defaults of the other groups.
use serde_json::{Map, Value, json};

use super::{child, has, or, or_nonzero, or_pointer};

const RBAC: &str = "rbac.authorization.k8s.io";

pub fn by_code(name: &str, o: &mut Map<String, Value>) {
    match name {
        "api.networking.v1.NetworkPolicyPort" => or_pointer(o, "protocol", "TCP"),
        "api.networking.v1.NetworkPolicySpec" if o.get("policyTypes").and_then(Value::as_array).is_none_or(|t| t.is_empty()) => {
            let egress = o.get("egress").and_then(Value::as_array).is_some_and(|e| !e.is_empty());
            o.insert("policyTypes".into(), if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
        }
        "api.networking.v1.IngressClassParametersReference" => or_pointer(o, "scope", "Cluster"),
        "api.rbac.v1.RoleRef" => or(o, "apiGroup", RBAC),
        "api.rbac.v1.Subject" => {
            if matches!(o.get("kind").and_then(Value::as_str), Some("User" | "Group")) {
                or(o, "apiGroup", RBAC);
            }
        }
        "api.storage.v1.StorageClass" => {
            or_pointer(o, "reclaimPolicy", "Delete");
            or_pointer(o, "volumeBindingMode", "Immediate");
        }
        "api.storage.v1.CSIDriverSpec" => {
            or_pointer(o, "attachRequired", true);
            or_pointer(o, "podInfoOnMount", false);
            or_pointer(o, "storageCapacity", false);
            or_pointer(o, "fsGroupPolicy", "ReadWriteOnceWithFSType");
            or_pointer(o, "requiresRepublish", false);
            or_pointer(o, "seLinuxMount", false);
            if o.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(|m| m.is_empty()) {
                o.insert("volumeLifecycleModes".into(), json!(["Persistent"]));
            }
        }
        "api.discovery.v1.EndpointPort" => {
            or_pointer(o, "name", "");
            or_pointer(o, "protocol", "TCP");
        }
        "api.scheduling.v1.PriorityClass" => or_pointer(o, "preemptionPolicy", "PreemptLowerPriority"),
        "api.flowcontrol.v1.FlowSchemaSpec" => or_nonzero(o, "matchingPrecedence", 1000),
        "api.flowcontrol.v1.LimitedPriorityLevelConfiguration" => {
            or_pointer(o, "nominalConcurrencyShares", 30);
            or_pointer(o, "lendablePercent", 0);
        }
        "api.flowcontrol.v1.ExemptPriorityLevelConfiguration" => {
            or_pointer(o, "nominalConcurrencyShares", 0);
            or_pointer(o, "lendablePercent", 0);
        }
        "api.flowcontrol.v1.QueuingConfiguration" => {
            or_nonzero(o, "queues", 64);
            or_nonzero(o, "handSize", 8);
            or_nonzero(o, "queueLengthLimit", 50);
        }
        "api.admissionregistration.v1.MutatingWebhook" => {
            webhook(o);
            or_pointer(o, "reinvocationPolicy", "Never");
        }
        "api.admissionregistration.v1.ValidatingWebhook" => webhook(o),
        "api.admissionregistration.v1.RuleWithOperations" | "api.admissionregistration.v1.NamedRuleWithOperations" => {
            or_pointer(o, "scope", "*")
        }
        "api.admissionregistration.v1.MatchResources" => {
            or_pointer(o, "matchPolicy", "Equivalent");
            or_pointer(o, "namespaceSelector", json!({}));
            or_pointer(o, "objectSelector", json!({}));
        }
        "api.admissionregistration.v1.ValidatingAdmissionPolicySpec"
        | "api.admissionregistration.v1.MutatingAdmissionPolicySpec" => {
            or_pointer(o, "failurePolicy", "Fail");
        }
        n if n.ends_with(".ServiceReference") => or_pointer(o, "port", 443),
        "api.resource.v1.ExactDeviceRequest" | "api.resource.v1.DeviceSubRequest" => {
            or(o, "allocationMode", "ExactCount");
            if o.get("allocationMode").and_then(Value::as_str) == Some("ExactCount") {
                or_nonzero(o, "count", 1);
            }
        }
        "api.resource.v1.DeviceToleration" => or(o, "operator", "Equal"),
        "api.authentication.v1.TokenRequestSpec" => or_pointer(o, "expirationSeconds", 3600),
        "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionSpec" => custom_resource(o),
        _ => {}
    }
}

fn webhook(o: &mut Map<String, Value>) {
    or_pointer(o, "failurePolicy", "Fail");
    or_pointer(o, "matchPolicy", "Equivalent");
    or_pointer(o, "namespaceSelector", json!({}));
    or_pointer(o, "objectSelector", json!({}));
    or_pointer(o, "timeoutSeconds", 10);
}

fn custom_resource(o: &mut Map<String, Value>) {
    if let Some(names) = child(o, "names") {
        let kind = names.get("kind").and_then(Value::as_str).unwrap_or("").to_owned();
        if !kind.is_empty() {
            or(names, "singular", kind.to_lowercase());
            or(names, "listKind", format!("{kind}List"));
        }
    }
    if !has(o, "conversion") {
        o.insert("conversion".into(), json!({"strategy": "None"}));
    }
}
