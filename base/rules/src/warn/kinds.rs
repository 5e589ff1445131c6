//! Warnings of kinds that have few.
use irori_api::field::FieldPath;
use serde_json::Value;

use super::{address, each, fraction, node_labels, tls};
use crate::tree::{get, int, items, map, text};

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub fn content(group: &str, kind: &str, object: &Value, told: &mut Vec<String>) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let annotated = |key: &str| map(object, &["metadata", "annotations"]).is_some_and(|a| a.contains_key(key));
    match (group, kind) {
        ("", "Service") => service(object, spec, &at, told),
        ("", "Secret") if text(object, &["type"]) == "kubernetes.io/tls" => told.extend(tls::pair(object)),
        ("", "Node") => {
            if !text(spec, &["externalID"]).is_empty() {
                told.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".into());
            }
            for (at, cidr) in each(spec, &["podCIDRs"], &at) {
                address::cidr(cidr.as_str().unwrap_or(""), &at, told);
            }
        }
        ("", "ServiceAccount") if annotated("kubernetes.io/enforce-mountable-secrets") => {
            told.push(
                "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate namespaces \
                 to isolate access to mounted secrets"
                    .into(),
            );
        }
        ("", "PersistentVolume") => volume(object, spec, &at, told),
        ("", "PersistentVolumeClaim") => {
            if annotated(OLD_CLASS) {
                told.push(old_class());
            }
            claim(spec, &at, told);
        }
        ("", "Endpoints") => {
            for (at, subset) in each(object, &["subsets"], &FieldPath::root()) {
                for field in ["addresses", "notReadyAddresses"] {
                    for (at, one) in each(subset, &[field], &at) {
                        address::ip(text(one, &["ip"]), &at.child("ip"), told);
                    }
                }
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for (at, endpoint) in each(object, &["endpoints"], &FieldPath::root()) {
                for (at, one) in each(endpoint, &["addresses"], &at) {
                    address::ip(one.as_str().unwrap_or(""), &at, told);
                }
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => policy(spec, &at, told),
        ("networking.k8s.io", "Ingress") if annotated("kubernetes.io/ingress.class") => {
            told.push(
                "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead".into(),
            );
        }
        ("storage.k8s.io", "StorageClass") => {
            for (at, term) in each(object, &["allowedTopologies"], &FieldPath::root()) {
                node_labels::expressions(term, "matchLabelExpressions", &at, told);
            }
        }
        ("storage.k8s.io", "CSIDriver")
            if !items(spec, &["tokenRequests"]).is_empty() && get(spec, &["serviceAccountTokenInSecrets"]).is_none() =>
        {
            told.push(
                "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging \
                 of tokens in volume attributes"
                    .into(),
            );
        }
        ("node.k8s.io", "RuntimeClass") => {
            for key in map(object, &["scheduling", "nodeSelector"]).into_iter().flatten().map(|(key, _)| key) {
                if let Some(why) = node_labels::replaced(key) {
                    told.push(format!("scheduling.nodeSelector: {key} is {why}"));
                }
            }
        }
        _ => {}
    }
}

fn old_class() -> String {
    format!("metadata.annotations[{OLD_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead")
}

/// Fractions of bytes that a claim asks for.
pub fn claim(spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for side in ["requests", "limits"] {
        fraction(get(spec, &["resources", side, "storage"]), &at.child("resources").child(side).key("storage"), told);
    }
}

pub fn stateful_set(object: &Value, told: &mut Vec<String>) {
    for (at, template) in each(object, &["spec", "volumeClaimTemplates"], &FieldPath::root()) {
        claim(get(template, &["spec"]).unwrap_or(&Value::Null), &at.child("spec"), told);
    }
    if int(object, &["spec", "revisionHistoryLimit"]).is_some_and(|n| n < 0) {
        told.push(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended".into(),
        );
    }
}

fn service(object: &Value, spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    if map(object, &["metadata", "annotations"]).is_some_and(|a| a.contains_key(HINTS)) {
        told.push(format!("annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    let (kind, first) = (text(spec, &["type"]), text(spec, &["clusterIP"]));
    let external = items(spec, &["externalIPs"]);
    for (at, ip) in each(spec, &["clusterIPs"], at) {
        address::ip(ip.as_str().unwrap_or(""), &at, told);
    }
    let headless = kind == "ClusterIP" && first == "None";
    if headless {
        for (ignored, field) in [
            (!text(spec, &["loadBalancerIP"]).is_empty(), "loadBalancerIP"),
            (!external.is_empty(), "externalIPs"),
            (text(spec, &["sessionAffinity"]) != "None", "SessionAffinity"),
        ] {
            if ignored {
                told.push(format!("spec.{field} is ignored for headless services"));
            }
        }
    }
    for (at, ip) in each(spec, &["externalIPs"], at) {
        address::ip(ip.as_str().unwrap_or(""), &at, told);
    }
    if !external.is_empty() && !headless && kind != "ExternalName" {
        told.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".into());
    }
    address::ip(text(spec, &["loadBalancerIP"]), &at.child("loadBalancerIP"), told);
    for (at, range) in each(spec, &["loadBalancerSourceRanges"], at) {
        address::cidr(range.as_str().unwrap_or(""), &at, told);
    }
    if kind == "ExternalName" && !external.is_empty() {
        told.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".into());
    }
    if kind != "ExternalName" && !text(spec, &["externalName"]).is_empty() {
        told.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".into());
    }
    if text(spec, &["trafficDistribution"]) == "PreferClose" {
        told.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".into());
    }
}

fn volume(object: &Value, spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for key in map(object, &["metadata", "annotations"]).into_iter().flatten().map(|(key, _)| key.as_str()) {
        match key {
            OLD_CLASS => told.push(old_class()),
            "volume.beta.kubernetes.io/mount-options" => {
                told.push(format!("metadata.annotations[{key}]: deprecated since v1.31; use \"mountOptions\" attribute instead"))
            }
            _ => {}
        }
    }
    if text(spec, &["persistentVolumeReclaimPolicy"]) == "Recycle" {
        told.push(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use \
             dynamic provisioning."
                .into(),
        );
    }
    for (field, history) in super::pod::GONE_VOLUMES {
        if get(spec, &[field]).is_some() {
            told.push(format!("{}: {history}", at.child(field)));
        }
    }
    let terms = ["nodeAffinity", "required", "nodeSelectorTerms"];
    for (at, term) in each(spec, &terms, at) {
        node_labels::term(term, &at, told);
    }
}

fn policy(spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        for (at, rule) in each(spec, &[side], at) {
            for (at, peer) in each(rule, &[peers], &at) {
                address::cidr(text(peer, &["ipBlock", "cidr"]), &at.child("ipBlock").child("cidr"), told);
                for (at, except) in each(peer, &["ipBlock", "except"], &at) {
                    address::cidr(except.as_str().unwrap_or(""), &at, told);
                }
            }
        }
    }
}
