//! Checks of the restricted level.
use serde_json::Value;

use super::{Check, Subject, Violation, baseline, containers, plural, quoted, setters, sorted};
use crate::tree::{get, items, text};

/// A check, since which minor version it is there, and the baseline check that it makes superfluous.
pub struct Restriction {
    pub since: u32,
    pub replaces: &'static str,
    pub check: Check,
}

/// In the order of their names.
pub const CHECKS: &[Restriction] = &[
    Restriction { since: 8, replaces: "", check: privilege_escalation },
    Restriction { since: 22, replaces: "capabilities_baseline", check: capabilities },
    Restriction { since: 35, replaces: "procMount", check: baseline::proc_mount_anywhere },
    Restriction { since: 0, replaces: "hostPathVolumes", check: volumes },
    Restriction { since: 0, replaces: "", check: non_root },
    Restriction { since: 23, replaces: "", check: user },
    Restriction { since: 19, replaces: "seccompProfile_baseline", check: seccomp },
];

fn privilege_escalation(of: &Subject<'_>) -> Option<Violation> {
    if of.minor >= 25 && of.is_windows() {
        return None;
    }
    let names = of.named(|context| get(context, &["allowPrivilegeEscalation"]) != Some(&Value::Bool(false)));
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", containers(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

fn capabilities(of: &Subject<'_>) -> Option<Violation> {
    if of.minor >= 25 && of.is_windows() {
        return None;
    }
    let mut details = Vec::new();
    let keeps = of.named(|context| !items(context, &["capabilities", "drop"]).iter().any(|c| c == "ALL"));
    if !keeps.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", containers(&keeps)));
    }
    let (adds, added) = baseline::added_beyond(of, &["NET_BIND_SERVICE"]);
    if !adds.is_empty() {
        details.push(format!("{} must not include {} in securityContext.capabilities.add", containers(&adds), quoted(&added)));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

const GOOD_VOLUMES: &[&str] =
    &["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

const BAD_VOLUMES: &[&str] = &[
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn volumes(of: &Subject<'_>) -> Option<Violation> {
    let is = |volume: &Value, kinds: &[&'static str]| kinds.iter().copied().find(|kind| get(volume, &[kind]).is_some());
    let bad: Vec<&Value> = items(of.spec, &["volumes"]).iter().filter(|v| is(v, GOOD_VOLUMES).is_none()).collect();
    if bad.is_empty() {
        return None;
    }
    let names: Vec<&str> = bad.iter().map(|v| text(v, &["name"])).collect();
    let kinds = sorted(bad.iter().map(|v| is(v, BAD_VOLUMES).unwrap_or("unknown").to_owned()).collect());
    let detail = format!(
        "{} {} {} {} {}",
        plural("volume", "volumes", names.len()),
        quoted(&names),
        plural("uses", "use", names.len()),
        plural("restricted volume type", "restricted volume types", kinds.len()),
        quoted(&kinds)
    );
    Violation::new("restricted volume types", detail)
}

fn non_root(of: &Subject<'_>) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    if of.has_own_users() {
        return None;
    }
    let said = |context: &Value| get(context, &["runAsNonRoot"]).and_then(Value::as_bool);
    let by_pod = said(of.pod_context());
    if let Some(who) = setters(by_pod == Some(false), &of.named(|context| said(context) == Some(false))) {
        return Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = of.named(|context| said(context).is_none() && by_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    Violation::new(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", containers(&silent)))
}

fn user(of: &Subject<'_>) -> Option<Violation> {
    if of.has_own_users() {
        return None;
    }
    let is_root = |context: &Value| get(context, &["runAsUser"]).and_then(Value::as_i64) == Some(0);
    let who = setters(is_root(of.pod_context()), &of.named(is_root))?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

fn seccomp(of: &Subject<'_>) -> Option<Violation> {
    if of.minor >= 25 && of.is_windows() {
        return None;
    }
    if let Some(bad) = baseline::seccomp(of) {
        return Some(bad);
    }
    let silent = of.named(|context| get(context, &["seccompProfile"]).is_none());
    if silent.is_empty() || get(of.pod_context(), &["seccompProfile"]).is_some() {
        return None;
    }
    let who = containers(&silent);
    let detail = format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    Violation::new("seccompProfile", detail)
}
