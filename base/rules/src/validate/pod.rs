//! Pods and pod templates.
use hashbrown::HashSet;

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
};
use serde_json::Value;

use super::{check, container, meta, pod_annotations, selector, volume};
use crate::tree::{get, items, text};

pub fn pod(object: &Value, fresh: bool, errors: &mut ErrorList) {
    let at = FieldPath::new("spec");
    let spec_value = get(object, &["spec"]).unwrap_or(&Value::Null);
    pod_annotations::content(object, &FieldPath::new("metadata").child("annotations"), errors);
    spec(spec_value, text(object, &["metadata", "name"]), &at, errors);
    if fresh && !items(object, &["spec", "ephemeralContainers"]).is_empty() {
        errors.forbidden(at.child("ephemeralContainers"), "cannot be set on create");
    }
    if fresh {
        pod_annotations::seccomp_fields(object, &at, errors);
        pod_annotations::app_armor_fields(object, &at, errors);
    }
}

/// A pod template: metadata and spec.
pub fn template(template_of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let template_value = get(template_of, &["template"]).unwrap_or(&Value::Null);
    template_value_at(template_value, at, errors);
}

pub fn template_value_at(template: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let metadata = get(template, &["metadata"]).unwrap_or(&Value::Null);
    meta::labels(get(metadata, &["labels"]), &at.child("labels"), errors);
    meta::annotations(metadata, &at.child("annotations"), errors);
    pod_annotations::content(template, &at.child("annotations"), errors);
    let spec_value = get(template, &["spec"]).unwrap_or(&Value::Null);
    spec(spec_value, "", &at.child("spec"), errors);
    pod_annotations::seccomp_fields(template, &at.child("spec"), errors);
    if !items(spec_value, &["ephemeralContainers"]).is_empty() {
        errors.forbidden(at.child("spec").child("ephemeralContainers"), "ephemeral containers not allowed in pod template");
    }
}

pub fn spec(spec: &Value, pod_name: &str, at: &FieldPath, errors: &mut ErrorList) {
    let volumes = volume::volumes(items(spec, &["volumes"]), pod_name, &at.child("volumes"), errors);
    container::containers(spec, &volumes, at, errors);
    container::resources(get(spec, &["resources"]), &at.child("resources"), errors);
    claims(items(spec, &["resourceClaims"]), &at.child("resourceClaims"), errors);
    check::required_one_of(errors, spec, at, &["restartPolicy"], &["Always", "OnFailure", "Never"]);
    check::required_one_of(errors, spec, at, &["dnsPolicy"], &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"]);
    meta::labels(get(spec, &["nodeSelector"]), &at.child("nodeSelector"), errors);
    if let Some(context) = get(spec, &["securityContext"]) {
        security(context, &at.child("securityContext"), errors);
    }
    if let Some(affinity) = get(spec, &["affinity"]) {
        selector::affinity(affinity, &at.child("affinity"), errors);
    }
    dns(spec, at, errors);
    for (i, gate) in items(spec, &["readinessGates"]).iter().enumerate() {
        let kind = text(gate, &["conditionType"]);
        errors.invalid_each(&at.child("readinessGates").index(i).child("conditionType"), kind, names::qualified_name(kind));
    }
    let mut gates = HashSet::new();
    for (i, gate) in items(spec, &["schedulingGates"]).iter().enumerate() {
        let at = at.child("schedulingGates").index(i);
        let name = text(gate, &["name"]);
        errors.invalid_each(&at, name, names::qualified_name(name));
        if !gates.insert(name) {
            errors.duplicate(at, name);
        }
    }
    selector::spread(items(spec, &["topologySpreadConstraints"]), &at.child("topologySpreadConstraints"), errors);
    for (field, rule) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
        ("priorityClassName", names::dns_subdomain),
        ("runtimeClassName", names::dns_subdomain),
    ] {
        check::name(errors, spec, at, &[field], rule);
    }
    if let Some(name) = get(spec, &["hostnameOverride"]).and_then(Value::as_str) {
        if name.len() > 64 {
            errors.too_long(at.child("hostnameOverride"), 64);
        }
        errors.invalid_each(&at.child("hostnameOverride"), name, names::dns_subdomain(name));
    }
    check::between(errors, spec, at, &["activeDeadlineSeconds"], 1, i64::from(i32::MAX));
    selector::tolerations(items(spec, &["tolerations"]), &at.child("tolerations"), errors);
    for (i, alias) in items(spec, &["hostAliases"]).iter().enumerate() {
        let at = at.child("hostAliases").index(i);
        check::ip(errors, text(alias, &["ip"]), at.child("ip"));
        for (j, host) in items(alias, &["hostnames"]).iter().filter_map(Value::as_str).enumerate() {
            errors.invalid_each(&at.child("hostnames").index(j), host, names::dns_subdomain(host));
        }
    }
    if get(spec, &["preemptionPolicy"]).is_some() {
        check::required_one_of(errors, spec, at, &["preemptionPolicy"], &["PreemptLowerPriority", "Never"]);
    }
    overhead(spec, at, errors);
    if let Some(os) = get(spec, &["os"]) {
        match text(os, &["name"]) {
            "" => errors.required(at.child("os").child("name"), ""),
            "linux" | "windows" => {}
            other => errors.not_supported(at.child("os"), other, &["linux", "windows"]),
        }
    }
}

fn overhead(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (name, amount) in crate::tree::map(spec, &["overhead"]).into_iter().flatten() {
        let at = at.child("overhead").child("limits").key(name);
        container::resource_name(name, &at, errors);
        container::quantity_not_negative(amount.as_str().unwrap_or("0"), &at, errors);
    }
}

fn claims(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    for (i, claim) in list.iter().enumerate() {
        let at = at.index(i);
        check::required_name(errors, claim, &at, &["name"], names::dns_label);
        let given = |field: &str| get(claim, &[field]).is_some();
        let told = |errors: &mut ErrorList, why: &str| {
            let fields = [
                ("Name", "name", "\"\""),
                ("ResourceClaimName", "resourceClaimName", "null"),
                ("ResourceClaimTemplateName", "resourceClaimTemplateName", "null"),
            ];
            check::wrong_go(errors, at.clone(), Wrong::Invalid, &check::go(claim, &fields), why);
        };
        match (given("resourceClaimName"), given("resourceClaimTemplateName")) {
            (false, false) => told(errors, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"),
            (true, true) => {
                told(errors, "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
            }
            _ => {}
        }
    }
    check::duplicates(errors, list, at, "name");
}

fn security(context: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        container::id(errors, context, at, field);
    }
    container::ids(errors, context, at, "supplementalGroups");
    check::one_of(errors, context, at, &["fsGroupChangePolicy"], &["Always", "OnRootMismatch"]);
    check::one_of(errors, context, at, &["supplementalGroupsPolicy"], &["Merge", "Strict"]);
    check::one_of(errors, context, at, &["seLinuxChangePolicy"], &["Recursive"]);
    let mut seen = HashSet::new();
    for (i, sysctl) in items(context, &["sysctls"]).iter().enumerate() {
        let at = at.child("sysctls").index(i).child("name");
        let name = text(sysctl, &["name"]);
        let part = |p: &str| {
            let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            ends(p.as_bytes().first())
                && ends(p.as_bytes().last())
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        let again = !seen.insert(name);
        if name.is_empty() {
            errors.required(at, "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(part) {
            let form = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            errors.invalid(at, name, format!("must have at most 253 characters and match regex ^({form}[\\./])*{form}$"));
        } else if again {
            errors.duplicate(at, name);
        }
    }
    container::profiles(context, at, errors);
}

fn dns(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
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
    if servers.len() > 3 {
        errors.invalid(at.child("nameservers"), Value::Array(servers.to_vec()), "must not have more than 3 nameservers");
    }
    for (i, server) in servers.iter().filter_map(Value::as_str).enumerate() {
        check::ip(errors, server, at.child("nameservers").index(i));
    }
    let searches = items(config, &["searches"]);
    if searches.len() > 32 {
        errors.invalid(at.child("searches"), Value::Array(searches.to_vec()), "must not have more than 32 search paths");
    }
    for (i, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        let name = if search == "." { "a" } else { search.strip_suffix('.').unwrap_or(search) };
        errors.invalid_each(&at.child("searches").index(i), search, names::dns_subdomain(&name.replace('_', "a")));
    }
    for (i, option) in items(config, &["options"]).iter().enumerate() {
        if text(option, &["name"]).is_empty() {
            errors.required(at.child("options").index(i), "must not be empty");
        }
    }
}
