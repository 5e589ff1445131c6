//! Rows of the other groups.
use serde_json::Value;

use super::{Shown, age};
use crate::tree::{get, int, items, map, text};

pub fn cells(group: &str, kind: &str, s: Shown<'_>) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("coordination.k8s.io", "Lease") => vec![s.name(), s.text(&["spec", "holderIdentity"]).into(), s.age()],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(s),
        ("node.k8s.io", "RuntimeClass") => vec![s.name(), s.text(&["handler"]).into(), s.age()],
        ("scheduling.k8s.io", "PriorityClass") => vec![
            s.name(),
            s.count(&["value"]),
            crate::tree::flag(s.object, &["globalDefault"]).into(),
            s.age(),
            s.text(&["preemptionPolicy"]).into(),
        ],
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            let duration = int(s.object, &["spec", "expirationSeconds"]).map_or_else(|| "<none>".to_owned(), age::human_duration);
            vec![
                s.name(),
                s.age(),
                s.text(&["spec", "signerName"]).into(),
                s.text(&["spec", "username"]).into(),
                duration.into(),
                request_state(s.object).into(),
            ]
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            vec![s.name(), s.len(&["webhooks"]).into(), s.age()]
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy" | "MutatingAdmissionPolicy") => {
            let count = if kind.starts_with('V') { s.len(&["spec", "validations"]) } else { s.len(&["spec", "mutations"]) };
            let parameters = match s.at(&["spec", "paramKind"]) {
                None => "<unset>".to_owned(),
                Some(p) => format!("{}/{}", text(p, &["apiVersion"]), text(p, &["kind"])),
            };
            vec![s.name(), count.into(), parameters.into(), s.age()]
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding") => {
            vec![s.name(), s.text(&["spec", "policyName"]).into(), parameter(s.object).into(), s.age()]
        }
        ("apiregistration.k8s.io", "APIService") => {
            let service = match s.at(&["spec", "service"]) {
                None => "Local".to_owned(),
                Some(service) => format!("{}/{}", text(service, &["namespace"]), text(service, &["name"])),
            };
            let available = match items(s.object, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == "Available") {
                None => "Unknown".to_owned(),
                Some(c) if text(c, &["status"]) == "True" => "True".to_owned(),
                Some(c) if text(c, &["reason"]).is_empty() => text(c, &["status"]).to_owned(),
                Some(c) => format!("{} ({})", text(c, &["status"]), text(c, &["reason"])),
            };
            vec![s.name(), service.into(), available.into(), s.age()]
        }
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => {
            let dangling = items(s.object, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == "Dangling");
            vec![
                s.name(),
                s.text(&["spec", "priorityLevelConfiguration", "name"]).into(),
                s.count(&["spec", "matchingPrecedence"]),
                s.or(&["spec", "distinguisherMethod", "type"], "<none>"),
                s.age(),
                dangling.map_or("?", |c| text(c, &["status"])).into(),
            ]
        }
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => level(s),
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => vec![s.name(), s.age()],
        ("resource.k8s.io", "ResourceClaim") => vec![s.name(), claim_state(s.object).into(), s.age()],
        ("resource.k8s.io", "ResourceSlice") => vec![
            s.name(),
            s.or(&["spec", "nodeName"], "<unset>"),
            s.text(&["spec", "driver"]).into(),
            s.text(&["spec", "pool", "name"]).into(),
            s.age(),
        ],
        _ => return None,
    })
}

fn binding(s: Shown<'_>) -> Vec<Value> {
    let of = |kind: &str| -> Value {
        let told: Vec<String> = items(s.object, &["subjects"])
            .iter()
            .filter(|subject| text(subject, &["kind"]) == kind)
            .map(|subject| match kind {
                "ServiceAccount" => format!("{}/{}", text(subject, &["namespace"]), text(subject, &["name"])),
                _ => text(subject, &["name"]).to_owned(),
            })
            .collect();
        told.join(", ").into()
    };
    let role = format!("{}/{}", s.text(&["roleRef", "kind"]), s.text(&["roleRef", "name"]));
    vec![s.name(), role.into(), s.age(), of("User"), of("Group"), of("ServiceAccount")]
}

fn request_state(object: &Value) -> String {
    let has = |kind: &str| items(object, &["status", "conditions"]).iter().any(|c| text(c, &["type"]) == kind);
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !text(object, &["status", "certificate"]).is_empty() {
        state.push_str(",Issued");
    }
    state
}

fn parameter(object: &Value) -> String {
    let Some(parameter) = get(object, &["spec", "paramRef"]) else { return "<unset>".into() };
    match (text(parameter, &["namespace"]), text(parameter, &["name"])) {
        (_, "") => get(parameter, &["selector"]).map(go_selector).unwrap_or_default(),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

/// A label selector as Go's protobuf types print themselves.
fn go_selector(selector: &Value) -> String {
    let mut labels: Vec<String> = map(selector, &["matchLabels"])
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}: {},", value.as_str().unwrap_or("")))
        .collect();
    labels.sort_unstable();
    let expressions: String = items(selector, &["matchExpressions"])
        .iter()
        .map(|e| {
            let values: Vec<&str> = items(e, &["values"]).iter().filter_map(Value::as_str).collect();
            let (key, operator) = (text(e, &["key"]), text(e, &["operator"]));
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
        })
        .collect();
    let labels = labels.concat();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn level(s: Shown<'_>) -> Vec<Value> {
    let number = |path: &[&str]| int(s.object, path).map_or_else(|| Value::from("<none>"), Value::from);
    let queuing = |field: &str| number(&["spec", "limited", "limitResponse", "queuing", field]);
    vec![
        s.name(),
        s.text(&["spec", "type"]).into(),
        number(&["spec", "limited", "nominalConcurrencyShares"]),
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        s.age(),
    ]
}

fn claim_state(object: &Value) -> String {
    let mut states = Vec::new();
    let deleted = get(object, &["metadata", "deletionTimestamp"]).is_some();
    if deleted {
        states.push("deleted");
    }
    if get(object, &["status", "allocation"]).is_none() {
        if !deleted {
            states.push("pending");
        }
    } else {
        states.push("allocated");
        if !items(object, &["status", "reservedFor"]).is_empty() {
            states.push("reserved");
        }
    }
    states.join(",")
}
