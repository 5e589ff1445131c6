//! What this node does of a pod, field by field. What is not in this table does not run.
//!
//! Invariant: every field of the schema stands here, checked by a test; a field that stands nowhere is refused.
use std::fmt;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use serde_json::Value;

/// A field of a pod that this node does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `spec.volumes[2].nfs`.
    pub path: String,
    pub why: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

enum Verdict {
    /// The field and all below it are done.
    Done,
    /// Somebody else's business; nothing for a node to do.
    Elsewhere,
    /// Its fields are judged one by one.
    Fields,
    /// Not done, whatever it says.
    Refused(&'static str),
    /// Done with these values only.
    Only(&'static [&'static str]),
    /// Done unless the function says why not.
    Unless(fn(&Value, &PodSpec) -> Option<String>),
}
use Verdict::{Done, Elsewhere, Fields, Only, Refused, Unless};

const NOT_YET: &str = "not implemented by this node yet";
const NO_DRIVER: &str = "this kind of volume is not implemented by this node yet";
const WINDOWS: &str = "this node runs Linux";

/// Paths below `spec`; `[]` is an item of a list. `container` stands for an item of containers and initContainers.
#[rustfmt::skip]
const TABLE: &[(&str, Verdict)] = &[
    ("activeDeadlineSeconds", Done),
    ("affinity", Elsewhere),
    ("automountServiceAccountToken", Elsewhere),
    ("containers[]", Fields),
    ("dnsConfig", Done),
    ("dnsPolicy", Done),
    ("enableServiceLinks", Done),
    ("ephemeralContainers[]", Refused(NOT_YET)),
    ("hostAliases[]", Done),
    ("hostIPC", Done),
    ("hostNetwork", Done),
    ("hostPID", Done),
    ("hostUsers", Only(&["true"])),
    ("hostname", Done),
    ("hostnameOverride", Refused(NOT_YET)),
    ("imagePullSecrets[]", Done),
    ("initContainers[]", Fields),
    ("nodeName", Elsewhere),
    ("nodeSelector", Elsewhere),
    ("os", Fields),
    ("os.name", Only(&["linux"])),
    ("overhead", Refused(NOT_YET)),
    ("preemptionPolicy", Elsewhere),
    ("priority", Elsewhere),
    ("priorityClassName", Elsewhere),
    ("readinessGates[]", Done),
    ("resourceClaims[]", Refused(NOT_YET)),
    ("resources", Refused(NOT_YET)),
    ("restartPolicy", Done),
    ("runtimeClassName", Refused(NOT_YET)),
    ("schedulerName", Elsewhere),
    ("schedulingGates[]", Elsewhere),
    ("schedulingGroup", Elsewhere),
    ("securityContext", Fields),
    ("securityContext.appArmorProfile", Fields),
    ("securityContext.appArmorProfile.localhostProfile", Refused(NOT_YET)),
    ("securityContext.appArmorProfile.type", Only(&["Unconfined"])),
    ("securityContext.fsGroup", Done),
    ("securityContext.fsGroupChangePolicy", Done),
    ("securityContext.runAsGroup", Done),
    ("securityContext.runAsNonRoot", Done),
    ("securityContext.runAsUser", Done),
    ("securityContext.seLinuxChangePolicy", Refused(NOT_YET)),
    ("securityContext.seLinuxOptions", Refused(NOT_YET)),
    ("securityContext.seccompProfile", Fields),
    ("securityContext.seccompProfile.localhostProfile", Refused(NOT_YET)),
    ("securityContext.seccompProfile.type", Only(&["RuntimeDefault", "Unconfined"])),
    ("securityContext.supplementalGroups[]", Done),
    ("securityContext.supplementalGroupsPolicy", Only(&["Merge"])),
    ("securityContext.sysctls[]", Unless(unsafe_sysctl)),
    ("securityContext.windowsOptions", Refused(WINDOWS)),
    ("serviceAccount", Elsewhere),
    ("serviceAccountName", Done),
    ("setHostnameAsFQDN", Only(&["false"])),
    ("shareProcessNamespace", Done),
    ("subdomain", Done),
    ("terminationGracePeriodSeconds", Done),
    ("tolerations[]", Elsewhere),
    ("topologySpreadConstraints[]", Elsewhere),
    ("volumes[]", Fields),
    ("volumes[].name", Done),
    ("volumes[].awsElasticBlockStore", Refused(NO_DRIVER)),
    ("volumes[].azureDisk", Refused(NO_DRIVER)),
    ("volumes[].azureFile", Refused(NO_DRIVER)),
    ("volumes[].cephfs", Refused(NO_DRIVER)),
    ("volumes[].cinder", Refused(NO_DRIVER)),
    ("volumes[].configMap", Done),
    ("volumes[].csi", Refused(NO_DRIVER)),
    ("volumes[].downwardAPI", Done),
    ("volumes[].emptyDir", Unless(empty_dir)),
    ("volumes[].ephemeral", Refused(NO_DRIVER)),
    ("volumes[].fc", Refused(NO_DRIVER)),
    ("volumes[].flexVolume", Refused(NO_DRIVER)),
    ("volumes[].flocker", Refused(NO_DRIVER)),
    ("volumes[].gcePersistentDisk", Refused(NO_DRIVER)),
    ("volumes[].gitRepo", Refused(NO_DRIVER)),
    ("volumes[].glusterfs", Refused(NO_DRIVER)),
    ("volumes[].hostPath", Done),
    ("volumes[].image", Refused(NO_DRIVER)),
    ("volumes[].iscsi", Refused(NO_DRIVER)),
    ("volumes[].nfs", Refused(NO_DRIVER)),
    ("volumes[].persistentVolumeClaim", Refused(NO_DRIVER)),
    ("volumes[].photonPersistentDisk", Refused(NO_DRIVER)),
    ("volumes[].portworxVolume", Refused(NO_DRIVER)),
    ("volumes[].projected", Fields),
    ("volumes[].projected.defaultMode", Done),
    ("volumes[].projected.sources[]", Fields),
    ("volumes[].projected.sources[].clusterTrustBundle", Refused(NOT_YET)),
    ("volumes[].projected.sources[].configMap", Done),
    ("volumes[].projected.sources[].downwardAPI", Done),
    ("volumes[].projected.sources[].podCertificate", Refused(NOT_YET)),
    ("volumes[].projected.sources[].secret", Done),
    ("volumes[].projected.sources[].serviceAccountToken", Done),
    ("volumes[].quobyte", Refused(NO_DRIVER)),
    ("volumes[].rbd", Refused(NO_DRIVER)),
    ("volumes[].scaleIO", Refused(NO_DRIVER)),
    ("volumes[].secret", Done),
    ("volumes[].storageos", Refused(NO_DRIVER)),
    ("volumes[].vsphereVolume", Refused(NO_DRIVER)),
    ("container.args[]", Done),
    ("container.command[]", Done),
    ("container.env[]", Fields),
    ("container.env[].name", Done),
    ("container.env[].value", Done),
    ("container.env[].valueFrom", Fields),
    ("container.env[].valueFrom.configMapKeyRef", Done),
    ("container.env[].valueFrom.fieldRef", Done),
    ("container.env[].valueFrom.fileKeyRef", Refused(NOT_YET)),
    ("container.env[].valueFrom.resourceFieldRef", Done),
    ("container.env[].valueFrom.secretKeyRef", Done),
    ("container.envFrom[]", Done),
    ("container.image", Done),
    ("container.imagePullPolicy", Done),
    ("container.lifecycle", Fields),
    ("container.lifecycle.postStart", Fields),
    ("container.lifecycle.postStart.exec", Done),
    ("container.lifecycle.postStart.httpGet", Done),
    ("container.lifecycle.postStart.sleep", Done),
    ("container.lifecycle.postStart.tcpSocket", Refused("a hook cannot be a tcpSocket")),
    ("container.lifecycle.preStop", Fields),
    ("container.lifecycle.preStop.exec", Done),
    ("container.lifecycle.preStop.httpGet", Done),
    ("container.lifecycle.preStop.sleep", Done),
    ("container.lifecycle.preStop.tcpSocket", Refused("a hook cannot be a tcpSocket")),
    ("container.lifecycle.stopSignal", Refused(NOT_YET)),
    ("container.livenessProbe", Done),
    ("container.name", Done),
    ("container.ports[]", Fields),
    ("container.ports[].containerPort", Done),
    ("container.ports[].hostIP", Refused(NOT_YET)),
    ("container.ports[].hostPort", Unless(host_port)),
    ("container.ports[].name", Done),
    ("container.ports[].protocol", Done),
    ("container.readinessProbe", Done),
    ("container.resizePolicy[]", Elsewhere),
    ("container.resources", Fields),
    ("container.resources.claims[]", Refused(NOT_YET)),
    ("container.resources.limits", Unless(limits)),
    ("container.resources.requests", Unless(requests)),
    ("container.restartPolicy", Only(&["Always"])),
    ("container.restartPolicyRules[]", Refused(NOT_YET)),
    ("container.securityContext", Fields),
    ("container.securityContext.allowPrivilegeEscalation", Done),
    ("container.securityContext.appArmorProfile", Fields),
    ("container.securityContext.appArmorProfile.localhostProfile", Refused(NOT_YET)),
    ("container.securityContext.appArmorProfile.type", Only(&["Unconfined"])),
    ("container.securityContext.capabilities", Done),
    ("container.securityContext.privileged", Done),
    ("container.securityContext.procMount", Only(&["Default"])),
    ("container.securityContext.readOnlyRootFilesystem", Done),
    ("container.securityContext.runAsGroup", Done),
    ("container.securityContext.runAsNonRoot", Done),
    ("container.securityContext.runAsUser", Done),
    ("container.securityContext.seLinuxOptions", Refused(NOT_YET)),
    ("container.securityContext.seccompProfile", Fields),
    ("container.securityContext.seccompProfile.localhostProfile", Refused(NOT_YET)),
    ("container.securityContext.seccompProfile.type", Only(&["RuntimeDefault", "Unconfined"])),
    ("container.securityContext.windowsOptions", Refused(WINDOWS)),
    ("container.startupProbe", Done),
    ("container.stdin", Done),
    ("container.stdinOnce", Done),
    ("container.terminationMessagePath", Done),
    ("container.terminationMessagePolicy", Done),
    ("container.tty", Done),
    ("container.volumeDevices[]", Refused(NOT_YET)),
    ("container.volumeMounts[]", Fields),
    ("container.volumeMounts[].mountPath", Done),
    ("container.volumeMounts[].mountPropagation", Done),
    ("container.volumeMounts[].name", Done),
    ("container.volumeMounts[].readOnly", Done),
    ("container.volumeMounts[].recursiveReadOnly", Only(&["Disabled"])),
    ("container.volumeMounts[].subPath", Done),
    ("container.volumeMounts[].subPathExpr", Done),
    ("container.workingDir", Done),
];

/// Sysctls that touch nothing outside their pod (Kubernetes page "Using sysctls in a Kubernetes Cluster").
const SAFE_SYSCTLS: &[&str] = &[
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

fn unsafe_sysctl(value: &Value, spec: &PodSpec) -> Option<String> {
    let name = value["name"].as_str().unwrap_or_default().replace('/', ".");
    if !SAFE_SYSCTLS.contains(&name.as_str()) {
        return Some(format!("sysctl `{name}` is not in the safe set"));
    }
    let of_host = if name.starts_with("net.") { spec.host_network } else { spec.host_ipc };
    (of_host == Some(true)).then(|| format!("sysctl `{name}` would change the machine, whose namespace the pod shares"))
}

fn empty_dir(value: &Value, _: &PodSpec) -> Option<String> {
    match (value["medium"].as_str().unwrap_or_default(), value.get("sizeLimit")) {
        ("Memory", _) | ("", None) => None,
        ("", Some(_)) => Some("sizeLimit is kept only with medium Memory by this node yet".to_owned()),
        (medium, _) => Some(format!("medium `{medium}` is not implemented by this node yet")),
    }
}

fn host_port(value: &Value, spec: &PodSpec) -> Option<String> {
    let port = value.as_i64().unwrap_or(0);
    (port != 0 && spec.host_network != Some(true))
        .then(|| "hostPort without hostNetwork is not implemented by this node yet".to_owned())
}

fn unknown_resource(value: &Value, known: &[&str]) -> Option<String> {
    let name = value.as_object()?.keys().find(|name| !known.contains(&name.as_str()))?;
    Some(format!("resource `{name}` is not kept by this node yet"))
}

fn limits(value: &Value, _: &PodSpec) -> Option<String> {
    unknown_resource(value, &["cpu", "memory"])
}

fn requests(value: &Value, _: &PodSpec) -> Option<String> {
    unknown_resource(value, &["cpu", "memory", "ephemeral-storage"])
}

/// All fields of the pod that this node does not do.
pub fn check(pod: &Pod) -> Vec<Refusal> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let Ok(value) = serde_json::to_value(spec) else {
        return vec![Refusal { path: "spec".to_owned(), why: "not readable".to_owned() }];
    };
    let mut walk = Walk { spec, found: Vec::new() };
    walk.fields("spec", "", &value);
    app_restart_policies(spec, &mut walk.found);
    walk.found
}

/// `restartPolicy` of an app container is another feature than that of a sidecar.
fn app_restart_policies(spec: &PodSpec, found: &mut Vec<Refusal>) {
    for (index, _) in spec.containers.iter().enumerate().filter(|(_, c)| c.restart_policy.is_some()) {
        found.push(Refusal { path: format!("spec.containers[{index}].restartPolicy"), why: NOT_YET.to_owned() });
    }
}

struct Walk<'a> {
    spec: &'a PodSpec,
    found: Vec<Refusal>,
}

impl Walk<'_> {
    fn fields(&mut self, path: &str, key: &str, value: &Value) {
        for (name, value) in value.as_object().into_iter().flatten() {
            let (path, key) = (format!("{path}.{name}"), joined(key, name));
            match value {
                Value::Null => {}
                Value::Array(items) => {
                    for (index, item) in items.iter().enumerate() {
                        self.judge(&format!("{path}[{index}]"), &format!("{key}[]"), item);
                    }
                }
                value => self.judge(&path, &key, value),
            }
        }
    }

    fn judge(&mut self, path: &str, key: &str, value: &Value) {
        let why = match verdict(key) {
            Some(Done | Elsewhere) => return,
            Some(Fields) => return self.fields(path, below(key), value),
            Some(Refused(why)) => (*why).to_owned(),
            Some(Only(allowed)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if allowed.contains(&text.as_str()) {
                    return;
                }
                format!("`{text}` is not implemented by this node yet")
            }
            Some(Unless(why_not)) => match why_not(value, self.spec) {
                Some(why) => why,
                None => return,
            },
            None => NOT_YET.to_owned(),
        };
        self.found.push(Refusal { path: path.to_owned(), why });
    }
}

fn joined(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}

/// Both lists of containers are judged by one part of the table.
fn below(key: &str) -> &str {
    if key == "containers[]" || key == "initContainers[]" { "container" } else { key }
}

fn verdict(key: &str) -> Option<&'static Verdict> {
    TABLE.iter().find(|(path, _)| *path == key).map(|(_, verdict)| verdict)
}

#[cfg(test)]
mod tests;
