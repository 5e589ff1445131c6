//! Sandboxes: our words to the CRI's, and the calls.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use irori_runtime::Backoff;
use jiff::Timestamp;

use super::{
    Machine,
    rpc::{USUAL, failed},
    wire::cri,
};
use crate::{
    cgroups::{quota, shares},
    runtime::{
        NamespaceMode, Namespaces, PodRef, Resources, Result, RuntimeError, SandboxConfig, SandboxId, SandboxState,
        SandboxStatus, Seccomp, label,
    },
};

/// Starting a sandbox includes the network plugin.
const START_MAX: Duration = Duration::from_secs(240);

/// A shim that is about to end is gone after this.
const HALT_AGAIN: Backoff = Backoff { first: Duration::from_millis(20), max: Duration::from_millis(500) };
const HALT_ATTEMPTS: u32 = 5;
/// Until then it may be what containerd has killed and the kernel still holds.
const KILLED_ALREADY: u32 = 2;

impl Machine {
    pub(super) async fn run_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId> {
        check_uid(&config.pod.uid)?;
        super::daemon::trim(&self.engine_log);
        let wire = self.sandbox_config(config)?;
        let path = "/runtime.v1.RuntimeService/RunPodSandbox";
        let request = cri::RunPodSandboxRequest { config: Some(wire) };
        match self.whole::<_, cri::RunPodSandboxResponse>(path, request, START_MAX).await {
            Ok(answer) => Ok(answer.pod_sandbox_id.into()),
            Err(status) if is_reserved(&status) => self.sandbox_of(&config.pod, config.attempt).await,
            Err(status) => Err(failed("start sandbox", "", &status)),
        }
    }

    /// The sandbox that holds the name which was asked for.
    async fn sandbox_of(&self, pod: &PodRef, attempt: u32) -> Result<SandboxId> {
        let all = self.list_sandboxes(BTreeMap::from([(label::POD_UID.to_owned(), pod.uid.clone())])).await?;
        let found = all.into_iter().find(|sandbox| sandbox.attempt == attempt);
        found.map(|sandbox| sandbox.id).ok_or_else(|| RuntimeError::Failed {
            operation: "start sandbox",
            message: format!("sandbox {attempt} of pod `{}` is being made or removed", pod.name),
        })
    }

    pub(super) async fn halt_sandbox(&self, id: &SandboxId) -> Result<()> {
        let request = cri::StopPodSandboxRequest { pod_sandbox_id: id.0.clone() };
        let path = "/runtime.v1.RuntimeService/StopPodSandbox";
        absent_is_fine(self.halt("stop sandbox", path, request, &id.0, USUAL).await)
    }

    /// Stops something. A shim that ends by itself at this moment makes the first attempt fail.
    pub(super) async fn halt<Q>(
        &self,
        operation: &'static str,
        path: &'static str,
        request: Q,
        id: &str,
        limit: Duration,
    ) -> Result<()>
    where
        Q: prost::Message + Clone + 'static,
    {
        let mut attempt = 0;
        loop {
            match self.rpc.call::<_, cri::Empty>(path, request.clone(), limit).await {
                Err(status) if attempt < HALT_ATTEMPTS && status.message().contains("ttrpc: closed") => {
                    tokio::time::sleep(HALT_AGAIN.wait(attempt)).await;
                    attempt += 1;
                }
                answer => return answer.map(drop).map_err(|status| failed(operation, id, &status)),
            }
        }
    }

    pub(super) async fn delete_sandbox(&self, id: &SandboxId) -> Result<()> {
        let all = self.list_sandboxes(BTreeMap::new()).await?;
        let inside = cri::ContainerFilter { pod_sandbox_id: id.0.clone(), ..Default::default() };
        let inside: Vec<String> = self.list_containers(inside).await?.into_iter().map(|container| container.id.0).collect();
        let request = cri::RemovePodSandboxRequest { pod_sandbox_id: id.0.clone() };
        let path = "/runtime.v1.RuntimeService/RemovePodSandbox";
        absent_is_fine(self.remove("remove sandbox", path, request, &id.0).await)?;
        self.events.forget(&id.0);
        let Some(gone) = all.iter().find(|sandbox| sandbox.id == *id) else { return Ok(()) };
        if all.iter().any(|other| other.id != *id && other.pod.uid == gone.pod.uid) {
            return Ok(());
        }
        self.remove_pod_leftovers(&gone.pod, inside.iter().chain([&id.0])).await
    }

    /// What this room made for the pod outside containerd.
    async fn remove_pod_leftovers(&self, pod: &PodRef, groups: impl Iterator<Item = &String> + Clone) -> Result<()> {
        let failed = |message: String| RuntimeError::Failed { operation: "remove sandbox", message };
        let mut attempt = 0;
        // The kernel needs a moment to let go of what was killed.
        while let Err(error) = self.cgroups.remove_pod(&pod.uid) {
            if attempt == HALT_ATTEMPTS {
                return Err(failed(chain(&error)));
            }
            // Not the others of the pod: its next sandbox may be on its way.
            if attempt >= KILLED_ALREADY {
                groups.clone().for_each(|id| self.cgroups.kill_container(&pod.uid, id));
            }
            tokio::time::sleep(HALT_AGAIN.wait(attempt)).await;
            attempt += 1;
        }
        match std::fs::remove_dir_all(self.pod_log_dir(pod)) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(format!("remove logs: {source}"))),
            _ => Ok(()),
        }
    }

    /// Removes control groups of pods that have no sandbox: left behind where irori ended within a removal.
    pub(super) async fn sweep(&self) -> Result<()> {
        let known: BTreeSet<String> =
            self.list_sandboxes(BTreeMap::new()).await?.into_iter().map(|sandbox| sandbox.pod.uid).collect();
        for uid in self.cgroups.pods().into_iter().filter(|uid| !known.contains(uid)) {
            if self.cgroups.remove_pod(&uid).is_ok() {
                continue;
            }
            self.cgroups.kill_pod(&uid);
            tokio::time::sleep(HALT_AGAIN.wait(1)).await;
            if let Err(error) = self.cgroups.remove_pod(&uid) {
                tracing::warn!(pod = uid, "remove a control group that is left: {}", chain(&error));
            }
        }
        Ok(())
    }

    pub(super) async fn list_sandboxes(&self, labels: BTreeMap<String, String>) -> Result<Vec<SandboxStatus>> {
        let filter = cri::PodSandboxFilter { label_selector: labels, ..Default::default() };
        let request = cri::ListPodSandboxRequest { filter: Some(filter) };
        let answer =
            self.rpc.call::<_, cri::ListPodSandboxResponse>("/runtime.v1.RuntimeService/ListPodSandbox", request, USUAL).await;
        let items = answer.map_err(|status| failed("list sandboxes", "", &status))?.items;
        let status = |item: cri::PodSandbox| {
            let metadata = item.metadata.unwrap_or_default();
            SandboxStatus {
                state: self.sandbox_state(&item.id, item.state),
                pod: PodRef { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
                attempt: metadata.attempt,
                created_at: nanos(item.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
                ips: Vec::new(),
                netns: None,
                labels: item.labels,
                annotations: item.annotations,
                id: item.id.into(),
            }
        };
        Ok(items.into_iter().map(status).collect())
    }

    pub(super) async fn sandbox_status(&self, id: &SandboxId) -> Result<SandboxStatus> {
        let request = cri::PodSandboxStatusRequest { pod_sandbox_id: id.0.clone(), verbose: true };
        let path = "/runtime.v1.RuntimeService/PodSandboxStatus";
        let answer = self.rpc.call::<_, cri::PodSandboxStatusResponse>(path, request, USUAL).await;
        let answer = answer.map_err(|status| failed("ask for the status of sandbox", &id.0, &status))?;
        let status = answer.status.ok_or_else(|| RuntimeError::NotFound { what: id.0.clone() })?;
        let metadata = status.metadata.unwrap_or_default();
        let network = status.network.unwrap_or_default();
        let texts = std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|ip| ip.ip));
        Ok(SandboxStatus {
            id: id.clone(),
            pod: PodRef { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
            attempt: metadata.attempt,
            state: self.sandbox_state(&id.0, status.state),
            created_at: nanos(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
            ips: texts.filter_map(|text| text.parse::<IpAddr>().ok()).collect(),
            netns: answer.info.get("info").and_then(|info| netns(info)),
            labels: status.labels,
            annotations: status.annotations,
        })
    }

    fn sandbox_state(&self, id: &str, state: i32) -> SandboxState {
        if state == 0 && self.events.exit_of(id).is_none() { SandboxState::Ready } else { SandboxState::NotReady }
    }

    pub(super) fn pod_log_dir(&self, pod: &PodRef) -> PathBuf {
        self.settings.log_dir.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }

    /// The CRI's form of a sandbox; makes the pod's cgroup, since its path is part of it.
    pub(super) fn sandbox_config(&self, config: &SandboxConfig) -> Result<cri::PodSandboxConfig> {
        let parent = self
            .cgroups
            .make_pod(&config.pod, config.qos, &config.resources)
            .map_err(|source| RuntimeError::Failed { operation: "make the pod's cgroup", message: chain(&source) })?;
        let security = cri::LinuxSandboxSecurityContext {
            namespace_options: Some(namespaces(config.namespaces)),
            run_as_user: config.run_as_user.map(int),
            run_as_group: config.run_as_user.and(config.run_as_group).map(int),
            supplemental_groups: config.supplemental_groups.clone(),
            privileged: config.privileged,
            seccomp: Some(seccomp(&config.seccomp)),
        };
        let linux = cri::LinuxPodSandboxConfig {
            cgroup_parent: parent,
            security_context: Some(security),
            sysctls: config.sysctls.clone(),
            resources: Some(resources(&config.resources)),
        };
        let mut labels = config.labels.clone();
        labels.extend(pod_labels(&config.pod));
        Ok(cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: config.pod.name.clone(),
                uid: config.pod.uid.clone(),
                namespace: config.pod.namespace.clone(),
                attempt: config.attempt,
            }),
            // Who shares the machine's network shares its name.
            hostname: if config.namespaces.network == NamespaceMode::Node { String::new() } else { config.hostname.clone() },
            log_directory: self.pod_log_dir(&config.pod).to_string_lossy().into_owned(),
            dns_config: config.dns.clone().map(|dns| cri::DnsConfig {
                servers: dns.servers,
                searches: dns.searches,
                options: dns.options,
            }),
            labels,
            annotations: config.annotations.clone(),
            linux: Some(linux),
        })
    }
}

pub(super) fn pod_labels(pod: &PodRef) -> [(String, String); 3] {
    [
        (label::POD_NAMESPACE.to_owned(), pod.namespace.clone()),
        (label::POD_NAME.to_owned(), pod.name.clone()),
        (label::POD_UID.to_owned(), pod.uid.clone()),
    ]
}

/// The CRI plugin's words for a name that is taken.
pub(super) fn is_reserved(status: &tonic::Status) -> bool {
    status.code() == tonic::Code::AlreadyExists || status.message().contains("is reserved for")
}

pub(super) fn absent_is_fine(result: Result<()>) -> Result<()> {
    match result {
        Err(RuntimeError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

pub(super) fn int(value: i64) -> cri::Int64Value {
    cri::Int64Value { value }
}

pub(super) fn nanos(since_1970: i64) -> Option<Timestamp> {
    (since_1970 != 0).then(|| Timestamp::from_nanosecond(i128::from(since_1970)).ok()).flatten()
}

pub(super) fn namespaces(wanted: Namespaces) -> cri::NamespaceOption {
    let mode = |mode| match mode {
        NamespaceMode::Pod => 0,
        NamespaceMode::Container => 1,
        NamespaceMode::Node => 2,
    };
    cri::NamespaceOption { network: mode(wanted.network), pid: mode(wanted.pid), ipc: mode(wanted.ipc) }
}

pub(super) fn seccomp(profile: &Seccomp) -> cri::SecurityProfile {
    let (profile_type, localhost_ref) = match profile {
        Seccomp::RuntimeDefault => (0, String::new()),
        Seccomp::Unconfined => (1, String::new()),
        Seccomp::Localhost(path) => (2, path.to_string_lossy().into_owned()),
    };
    cri::SecurityProfile { profile_type, localhost_ref }
}

pub(super) fn resources(limits: &Resources) -> cri::LinuxContainerResources {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    cri::LinuxContainerResources {
        cpu_period: limits.cpu_limit_millis.map_or(0, |_| 100_000),
        cpu_quota: limits.cpu_limit_millis.map_or(0, |limit| whole(quota(limit))),
        cpu_shares: whole(shares(limits.cpu_request_millis)),
        memory_limit_in_bytes: limits.memory_limit_bytes.map_or(0, whole),
        oom_score_adj: i64::from(limits.oom_score_adj),
        unified: BTreeMap::new(),
        memory_swap_limit_in_bytes: 0,
    }
}

/// A uid becomes part of paths.
fn check_uid(uid: &str) -> Result<()> {
    let plain = !uid.is_empty() && uid.len() <= 128 && uid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { Ok(()) } else { Err(RuntimeError::Invalid { message: format!("pod uid `{uid}` is not plain") }) }
}

/// The network namespace's path out of the CRI plugin's verbose answer.
fn netns(info: &str) -> Option<PathBuf> {
    let info: serde_json::Value = serde_json::from_str(info).ok()?;
    let spaces = info["runtimeSpec"]["linux"]["namespaces"].as_array()?;
    let network = spaces.iter().find(|space| space["type"] == "network")?;
    network["path"].as_str().filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// An error with what caused it, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
