//! Security contexts of pods and containers.
//!
//! Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/.
use hashbrown::HashSet;

use irori_api::field::{ErrorList, FieldPath, Wrong};
use serde_json::Value;

use super::{check, volume, windows};
use crate::tree::{flag, get, items, text};

/// Bytes of the name of an AppArmor profile.
const PROFILE_BYTES_MAX: usize = 4095;

/// The id of a user or group.
pub fn id(errors: &mut ErrorList, context: &Value, at: &FieldPath, field: &str) {
    check::between(errors, context, at, &[field], 0, i64::from(i32::MAX));
}

/// Ids of several groups.
pub fn ids(errors: &mut ErrorList, context: &Value, at: &FieldPath, field: &str) {
    for (i, id) in items(context, &[field]).iter().filter_map(Value::as_i64).enumerate() {
        if !(0..=i64::from(i32::MAX)).contains(&id) {
            errors.invalid(at.child(field).index(i), id, format!("must be between 0 and {}, inclusive", i32::MAX));
        }
    }
}

/// Of a container; `own_users`: its pod has a user namespace of its own.
pub fn container(context: &Value, own_users: bool, at: &FieldPath, errors: &mut ErrorList) {
    id(errors, context, at, "runAsUser");
    id(errors, context, at, "runAsGroup");
    if let Some(kind) = get(context, &["procMount"]).and_then(Value::as_str) {
        if !matches!(kind, "Default" | "Unmasked") {
            errors.not_supported(at.child("procMount"), kind, &["Default", "Unmasked"]);
        } else if kind == "Unmasked" && !own_users {
            errors.invalid(at.child("procMount"), kind, "`hostUsers` must be false to use `Unmasked`");
        }
    }
    seccomp(context, at, errors);
    if get(context, &["allowPrivilegeEscalation"]) == Some(&Value::Bool(false)) {
        let admin = items(context, &["capabilities", "add"]).iter().filter(|added| *added == "CAP_SYS_ADMIN").count();
        let ways = flag(context, &["privileged"])
            .then_some("`privileged` to true")
            .into_iter()
            .chain(std::iter::repeat_n("`capabilities.Add` CAP_SYS_ADMIN", admin));
        for way in ways {
            if errors.is_full() {
                break;
            }
            let why = format!("cannot set `allowPrivilegeEscalation` to false and {way}");
            check::wrong_go(errors, at.clone(), Wrong::Invalid, &shown(context), &why);
        }
    }
    if let Some(options) = get(context, &["windowsOptions"]) {
        windows::options(options, &at.child("windowsOptions"), errors);
    }
    app_armor(context, at, errors);
}

/// A context as a stock server shows it: its own struct.
fn shown(context: &Value) -> String {
    const PROFILE: &[(&str, &str, &str)] = &[("Type", "type", "\"\""), ("LocalhostProfile", "localhostProfile", "null")];
    let inner = |field: &str, fields: &[(&str, &str, &str)]| {
        get(context, &[field]).map_or_else(|| "null".to_owned(), |given| check::go(given, fields))
    };
    let capabilities = inner("capabilities", &[("Add", "add", "null"), ("Drop", "drop", "null")]);
    let privileged = check::go_fields(context, &[("Privileged", "privileged", "null")]);
    let se_linux =
        [("User", "user"), ("Role", "role"), ("Type", "type"), ("Level", "level")].map(|(go, here)| (go, here, "\"\""));
    let windows = [
        ("GMSACredentialSpecName", "gmsaCredentialSpecName", "null"),
        ("GMSACredentialSpec", "gmsaCredentialSpec", "null"),
        ("RunAsUserName", "runAsUserName", "null"),
        ("HostProcess", "hostProcess", "null"),
    ];
    let plain = [
        ("RunAsUser", "runAsUser", "null"),
        ("RunAsGroup", "runAsGroup", "null"),
        ("RunAsNonRoot", "runAsNonRoot", "null"),
        ("ReadOnlyRootFilesystem", "readOnlyRootFilesystem", "null"),
        ("AllowPrivilegeEscalation", "allowPrivilegeEscalation", "null"),
        ("ProcMount", "procMount", "null"),
    ];
    let (se_linux, windows) = (inner("seLinuxOptions", &se_linux), inner("windowsOptions", &windows));
    let plain = check::go_fields(context, &plain);
    let (seccomp, app_armor) = (inner("seccompProfile", PROFILE), inner("appArmorProfile", PROFILE));
    format!(
        "{{\"Capabilities\":{capabilities},{privileged},\"SELinuxOptions\":{se_linux},\"WindowsOptions\":{windows},{plain},\
         \"SeccompProfile\":{seccomp},\"AppArmorProfile\":{app_armor}}}"
    )
}

/// Of a pod.
pub fn pod(spec: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(context) = get(spec, &["securityContext"]) else { return };
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        id(errors, context, at, field);
    }
    ids(errors, context, at, "supplementalGroups");
    // Upstream keeps this field in the context.
    if flag(spec, &["shareProcessNamespace"]) && flag(spec, &["hostPID"]) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(at.child("shareProcessNamespace"), true, why);
    }
    sysctls(spec, items(context, &["sysctls"]), &at.child("sysctls"), errors);
    check::one_of(errors, context, at, &["fsGroupChangePolicy"], &["Always", "OnRootMismatch"]);
    seccomp(context, at, errors);
    if let Some(options) = get(context, &["windowsOptions"]) {
        windows::options(options, &at.child("windowsOptions"), errors);
    }
    app_armor(context, at, errors);
    check::one_of(errors, context, at, &["supplementalGroupsPolicy"], &["Merge", "Strict"]);
    check::one_of(errors, context, at, &["seLinuxChangePolicy"], &["Recursive"]);
}

fn sysctls(spec: &Value, list: &[Value], at: &FieldPath, errors: &mut ErrorList) {
    let mut seen = HashSet::new();
    for (i, sysctl) in list.iter().enumerate() {
        let at = at.index(i).child("name");
        let name = text(sysctl, &["name"]);
        let part = |p: &str| {
            let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            ends(p.as_bytes().first())
                && ends(p.as_bytes().last())
                && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        let again = !seen.insert(name);
        if name.is_empty() {
            errors.required(at.clone(), "");
        } else if name.len() > 253 || !name.split(['.', '/']).all(part) {
            let form = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
            let why = format!("must have at most 253 characters and match regex ^({form}[\\./])*{form}$");
            errors.invalid(at.clone(), name, why);
        } else if again {
            errors.duplicate(at.clone(), name);
        }
        if let Some(host) = namespace(name).filter(|host| flag(spec, &[host])) {
            errors.invalid(at, name, format!("may not be specified when '{host}' is true"));
        }
    }
}

/// The field that shares the namespace which a sysctl is a setting of.
fn namespace(name: &str) -> Option<&'static str> {
    // A path names the same setting: where a slash stands before any dot, the two have changed places.
    let slashed = name.find(['.', '/']).is_some_and(|at| name[at..].starts_with('/'));
    let dotted = if slashed { name.replace('/', ".") } else { name.to_owned() };
    let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix));
    if ipc || dotted == "kernel.sem" {
        Some("hostIPC")
    } else if dotted.starts_with("net.") {
        Some("hostNetwork")
    } else {
        None
    }
}

fn seccomp(context: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(profile) = get(context, &["seccompProfile"]) else { return };
    let at = at.child("seccompProfile");
    let local = get(profile, &["localhostProfile"]).and_then(Value::as_str);
    let kind = text(profile, &["type"]);
    match kind {
        "Localhost" | "RuntimeDefault" | "Unconfined" => {}
        "" => errors.required(at.child("type"), "type is required when seccompProfile is set"),
        kind => errors.not_supported(at.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
    match local {
        None if kind == "Localhost" => {
            errors.required(at.child("localhostProfile"), "must be set when seccomp type is Localhost");
        }
        None => {}
        Some(path) if kind == "Localhost" => volume::local_path(errors, path, &at.child("localhostProfile")),
        Some(_) => {
            let shown = check::go(profile, &[("Type", "type", "\"\""), ("LocalhostProfile", "localhostProfile", "null")]);
            let why = "can only be set when seccomp type is Localhost";
            check::wrong_go(errors, at.child("localhostProfile"), Wrong::Invalid, &shown, why);
        }
    }
}

fn app_armor(context: &Value, at: &FieldPath, errors: &mut ErrorList) {
    let Some(profile) = get(context, &["appArmorProfile"]) else { return };
    let at = at.child("appArmorProfile");
    let path = at.child("localhostProfile");
    let local = get(profile, &["localhostProfile"]).and_then(Value::as_str);
    match (text(profile, &["type"]), local) {
        ("", _) => errors.required(at.child("type"), "type is required when appArmorProfile is set"),
        ("Localhost", None | Some("")) => errors.required(path, "must be set when AppArmor type is Localhost"),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                errors.invalid(path.clone(), name, "must not be padded with whitespace");
            }
            if name.len() > PROFILE_BYTES_MAX {
                errors.too_long(path, PROFILE_BYTES_MAX);
            }
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            errors.invalid(path, name, "can only be set when AppArmor type is Localhost");
        }
        (kind, _) => errors.not_supported(at.child("type"), kind, &["Localhost", "RuntimeDefault", "Unconfined"]),
    }
}
