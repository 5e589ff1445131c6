//! Rows of the core group.
use serde_json::Value;

use super::{Shown, first_of, labels, pod};
use crate::tree::{flag, get, items, map, text};

pub fn cells(group: &str, kind: &str, s: Shown<'_>) -> Option<Vec<Value>> {
    if kind == "Event" {
        return Some(event(group, s));
    }
    if !group.is_empty() {
        return None;
    }
    Some(match kind {
        "Pod" => pod::cells(s),
        "Namespace" => vec![s.name(), s.text(&["status", "phase"]).into(), s.age()],
        "ConfigMap" => vec![s.name(), (s.len(&["data"]) + s.len(&["binaryData"])).into(), s.age()],
        "Secret" => vec![s.name(), s.text(&["type"]).into(), s.len(&["data"]).into(), s.age()],
        "ServiceAccount" => vec![s.name(), s.age()],
        "Service" => service(s),
        "Endpoints" => vec![s.name(), endpoints(s.object).into(), s.age()],
        "Node" => node(s),
        "ResourceQuota" => quota(s),
        _ => return None,
    })
}

/// Core events and events.k8s.io events differ in the names of their fields only.
fn event(group: &str, s: Shown<'_>) -> Vec<Value> {
    let new = group == "events.k8s.io";
    let of = |old: &'static str, newer: &'static str| if new { newer } else { old };
    let object = of("involvedObject", "regarding");
    let either = |first: String, second: String| if first == "<unknown>" { second } else { first };
    let since = |path: &[&str]| s.since(path).as_str().unwrap_or("").to_owned();
    let first = either(since(&[of("firstTimestamp", "deprecatedFirstTimestamp")]), since(&["eventTime"]));
    let mut last = either(since(&[of("lastTimestamp", "deprecatedLastTimestamp")]), first.clone());
    let mut count = crate::tree::int(s.object, &[of("count", "deprecatedCount")]).unwrap_or(0).max(1);
    if s.at(&["series"]).is_some() {
        last = since(&["series", "lastObservedTime"]);
        count = crate::tree::int(s.object, &["series", "count"]).unwrap_or(0);
    }
    let kind = s.text(&[object, "kind"]).to_lowercase();
    let target = match s.text(&[object, "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let source = of("source", "deprecatedSource");
    let said_or = |path: &[&str], other: &str| match s.text(path) {
        "" => s.text(&[other]),
        said => said,
    };
    let component = said_or(&[source, "component"], of("reportingComponent", "reportingController"));
    let host = said_or(&[source, "host"], "reportingInstance");
    let told_by = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
    vec![
        last.into(),
        s.text(&["type"]).into(),
        s.text(&["reason"]).into(),
        target.into(),
        s.text(&[object, "fieldPath"]).into(),
        told_by.into(),
        s.text(&[of("message", "note")]).trim().into(),
        first.into(),
        count.into(),
        s.name(),
    ]
}

fn service(s: Shown<'_>) -> Vec<Value> {
    let ports: Vec<String> = items(s.object, &["spec", "ports"])
        .iter()
        .map(|p| {
            let (port, protocol) = (crate::tree::int(p, &["port"]).unwrap_or(0), text(p, &["protocol"]));
            match crate::tree::int(p, &["nodePort"]).unwrap_or(0) {
                0 => format!("{port}/{protocol}"),
                node => format!("{port}:{node}/{protocol}"),
            }
        })
        .collect();
    let ip = items(s.object, &["spec", "clusterIPs"]).first().and_then(Value::as_str).unwrap_or("<none>");
    vec![
        s.name(),
        s.text(&["spec", "type"]).into(),
        ip.into(),
        external_ip(s.object).into(),
        if ports.is_empty() { "<none>".into() } else { ports.join(",").into() },
        s.age(),
        labels(s.at(&["spec", "selector"])),
    ]
}

fn external_ip(service: &Value) -> String {
    let given: Vec<&str> = items(service, &["spec", "externalIPs"]).iter().filter_map(Value::as_str).collect();
    match text(service, &["spec", "type"]) {
        "ExternalName" => text(service, &["spec", "externalName"]).to_owned(),
        "LoadBalancer" => {
            let mut all = balancer_addresses(service);
            all.extend(given.into_iter().map(str::to_owned));
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ if given.is_empty() => "<none>".into(),
        _ => given.join(","),
    }
}

/// Addresses and names that a load balancer answers on.
pub fn balancer_addresses(object: &Value) -> Vec<String> {
    let mut out: Vec<String> = items(object, &["status", "loadBalancer", "ingress"])
        .iter()
        .map(|i| match text(i, &["ip"]) {
            "" => text(i, &["hostname"]).to_owned(),
            ip => ip.to_owned(),
        })
        .filter(|a| !a.is_empty())
        .collect();
    out.sort();
    out.dedup();
    out
}

fn endpoints(object: &Value) -> String {
    let mut all = Vec::new();
    for subset in items(object, &["subsets"]) {
        let addresses = || items(subset, &["addresses"]).iter().map(|a| text(a, &["ip"]));
        let ports = items(subset, &["ports"]);
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = crate::tree::int(port, &["port"]).unwrap_or(0);
            all.extend(addresses().map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }));
        }
    }
    first_of(&all, 3, "<none>")
}

fn node(s: Shown<'_>) -> Vec<Value> {
    let ready = items(s.object, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == "Ready");
    let mut status = match ready.map(|c| text(c, &["status"])) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if flag(s.object, &["spec", "unschedulable"]) {
        status.push_str(",SchedulingDisabled");
    }
    let mut roles: Vec<&str> = map(s.object, &["metadata", "labels"])
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => Some(role).filter(|r| !r.is_empty()),
            None if key == "kubernetes.io/role" => value.as_str().filter(|r| !r.is_empty()),
            None => None,
        })
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        let found = items(s.object, &["status", "addresses"]).iter().find(|a| text(a, &["type"]) == kind);
        Value::from(found.map_or("<none>", |a| text(a, &["address"])))
    };
    let info = |field: &str| s.or(&["status", "nodeInfo", field], "<unknown>");
    vec![
        s.name(),
        status.into(),
        if roles.is_empty() { "<none>".into() } else { roles.join(",").into() },
        s.age(),
        s.text(&["status", "nodeInfo", "kubeletVersion"]).into(),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn quota(s: Shown<'_>) -> Vec<Value> {
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in map(s.object, &["status", "hard"]).into_iter().flatten() {
        let used = get(s.object, &["status", "used", name]).and_then(Value::as_str).unwrap_or("0");
        let told = format!("{name}: {used}/{}", hard.as_str().unwrap_or("0"));
        if name.starts_with("limits.") { limits.push(told) } else { requests.push(told) }
    }
    vec![s.name(), requests.join(", ").into(), limits.join(", ").into(), s.age()]
}
