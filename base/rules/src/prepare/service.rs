//! Update rules of Services: what was allocated stays unless the type no longer has it.
use hashbrown::{HashMap, HashSet};

use serde_json::Value;

use super::Part;
use crate::tree::{get, int, items, items_mut, remove, set, text};

/// Both fields for addresses say the same.
pub fn create(object: &mut Value, _: &super::Birth) {
    let ip = text(object, &["spec", "clusterIP"]).to_owned();
    if !ip.is_empty() && items(object, &["spec", "clusterIPs"]).is_empty() {
        set(object, &["spec", "clusterIPs"], vec![Value::from(ip)]);
    }
    no_policy_within_for_names(object);
}

/// A Service that is only a name has no policy for traffic within the cluster.
fn no_policy_within_for_names(object: &mut Value) {
    let policy = ["spec", "internalTrafficPolicy"];
    if text(object, &["spec", "type"]) == "ExternalName" && matches!(text(object, &policy), "Cluster" | "Local") {
        remove(object, &policy);
    }
}

/// A client that knows only the old field changes both with it.
fn follow_cluster_ip(new: &mut Value, old: &Value) {
    let at = ["spec", "clusterIPs"];
    let (is, was) = (text(new, &["spec", "clusterIP"]).to_owned(), text(old, &["spec", "clusterIP"]));
    if is == was || get(new, &at) != get(old, &at) {
        return;
    }
    if is.is_empty() {
        remove(new, &at);
    } else {
        let mut all = items(new, &at).to_vec();
        if all.is_empty() {
            all.push(Value::Null);
        }
        all[0] = is.into();
        set(new, &at, all);
    }
}

pub fn update(new: &mut Value, old: &Value, part: Part<'_>, _now: &str) {
    if part != Part::Main {
        return;
    }
    carry_allocated(new, old);
    follow_cluster_ip(new, old);
    drop_what_the_type_lacks(new, old);
    no_policy_within_for_names(new);
}

fn has_cluster_ip(service: &Value) -> bool {
    matches!(text(service, &["spec", "type"]), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn has_node_ports(service: &Value) -> bool {
    matches!(text(service, &["spec", "type"]), "NodePort" | "LoadBalancer")
}

fn has_health_port(service: &Value) -> bool {
    text(service, &["spec", "type"]) == "LoadBalancer" && text(service, &["spec", "externalTrafficPolicy"]) == "Local"
}

/// A client that left out what the server had allocated means to keep it.
fn carry_allocated(new: &mut Value, old: &Value) {
    if has_cluster_ip(old) && has_cluster_ip(new) {
        for field in ["clusterIP", "clusterIPs"] {
            let at = ["spec", field];
            let missing = match field {
                "clusterIP" => text(new, &at).is_empty(),
                _ => items(new, &at).is_empty() && text(new, &["spec", "clusterIP"]) == text(old, &["spec", "clusterIP"]),
            };
            if let (true, Some(value)) = (missing, get(old, &at)) {
                set(new, &at, value.clone());
            }
        }
    }
    if has_node_ports(old) && has_node_ports(new) {
        // Ports are known by their names, whatever else of them changes; what another port asks for stays its own.
        let before: HashMap<&str, i64> = items(old, &["spec", "ports"])
            .iter()
            .map(|port| (text(port, &["name"]), int(port, &["nodePort"]).unwrap_or(0)))
            .collect();
        let asked: HashSet<i64> = items(new, &["spec", "ports"]).iter().filter_map(|p| int(p, &["nodePort"])).collect();
        for port in items_mut(new, &["spec", "ports"]) {
            if int(port, &["nodePort"]).unwrap_or(0) != 0 {
                continue;
            }
            let kept = before.get(text(port, &["name"])).copied();
            if let Some(kept) = kept.filter(|kept| *kept != 0 && !asked.contains(kept)) {
                set(port, &["nodePort"], kept);
            }
        }
    }
    if has_health_port(old)
        && has_health_port(new)
        && int(new, &["spec", "healthCheckNodePort"]).unwrap_or(0) == 0
        && let Some(port) = get(old, &["spec", "healthCheckNodePort"])
    {
        set(new, &["spec", "healthCheckNodePort"], port.clone());
    }
}

/// When the type changes and the client sends the old values back, what the new type does not have goes away.
fn drop_what_the_type_lacks(new: &mut Value, old: &Value) {
    let unchanged = |new: &Value, path: &[&str]| get(new, path) == get(old, path);
    if has_cluster_ip(old) && !has_cluster_ip(new) && unchanged(new, &["spec", "clusterIP"]) {
        for field in ["clusterIP", "clusterIPs"] {
            remove(new, &["spec", field]);
        }
        for field in ["ipFamilies", "ipFamilyPolicy"] {
            if unchanged(new, &["spec", field]) {
                remove(new, &["spec", field]);
            }
        }
    }
    if has_node_ports(old) && !has_node_ports(new) {
        let node_ports = |s: &Value| -> Vec<(i64, i64)> {
            items(s, &["spec", "ports"])
                .iter()
                .map(|p| (int(p, &["port"]).unwrap_or(0), int(p, &["nodePort"]).unwrap_or(0)))
                .collect()
        };
        if node_ports(new) == node_ports(old) {
            for port in items_mut(new, &["spec", "ports"]) {
                remove(port, &["nodePort"]);
            }
        }
    }
    if has_health_port(old) && !has_health_port(new) && unchanged(new, &["spec", "healthCheckNodePort"]) {
        remove(new, &["spec", "healthCheckNodePort"]);
    }
    let balancer = |s: &Value| text(s, &["spec", "type"]) == "LoadBalancer";
    if balancer(old) && !balancer(new) {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if unchanged(new, &["spec", field]) {
                remove(new, &["spec", field]);
            }
        }
    }
    let external = |s: &Value| {
        matches!(text(s, &["spec", "type"]), "NodePort" | "LoadBalancer")
            || (text(s, &["spec", "type"]) == "ClusterIP" && !items(s, &["spec", "externalIPs"]).is_empty())
    };
    if external(old) && !external(new) && unchanged(new, &["spec", "externalTrafficPolicy"]) {
        remove(new, &["spec", "externalTrafficPolicy"]);
    }
}
