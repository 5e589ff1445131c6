//! Containers: our words to the CRI's, and the calls.
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use irori_runtime::Backoff;
use jiff::Timestamp;

use super::{
    Machine,
    rpc::{USUAL, failed},
    sandboxes::{absent_is_fine, int, is_reserved, namespaces, nanos, pod_labels, resources, seccomp},
    wire::cri,
};
use crate::runtime::{
    ContainerConfig, ContainerId, ContainerSecurity, ContainerState, ContainerStatus, PodRef, Propagation, Result, RuntimeError,
    SandboxConfig, SandboxId, label,
};

/// Annotation with the image's name as the pod wrote it: the CRI gives back the id that it was created with.
const IMAGE_ANNOTATION: &str = "irori.dev/image";

/// What an unprivileged container does not see of /proc and /sys (procMount `Default`).
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// What it may only read.
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Looks whether a start that somebody else asked for is done, about thirty seconds long.
const STARTING: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(1) };
const STARTING_ATTEMPTS: u32 = 35;

impl Machine {
    pub(super) async fn new_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        sandbox_config: &SandboxConfig,
    ) -> Result<ContainerId> {
        let directory = self.pod_log_dir(&sandbox_config.pod).join(&config.name);
        std::fs::create_dir_all(&directory)
            .map_err(|source| RuntimeError::Failed { operation: "make log directory", message: source.to_string() })?;
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: sandbox.0.clone(),
            config: Some(container_config(config, sandbox_config)),
            sandbox_config: Some(self.sandbox_config(sandbox_config)?),
        };
        let path = "/runtime.v1.RuntimeService/CreateContainer";
        let answer = self.whole::<_, cri::CreateContainerResponse>(path, request, USUAL).await;
        match answer {
            Ok(answer) => Ok(answer.container_id.into()),
            Err(status) if is_reserved(&status) => self.container_of(sandbox, config).await,
            Err(status) => Err(failed("create container", &sandbox.0, &status)),
        }
    }

    /// The container that holds the name which was asked for.
    async fn container_of(&self, sandbox: &SandboxId, config: &ContainerConfig) -> Result<ContainerId> {
        let filter = cri::ContainerFilter { pod_sandbox_id: sandbox.0.clone(), ..Default::default() };
        let all = self.list_containers(filter).await?;
        let found = all.into_iter().find(|container| container.name == config.name && container.attempt == config.attempt);
        found.map(|container| container.id).ok_or_else(|| RuntimeError::Failed {
            operation: "create container",
            message: format!("container `{}` is being made or removed", config.name),
        })
    }

    pub(super) async fn run_container(&self, id: &ContainerId) -> Result<()> {
        let path = "/runtime.v1.RuntimeService/StartContainer";
        for attempt in 0.. {
            let request = cri::StartContainerRequest { container_id: id.0.clone() };
            match self.whole::<_, cri::Empty>(path, request, USUAL).await {
                Ok(_) => break,
                // Started before, perhaps ended since.
                Err(status) if status.message().contains("is in CONTAINER_") => break,
                // An irori before this one asked for it.
                Err(status) if attempt < STARTING_ATTEMPTS && status.message().contains("already in starting state") => {
                    tokio::time::sleep(STARTING.wait(attempt)).await;
                }
                Err(status) => {
                    self.end_failed_start(id, &status).await;
                    return Err(start_error(&id.0, &status));
                }
            }
        }
        if let Some(log) = self.container_status(id).await?.log_path {
            self.rotation.watch(id, log);
        }
        Ok(())
    }

    pub(super) async fn halt_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let timeout = i64::try_from(seconds).unwrap_or(i64::MAX);
        self.events.stopping(&id.0);
        let request = cri::StopContainerRequest { container_id: id.0.clone(), timeout };
        let path = "/runtime.v1.RuntimeService/StopContainer";
        absent_is_fine(self.halt("stop container", path, request, &id.0, USUAL.saturating_add(grace)).await)
    }

    pub(super) async fn delete_container(&self, id: &ContainerId) -> Result<()> {
        let status = match self.container_status(id).await {
            Ok(status) => status,
            Err(RuntimeError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.rotation.forget(id);
        if status.state != ContainerState::Running {
            self.cgroups.kill_container(&status.pod.uid, &id.0);
        }
        let request = cri::RemoveContainerRequest { container_id: id.0.clone() };
        let path = "/runtime.v1.RuntimeService/RemoveContainer";
        absent_is_fine(self.remove("remove container", path, request, &id.0).await)?;
        // What a start that was given up has made only now.
        self.cgroups.kill_container(&status.pod.uid, &id.0);
        self.events.forget(&id.0);
        if let Some(log) = status.log_path {
            crate::logs::remove(&log)
                .map_err(|source| RuntimeError::Failed { operation: "remove logs", message: source.to_string() })?;
        }
        Ok(())
    }

    pub(super) async fn list_containers(&self, filter: cri::ContainerFilter) -> Result<Vec<ContainerStatus>> {
        let request = cri::ListContainersRequest { filter: Some(filter) };
        let answer =
            self.rpc.call::<_, cri::ListContainersResponse>("/runtime.v1.RuntimeService/ListContainers", request, USUAL).await;
        let items = answer.map_err(|status| failed("list containers", "", &status))?.containers;
        let status = |item: cri::Container| {
            let sandbox = Some(SandboxId(item.pod_sandbox_id));
            let status = cri::ContainerStatus {
                id: item.id,
                metadata: item.metadata,
                state: item.state,
                created_at: item.created_at,
                image: item.image,
                image_ref: item.image_ref,
                labels: item.labels,
                annotations: item.annotations,
                ..Default::default()
            };
            ContainerStatus { sandbox, ..self.translate(status) }
        };
        Ok(items.into_iter().map(status).collect())
    }

    pub(super) async fn container_status(&self, id: &ContainerId) -> Result<ContainerStatus> {
        let request = cri::ContainerStatusRequest { container_id: id.0.clone(), verbose: false };
        let answer =
            self.rpc.call::<_, cri::ContainerStatusResponse>("/runtime.v1.RuntimeService/ContainerStatus", request, USUAL).await;
        let answer = answer.map_err(|status| failed("ask for the status of container", &id.0, &status))?;
        let status = answer.status.ok_or_else(|| RuntimeError::NotFound { what: id.0.clone() })?;
        if status.reason != "OOMKilled" {
            self.events.settle(&id.0).await;
        }
        Ok(self.translate(status))
    }

    /// The CRI's status, corrected by exits that its plugin has not heard of yet.
    fn translate(&self, status: cri::ContainerStatus) -> ContainerStatus {
        let metadata = status.metadata.unwrap_or_default();
        let known = |name: &str| status.labels.get(name).cloned().unwrap_or_default();
        let image = status.image.unwrap_or_default();
        let given = status.annotations.get(IMAGE_ANNOTATION).cloned();
        let mut translated = ContainerStatus {
            pod: PodRef { namespace: known(label::POD_NAMESPACE), name: known(label::POD_NAME), uid: known(label::POD_UID) },
            sandbox: None,
            name: metadata.name,
            attempt: metadata.attempt,
            state: match status.state {
                0 => ContainerState::Created,
                1 => ContainerState::Running,
                2 => ContainerState::Exited,
                _ => ContainerState::Unknown,
            },
            created_at: nanos(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
            started_at: nanos(status.started_at),
            finished_at: nanos(status.finished_at),
            exit_code: None,
            oom_killed: status.reason == "OOMKilled",
            reason: status.reason,
            message: status.message,
            image_ref: given.unwrap_or(image.image),
            image_id: status.image_ref,
            log_path: (!status.log_path.is_empty()).then(|| PathBuf::from(&status.log_path)),
            labels: status.labels,
            annotations: status.annotations,
            id: ContainerId(status.id),
        };
        if translated.state == ContainerState::Exited {
            translated.exit_code = Some(status.exit_code);
        }
        if translated.state == ContainerState::Running
            && let Some(exit) = self.events.exit_of(&translated.id.0)
        {
            translated.state = ContainerState::Exited;
            translated.exit_code = Some(exit.code);
            translated.finished_at = Some(exit.at);
            translated.reason = if exit.code == 0 { "Completed".to_owned() } else { "Error".to_owned() };
        }
        // The time of the start is taken when its answer comes; what lived less long has ended before.
        translated.finished_at = translated.finished_at.max(translated.started_at.filter(|_| translated.finished_at.is_some()));
        let died = translated.state == ContainerState::Exited && translated.exit_code != Some(0);
        if died && self.events.was_killed_for_memory(&translated.id.0) {
            translated.oom_killed = true;
            translated.reason = "OOMKilled".to_owned();
        }
        translated
    }
}

fn start_error(id: &str, status: &tonic::Status) -> RuntimeError {
    // runc's refusals (no such program, no such directory) come without a code of their own.
    match failed("start container", id, status) {
        RuntimeError::Failed { message, .. } if message.contains("runc create failed") || message.contains("OCI runtime") => {
            RuntimeError::Invalid { message }
        }
        other => other,
    }
}

/// The CRI's form of a container.
fn container_config(config: &ContainerConfig, sandbox: &SandboxConfig) -> cri::ContainerConfig {
    let mut labels = config.labels.clone();
    labels.extend(pod_labels(&sandbox.pod));
    labels.insert(label::CONTAINER_NAME.to_owned(), config.name.clone());
    let mut annotations = config.annotations.clone();
    annotations.insert(IMAGE_ANNOTATION.to_owned(), config.image_ref.clone());
    let propagation = |propagation| match propagation {
        Propagation::Private => 0,
        Propagation::HostToContainer => 1,
        Propagation::Bidirectional => 2,
    };
    let mount = |mount: &crate::runtime::Mount| cri::Mount {
        container_path: mount.container_path.clone(),
        host_path: mount.host_path.to_string_lossy().into_owned(),
        readonly: mount.read_only,
        propagation: propagation(mount.propagation),
    };
    let env = |(key, value): &(String, String)| cri::KeyValue { key: key.clone(), value: value.clone() };
    cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(cri::ImageSpec { image: config.image_id.clone(), user_specified_image: config.image_ref.clone() }),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        envs: config.env.iter().map(env).collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        labels,
        annotations,
        log_path: format!("{}/{}.log", config.name, config.attempt),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(cri::LinuxContainerConfig {
            resources: Some(resources(&config.resources)),
            security_context: Some(security(&config.security, sandbox)),
        }),
    }
}

fn security(security: &ContainerSecurity, sandbox: &SandboxConfig) -> cri::LinuxContainerSecurityContext {
    let list =
        |paths: &[&str]| if security.privileged { Vec::new() } else { paths.iter().map(|path| (*path).to_owned()).collect() };
    cri::LinuxContainerSecurityContext {
        capabilities: Some(cri::Capability {
            add_capabilities: security.capabilities_add.clone(),
            drop_capabilities: security.capabilities_drop.clone(),
        }),
        privileged: security.privileged,
        namespace_options: Some(namespaces(sandbox.namespaces)),
        run_as_user: security.run_as_user.map(int),
        run_as_username: security.run_as_username.clone().unwrap_or_default(),
        readonly_rootfs: security.read_only_root,
        supplemental_groups: security.supplemental_groups.clone(),
        no_new_privs: security.no_new_privileges,
        run_as_group: security.run_as_group.map(int),
        masked_paths: list(MASKED),
        readonly_paths: list(READ_ONLY),
        // A privileged container is never confined by seccomp.
        seccomp: Some(seccomp(if security.privileged { &crate::runtime::Seccomp::Unconfined } else { &security.seccomp })),
    }
}

/// All containers.
pub(super) fn everything() -> cri::ContainerFilter {
    cri::ContainerFilter { label_selector: BTreeMap::new(), ..Default::default() }
}
