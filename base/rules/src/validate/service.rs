//! Services.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{
    address::{self, Kept},
    check,
    definition::shown,
    meta,
};
use crate::tree::{get, int, items, text};

/// `old`: what it was, at an update.
pub fn service(object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let fresh = old.is_none();
    let before = old.and_then(|old| get(old, &["spec"])).unwrap_or(&Value::Null);
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    let kind = text(spec, &["type"]);
    let ports = items(spec, &["ports"]);
    let headless = text(spec, &["clusterIP"]) == "None";
    if ports.is_empty() && !headless && kind != "ExternalName" {
        errors.required(at.child("ports"), "");
    }
    of_type(spec, kind, &at, errors);
    all_ports(spec, kind, fresh, &at, errors);
    meta::labels(get(spec, &["selector"]), &at.child("selector"), errors);
    affinity(spec, &at, errors);
    addresses(spec, before, kind, &at, errors);
    let kept = texts(before, "externalIPs");
    for (i, ip) in items(spec, &["externalIPs"]).iter().filter_map(Value::as_str).enumerate() {
        let at = at.child("externalIPs").index(i);
        if address::ip(errors, ip, &at, &kept) {
            address::special(ip, &at, errors);
        }
    }
    check::required_one_of(errors, spec, &at, &["type"], &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]);
    balancer(spec, before, kind, &at, errors);
    traffic(spec, kind, &at, errors);
}

/// The texts of a list.
fn texts<'a>(spec: &'a Value, list: &str) -> Kept<'a> {
    items(spec, &[list]).iter().filter_map(Value::as_str).collect()
}

fn of_type(spec: &Value, kind: &str, at: &FieldPath, errors: &mut ErrorList) {
    match kind {
        "LoadBalancer" | "NodePort" if text(spec, &["clusterIP"]) == "None" => {
            errors.invalid(at.child("clusterIPs").index(0), "None", format!("may not be set to 'None' for {kind} services"));
        }
        "ExternalName" => {
            for field in ["clusterIPs", "ipFamilies"] {
                if !items(spec, &[field]).is_empty() {
                    errors.forbidden(at.child(field), "may not be set for ExternalName services");
                }
            }
            if get(spec, &["ipFamilyPolicy"]).is_some() {
                errors.forbidden(at.child("ipFamilyPolicy"), "may not be set for ExternalName services");
            }
            let name = text(spec, &["externalName"]);
            if name.is_empty() {
                errors.required(at.child("externalName"), "");
            } else {
                errors.invalid_each(
                    &at.child("externalName"),
                    name,
                    names::dns_subdomain(name.strip_suffix('.').unwrap_or(name)),
                );
            }
        }
        _ => {}
    }
}

fn all_ports(spec: &Value, kind: &str, fresh: bool, at: &FieldPath, errors: &mut ErrorList) {
    let ports = items(spec, &["ports"]);
    let gives_ports = kind == "NodePort"
        || (kind == "LoadBalancer" && get(spec, &["allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false)));
    let (mut names, mut nodes, mut own) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (i, port) in ports.iter().enumerate() {
        let at = at.child("ports").index(i);
        let name = text(port, &["name"]);
        if name.is_empty() {
            if ports.len() > 1 {
                errors.required(at.child("name"), "");
            }
        } else {
            errors.invalid_each(&at.child("name"), name, names::dns_label(name));
            if !names.insert(name) {
                errors.duplicate(at.child("name"), name);
            }
        }
        let number = int(port, &["port"]).unwrap_or(0);
        errors.invalid_each(&at.child("port"), number, names::port_number(number));
        check::required_one_of(errors, port, &at, &["protocol"], &["SCTP", "TCP", "UDP"]);
        check::port(errors, get(port, &["targetPort"]), &at.child("targetPort"));
        check::name(errors, port, &at, &["appProtocol"], names::qualified_name);
        if kind == "ClusterIP" && int(port, &["nodePort"]).unwrap_or(0) != 0 {
            errors.forbidden(at.child("nodePort"), "may not be used when `type` is 'ClusterIP'");
        }
        let (node, protocol) = (int(port, &["nodePort"]).unwrap_or(0), text(port, &["protocol"]));
        // Ports of one number are given one node port; of one protocol they cannot share it. Of a new Service, the allocation
        // tells those of different numbers.
        let gets = if node == 0 || (fresh && matches!(kind, "NodePort" | "LoadBalancer")) { int(port, &["port"]) } else { None };
        if !nodes.insert((node, protocol, gets)) && (node != 0 || gives_ports) {
            errors.duplicate(at.child("nodePort"), node);
        }
        if kind == "LoadBalancer" && number == 10250 {
            errors.invalid(at.child("port"), number, "may not expose port 10250 externally since it is used by kubelet");
        }
    }
    for (i, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, &["protocol"]), int(port, &["port"]).unwrap_or(0));
        if !own.insert((protocol, number)) {
            let shown = format!(
                "{{\"Name\":\"\",\"Protocol\":{},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}",
                shown::json(&Value::from(protocol))
            );
            check::wrong_go(errors, at.child("ports").index(i), Wrong::Duplicate, &shown, "");
        }
    }
}

fn affinity(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    check::required_one_of(errors, spec, at, &["sessionAffinity"], &["ClientIP", "None"]);
    let config = get(spec, &["sessionAffinityConfig"]);
    match text(spec, &["sessionAffinity"]) {
        "ClientIP" => {
            let at = at.child("sessionAffinityConfig").child("clientIP").child("timeoutSeconds");
            match config.and_then(|c| int(c, &["clientIP", "timeoutSeconds"])) {
                None => errors.required(at, "when session affinity type is ClientIP"),
                Some(seconds) if seconds <= 0 || seconds > 86_400 => {
                    errors.invalid(at, seconds, "must be greater than 0 and less than or equal to 86400");
                }
                Some(_) => {}
            }
        }
        "None" if config.is_some() => {
            errors.forbidden(at.child("sessionAffinityConfig"), "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn addresses(spec: &Value, before: &Value, kind: &str, at: &FieldPath, errors: &mut ErrorList) {
    if kind == "ExternalName" {
        // It has none of them, which is told elsewhere.
        return;
    }
    let families = items(spec, &["ipFamilies"]);
    let mut seen = HashSet::new();
    for (i, family) in families.iter().filter_map(Value::as_str).enumerate() {
        let at = at.child("ipFamilies").index(i);
        if !matches!(family, "IPv4" | "IPv6") {
            errors.not_supported(at, family, &["IPv4", "IPv6"]);
        } else if !seen.insert(family) {
            errors.duplicate(at, family);
        }
    }
    check::one_of(errors, spec, at, &["ipFamilyPolicy"], &["PreferDualStack", "RequireDualStack", "SingleStack"]);
    let first = text(spec, &["clusterIP"]);
    let all = items(spec, &["clusterIPs"]);
    if first.is_empty() {
        if !all.is_empty() {
            errors.invalid(at.child("clusterIPs"), Value::Array(all.to_vec()), "must be empty when `clusterIP` is not specified");
        }
    } else if all.first().is_some_and(|ip| ip != first) {
        errors.invalid(at.child("clusterIPs"), Value::Array(all.to_vec()), "first value must match `clusterIP`");
    }
    let path = at.child("clusterIPs");
    let (kept, told) = (texts(before, "clusterIPs"), errors.len());
    for (i, ip) in all.iter().filter_map(Value::as_str).enumerate() {
        if (i, ip) != (0, "None") {
            address::ip(errors, ip, &path.index(i), &kept);
        } else if all.len() > 1 {
            errors.invalid(path.clone(), Value::Array(all.to_vec()), "'None' must be the first and only value");
        }
    }
    let broken = errors.len() > told;
    if all.len() > 2 {
        errors.invalid(path.clone(), Value::Array(all.to_vec()), "may only hold up to 2 values");
    }
    if broken {
        return;
    }
    let is_six = |ip: &Value| ip.as_str().is_some_and(|ip| ip.contains(':'));
    let one_of_each = all.len() == 2 && is_six(&all[0]) != is_six(&all[1]);
    if all.len() > 1 && !one_of_each {
        errors.invalid(path.clone(), Value::Array(all.to_vec()), "may specify no more than one IP for each IP family");
    }
    for (i, (ip, family)) in all.iter().zip(families).enumerate().filter(|(_, (ip, _))| *ip != "None") {
        let given = if is_six(ip) { "IPv6" } else { "IPv4" };
        if matches!(family.as_str(), Some("IPv4" | "IPv6")) && family != given {
            let why = format!("expected an {} value as indicated by `ipFamilies[{i}]`", family.as_str().unwrap_or(""));
            errors.invalid(path.index(i), ip.clone(), why);
        }
    }
}

fn balancer(spec: &Value, before: &Value, kind: &str, at: &FieldPath, errors: &mut ErrorList) {
    const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";
    let balancer = kind == "LoadBalancer";
    let ranges = items(spec, &["loadBalancerSourceRanges"]);
    // This path is spelled with a capital in the API itself.
    let ranges_at = at.child("LoadBalancerSourceRanges");
    if !ranges.is_empty() && !balancer {
        errors.forbidden(ranges_at.clone(), ONLY);
    }
    let kept = texts(before, "loadBalancerSourceRanges").into_iter().map(str::trim).collect();
    for (i, range) in ranges.iter().filter_map(Value::as_str).enumerate() {
        address::cidr(errors, range.trim(), &ranges_at.index(i), &kept);
    }
    if get(spec, &["allocateLoadBalancerNodePorts"]).is_some() && !balancer {
        errors.forbidden(at.child("allocateLoadBalancerNodePorts"), ONLY);
    }
    if let Some(class) = get(spec, &["loadBalancerClass"]).and_then(Value::as_str) {
        if balancer {
            errors.invalid_each(&at.child("loadBalancerClass"), class, names::qualified_name(class));
        } else {
            errors.forbidden(at.child("loadBalancerClass"), ONLY);
        }
    }
}

fn traffic(spec: &Value, kind: &str, at: &FieldPath, errors: &mut ErrorList) {
    let external =
        matches!(kind, "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && !items(spec, &["externalIPs"]).is_empty());
    let policy = text(spec, &["externalTrafficPolicy"]);
    let path = at.child("externalTrafficPolicy");
    if !policy.is_empty() && !external {
        errors.invalid(path.clone(), policy, "may only be set for externally-accessible services");
    }
    if external && policy.is_empty() {
        errors.required(path.clone(), "");
    }
    if !policy.is_empty() && external && !matches!(policy, "Cluster" | "Local") {
        errors.not_supported(path, policy, &["Cluster", "Local"]);
    }
    let health = int(spec, &["healthCheckNodePort"]).unwrap_or(0);
    let health_at = at.child("healthCheckNodePort");
    if health != 0 && kind == "LoadBalancer" && policy == "Local" {
        errors.invalid_each(&health_at, health, names::port_number(health));
    } else if health != 0 {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.invalid(health_at, health, why);
    }
    if matches!(kind, "ClusterIP" | "NodePort" | "LoadBalancer") && get(spec, &["internalTrafficPolicy"]).is_none() {
        errors.required(at.child("internalTrafficPolicy"), "");
    }
    check::one_of(errors, spec, at, &["internalTrafficPolicy"], &["Cluster", "Local"]);
    check::one_of(errors, spec, at, &["trafficDistribution"], &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// The status of a Service: where its load balancer is reached. Addresses that were there stay as they are.
pub fn status(new: &Value, old: &Value, errors: &mut ErrorList) {
    let path = ["status", "loadBalancer", "ingress"];
    let at = check::below(&FieldPath::root(), &path);
    let places = items(new, &path);
    if !places.is_empty() && text(new, &["spec", "type"]) != "LoadBalancer" {
        errors.forbidden(at, "may only be used when `spec.type` is \"LoadBalancer\"");
        return;
    }
    let before: HashSet<&str> = items(old, &path).iter().map(|place| text(place, &["ip"])).collect();
    for (i, place) in places.iter().enumerate() {
        let at = at.index(i);
        let (ip, name) = (text(place, &["ip"]), text(place, &["hostname"]));
        if !ip.is_empty() && !before.contains(ip) {
            check::ip(errors, ip, at.child("ip"));
        }
        if ip.is_empty() && get(place, &["ipMode"]).is_some() {
            errors.forbidden(at.child("ipMode"), "may not be specified when `ip` is not set");
        } else {
            check::one_of(errors, place, &at, &["ipMode"], &["Proxy", "VIP"]);
        }
        if !name.is_empty() {
            errors.invalid_each(&at.child("hostname"), name, names::dns_subdomain(name));
            if name.parse::<std::net::IpAddr>().is_ok() {
                errors.invalid(at.child("hostname"), name, "must be a DNS name, not an IP address");
            }
        }
    }
}
