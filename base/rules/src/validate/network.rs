//! Ingress, NetworkPolicy and their like.
use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{
    address::{self, Kept, Network},
    check,
    definition::shown,
    endpoints, selector,
};
use crate::tree::{get, int, items, map, text};

/// `old`: what it was, at an update.
pub fn content(kind: &str, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec = get(object, &["spec"]).unwrap_or(&Value::Null);
    match kind {
        "Ingress" => {
            ingress(spec, &at, errors);
            if old.is_none() {
                one_class(object, spec, errors);
            }
        }
        "IngressClass" => {
            let controller = |object| text(object, &["spec", "controller"]);
            if old.is_some_and(|old| controller(old) != controller(object)) {
                errors.invalid(at.child("controller"), controller(object), "field is immutable");
            }
            ingress_class(spec, &at, errors);
        }
        "NetworkPolicy" => policy(spec, &old.map(networks).unwrap_or_default(), &at, errors),
        "EndpointSlice" => endpoints::slice(object, old, errors),
        "ServiceCIDR" => service_cidr(spec, old, &at.child("cidrs"), errors),
        "IPAddress" if old.is_none() => parent(get(spec, &["parentRef"]), &at.child("parentRef"), errors),
        _ => {}
    }
}

/// The ranges of Services: one of each family. A second may join the first; nothing else changes.
fn service_cidr(spec: &Value, old: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    const FIXED: &str = "field is immutable";
    let is = items(spec, &["cidrs"]);
    let Some(was) = old.map(|old| items(old, &["spec", "cidrs"])) else { return service_ranges(is, at, errors) };
    let given = |i: usize| is.get(i).cloned().unwrap_or(Value::Null);
    match (was, is.len()) {
        (was, n) if n == was.len() => {
            for (i, _) in was.iter().enumerate().filter(|(i, was)| is[*i] != **was) {
                errors.invalid(at.index(i), given(i), FIXED);
            }
        }
        ([first], 2) => {
            if is[0] != *first {
                errors.invalid(at.index(0), given(0), FIXED);
            }
            service_ranges(is, at, errors);
        }
        _ => errors.invalid(at.clone(), if is.is_empty() { Value::Null } else { Value::Array(is.to_vec()) }, FIXED),
    }
}

fn service_ranges(cidrs: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    match cidrs {
        [] => return errors.required(at.clone(), "at least one CIDR required"),
        [_, _, _, ..] => {
            let shown = format!("{{\"CIDRs\":{}}}", shown::json(&Value::Array(cidrs.to_vec())));
            return check::wrong_go(errors, at.clone(), Wrong::Invalid, &shown, "may only hold up to 2 values");
        }
        _ => {}
    }
    for (i, cidr) in cidrs.iter().filter_map(Value::as_str).enumerate() {
        if let Some(why) = address::canonical_cidr_fault(cidr) {
            errors.invalid(at.index(i), cidr, why);
        }
    }
    let family = |i: usize| Network::parse(cidrs.get(i)?.as_str()?).map(|network| network.ip.is_ipv4());
    if family(0).is_some() && family(0) == family(1) {
        let why = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.invalid(at.clone(), Value::Array(cidrs.to_vec()), why);
    }
}

/// What an address is for.
fn parent(parent: Option<&Value>, at: &FieldPath, errors: &mut ErrorList) {
    let Some(parent) = parent else { return errors.required(at.clone(), "") };
    check::name(errors, parent, at, &["group"], names::dns_subdomain);
    check::required_name(errors, parent, at, &["resource"], names::path_segment);
    check::required_name(errors, parent, at, &["name"], names::path_segment);
    check::name(errors, parent, at, &["namespace"], names::path_segment);
}

/// A new Ingress that names its class in both ways names the same.
fn one_class(object: &Value, spec: &Value, errors: &mut ErrorList) {
    const OLD_WAY: &str = "kubernetes.io/ingress.class";
    let named = map(object, &["metadata", "annotations"]).and_then(|all| all.get(OLD_WAY)?.as_str());
    if let (Some(named), Some(class)) = (named, get(spec, &["ingressClassName"]).and_then(Value::as_str))
        && named != class
    {
        let at = FieldPath::new("annotations").child(OLD_WAY);
        errors.invalid(at, named, "must match `ingressClassName` when both are specified");
    }
}

fn ingress(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let rules = items(spec, &["rules"]);
    let default = get(spec, &["defaultBackend"]);
    if rules.is_empty() && default.is_none() {
        errors.invalid(at.clone(), Value::Null, "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = default {
        ingress_backend(backend, &at.child("defaultBackend"), errors);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.child("rules").index(i);
        let host = text(rule, &["host"]);
        if !host.is_empty() {
            no_address(host, &at.child("host"), errors);
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
    for (i, tls) in items(spec, &["tls"]).iter().enumerate() {
        let at = at.child("tls").index(i);
        for (j, host) in items(tls, &["hosts"]).iter().filter_map(Value::as_str).enumerate() {
            host_name(host, &at.child("hosts").index(j), errors);
        }
        check::name(errors, tls, &at, &["secretName"], names::dns_subdomain);
    }
    check::name(errors, spec, at, &["ingressClassName"], names::dns_subdomain);
}

fn no_address(host: &str, at: &FieldPath, errors: &mut ErrorList) {
    if address::parse(host).is_some() {
        errors.invalid(at.clone(), host, "must be a DNS name, not an IP address");
    }
}

/// Where an Ingress is reached, as its controller says.
pub fn ingress_status(new: &Value, old: &Value, errors: &mut ErrorList) {
    const POINTS: &[&str] = &["status", "loadBalancer", "ingress"];
    let kept: Kept<'_> = items(old, POINTS).iter().map(|point| text(point, &["ip"])).collect();
    let list = check::below(&FieldPath::root(), POINTS);
    for (i, point) in items(new, POINTS).iter().enumerate() {
        let at = list.index(i);
        let (ip, host) = (text(point, &["ip"]), text(point, &["hostname"]));
        if !ip.is_empty() {
            address::ip(errors, ip, &at.child("ip"), &kept);
        }
        if !host.is_empty() {
            errors.invalid_each(&at.child("hostname"), host, names::dns_subdomain(host));
            no_address(host, &at.child("hostname"), errors);
        }
    }
}

fn host_name(host: &str, at: &FieldPath, errors: &mut ErrorList) {
    let rule = if host.contains('*') { names::wildcard_dns_subdomain } else { names::dns_subdomain };
    errors.invalid_each(at, host, rule(host));
}

fn ingress_path(path: &Value, at: &FieldPath, errors: &mut ErrorList) {
    match get(path, &["pathType"]).and_then(Value::as_str) {
        None => return errors.required(at.child("pathType"), "pathType must be specified"),
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
            check::name(errors, resource, &at, &["apiGroup"], names::dns_subdomain);
            check::required_name(errors, resource, &at, &["kind"], names::path_segment);
            check::required_name(errors, resource, &at, &["name"], names::path_segment);
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
        check::domain_path(errors, controller, &at.child("controller"));
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
            Some(namespace) => errors.invalid_each(&at.child("namespace"), namespace, names::dns_label(namespace)),
        },
        other => errors.not_supported(at.child("scope"), other, &["Cluster", "Namespace"]),
    }
}

/// The networks that a policy names.
fn networks(policy: &Value) -> Kept<'_> {
    let mut all = Kept::new();
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        for peer in items(policy, &["spec", side]).iter().flat_map(|rule| items(rule, &[peers])) {
            all.insert(text(peer, &["ipBlock", "cidr"]));
            all.extend(items(peer, &["ipBlock", "except"]).iter().filter_map(Value::as_str));
        }
    }
    all
}

fn policy(spec: &Value, kept: &Kept<'_>, at: &FieldPath, errors: &mut ErrorList) {
    selector::label_selector(get(spec, &["podSelector"]), &at.child("podSelector"), errors);
    for (side, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(spec, &[side]).iter().enumerate() {
            let at = at.child(side).index(i);
            for (j, port) in items(rule, &["ports"]).iter().enumerate() {
                policy_port(port, &at.child("ports").index(j), errors);
            }
            for (j, peer) in items(rule, &[peers]).iter().enumerate() {
                policy_peer(peer, kept, &at.child(peers).index(j), errors);
            }
        }
    }
    let types = items(spec, &["policyTypes"]);
    if types.len() > 2 {
        errors.invalid(at.child("policyTypes"), Value::Array(types.to_vec()), "may not specify more than two policyTypes");
    } else {
        for (i, kind) in types.iter().filter_map(Value::as_str).enumerate() {
            if !matches!(kind, "Ingress" | "Egress") {
                errors.not_supported(at.child("policyTypes").index(i), kind, &["Ingress", "Egress"]);
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

fn policy_peer(peer: &Value, kept: &Kept<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let (pods, namespaces, block) = (get(peer, &["podSelector"]), get(peer, &["namespaceSelector"]), get(peer, &["ipBlock"]));
    selector::label_selector(pods, &at.child("podSelector"), errors);
    selector::label_selector(namespaces, &at.child("namespaceSelector"), errors);
    let Some(block) = block else {
        if pods.is_none() && namespaces.is_none() {
            errors.required(at.clone(), "must specify a peer");
        }
        return;
    };
    ip_block(block, kept, &at.child("ipBlock"), errors);
    if pods.is_some() || namespaces.is_some() {
        errors.forbidden(at.clone(), "may not specify both ipBlock and another peer");
    }
}

fn ip_block(block: &Value, kept: &Kept<'_>, at: &FieldPath, errors: &mut ErrorList) {
    let cidr = text(block, &["cidr"]);
    if cidr.is_empty() {
        errors.required(at.child("cidr"), "");
        return;
    }
    address::cidr(errors, cidr, &at.child("cidr"), kept);
    let Some(whole) = Network::parse(cidr) else { return };
    for (i, except) in items(block, &["except"]).iter().filter_map(Value::as_str).enumerate() {
        let at = at.child("except").index(i);
        address::cidr(errors, except, &at, kept);
        if Network::parse(except).is_some_and(|part| !whole.is_wider_than(part)) {
            errors.invalid(at, except, "must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests;
