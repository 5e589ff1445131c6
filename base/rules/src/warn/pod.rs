//! Warnings of pods, and of templates of pods.
use hashbrown::HashMap;

use irori_api::field::FieldPath;
use serde_json::Value;

use super::{COMPARED_MAX, address, doubles, each, files, fraction, kinds, node_labels};
use crate::tree::{get, int, items, map, text};

const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
const NO_MATCH: &str = "a null labelSelector results in matching no pod";

/// Kinds of volumes that are going or gone.
pub const GONE_VOLUMES: &[(&str, &str)] = &[
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

/// Annotations of pods that no longer do anything.
const GONE_ANNOTATIONS: &[(&str, &str)] = &[
    ("scheduler.alpha.kubernetes.io/critical-pod", "non-functional in v1.16+; use the \"priorityClassName\" field instead"),
    ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
];

pub fn pod(pod: &Value, told: &mut Vec<String>) {
    content(pod, &FieldPath::root(), false, told);
}

pub fn template(template: &Value, at: &FieldPath, told: &mut Vec<String>) {
    content(template, at, true, told);
}

fn content(of: &Value, around: &FieldPath, is_template: bool, told: &mut Vec<String>) {
    let at = around.child("spec");
    let spec = get(of, &["spec"]).unwrap_or(&Value::Null);
    labels(spec, &at, told);
    let annotated = |key: &str| map(of, &["metadata", "annotations"]).is_some_and(|a| a.contains_key(key));
    let annotation = |key: &str| around.child("metadata").child("annotations").key(key);
    for (key, history) in GONE_ANNOTATIONS.iter().filter(|(key, _)| annotated(key)) {
        told.push(format!("{}: {history}", annotation(key)));
    }
    for (at, volume) in each(spec, &["volumes"], &at) {
        for (field, history) in GONE_VOLUMES.iter().filter(|(field, _)| get(volume, &[field]).is_some()) {
            let field = if *field == "storageos" { "storageOS" } else { field };
            told.push(format!("{}: {history}", at.child(field)));
        }
        if let Some(claim) = get(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
            kinds::claim(claim, &at.child("ephemeral").child("volumeClaimTemplate").child("spec"), told);
        }
    }
    files::overlaps(items(spec, &["volumes"]), told);
    for (i, ip) in doubles(items(spec, &["hostAliases"]), "ip") {
        told.push(format!("{}: duplicate ip {ip:?}", at.child("hostAliases").index(i).child("ip")));
    }
    for (i, name) in doubles(items(spec, &["imagePullSecrets"]), "name") {
        told.push(format!("{}: duplicate name {name:?}", at.child("imagePullSecrets").index(i).child("name")));
    }
    for (at, secret) in each(spec, &["imagePullSecrets"], &at) {
        if text(secret, &["name"]).is_empty() {
            told.push(format!("{}: invalid empty name \"\"", at.child("name")));
        }
    }
    for name in ["memory", "ephemeral-storage"] {
        fraction(get(spec, &["overhead", name]), &at.child("overhead").key(name), told);
    }
    let pod_seccomp = "seccomp.security.alpha.kubernetes.io/pod";
    if get(spec, &["securityContext", "seccompProfile"]).is_none() && annotated(pod_seccomp) {
        told.push(format!("{}: {SECCOMP}", annotation(pod_seccomp)));
    }
    let all = containers(spec, &at);
    for (at, container) in &all {
        let name = text(container, &["name"]);
        let old = |prefix: &str| Some(format!("{prefix}{name}")).filter(|key| annotated(key));
        let has = |profile: &str| get(container, &["securityContext", profile]).is_some();
        if let (Some(key), false) = (old("container.seccomp.security.alpha.kubernetes.io/"), has("seccompProfile")) {
            told.push(format!("{}: {SECCOMP}", annotation(&key)));
        }
        let armed = has("appArmorProfile") || get(spec, &["securityContext", "appArmorProfile"]).is_some();
        if let (true, false, Some(key)) = (is_template, armed, old("container.apparmor.security.beta.kubernetes.io/")) {
            told.push(format!("{}: deprecated since v1.30; use the \"appArmorProfile\" field instead", annotation(&key)));
        }
        for name in ["memory", "ephemeral-storage"] {
            for side in ["limits", "requests"] {
                fraction(get(container, &["resources", side, name]), &at.child("resources").child(side).key(name), told);
            }
        }
        variables(items(container, &["env"]), &at.child("env"), told);
    }
    ports(&all, told);
    if int(spec, &["terminationGracePeriodSeconds"]).is_some_and(|s| s < 0) {
        let at = at.child("terminationGracePeriodSeconds");
        told.push(format!("{at}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    affinity_terms(spec, &at, told);
    for (i, server) in items(spec, &["dnsConfig", "nameservers"]).iter().filter_map(Value::as_str).enumerate() {
        address::ip(server, &at.child("dnsConfig").child("nameservers").index(i), told);
    }
    for (at, alias) in each(spec, &["hostAliases"], &at) {
        address::ip(text(alias, &["ip"]), &at.child("ip"), told);
    }
}

/// Every container with its path, in the order in which upstream visits them.
fn containers<'a>(spec: &'a Value, at: &FieldPath) -> Vec<(FieldPath, &'a Value)> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|list| each(spec, &[list], at)).collect()
}

/// Labels of nodes by their old names, and spread over no pods.
fn labels(spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for key in map(spec, &["nodeSelector"]).into_iter().flatten().map(|(key, _)| key) {
        if let Some(why) = node_labels::replaced(key) {
            told.push(format!("{}: {why}", at.child("nodeSelector").key(key)));
        }
    }
    let required = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"];
    for (at, term) in each(spec, &required, at) {
        node_labels::term(term, &at, told);
    }
    let preferred = ["affinity", "nodeAffinity", "preferredDuringSchedulingIgnoredDuringExecution"];
    for (at, item) in each(spec, &preferred, at) {
        let (preference, at) = (get(item, &["preference"]).unwrap_or(&Value::Null), at.child("preference"));
        node_labels::term(preference, &at, told);
        node_labels::values(preference, &at, told);
    }
    for (at, constraint) in each(spec, &["topologySpreadConstraints"], at) {
        let key = text(constraint, &["topologyKey"]);
        if let Some(why) = node_labels::replaced(key) {
            told.push(format!("{}: {key} is {why}", at.child("topologyKey")));
        }
        if get(constraint, &["labelSelector"]).is_none() {
            told.push(format!("{}: {NO_MATCH}", at.child("labelSelector")));
        }
    }
}

/// Variables that hide earlier ones without building on them.
fn variables(env: &[Value], at: &FieldPath, told: &mut Vec<String>) {
    for (i, name) in doubles(env, "name") {
        let reference = format!("$({name})");
        let value = text(&env[i], &["value"]);
        if get(&env[i], &["valueFrom"]).is_some() || value == reference || !value.contains(&reference) {
            told.push(format!("{}: hides previous definition of {name:?}, which may be dropped when using apply", at.index(i)));
        }
    }
}

/// Ports that are said twice, in one or several containers, by number or by name.
fn ports(containers: &[(FieldPath, &Value)], told: &mut Vec<String>) {
    let mut by_number: HashMap<_, Vec<(FieldPath, &Value)>> = HashMap::new();
    let mut by_name: HashMap<&str, FieldPath> = HashMap::new();
    let (mut names, mut compared) = (Vec::new(), 0);
    let host = |port: &'_ Value| (int(port, &["hostPort"]).unwrap_or(0), text(port, &["hostIP"]).to_owned());
    for (at, port) in containers.iter().flat_map(|(at, container)| each(container, &["ports"], at)) {
        let (host_port, host_ip) = host(port);
        if host_port == 0 && !host_ip.is_empty() {
            told.push(format!("{at}: hostIP set without hostPort: {}", shown(port)));
        }
        let others = by_number.entry((int(port, &["containerPort"]), text(port, &["protocol"]))).or_default();
        compared += others.len();
        if compared > COMPARED_MAX {
            break;
        }
        for (other_at, other) in others.iter() {
            let (other_port, other_ip) = host(other);
            let word = if (host_port, &host_ip) == (other_port, &other_ip) {
                "duplicate"
            } else if host_port == 0 || other_port == 0 {
                "overlapping"
            } else if host_port == other_port && host_ip.is_empty() != other_ip.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            told.push(format!("{at}: {word} port definition with {other_at}"));
        }
        others.push((at.clone(), port));
        let name = text(port, &["name"]);
        match by_name.get(name) {
            _ if name.is_empty() => {}
            Some(first) => names.push(format!(
                "{at}: duplicate port name {name:?} with {first}, services and probes that select ports by name will use {first}"
            )),
            None => drop(by_name.insert(name, at)),
        }
    }
    told.extend(names);
}

/// A port as a stock server shows it.
fn shown(port: &Value) -> String {
    let (number, word) = (|field| int(port, &[field]).unwrap_or(0), |field| text(port, &[field]));
    format!(
        "{{Name:{} HostPort:{} ContainerPort:{} Protocol:{} HostIP:{}}}",
        word("name"),
        number("hostPort"),
        number("containerPort"),
        word("protocol"),
        word("hostIP")
    )
}

fn affinity_terms(spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    for side in ["podAffinity", "podAntiAffinity"] {
        for (when, inner) in [
            ("requiredDuringSchedulingIgnoredDuringExecution", &[][..]),
            ("preferredDuringSchedulingIgnoredDuringExecution", &["podAffinityTerm"][..]),
        ] {
            for (at, term) in each(spec, &["affinity", side, when], at) {
                let at = inner.iter().fold(at, |at, step| at.child(step));
                if get(term, inner).is_some_and(|term| get(term, &["labelSelector"]).is_none()) {
                    told.push(format!("{}: {NO_MATCH}", at.child("labelSelector")));
                }
            }
        }
    }
}
