//! Containers of a pod.
//!
//! Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container.
use hashbrown::{HashMap, HashSet};

use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use super::{check, compute, context, env, ephemeral, mount, probe};
use crate::tree::{flag, get, int, items, text};

#[cfg(test)]
mod tests;

/// What a container may refer to, and what of its pod its rules hang on.
pub struct Around<'a> {
    /// Valid ones, by their names.
    volumes: HashMap<&'a str, &'a Value>,
    claims: &'a compute::Claims<'a>,
    /// The pod's hostUsers is false.
    own_users: bool,
    /// Seconds in which the pod ends.
    grace: Option<i64>,
    /// The pod's restartPolicy is Never.
    never_restarts: bool,
}

const NO_POLICY: &str = "must specify restartPolicy when restart rules are used";
const NOT_FOR_INIT: &str = "may not be set for init containers without restartPolicy=Always";

/// All containers of a pod; `volumes` are those that are valid themselves.
pub fn containers<'a>(
    spec: &'a Value,
    volumes: &[&'a Value],
    claims: &'a compute::Claims<'a>,
    at: &FieldPath,
    errors: &mut ErrorList,
) {
    let mut by_name = HashMap::with_capacity(volumes.len());
    for volume in volumes.iter().copied() {
        by_name.entry(text(volume, &["name"])).or_insert(volume);
    }
    let around = Around {
        volumes: by_name,
        claims,
        own_users: get(spec, &["hostUsers"]) == Some(&Value::Bool(false)),
        grace: int(spec, &["terminationGracePeriodSeconds"]),
        never_restarts: text(spec, &["restartPolicy"]) == "Never",
    };
    let list = items(spec, &["containers"]);
    let mut names = HashSet::new();
    regular(list, &around, &mut names, &at.child("containers"), errors);
    init(items(spec, &["initContainers"]), &around, &mut names, &at.child("initContainers"), errors);
    let targets = names.clone();
    for (i, one) in items(spec, &["ephemeralContainers"]).iter().enumerate() {
        ephemeral::container(one, &at.child("ephemeralContainers").index(i), &mut names, &targets, &around, errors);
    }
}

fn regular<'a>(list: &'a [Value], around: &Around<'_>, names: &mut HashSet<&'a str>, at: &FieldPath, errors: &mut ErrorList) {
    if list.is_empty() {
        errors.required(at.clone(), "");
    }
    for (i, one) in list.iter().enumerate() {
        let at = at.index(i);
        common(one, &at, around, errors);
        if !names.insert(text(one, &["name"])) {
            errors.duplicate(at.child("name"), text(one, &["name"]));
        }
        probe::all(one, around.grace, &at, errors);
        restart_rules(one, &at, errors);
    }
    let mut taken = HashSet::new();
    for (i, one) in list.iter().enumerate() {
        host_ports(one, &mut taken, &at.index(i), errors);
    }
}

fn init<'a>(list: &'a [Value], around: &Around<'_>, names: &mut HashSet<&'a str>, at: &FieldPath, errors: &mut ErrorList) {
    for (i, one) in list.iter().enumerate() {
        let path = at.index(i);
        let name = text(one, &["name"]);
        common(one, &path, around, errors);
        // Without a policy its rules are not looked at.
        if get(one, &["restartPolicy"]).is_some() {
            restart_rules(one, &path, errors);
        } else if !items(one, &["restartPolicyRules"]).is_empty() {
            errors.required(path.child("restartPolicy"), NO_POLICY);
        }
        if names.contains(name) {
            errors.duplicate(path.child("name"), name);
        } else if !name.is_empty() {
            names.insert(name);
        }
        // They run one by one, and each is told as if it stood alone.
        host_ports(one, &mut HashSet::new(), &at.index(0), errors);
        if text(one, &["restartPolicy"]) == "Always" {
            probe::all(one, around.grace, &path, errors);
            continue;
        }
        for field in ["lifecycle"].iter().chain(probe::PROBES).filter(|field| get(one, &[field]).is_some()) {
            errors.forbidden(path.child(field), NOT_FOR_INIT);
        }
        for (j, policy) in items(one, &["resizePolicy"]).iter().enumerate() {
            if text(policy, &["restartPolicy"]) == "RestartContainer" {
                let why = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                errors.invalid(path.child("resizePolicy").index(j).child("restartPolicy"), "RestartContainer", why);
            }
        }
    }
}

/// What holds for containers of every sort.
pub fn common(one: &Value, at: &FieldPath, around: &Around<'_>, errors: &mut ErrorList) {
    check::required_name(errors, one, at, &["name"], names::dns_label);
    check::required(errors, one, at, &["image"]);
    check::required_one_of(errors, one, at, &["terminationMessagePolicy"], &["File", "FallbackToLogsOnError"]);
    ports(items(one, &["ports"]), &at.child("ports"), errors);
    env::variables(one, at, errors);
    mount::all(one, &around.volumes, at, errors);
    check::required_one_of(errors, one, at, &["imagePullPolicy"], &["Always", "IfNotPresent", "Never"]);
    if let Some(resources) = get(one, &["resources"]) {
        compute::container(resources, around.claims, &at.child("resources"), errors);
    }
    resize_policy(items(one, &["resizePolicy"]), around.never_restarts, &at.child("resizePolicy"), errors);
    if let Some(given) = get(one, &["securityContext"]) {
        context::container(given, around.own_users, &at.child("securityContext"), errors);
    }
}

/// Images of pods are named without blanks around them; in templates some stand for others.
pub fn plain_images(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for list in ["containers", "initContainers"] {
        for (i, one) in items(spec, &[list]).iter().enumerate() {
            plain_image(one, &at.child(list).index(i), errors);
        }
    }
}

pub fn plain_image(one: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let image = text(one, &["image"]);
    if image.trim() != image {
        errors.invalid(at.child("image"), image, "must not have leading or trailing whitespace");
    }
}

fn resize_policy(list: &[Value], never_restarts: bool, at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, policy) in list.iter().enumerate() {
        let resource = text(policy, &["resourceName"]);
        if !seen.insert(resource) {
            errors.duplicate(at.index(i), resource);
        }
        // Both fields are told by the path of the list.
        for (field, known) in [("resourceName", &["cpu", "memory"]), ("restartPolicy", &["NotRequired", "RestartContainer"])] {
            match text(policy, &[field]) {
                "" => errors.required(at.clone(), ""),
                given if !known.contains(&given) => errors.not_supported(at.clone(), given, known),
                _ => {}
            }
        }
        let given = text(policy, &["restartPolicy"]);
        if never_restarts && given != "NotRequired" {
            errors.invalid(at.clone(), given, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}

/// Rules of one container.
const RULES_MAX: usize = 20;
/// Exit codes of one rule.
const CODES_MAX: usize = 255;

/// When a container is started again, source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-restart-rules.
fn restart_rules(one: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let rules = items(one, &["restartPolicyRules"]);
    let policy = get(one, &["restartPolicy"]).and_then(Value::as_str);
    match policy {
        None if !rules.is_empty() => errors.required(at.child("restartPolicy"), NO_POLICY),
        None | Some("Always" | "Never" | "OnFailure") => {}
        Some(given) => errors.not_supported(at.child("restartPolicy"), given, &["Always", "Never", "OnFailure"]),
    }
    let at = at.child("restartPolicyRules");
    if rules.len() > RULES_MAX {
        errors.too_many(at.clone(), rules.len(), RULES_MAX);
    }
    for (i, rule) in rules.iter().enumerate() {
        let at = at.index(i);
        let action = text(rule, &["action"]);
        if !matches!(action, "Restart" | "RestartAllContainers") {
            errors.not_supported(at.child("action"), action, &["Restart", "RestartAllContainers"]);
        }
        let at = at.child("exitCodes");
        let Some(codes) = get(rule, &["exitCodes"]) else {
            errors.required(at, "must be specified");
            continue;
        };
        let operator = text(codes, &["operator"]);
        if !matches!(operator, "In" | "NotIn") {
            errors.not_supported(at.child("operator"), operator, &["In", "NotIn"]);
        }
        let values = items(codes, &["values"]).len();
        if values > CODES_MAX {
            errors.too_many(at.child("values"), values, CODES_MAX);
        }
    }
}

fn ports(list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut names = HashSet::new();
    for (i, port) in list.iter().enumerate() {
        let at = at.index(i);
        let name = text(port, &["name"]);
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if wrong.is_empty() && !names.insert(name) {
                errors.duplicate(at.child("name"), name);
            }
            errors.invalid_each(&at.child("name"), name, wrong);
        }
        match int(port, &["containerPort"]).unwrap_or(0) {
            0 => errors.required(at.child("containerPort"), ""),
            n => errors.invalid_each(&at.child("containerPort"), n, names::port_number(n)),
        }
        if let Some(n) = int(port, &["hostPort"]).filter(|n| *n != 0) {
            errors.invalid_each(&at.child("hostPort"), n, names::port_number(n));
        }
        check::required_one_of(errors, port, &at, &["protocol"], &["SCTP", "TCP", "UDP"]);
    }
}

/// Ports of the host are taken once.
fn host_ports(one: &Value, taken: &mut HashSet<String>, at: &FieldPath, errors: &mut ErrorList) {
    for (j, port) in items(one, &["ports"]).iter().enumerate() {
        let host = int(port, &["hostPort"]).unwrap_or(0);
        let key = format!("{}/{}/{host}", text(port, &["protocol"]), text(port, &["hostIP"]));
        if host != 0 && !taken.insert(key.clone()) {
            errors.duplicate(at.child("ports").index(j).child("hostPort"), key);
        }
    }
}

/// In the host's network a port is the host's; a template may leave that to its pods.
pub fn host_network(spec: &Value, of_pod: bool, at: &FieldPath, errors: &mut ErrorList) {
    if !flag(spec, &["hostNetwork"]) {
        return;
    }
    for (i, one) in items(spec, &["containers"]).iter().enumerate() {
        for (j, port) in items(one, &["ports"]).iter().enumerate() {
            let [host, own] = ["hostPort", "containerPort"].map(|field| int(port, &[field]).unwrap_or(0));
            if (of_pod || host != 0) && host != own {
                let at = at.child("containers").index(i).child("ports").index(j).child("hostPort");
                errors.invalid(at, host, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}
