//! Names and name servers of a pod.
//!
//! Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::check;
use crate::tree::{flag, get, items, text};

const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
/// Characters of all search paths with a blank between them.
const SEARCHES_BYTES_MAX: usize = 2048;
/// Bytes of a name that takes the place of the host's own.
const HOST_NAME_BYTES_MAX: usize = 64;

/// What a pod asks for names, and how.
pub fn config(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let config = get(spec, &["dnsConfig"]);
    let at = at.child("dnsConfig");
    let servers = config.map_or(&[][..], |c| items(c, &["nameservers"]));
    if text(spec, &["dnsPolicy"]) == "None" {
        if config.is_none() {
            errors.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            errors.required(at.child("nameservers"), "must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    let Some(config) = config else { return };
    if servers.len() > SERVERS_MAX {
        let why = format!("must not have more than {SERVERS_MAX} nameservers");
        errors.invalid(at.child("nameservers"), Value::Array(servers.to_vec()), why);
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        check::ip(errors, server, at.child("nameservers").index(i));
    }
    searches(items(config, &["searches"]), &at.child("searches"), errors);
    for (i, option) in items(config, &["options"]).iter().enumerate() {
        if text(option, &["name"]).is_empty() {
            errors.required(at.child("options").index(i), "must not be empty");
        }
    }
}

fn searches(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let names = || list.iter().filter_map(Value::as_str);
    if list.len() > SEARCHES_MAX {
        let why = format!("must not have more than {SEARCHES_MAX} search paths");
        errors.invalid(at.clone(), Value::Array(list.to_vec()), why);
    }
    if names().map(|name| name.len() + 1).sum::<usize>() > SEARCHES_BYTES_MAX + 1 {
        let why = format!("must not have more than {SEARCHES_BYTES_MAX} characters (including spaces) in the search list");
        errors.invalid(at.clone(), Value::Array(list.to_vec()), why);
    }
    for (i, name) in names().enumerate().filter(|(_, name)| *name != ".") {
        let name = name.strip_suffix('.').unwrap_or(name);
        errors.invalid_each(&at.index(i), name, names::dns_subdomain_with_underscore(name));
    }
}

/// A name of the host instead of the pod's own.
pub fn host_name(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(name) = get(spec, &["hostnameOverride"]).and_then(Value::as_str) else { return };
    let path = at.child("hostnameOverride");
    for field in ["setHostnameAsFQDN", "hostNetwork"].into_iter().filter(|field| flag(spec, &[field])) {
        errors.forbidden(path.clone(), format!("may not be specified when {field} is true"));
    }
    if name.len() > HOST_NAME_BYTES_MAX {
        errors.too_long(path.clone(), HOST_NAME_BYTES_MAX);
    }
    errors.invalid_each(&path, name, names::dns_subdomain(name));
}

/// Names that a pod knows without asking.
pub fn host_aliases(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, alias) in items(spec, &["hostAliases"]).iter().enumerate() {
        let at = at.child("hostAliases").index(i);
        check::ip(errors, text(alias, &["ip"]), at.child("ip"));
        for (j, host) in items(alias, &["hostnames"]).iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&at.child("hostnames").index(j), host, names::dns_subdomain(host));
        }
    }
}
