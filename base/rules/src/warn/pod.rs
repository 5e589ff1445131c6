//! Warnings of pods, and of templates of pods.
use hashbrown::HashSet;

use irori_api::field::FieldPath;
use serde_json::Value;

use super::{address, doubles, each, fraction, kinds, node_labels};
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
            told.push(format!("{}: {history}", at.child(field)));
        }
        if let Some(claim) = get(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
            kinds::claim(claim, &at.child("ephemeral").child("volumeClaimTemplate").child("spec"), told);
        }
    }
    token_paths(spec, &at, told);
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
        node_labels::term(get(item, &["preference"]).unwrap_or(&Value::Null), &at.child("preference"), told);
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

/// Files of projected volumes that lie where a token does.
fn token_paths(spec: &Value, at: &FieldPath, told: &mut Vec<String>) {
    let tokens: HashSet<&str> = items(spec, &["volumes"])
        .iter()
        .flat_map(|volume| items(volume, &["projected", "sources"]))
        .filter_map(|source| get(source, &["serviceAccountToken", "path"]).and_then(Value::as_str))
        .collect();
    for (at, volume) in each(spec, &["volumes"], at) {
        for source in items(volume, &["projected", "sources"]) {
            for (field, word) in [("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI")] {
                let list = at.child("projected").child("sources").child(word);
                for (i, item) in items(source, &[field, "items"]).iter().enumerate() {
                    let path = text(item, &["path"]);
                    if tokens.contains(path) {
                        told.push(format!("{}: has duplicated path with ServiceAccountToken {path:?}", list.index(i)));
                    }
                }
            }
            let path = text(source, &["clusterTrustBundle", "path"]);
            if tokens.contains(path) {
                let at = at.child("projected").child("sources").child("ClusterTrustBundle");
                told.push(format!("{at}: has duplicated path with ServiceAccountToken {path:?}"));
            }
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

/// Ports that are said twice, in one or several containers.
fn ports(containers: &[(FieldPath, &Value)], told: &mut Vec<String>) {
    let mut seen: Vec<(FieldPath, &Value)> = Vec::new();
    for (at, container) in containers {
        for (at, port) in each(container, &["ports"], at) {
            let host = |p: &Value| int(p, &["hostPort"]).unwrap_or(0);
            let ip = |p: &Value| text(p, &["hostIP"]).to_owned();
            let same = |p: &Value| (int(p, &["containerPort"]), text(p, &["protocol"]).to_owned());
            for (other_at, other) in seen.iter().filter(|(_, other)| same(other) == same(port)) {
                let word = if ip(other) == ip(port) && host(other) == host(port) {
                    "duplicate"
                } else if host(port) == 0 || host(other) == 0 {
                    "overlapping"
                } else if host(port) == host(other) && ip(port).is_empty() != ip(other).is_empty() {
                    "dangerously ambiguous"
                } else {
                    continue;
                };
                told.push(format!("{at}: {word} port definition with {other_at}"));
            }
            seen.push((at, port));
        }
    }
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
