//! Ingress, NetworkPolicy, EndpointSlice and their like.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, selector};
use crate::tree::{get, int, items, map, text};

pub fn content(kind: &str, object: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "Ingress" => ingress(spec, &at, errors),
        "IngressClass" => ingress_class(spec, &at, errors),
        "NetworkPolicy" => policy(spec, &at, errors),
        "EndpointSlice" => slice(object, errors),
        "ServiceCIDR" => {
            let cidrs = items(spec, &["cidrs"]);
            if cidrs.is_empty() {
                errors.required(at.child("cidrs"), "at least one CIDR required");
            }
            for (i, cidr) in cidrs.iter().filter_map(Value::as_str).enumerate() {
                check::cidr(errors, cidr, at.child("cidrs").index(i));
            }
        }
        "IPAddress" => match get(spec, &["parentRef"]) {
            None => errors.required(at.child("parentRef"), ""),
            Some(parent) => {
                let at = at.child("parentRef");
                check::name(errors, parent, &at, &["group"], names::dns_subdomain);
                check::required_name(errors, parent, &at, &["resource"], names::path_segment);
                check::required_name(errors, parent, &at, &["name"], names::path_segment);
                check::name(errors, parent, &at, &["namespace"], names::path_segment);
            }
        },
        _ => {}
    }
}

fn ingress(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let rules = items(spec, &["rules"]);
    if rules.is_empty() && get(spec, &["defaultBackend"]).is_none() {
        errors.invalid(at.clone(), Value::Array(Vec::new()), "either `defaultBackend` or `rules` must be specified");
    }
    for (i, tls) in items(spec, &["tls"]).iter().enumerate() {
        let at = at.child("tls").index(i);
        for (j, host) in items(tls, &["hosts"]).iter().filter_map(Value::as_str).enumerate() {
            host_name(host, &at.child("hosts").index(j), errors);
        }
        check::name(errors, tls, &at, &["secretName"], names::dns_subdomain);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("rules").index(i);
        let host = text(rule, &["host"]);
        if !host.is_empty() {
            if host.parse::<std::net::IpAddr>().is_ok() {
                errors.invalid(at.child("host"), host, "must be a DNS name, not an IP address");
            }
            host_name(host, &at.child("host"), errors);
        }
        let Some(http) = get(rule, &["http"]) else { continue };
        let at = at.child("http").child("paths");
        let paths = items(http, &["paths"]);
        if paths.is_empty() {
            errors.required(at.clone(), "");
        }
        for (j, path) in paths.iter().enumerate() {
            ingress_path(path, &at.index(j), errors);
        }
    }
    if let Some(backend) = get(spec, &["defaultBackend"]) {
        ingress_backend(backend, &at.child("defaultBackend"), errors);
    }
    check::name(errors, spec, at, &["ingressClassName"], names::dns_subdomain);
}

fn host_name(host: &str, at: &FieldPath, errors: &mut ErrorList) {
    let rule = if host.contains('*') { names::wildcard_dns_subdomain } else { names::dns_subdomain };
    errors.invalid_each(at, host, rule(host));
}

fn ingress_path(path: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match get(path, &["pathType"]).and_then(Value::as_str) {
        None => errors.required(at.child("pathType"), "pathType must be specified"),
        Some("Exact" | "Prefix") => {
            let given = text(path, &["path"]);
            let at = at.child("path");
            if !given.starts_with('/') {
                errors.invalid(at.clone(), given, "must be an absolute path");
            }
            if !given.is_empty() {
                for bad in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|bad| given.contains(bad)) {
                    errors.invalid(at.clone(), given, format!("must not contain '{bad}'"));
                }
                for bad in ["/..", "/."].into_iter().filter(|bad| given.ends_with(bad)) {
                    errors.invalid(at.clone(), given, format!("cannot end with '{bad}'"));
                }
            }
        }
        Some("ImplementationSpecific") => {
            let given = text(path, &["path"]);
            if !given.is_empty() && !given.starts_with('/') {
                errors.invalid(at.child("path"), given, "must be an absolute path");
            }
        }
        Some(other) => errors.not_supported(at.child("pathType"), other, &["Exact", "ImplementationSpecific", "Prefix"]),
    }
    ingress_backend(get(path, &["backend"]).unwrap_or(&Value::Null), &at.child("backend"), errors);
}

fn ingress_backend(backend: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match (get(backend, &["service"]), get(backend, &["resource"])) {
        (Some(_), Some(_)) => errors.invalid(at.clone(), "", "cannot set both resource and service backends"),
        (None, None) => errors.invalid(at.clone(), "", "resource or service backend is required"),
        (None, Some(resource)) => {
            let at = at.child("resource");
            check::required(errors, resource, &at, &["kind"]);
            check::required(errors, resource, &at, &["name"]);
        }
        (Some(service), None) => {
            let service_at = at.child("service");
            check::required_name(errors, service, &service_at, &["name"], names::dns_label);
            let (name, number) = (text(service, &["port", "name"]), int(service, &["port", "number"]).unwrap_or(0));
            match (name.is_empty(), number) {
                (true, 0) => errors.required(at.clone(), "port name or number is required"),
                (false, n) if n != 0 => errors.invalid(at.clone(), "", "cannot set both port name & port number"),
                (false, _) => errors.invalid_each(&service_at.child("port").child("name"), name, names::port_name(name)),
                (true, n) => errors.invalid_each(&service_at.child("port").child("number"), n, names::port_number(n)),
            }
        }
    }
}

fn ingress_class(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let controller = text(spec, &["controller"]);
    if controller.is_empty() {
        errors.required(at.child("controller"), "");
    } else {
        if controller.len() > 250 {
            errors.too_long(at.child("controller"), 250);
        }
        if !super::batch::domain_path(controller) {
            errors.invalid(at.child("controller"), controller, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        }
    }
    let Some(parameters) = get(spec, &["parameters"]) else { return };
    let at = at.child("parameters");
    check::name(errors, parameters, &at, &["apiGroup"], names::dns_subdomain);
    check::required_name(errors, parameters, &at, &["kind"], names::path_segment);
    check::required_name(errors, parameters, &at, &["name"], names::path_segment);
    let namespace = get(parameters, &["namespace"]).and_then(Value::as_str);
    match text(parameters, &["scope"]) {
        "Cluster" if namespace.is_some() => errors.forbidden(at.child("namespace"), "`parameters.scope` is set to 'Cluster'"),
        "Cluster" => {}
        "Namespace" => match namespace {
            None => errors.required(at.child("namespace"), "`parameters.scope` is set to 'Namespace'"),
            Some("") => errors.required(at.child("namespace"), "`parameters.scope` is set to 'Namespace'"),
            Some(namespace) => errors.invalid_each(&at.child("namespace"), namespace, names::dns_label(namespace)),
        },
        other => errors.not_supported(at.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

fn policy(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    selector::label_selector(get(spec, &["podSelector"]), &at.child("podSelector"), errors);
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(spec, &[side]).iter().enumerate() {
            let at = at.child(side).index(i);
            for (j, port) in items(rule, &["ports"]).iter().enumerate() {
                policy_port(port, &at.child("ports").index(j), errors);
            }
            for (j, peer) in items(rule, &[peers]).iter().enumerate() {
                policy_peer(peer, &at.child(peers).index(j), errors);
            }
        }
    }
    let types = items(spec, &["policyTypes"]);
    if types.len() > 2 {
        errors.invalid(at.child("policyTypes"), Value::Array(types.to_vec()), "may not specify more than two policyTypes");
    } else {
        for (i, kind) in types.iter().filter_map(Value::as_str).enumerate() {
            if !matches!(kind, "Ingress" | "Egress") {
                errors.not_supported(at.child("policyTypes").index(i), kind, &["Egress", "Ingress"]);
            }
        }
    }
}

fn policy_port(port: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let protocol = get(port, &["protocol"]).and_then(Value::as_str);
    if protocol.is_some_and(|p| !matches!(p, "TCP" | "UDP" | "SCTP")) {
        errors.not_supported(at.child("protocol"), protocol.unwrap_or(""), &["TCP", "UDP", "SCTP"]);
    }
    let given = get(port, &["port"]);
    let end = int(port, &["endPort"]);
    match given {
        Some(Value::Number(n)) => {
            let n = n.as_i64().unwrap_or(0);
            errors.invalid_each(&at.child("port"), n, names::port_number(n));
            if let Some(end) = end {
                if end < n {
                    errors.invalid(at.child("endPort"), n, "must be greater than or equal to `port`");
                }
                errors.invalid_each(&at.child("endPort"), end, names::port_number(end));
            }
        }
        Some(Value::String(name)) => {
            if let Some(end) = end {
                errors.invalid(at.child("endPort"), end, "may not be specified when `port` is non-numeric");
            }
            errors.invalid_each(&at.child("port"), name.as_str(), names::port_name(name));
        }
        _ => {
            if let Some(end) = end {
                errors.invalid(at.child("endPort"), end, "may not be specified when `port` is not specified");
            }
        }
    }
}

fn policy_peer(peer: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let (pods, namespaces, block) = (get(peer, &["podSelector"]), get(peer, &["namespaceSelector"]), get(peer, &["ipBlock"]));
    selector::label_selector(pods, &at.child("podSelector"), errors);
    selector::label_selector(namespaces, &at.child("namespaceSelector"), errors);
    let Some(block) = block else {
        if pods.is_none() && namespaces.is_none() {
            errors.required(at.clone(), "must specify a peer");
        }
        return;
    };
    if pods.is_some() || namespaces.is_some() {
        errors.forbidden(at.clone(), "may not specify both ipBlock and another peer");
    }
    let at = at.child("ipBlock");
    let cidr = text(block, &["cidr"]);
    if cidr.is_empty() {
        errors.required(at.child("cidr"), "");
        return;
    }
    check::cidr(errors, cidr, at.child("cidr"));
    let whole = check::parse_cidr(cidr);
    for (i, except) in items(block, &["except"]).iter().filter_map(Value::as_str).enumerate() {
        let at = at.child("except").index(i);
        check::cidr(errors, except, at.clone());
        if let (Some(whole), Some(part)) = (whole, check::parse_cidr(except))
            && (!within(whole, part) || part.1 <= whole.1)
        {
            errors.invalid(at, except, "must be a strict subset of `cidr`");
        }
    }
}

fn within(whole: (std::net::IpAddr, u8), part: (std::net::IpAddr, u8)) -> bool {
    let bits = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        std::net::IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(whole.1)).unwrap_or(0);
    whole.0.is_ipv4() == part.0.is_ipv4() && bits(whole.0) & mask == bits(part.0) & mask
}

fn slice(object: &Value, errors: &mut ErrorList) {
    let root = FieldPath::root();
    let kind = text(object, &["addressType"]);
    check::required_one_of(errors, object, &root, &["addressType"], &["FQDN", "IPv4", "IPv6"]);
    let endpoints = items(object, &["endpoints"]);
    if endpoints.len() > 1000 {
        errors.too_many(root.child("endpoints"), endpoints.len(), 1000);
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let at = root.child("endpoints").index(i);
        let addresses = items(endpoint, &["addresses"]);
        if addresses.is_empty() {
            errors.required(at.child("addresses"), "must contain at least 1 address");
        } else if addresses.len() > 100 {
            errors.too_many(at.child("addresses"), addresses.len(), 100);
        }
        for (j, address) in addresses.iter().filter_map(Value::as_str).enumerate() {
            slice_address(kind, address, &at.child("addresses"), j, errors);
        }
        check::name(errors, endpoint, &at, &["nodeName"], names::dns_subdomain);
        for (key, value) in map(endpoint, &["deprecatedTopology"]).into_iter().flatten() {
            let at = at.child("deprecatedTopology");
            errors.invalid_each(&at, key.as_str(), names::qualified_name(key));
            let value = value.as_str().unwrap_or("");
            errors.invalid_each(&at.key(key), value, names::label_value(value));
        }
        if let Some(host) = get(endpoint, &["hostname"]).and_then(Value::as_str) {
            errors.invalid_each(&at.child("hostname"), host, names::dns_label(host));
        }
    }
    let ports = items(object, &["ports"]);
    let mut seen = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let at = root.child("ports").index(i);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            errors.invalid_each(&at.child("name"), name, names::dns_label(name));
        }
        if !seen.insert(name) {
            errors.duplicate(at.child("name"), name);
        }
        check::required_one_of(errors, port, &at, &["protocol"], &["SCTP", "TCP", "UDP"]);
        check::name(errors, port, &at, &["appProtocol"], names::qualified_name);
    }
}

fn slice_address(kind: &str, address: &str, list: &FieldPath, i: usize, errors: &mut ErrorList) {
    let at = &list.index(i);
    let parsed = address.parse::<std::net::IpAddr>();
    match (kind, &parsed) {
        ("FQDN", _) => errors.invalid_each(at, address, names::dns_subdomain(address)),
        ("IPv4", Ok(std::net::IpAddr::V4(_))) | ("IPv6", Ok(std::net::IpAddr::V6(_))) => special(address, at, errors),
        ("IPv4", Ok(_)) => errors.invalid(list.clone(), address, "must be an IPv4 address"),
        ("IPv6", Ok(_)) => errors.invalid(list.clone(), address, "must be an IPv6 address"),
        ("IPv4" | "IPv6", Err(_)) => check::ip(errors, address, at.clone()),
        _ => {}
    }
}

/// Addresses that no endpoint may have.
fn special(address: &str, at: &FieldPath, errors: &mut ErrorList) {
    let Ok(ip) = address.parse::<std::net::IpAddr>() else { return };
    let link_local = match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    if ip.is_unspecified() {
        errors.invalid(at.clone(), address, format!("may not be unspecified ({address})"));
    } else if ip.is_loopback() {
        errors.invalid(at.clone(), address, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    } else if link_local {
        errors.invalid(at.clone(), address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    } else if ip.is_multicast() {
        errors.invalid(at.clone(), address, "may not be in the multicast range (224.0.0.0/4, ff00::/8)");
    }
}

pub fn endpoints(object: &Value, errors: &mut ErrorList) {
    for (i, subset) in items(object, &["subsets"]).iter().enumerate() {
        let at = FieldPath::new("subsets").index(i);
        let (ready, unready) = (items(subset, &["addresses"]), items(subset, &["notReadyAddresses"]));
        if ready.is_empty() && unready.is_empty() {
            errors.required(at.clone(), "must specify `addresses` or `notReadyAddresses`");
        }
        for (field, list) in [("addresses", ready), ("notReadyAddresses", unready)] {
            for (j, address) in list.iter().enumerate() {
                let at = at.child(field).index(j);
                let ip = text(address, &["ip"]);
                if ip.parse::<std::net::IpAddr>().is_err() {
                    check::ip(errors, ip, at.child("ip"));
                    errors.invalid(at.child("ip"), ip, "must be a valid IP address");
                } else {
                    special(ip, &at.child("ip"), errors);
                }
                check::name(errors, address, &at, &["hostname"], names::dns_label);
                if let Some(node) = get(address, &["nodeName"]).and_then(Value::as_str) {
                    errors.invalid_each(&at.child("nodeName"), node, names::dns_subdomain(node));
                }
            }
        }
        let ports = items(subset, &["ports"]);
        for (j, port) in ports.iter().enumerate() {
            let at = at.child("ports").index(j);
            let name = text(port, &["name"]);
            if name.is_empty() && ports.len() > 1 {
                errors.required(at.child("name"), "");
            } else if !name.is_empty() {
                errors.invalid_each(&at.child("name"), name, names::dns_label(name));
            }
            let number = int(port, &["port"]).unwrap_or(0);
            errors.invalid_each(&at.child("port"), number, names::port_number(number));
            check::required_one_of(errors, port, &at, &["protocol"], &["SCTP", "TCP", "UDP"]);
            check::name(errors, port, &at, &["appProtocol"], names::qualified_name);
        }
    }
}
