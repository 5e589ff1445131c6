//! What hangs on the operating system of a pod.
//!
//! Source: https://kubernetes.io/docs/concepts/windows/intro/#compatibility-v1-pod and
//! https://kubernetes.io/docs/tasks/configure-pod-container/create-hostprocess-pod/.
use irori_api::{
    field::{ErrorList, FieldPath},
    names,
};
use serde_json::Value;

use crate::tree::{flag, get, items, text};

/// KiB of a credential specification.
const CREDENTIAL_KIB_MAX: usize = 64;
/// Characters of the domain and of the name of a user; a domain stays under its number.
const DOMAIN_MAX: usize = 256;
const USER_MAX: usize = 104;

const NOT_ON_WINDOWS: &str = "cannot be set for a windows pod";
const NOT_ON_LINUX: &str = "windows options cannot be set for a linux pod";

/// The containers of a pod with their paths, in the order in which upstream visits them.
fn containers<'a>(spec: &'a Value, at: &FieldPath) -> impl Iterator<Item = (FieldPath, &'a Value)> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| {
        let at = at.child(list);
        items(spec, &[list]).iter().enumerate().map(move |(i, container)| (at.index(i), container))
    })
}

/// The name of the system, and what is not for it.
pub fn system(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(os) = get(spec, &["os"]) else { return };
    match text(os, &["name"]) {
        "" => errors.required(at.child("os").child("name"), ""),
        "linux" => linux(spec, at, errors),
        "windows" => windows(spec, at, errors),
        other => errors.not_supported(at.child("os"), other, &["linux", "windows"]),
    }
}

fn linux(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const OPTIONS: &[&str] = &["securityContext", "windowsOptions"];
    if get(spec, OPTIONS).is_some() {
        errors.forbidden(at.at(["securityContext", "windowsOptions"]), NOT_ON_LINUX);
    }
    for (at, _) in containers(spec, at).filter(|(_, one)| get(one, OPTIONS).is_some()) {
        errors.forbidden(at.at(["securityContext", "windowsOptions"]), NOT_ON_LINUX);
    }
}

/// Fields of a pod that Windows has not, in the order in which they are told.
const POD_FIELDS: &[&[&str]] = &[
    &["securityContext", "appArmorProfile"],
    &["securityContext", "seLinuxOptions"],
    &["hostUsers"],
    &["hostPID"],
    &["hostIPC"],
    &["securityContext", "seccompProfile"],
    &["securityContext", "fsGroup"],
    &["securityContext", "fsGroupChangePolicy"],
    &["securityContext", "sysctls"],
    &["shareProcessNamespace"],
    &["securityContext", "runAsUser"],
    &["securityContext", "runAsGroup"],
    &["securityContext", "supplementalGroups"],
    &["securityContext", "supplementalGroupsPolicy"],
    &["securityContext", "seLinuxChangePolicy"],
];

/// The same of the security context of a container.
const CONTAINER_FIELDS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn windows(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    for path in POD_FIELDS {
        let set = match path {
            ["hostPID" | "hostIPC"] => flag(spec, path),
            [.., "sysctls"] => !items(spec, path).is_empty(),
            path => get(spec, path).is_some(),
        };
        if set {
            errors.forbidden(super::check::below(at, path), NOT_ON_WINDOWS);
        }
    }
    for (at, container) in containers(spec, at) {
        let Some(context) = get(container, &["securityContext"]) else { continue };
        for field in CONTAINER_FIELDS.iter().filter(|field| get(context, &[field]).is_some()) {
            errors.forbidden(at.child("securityContext").child(field), NOT_ON_WINDOWS);
        }
    }
}

/// Containers that are processes of the host: all or none, and with the host's network.
pub fn host_processes(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    const FIELD: &[&str] = &["securityContext", "windowsOptions", "hostProcess"];
    let of = |one: &Value| get(one, FIELD).and_then(Value::as_bool);
    let pod = of(spec);
    let (mut all, mut hosts) = (0, 0);
    for (at, container) in containers(spec, at) {
        let own = of(container);
        if let (Some(pod), Some(own)) = (pod, own)
            && pod != own
        {
            let why = format!("pod hostProcess value must be identical if both are specified, was {pod}");
            errors.invalid(super::check::below(&at, FIELD), own, why);
        }
        all += 1;
        hosts += usize::from(own.or(pod) == Some(true));
    }
    if hosts > 0 && hosts != all {
        let why = "If pod contains any hostProcess containers then all containers must be HostProcess containers";
        errors.invalid(at.clone(), "", why);
    }
    if hosts > 0 && !flag(spec, &["hostNetwork"]) {
        let why = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(at.child("hostNetwork"), false, why);
    }
}

/// Options of Windows, of a pod or a container.
pub fn options(options: &Value, at: &FieldPath, errors: &mut ErrorList) {
    super::check::name(errors, options, at, &["gmsaCredentialSpecName"], names::dns_subdomain);
    if let Some(given) = get(options, &["gmsaCredentialSpec"]).and_then(Value::as_str) {
        let at = at.child("gmsaCredentialSpec");
        if given.is_empty() {
            errors.invalid(at, given, "gmsaCredentialSpec cannot be an empty string");
        } else if given.len() > CREDENTIAL_KIB_MAX * 1024 {
            errors.invalid(at, given, format!("gmsaCredentialSpec size must be under {CREDENTIAL_KIB_MAX} KiB"));
        }
    }
    if let Some(given) = get(options, &["runAsUserName"]).and_then(Value::as_str) {
        for why in user_name(given) {
            errors.invalid(at.child("runAsUserName"), given, why);
        }
    }
}

/// What is wrong with `USER` or `DOMAIN\USER`.
fn user_name(given: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if given.is_empty() {
        return vec!["runAsUserName cannot be an empty string".into()];
    }
    if given.bytes().any(|b| b.is_ascii_control()) {
        return vec!["runAsUserName cannot contain control characters".into()];
    }
    let (domain, user) = given.split_once('\\').map_or((None, given), |(domain, user)| (Some(domain), user));
    if user.contains('\\') {
        return vec!["runAsUserName cannot contain more than one backslash".into()];
    }
    if let Some(domain) = domain {
        if domain.len() >= DOMAIN_MAX {
            wrong.push(format!("runAsUserName's Domain length must be under {DOMAIN_MAX} characters"));
        }
        if !is_netbios(domain) && !is_domain(domain) {
            wrong.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format".into());
        }
    }
    if user.is_empty() {
        wrong.push("runAsUserName's User cannot be empty".into());
    } else if user.len() > USER_MAX {
        wrong.push(format!("runAsUserName's User length must not be longer than {USER_MAX} characters"));
    }
    if !user.is_empty() && user.bytes().all(|b| b". ".contains(&b)) {
        wrong.push("runAsUserName's User cannot contain only periods or spaces".into());
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        wrong.push("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    }
    wrong
}

/// Up to 15 characters, none of them special, the first no dot.
fn is_netbios(domain: &str) -> bool {
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && !domain.contains(|c| "\\/:*?\"<>|".contains(c))
}

/// Labels of a host's name, in either case.
fn is_domain(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}
