//! Statuses of pods: what a node may say of them.
//!
//! Source: the descriptions of PodStatus in the API reference, https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath, Wrong},
    names,
    row::Row,
};
use serde_json::Value;

use super::{check, context, immutable::first_by_name, pod_annotations};
use crate::tree::{get, int, items, map, text};

#[cfg(test)]
mod tests;

/// Lists of statuses, with the lists of containers that they are of.
const STATUSES: [(&str, &str); 3] = [
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
];

/// What is wrong with a new status.
pub fn change(row: &Row, new: &Value, old: &Value, errors: &mut ErrorList) {
    let at = FieldPath::new("status");
    pod_annotations::change(new, old, errors);
    pod_annotations::cost(row, new, Some(old), errors);
    conditions(new, &at, errors);
    nominated(new, old, &at, errors);
    observed(get(new, &["status"]).unwrap_or(&Value::Null), &at, errors);
    if text(new, &["status", "qosClass"]) != text(old, &["status", "qosClass"]) {
        errors.invalid(at.child("qosClass"), text(new, &["status", "qosClass"]), "field is immutable");
    }
    for (list, of) in STATUSES {
        restarts(new, old, list, of, &at, errors);
    }
    claims(new, &at.child("resourceClaimStatuses"), errors);
    addresses(new, old, "podIPs", &at, errors);
    if let Some(first) = items(new, &["status", "hostIPs"]).first()
        && text(first, &["ip"]) != text(new, &["status", "hostIP"])
    {
        errors.invalid(at.child("hostIPs").index(0).child("ip"), text(first, &["ip"]), "must be equal to `hostIP`");
    }
    addresses(new, old, "hostIPs", &at, errors);
    for (list, of) in STATUSES {
        let asked = asked(items(new, &["spec", of]));
        for (i, status) in items(new, &["status", list]).iter().enumerate() {
            let at = at.child(list).index(i);
            user(status, text(new, &["spec", "os", "name"]), &at, errors);
            let allocated = items(status, &["allocatedResourcesStatus"]);
            if of == "ephemeralContainers" && !allocated.is_empty() {
                errors.forbidden(at.child("allocatedResourcesStatus"), "must not be specified in container status");
                continue;
            }
            health(allocated, asked.get(text(status, &["name"])), &at.child("allocatedResourcesStatus"), errors);
        }
    }
}

/// Conditions of the system have plain names, those of others qualified ones.
fn conditions(new: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for (i, condition) in items(new, &["status", "conditions"]).iter().enumerate() {
        let at = at.child("conditions").index(i);
        observed(condition, &at, errors);
        let kind = text(condition, &["type"]);
        if !matches!(kind, "PodScheduled" | "Ready" | "Initialized") {
            errors.invalid_each(&at.child("Type"), kind, names::qualified_name(kind));
        }
    }
}

fn observed(of: &Value, at: &FieldPath, errors: &mut ErrorList) {
    if let Some(generation) = int(of, &["observedGeneration"]).filter(|generation| *generation < 0) {
        errors.invalid(at.child("observedGeneration"), generation, "must be a non-negative integer");
    }
}

/// The node that the scheduler has in mind: only before there is one.
fn nominated(new: &Value, old: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child("nominatedNodeName");
    let node = text(new, &["status", "nominatedNodeName"]);
    if node.is_empty() || node == text(old, &["status", "nominatedNodeName"]) {
        return;
    }
    errors.invalid_each(&at, node, names::dns_subdomain(node));
    if !text(old, &["spec", "nodeName"]).is_empty() {
        errors.forbidden(at, "may not be set on pods that are already bound to a node");
    }
}

/// A container that has ended stays so, unless it is one to be started again.
fn restarts(new: &Value, old: &Value, list: &str, of: &str, at: &FieldPath, errors: &mut ErrorList) {
    let is = first_by_name(items(new, &["status", list]));
    let containers = first_by_name(items(old, &["spec", of]));
    let all_may_restart = restarts_all(old);
    for (i, was) in items(old, &["status", list]).iter().enumerate() {
        let name = text(was, &["name"]);
        let Some(ended) = get(was, &["state", "terminated"]) else { continue };
        if is.get(name).is_none_or(|is| get(is, &["state", "terminated"]).is_some()) {
            continue;
        }
        let code = int(ended, &["exitCode"]).unwrap_or(0);
        let may = of != "ephemeralContainers"
            && (all_may_restart || containers.get(name).is_some_and(|container| may_restart(old, container, code)));
        if !may {
            errors.forbidden(at.child(list).index(i).child("state"), "may not be transitioned to non-terminated state");
        }
    }
}

/// Whether the end of one container may start all of them again.
fn restarts_all(pod: &Value) -> bool {
    let all = ["containers", "initContainers"].into_iter().flat_map(|list| items(pod, &["spec", list]));
    let mut rules = all.flat_map(|container| items(container, &["restartPolicyRules"]));
    rules.any(|rule| text(rule, &["action"]) == "RestartAllContainers")
}

/// By the first rule for the exit code, else by the container's policy, else by the pod's.
fn may_restart(pod: &Value, container: &Value, code: i64) -> bool {
    let fits = |rule: &&Value| {
        let among = items(rule, &["exitCodes", "values"]).iter().any(|value| value.as_i64() == Some(code));
        match text(rule, &["exitCodes", "operator"]) {
            "In" => among,
            "NotIn" => !among,
            _ => false,
        }
    };
    let own = text(container, &["restartPolicy"]);
    if !own.is_empty() && items(container, &["restartPolicyRules"]).iter().any(|rule| fits(&rule)) {
        return true;
    }
    match if own.is_empty() { text(pod, &["spec", "restartPolicy"]) } else { own } {
        "Never" => false,
        "OnFailure" => code != 0,
        _ => true,
    }
}

fn claims(new: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let known = first_by_name(items(new, &["spec", "resourceClaims"]));
    let mut seen = HashSet::new();
    for (i, status) in items(new, &["status", "resourceClaimStatuses"]).iter().enumerate() {
        let at = at.index(i).child("name");
        let name = text(status, &["name"]);
        if !known.contains_key(name) {
            errors.invalid(at.clone(), name, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name) {
            errors.duplicate(at.clone(), name);
        }
        if let Some(claim) = get(status, &["resourceClaimName"]).and_then(Value::as_str) {
            errors.invalid_each(&at, claim, names::dns_subdomain(claim));
        }
    }
}

/// One address, or one of each family. What stood there before may stay.
fn addresses(new: &Value, old: &Value, list: &str, at: &FieldPath, errors: &mut ErrorList) {
    let at = at.child(list);
    let given: Vec<&str> = items(new, &["status", list]).iter().map(|one| text(one, &["ip"])).collect();
    let was: HashSet<&str> = items(old, &["status", list]).iter().map(|one| text(one, &["ip"])).collect();
    for (i, ip) in given.iter().enumerate().filter(|(_, ip)| !was.contains(*ip)) {
        check::ip(errors, ip, at.index(i));
    }
    if given.len() < 2 {
        return;
    }
    let parsed: Vec<Option<std::net::IpAddr>> = given.iter().map(|ip| ip.parse().ok()).collect();
    if let Some(i) = parsed.iter().position(Option::is_none) {
        errors.internal(at.clone(), format!("failed to check for dual stack with error:invalid IP[{i}]: {}", given[i]));
    }
    let families: HashSet<bool> = parsed.iter().flatten().map(std::net::IpAddr::is_ipv4).collect();
    if given.len() > 2 || families.len() < 2 || parsed.contains(&None) {
        let shown: Vec<String> =
            items(new, &["status", list]).iter().map(|one| check::go(one, &[("IP", "ip", "\"\"")])).collect();
        let why = "may specify no more than one IP for each IP family";
        check::wrong_go(errors, at, Wrong::Invalid, &format!("[{}]", shown.join(",")), why);
    }
}

/// Ids of the user that a container runs as.
fn user(status: &Value, os: &str, at: &FieldPath, errors: &mut ErrorList) {
    let Some(linux) = get(status, &["user", "linux"]) else { return };
    let at = at.child("user").child("linux");
    if os == "windows" {
        errors.forbidden(at, "cannot be set for a windows pod");
        return;
    }
    context::id(errors, linux, &at, "uid");
    context::id(errors, linux, &at, "gid");
    context::ids(errors, linux, &at, "supplementalGroups");
}

/// What containers asked for, by their names: resources, and claims as statuses name them.
fn asked(containers: &[Value]) -> HashMap<&str, HashSet<String>> {
    let claim = |claim: &Value| match (text(claim, &["name"]), text(claim, &["request"])) {
        (name, "") => format!("claim:{name}"),
        (name, request) => format!("claim:{name}/{request}"),
    };
    let mut asked = HashMap::with_capacity(containers.len());
    for container in containers {
        asked.entry(text(container, &["name"])).or_insert_with(|| {
            let resources = map(container, &["resources", "requests"]).into_iter().flatten().map(|(name, _)| name.clone());
            resources.chain(items(container, &["resources", "claims"]).iter().map(claim)).collect()
        });
    }
    asked
}

/// The health of what a container was given: of resources and claims that it asked for, each part once.
fn health(allocated: &[Value], asked: Option<&HashSet<String>>, at: &FieldPath, errors: &mut ErrorList) {
    for (j, resource) in allocated.iter().enumerate() {
        let at = at.index(j);
        let name = text(resource, &["name"]);
        if asked.is_some_and(|asked| !asked.contains(name)) {
            let why = if name.starts_with("claim:") {
                "must match one of the container's resource claims in a format 'claim:<claimName>/<request>' or \
                 'claim:<claimName>' if request is empty"
            } else {
                "must match one of the container's resource requests"
            };
            errors.invalid(at.child("name"), name, why);
        }
        let mut seen = HashSet::new();
        for (k, part) in items(resource, &["resources"]).iter().enumerate() {
            let at = at.child("resources").index(k);
            if !matches!(text(part, &["health"]), "Healthy" | "Unhealthy" | "Unknown") {
                errors.not_supported(at.child("health"), text(part, &["health"]), &["Healthy", "Unhealthy", "Unknown"]);
            }
            let id = text(part, &["resourceID"]);
            if !seen.insert(id) {
                errors.duplicate(at.child("resourceID"), id);
            }
        }
    }
}
