//! From a Pod object to what the runtime is told. Pure.
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, SeccompProfile};

use super::{
    amounts::{self, Machine},
    dns,
    effect::{Failure, Image},
    env, facts,
};
use crate::{
    runtime::{ContainerConfig, ContainerSecurity, Mount, NamespaceMode, Namespaces, PodRef, SandboxConfig, Seccomp},
    settings::Settings,
};

/// Longest name of a machine that the kernel takes.
const HOSTNAME_MAX: usize = 63;

pub fn sandbox(pod_ref: &PodRef, pod: &Pod, attempt: u32, settings: &Settings, machine: &Machine) -> Option<SandboxConfig> {
    let spec = pod.spec.as_ref()?;
    let security = spec.security_context.clone().unwrap_or_default();
    let first = spec.containers.first().and_then(|c| c.security_context.as_ref());
    Some(SandboxConfig {
        pod: pod_ref.clone(),
        attempt,
        hostname: hostname(pod_ref, spec, settings),
        dns: dns::of_pod(pod_ref, spec, settings),
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        sysctls: security.sysctls.iter().flatten().map(|s| (s.name.replace('/', "."), s.value.clone())).collect(),
        namespaces: namespaces(spec),
        qos: facts::qos(pod),
        resources: amounts::of_pod(spec, machine),
        privileged: facts::containers(spec).any(|(_, c)| facts::is_privileged(c)),
        run_as_user: security.run_as_user.or_else(|| first.and_then(|s| s.run_as_user)),
        run_as_group: security.run_as_group,
        supplemental_groups: groups(&security),
        seccomp: seccomp(security.seccomp_profile.as_ref()),
    })
}

fn namespaces(spec: &PodSpec) -> Namespaces {
    let host = |flag: Option<bool>, otherwise| if flag == Some(true) { NamespaceMode::Node } else { otherwise };
    let own_pid = if spec.share_process_namespace == Some(true) { NamespaceMode::Pod } else { NamespaceMode::Container };
    Namespaces {
        network: host(spec.host_network, NamespaceMode::Pod),
        pid: host(spec.host_pid, own_pid),
        ipc: host(spec.host_ipc, NamespaceMode::Pod),
    }
}

/// The name that processes of the pod see as the machine's.
pub fn hostname(pod: &PodRef, spec: &PodSpec, settings: &Settings) -> String {
    if facts::host_network(spec) {
        return settings.hostname.clone();
    }
    let name = spec.hostname.as_deref().filter(|name| !name.is_empty()).unwrap_or(&pod.name);
    let short: String = name.chars().take(HOSTNAME_MAX).collect();
    short.trim_end_matches(['-', '.']).to_owned()
}

fn groups(security: &PodSecurityContext) -> Vec<i64> {
    let mut all: Vec<i64> = security.supplemental_groups.clone().unwrap_or_default();
    all.extend(security.fs_group.filter(|group| !all.contains(group)));
    all
}

fn seccomp(profile: Option<&SeccompProfile>) -> Seccomp {
    match profile.map(|profile| profile.type_.as_str()) {
        Some("RuntimeDefault") => Seccomp::RuntimeDefault,
        _ => Seccomp::Unconfined,
    }
}

/// What is not in the objects.
pub struct ContainerParts {
    pub attempt: u32,
    pub image: Image,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
}

pub fn container(pod: &Pod, container: &Container, parts: ContainerParts, machine: &Machine) -> Result<ContainerConfig, Failure> {
    let spec = pod.spec.as_ref().ok_or_else(|| config_error("the pod has no spec".to_owned()))?;
    let value = |name: &str| parts.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let expand = |list: &Option<Vec<String>>| list.iter().flatten().map(|text| env::expand(text, &value)).collect();
    let info = parts.image.info();
    Ok(ContainerConfig {
        name: container.name.clone(),
        attempt: parts.attempt,
        image_id: info.id.clone(),
        image_ref: container.image.clone().unwrap_or_default(),
        command: expand(&container.command),
        args: expand(&container.args),
        working_dir: container.working_dir.clone().filter(|dir| !dir.is_empty()),
        security: security(spec, container, &parts.image)?,
        resources: amounts::of_container(container, facts::qos(pod), machine),
        env: parts.env,
        mounts: parts.mounts,
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
    })
}

fn config_error(message: String) -> Failure {
    Failure::new("CreateContainerConfigError", message)
}

fn security(spec: &PodSpec, container: &Container, image: &Image) -> Result<ContainerSecurity, Failure> {
    let of_pod = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let info = image.info();
    let given = own.run_as_user.or(of_pod.run_as_user);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        match (given.or(info.uid), info.username.as_str()) {
            (Some(0), _) => return Err(config_error("container's runAsUser breaks non-root policy".to_owned())),
            (Some(_), _) => {}
            (None, "") => return Err(config_error("container has runAsNonRoot and image will run as root".to_owned())),
            (None, name) => {
                let message =
                    format!("container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root");
                return Err(config_error(message));
            }
        }
    }
    let privileged = own.privileged.unwrap_or(false);
    let capabilities = own.capabilities.unwrap_or_default();
    let names = |list: Option<Vec<String>>| -> Vec<String> {
        list.unwrap_or_default().iter().map(|name| name.strip_prefix("CAP_").unwrap_or(name).to_owned()).collect()
    };
    Ok(ContainerSecurity {
        privileged,
        capabilities_add: names(capabilities.add),
        capabilities_drop: names(capabilities.drop),
        run_as_user: given.or(info.uid),
        run_as_username: match given.or(info.uid) {
            None if !info.username.is_empty() => Some(info.username.clone()),
            _ => None,
        },
        run_as_group: own.run_as_group.or(of_pod.run_as_group),
        supplemental_groups: groups(&of_pod),
        read_only_root: own.read_only_root_filesystem.unwrap_or(false),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        seccomp: if privileged {
            Seccomp::Unconfined
        } else {
            seccomp(own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref()))
        },
    })
}

#[cfg(test)]
mod tests;
