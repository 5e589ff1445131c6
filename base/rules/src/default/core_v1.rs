//! Defaults of the core group beside pods.
use serde_json::{Map, Value, json};

use super::{child, has, is, objects, or, or_pointer};

pub fn by_code(name: &str, o: &mut Map<String, Value>) {
    match name {
        "Secret" => secret(o),
        "Service" => service(o),
        "ServicePort" => service_port(o),
        "Namespace" => namespace(o),
        "NamespaceStatus" => or(o, "phase", "Active"),
        "NodeSpec" => first_of(o, "podCIDR", "podCIDRs", None),
        "PodStatus" => {
            first_of(o, "podIP", "podIPs", Some("ip"));
            first_of(o, "hostIP", "hostIPs", Some("ip"));
        }
        "NodeStatus" => {
            if let (false, Some(capacity)) = (has(o, "allocatable"), o.get("capacity").cloned()) {
                o.insert("allocatable".into(), capacity);
            }
        }
        "PersistentVolume" => {
            if let Some(status) = child(o, "status") {
                or(status, "phase", "Pending");
            }
            if let Some(spec) = child(o, "spec") {
                or(spec, "persistentVolumeReclaimPolicy", "Retain");
            }
        }
        "PersistentVolumeSpec" => or_pointer(o, "volumeMode", "Filesystem"),
        "PersistentVolumeClaim" => {
            if let Some(status) = child(o, "status") {
                or(status, "phase", "Pending");
            }
        }
        "PersistentVolumeClaimSpec" => claim_spec(o),
        "Endpoints" => {
            for subset in objects(o, "subsets") {
                for port in objects(subset, "ports") {
                    or(port, "protocol", "TCP");
                }
            }
        }
        "LimitRangeItem" => limit_range_item(o),
        "ReplicationController" => replication_controller(o),
        _ => {}
    }
}

/// Data given as text is stored as bytes; the field for text is only ever written to.
fn secret(o: &mut Map<String, Value>) {
    use base64::Engine;
    or(o, "type", "Opaque");
    let Some(Value::Object(texts)) = o.remove("stringData") else { return };
    let Some(data) = child(o, "data") else { return };
    for (key, value) in texts {
        let bytes = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or(""));
        data.insert(key, bytes.into());
    }
}

fn namespace(o: &mut Map<String, Value>) {
    let Some(metadata) = o.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let Some(name) = metadata.get("name").filter(|n| n.as_str().is_some_and(|n| !n.is_empty())).cloned() else { return };
    if let Some(labels) = child(metadata, "labels") {
        labels.insert("kubernetes.io/metadata.name".into(), name);
    }
}

/// An old field for one value and a new one for all: where only one is given it fills the other.
fn first_of(o: &mut Map<String, Value>, one: &str, all: &str, key: Option<&str>) {
    let single = o.get(one).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned);
    let first = o.get(all).and_then(Value::as_array).and_then(|list| list.first()).cloned();
    match (single, first) {
        (Some(value), None) => {
            let item = key.map_or_else(|| json!(value), |key| json!({key: value}));
            o.insert(all.to_owned(), json!([item]));
        }
        // Where both are given and differ, the old field wins.
        (Some(value), Some(first)) => {
            let named = key.map_or(first.as_str(), |key| first.get(key).and_then(Value::as_str)).map(str::to_owned);
            if named.as_deref() != Some(value.as_str()) {
                let item = key.map_or_else(|| json!(value), |key| json!({key: value}));
                o.insert(all.to_owned(), json!([item]));
            }
        }
        (None, Some(first)) => {
            let value = key.map_or_else(|| first.clone(), |key| first.get(key).cloned().unwrap_or(Value::Null));
            if value.is_string() {
                o.insert(one.to_owned(), value);
            }
        }
        _ => {}
    }
}

fn service(o: &mut Map<String, Value>) {
    let Some(spec) = child(o, "spec") else { return };
    or(spec, "sessionAffinity", "None");
    if is(spec, "sessionAffinity", "None") {
        spec.remove("sessionAffinityConfig");
    }
    if is(spec, "sessionAffinity", "ClientIP") {
        let seconds =
            spec.get("sessionAffinityConfig").and_then(|c| c.get("clientIP")).and_then(|c| c.get("timeoutSeconds")).cloned();
        if seconds.is_none() {
            spec.insert("sessionAffinityConfig".into(), json!({"clientIP": {"timeoutSeconds": 10800}}));
        }
    }
    or(spec, "type", "ClusterIP");
    let kind = spec.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    let external_ips = spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && external_ips) {
        or(spec, "externalTrafficPolicy", "Cluster");
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        or_pointer(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        or_pointer(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = o.get_mut("status").and_then(|s| s.get_mut("loadBalancer")).and_then(Value::as_object_mut) {
            for ingress in objects(balancer, "ingress") {
                if has(ingress, "ip") {
                    or_pointer(ingress, "ipMode", "VIP");
                }
            }
        }
    }
}

fn service_port(o: &mut Map<String, Value>) {
    or(o, "protocol", "TCP");
    let unset = match o.get("targetPort") {
        None | Some(Value::Null) => true,
        Some(Value::String(name)) => name.is_empty(),
        Some(n) => n.as_i64() == Some(0),
    };
    if let (true, Some(port)) = (unset, o.get("port").cloned()) {
        o.insert("targetPort".into(), port);
    }
}

/// Of the two ways to name a source of data, each fills the other where it names a thing of the same namespace.
fn claim_spec(o: &mut Map<String, Value>) {
    or_pointer(o, "volumeMode", "Filesystem");
}

fn limit_range_item(o: &mut Map<String, Value>) {
    if !is(o, "type", "Container") {
        return;
    }
    let limits = |o: &Map<String, Value>, name: &str| o.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
    let (max, min) = (limits(o, "max"), limits(o, "min"));
    let mut default = limits(o, "default");
    let mut request = limits(o, "defaultRequest");
    for (name, value) in max {
        default.entry(name).or_insert(value);
    }
    for (name, value) in &default {
        request.entry(name.clone()).or_insert_with(|| value.clone());
    }
    for (name, value) in min {
        request.entry(name).or_insert(value);
    }
    o.insert("default".into(), Value::Object(default));
    o.insert("defaultRequest".into(), Value::Object(request));
}

fn replication_controller(o: &mut Map<String, Value>) {
    let labels = o
        .get("spec")
        .and_then(|s| s.get("template"))
        .and_then(|t| crate::tree::map(t, &["metadata", "labels"]))
        .filter(|labels| !labels.is_empty())
        .cloned();
    if let Some(labels) = labels {
        if let Some(spec) = child(o, "spec")
            && spec.get("selector").and_then(Value::as_object).is_none_or(|s| s.is_empty())
        {
            spec.insert("selector".into(), Value::Object(labels.clone()));
        }
        if let Some(metadata) = child(o, "metadata")
            && metadata.get("labels").and_then(Value::as_object).is_none_or(|s| s.is_empty())
        {
            metadata.insert("labels".into(), Value::Object(labels));
        }
    }
    if let Some(spec) = child(o, "spec") {
        or_pointer(spec, "replicas", 1);
    }
}
