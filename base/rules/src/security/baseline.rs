//! Checks of the baseline level.
use serde_json::Value;

use super::{Check, Subject, Violation, containers, plural, quoted, setters, sorted};
use crate::tree::{flag, get, int, items, map, text};

/// By name, in the order in which they are told.
pub const CHECKS: &[(&str, Check)] = &[
    ("appArmorProfile", app_armor),
    ("capabilities_baseline", capabilities),
    ("hostNamespaces", host_namespaces),
    ("hostPathVolumes", host_paths),
    ("hostPorts", host_ports),
    ("hostProbesAndHostLifecycle", host_probes),
    ("privileged", privileged),
    ("procMount", proc_mount),
    ("seLinuxOptions", se_linux),
    ("seccompProfile_baseline", seccomp),
    ("sysctls", sysctls),
    ("windowsHostProcess", host_process),
];

fn app_armor(of: &Subject<'_>) -> Option<Violation> {
    const PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
    let mut bad: Vec<String> = Vec::new();
    let unconfined = |context: &Value| text(context, &["appArmorProfile", "type"]) == "Unconfined";
    let setters = setters(unconfined(of.pod_context()), &of.named(unconfined));
    bad.extend(setters.map(|who| format!("{who} must not set AppArmor profile type to \"Unconfined\"")));
    let good = |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotations = map(of.pod, &["metadata", "annotations"]).into_iter().flatten();
    let forbidden = annotations
        .filter(|(key, value)| key.starts_with(PREFIX) && !good(value.as_str().unwrap_or("")))
        .map(|(key, value)| format!("{key}={:?}", value.as_str().unwrap_or("")));
    bad.extend(sorted(forbidden.collect()));
    if bad.is_empty() {
        return None;
    }
    Violation::new(plural("forbidden AppArmor profile", "forbidden AppArmor profiles", bad.len()), bad.join(", "))
}

const DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(of: &Subject<'_>) -> Option<Violation> {
    let (names, added) = added_beyond(of, DEFAULT_CAPABILITIES);
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must not include {} in securityContext.capabilities.add", containers(&names), quoted(&added));
    Violation::new("non-default capabilities", detail)
}

/// Containers that add capabilities beyond those, and which.
pub fn added_beyond<'a>(of: &Subject<'a>, allowed: &[&str]) -> (Vec<&'a str>, Vec<String>) {
    let bad = |context: &Value| -> Vec<String> {
        let added = items(context, &["capabilities", "add"]).iter().filter_map(Value::as_str);
        added.filter(|c| !allowed.contains(c)).map(str::to_owned).collect()
    };
    let names = of.named(|context| !bad(context).is_empty());
    let all = of.containers.iter().flat_map(|c| bad(get(c, &["securityContext"]).unwrap_or(&Value::Null)));
    (names, sorted(all.collect()))
}

fn host_namespaces(of: &Subject<'_>) -> Option<Violation> {
    let shared: Vec<String> = ["hostNetwork", "hostPID", "hostIPC"]
        .into_iter()
        .filter(|field| flag(of.spec, &[field]))
        .map(|field| format!("{field}=true"))
        .collect();
    if shared.is_empty() { None } else { Violation::new("host namespaces", shared.join(", ")) }
}

fn host_paths(of: &Subject<'_>) -> Option<Violation> {
    let all = items(of.spec, &["volumes"]).iter().filter(|v| get(v, &["hostPath"]).is_some());
    let names: Vec<&str> = all.map(|v| text(v, &["name"])).collect();
    if names.is_empty() {
        return None;
    }
    Violation::new("hostPath volumes", format!("{} {}", plural("volume", "volumes", names.len()), quoted(&names)))
}

fn host_ports(of: &Subject<'_>) -> Option<Violation> {
    let taken = |c: &Value| -> Vec<String> {
        items(c, &["ports"]).iter().filter_map(|p| int(p, &["hostPort"])).filter(|p| *p != 0).map(|p| p.to_string()).collect()
    };
    let names: Vec<&str> = of.containers.iter().filter(|c| !taken(c).is_empty()).map(|c| text(c, &["name"])).collect();
    if names.is_empty() {
        return None;
    }
    let ports = sorted(of.containers.iter().flat_map(|c| taken(c)).collect());
    let verb = plural("uses", "use", names.len());
    let word = plural("hostPort", "hostPorts", ports.len());
    Violation::new("hostPort", format!("{} {verb} {word} {}", containers(&names), ports.join(", ")))
}

fn host_probes(of: &Subject<'_>) -> Option<Violation> {
    if of.minor < 34 {
        return None;
    }
    let hosts = |c: &Value| -> Vec<String> {
        [
            ["livenessProbe"].as_slice(),
            &["readinessProbe"],
            &["startupProbe"],
            &["lifecycle", "postStart"],
            &["lifecycle", "preStop"],
        ]
        .into_iter()
        .filter_map(|path| get(c, path))
        .flat_map(|handler| ["httpGet", "tcpSocket"].map(|kind| text(handler, &[kind, "host"]).to_owned()))
        .filter(|host| !host.is_empty())
        .collect()
    };
    let bad = of.containers.iter().filter(|c| !hosts(c).is_empty()).map(|c| text(c, &["name"]).to_owned());
    let names = sorted(bad.collect());
    if names.is_empty() {
        return None;
    }
    let named = sorted(of.containers.iter().flat_map(|c| hosts(c)).collect());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let verb = plural("uses", "use", names.len());
    let word = plural("probe or lifecycle host", "probe or lifecycle hosts", named.len());
    Violation::new("probe or lifecycle host", format!("{} {verb} {word} {}", containers(&names), quoted(&named)))
}

fn privileged(of: &Subject<'_>) -> Option<Violation> {
    let names = of.named(|context| flag(context, &["privileged"]));
    if names.is_empty() {
        return None;
    }
    Violation::new("privileged", format!("{} must not set securityContext.privileged=true", containers(&names)))
}

fn proc_mount(of: &Subject<'_>) -> Option<Violation> {
    if of.has_own_users() { None } else { proc_mount_anywhere(of) }
}

/// The same for pods with users of their own.
pub fn proc_mount_anywhere(of: &Subject<'_>) -> Option<Violation> {
    let kind = |context: &Value| text(context, &["procMount"]).to_owned();
    let is_bad = |kind: &str| !kind.is_empty() && kind != "Default";
    let names = of.named(|context| is_bad(&kind(context)));
    if names.is_empty() {
        return None;
    }
    let all = of.containers.iter().map(|c| kind(get(c, &["securityContext"]).unwrap_or(&Value::Null)));
    let kinds = sorted(all.filter(|kind| is_bad(kind)).collect());
    Violation::new("procMount", format!("{} must not set securityContext.procMount to {}", containers(&names), quoted(&kinds)))
}

fn se_linux(of: &Subject<'_>) -> Option<Violation> {
    let good_type = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && of.minor >= 31)
    };
    let set = |context: &Value, field: &str| text(context, &["seLinuxOptions", field]).to_owned();
    let is_bad = |context: &Value| {
        !good_type(&set(context, "type")) || ["user", "role"].iter().any(|field| !set(context, field).is_empty())
    };
    let who = setters(is_bad(of.pod_context()), &of.named(is_bad))?;
    let contexts = || {
        let own = of.containers.iter().map(|c| get(c, &["securityContext"]).unwrap_or(&Value::Null));
        std::iter::once(of.pod_context()).chain(own)
    };
    let types = sorted(contexts().map(|context| set(context, "type")).filter(|kind| !good_type(kind)).collect());
    let mut what = Vec::new();
    if !types.is_empty() {
        what.push(format!("{} {}", plural("type", "types", types.len()), quoted(&types)));
    }
    for field in ["user", "role"] {
        if contexts().any(|context| !set(context, field).is_empty()) {
            what.push(format!("{field} may not be set"));
        }
    }
    Violation::new("seLinuxOptions", format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")))
}

/// The type of a seccomp profile that is none of the two good ones; `None` where it is, or where there is none.
pub fn bad_seccomp(context: &Value) -> Option<String> {
    get(context, &["seccompProfile"])?;
    let kind = text(context, &["seccompProfile", "type"]);
    (!matches!(kind, "Localhost" | "RuntimeDefault")).then(|| kind.to_owned())
}

pub fn seccomp(of: &Subject<'_>) -> Option<Violation> {
    if of.minor < 19 {
        return seccomp_by_annotation(of);
    }
    let who = setters(bad_seccomp(of.pod_context()).is_some(), &of.named(|context| bad_seccomp(context).is_some()))?;
    let own = of.containers.iter().filter_map(|c| bad_seccomp(get(c, &["securityContext"])?));
    let kinds = sorted(bad_seccomp(of.pod_context()).into_iter().chain(own).collect());
    Violation::new("seccompProfile", format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(&kinds)))
}

fn seccomp_by_annotation(of: &Subject<'_>) -> Option<Violation> {
    let good = |value: &str| matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/");
    let own = of.containers.iter().map(|c| format!("container.seccomp.security.alpha.kubernetes.io/{}", text(c, &["name"])));
    let keys = std::iter::once("seccomp.security.alpha.kubernetes.io/pod".to_owned()).chain(own);
    let bad = keys.filter_map(|key| {
        let value = get(of.pod, &["metadata", "annotations", &key])?.as_str()?;
        (!good(value)).then(|| format!("{key}={value:?}"))
    });
    let bad = sorted(bad.collect());
    if bad.is_empty() {
        return None;
    }
    let word = plural("annotation", "annotations", bad.len());
    Violation::new("seccompProfile", format!("forbidden {word} {}", bad.join(", ")))
}

/// Sysctls that are safe, and since which minor version.
const SAFE_SYSCTLS: &[(&str, u32)] = &[
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
];

fn sysctls(of: &Subject<'_>) -> Option<Violation> {
    let safe = |name: &str| SAFE_SYSCTLS.iter().any(|(known, since)| *known == name && *since <= of.minor);
    let given = items(of.pod_context(), &["sysctls"]).iter().map(|s| text(s, &["name"]).to_owned());
    let bad: Vec<String> = given.filter(|name| !safe(name)).collect();
    if bad.is_empty() { None } else { Violation::new("forbidden sysctls", bad.join(", ")) }
}

fn host_process(of: &Subject<'_>) -> Option<Violation> {
    let is_set = |context: &Value| flag(context, &["windowsOptions", "hostProcess"]);
    let who = setters(is_set(of.pod_context()), &of.named(is_set))?;
    Violation::new("hostProcess", format!("{who} must not set securityContext.windowsOptions.hostProcess=true"))
}
