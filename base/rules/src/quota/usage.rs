//! What one object uses.
use irori_api::quantity::{Format, Quantity};
use serde_json::Value;

use super::{Amounts, Resource, pod};
use crate::tree::{get, int, items, text};

/// Devices that an allocation holds at most: what a request for all of them counts as.
const ALL_DEVICES: i64 = 32;

pub fn number(n: i64) -> Quantity {
    Quantity::new(n, Format::DecimalSi)
}

/// Amounts by name: one of its kind, and what the kind counts besides.
pub fn usage(resource: Resource<'_>, object: &Value) -> Amounts {
    let (group, plural) = resource;
    let mut used = Amounts::new();
    if !super::is_counted(resource) {
        return used;
    }
    let counted = if group.is_empty() { format!("count/{plural}") } else { format!("count/{plural}.{group}") };
    used.insert(counted, number(1));
    match (group, plural) {
        ("", "pods") => used.extend(pod::usage(object)),
        ("", "services") => service(object, &mut used),
        ("", "persistentvolumeclaims") => claim(object, &mut used),
        ("", "replicationcontrollers" | "resourcequotas" | "secrets" | "configmaps") => {
            used.insert(plural.to_owned(), number(1));
        }
        ("resource.k8s.io", "resourceclaims") => devices(object, &mut used),
        _ => {}
    }
    used
}

fn service(service: &Value, used: &mut Amounts) {
    used.insert("services".into(), number(1));
    let ports = items(service, &["spec", "ports"]);
    let count = |n: usize| number(i64::try_from(n).unwrap_or(i64::MAX));
    match text(service, &["spec", "type"]) {
        "NodePort" => {
            used.insert("services.nodeports".into(), count(ports.len()));
        }
        "LoadBalancer" => {
            used.insert("services.loadbalancers".into(), number(1));
            let given = get(service, &["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false));
            let taken = ports.iter().filter(|p| given || int(p, &["nodePort"]).unwrap_or(0) != 0).count();
            used.insert("services.nodeports".into(), count(taken));
        }
        _ => {}
    }
}

fn claim(claim: &Value, used: &mut Amounts) {
    let class = match text(claim, &["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]) {
        "" => text(claim, &["spec", "storageClassName"]),
        old => old,
    };
    let size: Option<Quantity> = get(claim, &["spec", "resources", "requests", "storage"]).and_then(|s| s.as_str()?.parse().ok());
    let of_class = |name: &str| (!class.is_empty()).then(|| format!("{class}.storageclass.storage.k8s.io/{name}"));
    for name in [Some("persistentvolumeclaims".to_owned()), of_class("persistentvolumeclaims")].into_iter().flatten() {
        used.insert(name, number(1));
    }
    if let Some(size) = size {
        for name in [Some("requests.storage".to_owned()), of_class("requests.storage")].into_iter().flatten() {
            used.insert(name, size);
        }
    }
}

fn devices(claim: &Value, used: &mut Amounts) {
    for request in items(claim, &["spec", "devices", "requests"]) {
        let ways =
            get(request, &["exactly"]).map_or_else(|| items(request, &["firstAvailable"]).iter().collect(), |one| vec![one]);
        // Of alternatives each class has to have room for its own.
        for way in ways {
            let count = match text(way, &["allocationMode"]) {
                "All" => ALL_DEVICES,
                _ => int(way, &["count"]).unwrap_or(1),
            };
            let name = format!("{}.deviceclass.resource.k8s.io/devices", text(way, &["deviceClassName"]));
            let sum = used.get(&name).and_then(|so_far| so_far.checked_add(&number(count))).unwrap_or_else(|| number(count));
            used.insert(name, sum);
        }
    }
}
