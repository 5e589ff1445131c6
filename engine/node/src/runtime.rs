//! The border between the two halves of the node: what the pod half asks of the machine.
//!
//! What it is: plain types and one trait. The real one is `containerd::Machine`; tests of the pod half bring a fake.
//! What it is not: it knows no Pod objects, no API server, no containerd messages.
//! Invariant: every call is safe to repeat. Creating what is there returns what is there, stopping what is stopped and
//! removing what is gone succeed.
//! Invariant: nothing polls; `Runtime::events` says when something happened, and says `Relist` whenever it may have missed something.
use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::images::Layout;

/// The labels that say whose a sandbox or container is. The runtime writes and reads them; others use the parsed fields.
pub mod label {
    pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
    pub const POD_NAME: &str = "io.kubernetes.pod.name";
    pub const POD_UID: &str = "io.kubernetes.pod.uid";
    pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub String);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }
    };
}
id!(
    /// A sandbox of the runtime (64 hex digits).
    SandboxId
);
id!(
    /// A container of the runtime (64 hex digits). A status shows it as `containerd://<id>`.
    ContainerId
);

/// Which pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// The engine below and what it can do, as probed at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeVersion {
    /// `containerd`.
    pub name: String,
    /// As it says it, e.g. `1.6.20~ds1`. A node shows `containerd://<version>`.
    pub version: String,
    /// e.g. `v1`.
    pub api_version: String,
}

/// Whether pods can be started now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeStatus {
    pub runtime_ready: bool,
    pub network_ready: bool,
    /// Empty if both are ready.
    pub message: String,
}

/// What went wrong. `Display` is fit for an event or a status message.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RuntimeError {
    #[error("{what} not found")]
    NotFound { what: String },
    /// containerd does not answer (it is being restarted): try again under backoff.
    #[error("container runtime is not available: {message}")]
    Unavailable { message: String },
    #[error("{operation} took longer than {limit:?}")]
    Timeout { operation: &'static str, limit: Duration },
    /// The configuration cannot work (bad user, missing executable): trying again will not help.
    #[error("{message}")]
    Invalid { message: String },
    #[error("{operation}: {message}")]
    Failed { operation: &'static str, message: String },
}

impl RuntimeError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

pub type Result<T, E = RuntimeError> = std::result::Result<T, E>;

/// Service class of a pod; decides the parent cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Qos {
    Guaranteed,
    Burstable,
    #[default]
    BestEffort,
}

/// Whose namespace a pod or container lives in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespaceMode {
    /// Shared by the containers of the pod.
    #[default]
    Pod,
    /// Each container has its own (PID only).
    Container,
    /// The machine's.
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces {
    pub network: NamespaceMode,
    /// `Container` unless shareProcessNamespace or hostPID.
    pub pid: NamespaceMode,
    pub ipc: NamespaceMode,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self { network: NamespaceMode::Pod, pid: NamespaceMode::Container, ipc: NamespaceMode::Pod }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    #[default]
    Unconfined,
    RuntimeDefault,
    /// Absolute path of a profile on this machine.
    Localhost(PathBuf),
}

/// Content of resolv.conf. `None` in a sandbox config keeps the machine's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    pub servers: Vec<String>,
    pub searches: Vec<String>,
    pub options: Vec<String>,
}

/// Limits and weights. `None` is unlimited; a request of 0 is the smallest weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_request_millis: u64,
    pub cpu_limit_millis: Option<u64>,
    pub memory_limit_bytes: Option<u64>,
    /// Tasks of the pod. Sandboxes only: containers share their pod's limit.
    pub pids_limit: Option<u64>,
    /// Containers only; -1000…1000.
    pub oom_score_adj: i32,
}

/// A pod's sandbox. With the machine's network the hostname is the machine's. The runtime makes the pod's cgroup under the parent of its class and puts the limits of `resources` on it.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    pub pod: PodRef,
    /// Counts sandboxes of this pod on this machine, from 0.
    pub attempt: u32,
    pub hostname: String,
    pub dns: Option<Dns>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub sysctls: BTreeMap<String, String>,
    pub namespaces: Namespaces,
    pub qos: Qos,
    /// Sum over the containers, as upstream computes it for the pod cgroup.
    pub resources: Resources,
    /// Whether any container of the pod is privileged.
    pub privileged: bool,
    pub run_as_user: Option<i64>,
    pub run_as_group: Option<i64>,
    pub supplemental_groups: Vec<i64>,
    pub seccomp: Seccomp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    Ready,
    NotReady,
}

#[derive(Clone, Debug)]
pub struct SandboxStatus {
    pub id: SandboxId,
    pub pod: PodRef,
    pub attempt: u32,
    pub state: SandboxState,
    pub created_at: Timestamp,
    /// Primary first; empty for the host network, and in lists.
    pub ips: Vec<IpAddr>,
    /// Network namespace, where it has its own; absent in lists.
    pub netns: Option<PathBuf>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub host_path: PathBuf,
    pub container_path: String,
    pub read_only: bool,
    pub propagation: Propagation,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerSecurity {
    pub privileged: bool,
    /// Without `CAP_`; `ALL` is understood.
    pub capabilities_add: Vec<String>,
    pub capabilities_drop: Vec<String>,
    pub run_as_user: Option<i64>,
    /// Only where `run_as_user` is absent and the image names a user.
    pub run_as_username: Option<String>,
    pub run_as_group: Option<i64>,
    /// fsGroup and supplementalGroups of the pod together.
    pub supplemental_groups: Vec<i64>,
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation: false`.
    pub no_new_privileges: bool,
    pub seccomp: Seccomp,
}

#[derive(Clone, Debug)]
pub struct ContainerConfig {
    pub name: String,
    /// Restart count; part of the log file's name.
    pub attempt: u32,
    /// `ImageInfo::id` of an image that is present.
    pub image_id: String,
    /// As the pod wrote it, kept for status.
    pub image_ref: String,
    /// Replaces the image's entrypoint if not empty.
    pub command: Vec<String>,
    /// Replaces the image's arguments if not empty.
    pub args: Vec<String>,
    /// The image's if absent.
    pub working_dir: Option<String>,
    pub env: Vec<(String, String)>,
    pub mounts: Vec<Mount>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub resources: Resources,
    pub security: ContainerSecurity,
    pub stdin: bool,
    pub stdin_once: bool,
    pub tty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    Created,
    Running,
    Exited,
    /// The runtime does not know: treat as not running, remove.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct ContainerStatus {
    pub id: ContainerId,
    /// Where in a list this is all that is known, `exit_code`, times and `log_path` are absent: ask for the status.
    pub sandbox: Option<SandboxId>,
    pub pod: PodRef,
    pub name: String,
    pub attempt: u32,
    pub state: ContainerState,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub exit_code: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, … for an exited container.
    pub reason: String,
    pub message: String,
    pub oom_killed: bool,
    /// As given in the config.
    pub image_ref: String,
    /// For `status.containerStatuses[].imageID`: repository digest if the image has one, else the id.
    pub image_id: String,
    pub log_path: Option<PathBuf>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
}

/// Who an image's processes are, unless the pod says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// Raw `User` of the image, may be empty, `uid`, `name`, `uid:gid`.
    pub user: String,
    pub entrypoint: Vec<String>,
    pub cmd: Vec<String>,
    pub env: Vec<String>,
    pub working_dir: String,
    pub stop_signal: String,
}

#[derive(Clone, Debug)]
pub struct ImageInfo {
    /// `sha256:<digest of the config>`.
    pub id: String,
    pub repo_tags: Vec<String>,
    pub repo_digests: Vec<String>,
    pub size_bytes: u64,
    /// Numeric user, where the image has one.
    pub uid: Option<i64>,
    /// User by name, where the image has one.
    pub username: String,
    /// Filled by `image`, default in lists.
    pub config: ImageConfig,
    /// Never removed by housekeeping.
    pub pinned: bool,
}

/// Credentials for a registry, from a pull secret.
#[derive(Clone, Default)]
pub struct PullAuth {
    pub username: String,
    pub password: String,
    pub identity_token: String,
    pub registry_token: String,
}

impl fmt::Debug for PullAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PullAuth({}, …)", self.username)
    }
}

/// Why an image is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullReason {
    InvalidImageName,
    /// The registry could not be reached.
    RegistryUnavailable,
    /// The registry answered, and not with the image.
    ErrImagePull,
}

impl PullReason {
    /// The waiting reason of a container status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidImageName => "InvalidImageName",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::ErrImagePull => "ErrImagePull",
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PullError {
    pub reason: PullReason,
    pub message: String,
}

/// Outcome of a command that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    pub exit_code: i32,
    /// At most `EXEC_OUTPUT_BYTES_MAX` of each; the rest was read and dropped.
    pub stdout: Bytes,
    pub stderr: Bytes,
}

/// Output of a synchronous exec that is kept, per stream, in bytes (what upstream keeps of a probe: 10 KiB; hooks and tests like more).
pub const EXEC_OUTPUT_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    pub command: Vec<String>,
    pub stdin: bool,
    pub stdout: bool,
    /// Ignored with a terminal: there is one stream then.
    pub stderr: bool,
    pub tty: bool,
    pub size: Option<TerminalSize>,
}

/// A running exec. Dropping `stdin` is end of file for the process; dropping everything kills the process.
pub struct ExecSession {
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    pub process: Arc<dyn ExecProcess>,
}

#[async_trait]
pub trait ExecProcess: Send + Sync {
    /// Only with a terminal.
    async fn resize(&self, size: TerminalSize) -> Result<()>;
    /// SIGKILL.
    async fn kill(&self) -> Result<()>;
    /// The exit code. May be awaited again; read the output to its end first, or beside it.
    async fn wait(&self) -> Result<i32>;
}

/// Use of one container, from the kernel's accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub at: Option<Timestamp>,
    /// CPU time since start.
    pub cpu_nanos: u64,
    /// Without what could be dropped at once (inactive file pages).
    pub memory_working_set_bytes: u64,
    pub memory_usage_bytes: u64,
    pub memory_rss_bytes: u64,
    pub pids: u64,
    /// Writable layer; 0 if not known.
    pub disk_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct ContainerUsage {
    pub id: ContainerId,
    pub pod: PodRef,
    pub name: String,
    pub usage: Usage,
}

#[derive(Clone, Debug)]
pub struct PodUsage {
    pub pod: PodRef,
    /// Of the pod's cgroup: all containers and the pause process.
    pub usage: Usage,
    pub containers: Vec<ContainerUsage>,
}

/// Something happened. Ids are bare: a `TaskExit` may be of a container or of a sandbox's pause process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// Whatever was known may be outdated: at start, after a containerd restart, after a lag. List again.
    Relist,
    TaskStarted {
        id: String,
    },
    /// The main process of a container or sandbox ended (execs are not reported).
    TaskExit {
        id: String,
        exit_code: i32,
        at: Timestamp,
    },
    /// The kernel killed something in it for lack of memory.
    Oom {
        id: String,
    },
    Removed {
        id: String,
    },
}

pub type EventStream = Pin<Box<dyn Stream<Item = RuntimeEvent> + Send>>;

/// Which part of a container's log.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    pub follow: bool,
    pub tail_lines: Option<u64>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<u64>,
    pub timestamps: bool,
    /// Both streams if `None`.
    pub stream: Option<LogSource>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    Stdout,
    Stderr,
}

pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Containers and images on this machine.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    async fn version(&self) -> Result<RuntimeVersion>;
    async fn status(&self) -> Result<RuntimeStatus>;

    /// Returns the sandbox of this pod and attempt, started if it is not there. One that is there may have ended: take the next attempt then.
    async fn ensure_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId>;
    /// Kills what runs in it and takes its network away.
    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// Removes it with its containers; with the pod's last sandbox goes the pod's cgroup.
    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()>;
    /// All sandboxes of this instance, any state, without ips and netns.
    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>>;
    async fn sandbox(&self, id: &SandboxId) -> Result<SandboxStatus>;

    /// Creates the container, or returns the one of that name and attempt. `sandbox_config` is the one the sandbox was made with.
    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        sandbox_config: &SandboxConfig,
    ) -> Result<ContainerId>;
    async fn start_container(&self, id: &ContainerId) -> Result<()>;
    /// Sends the image's stop signal (SIGTERM), after `grace` SIGKILL; returns when it has ended.
    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()>;
    /// Removes a container and its log files; kills it first if it still runs.
    async fn remove_container(&self, id: &ContainerId) -> Result<()>;
    /// All containers of this instance, any state. See `ContainerStatus::sandbox` for what a list lacks.
    async fn containers(&self) -> Result<Vec<ContainerStatus>>;
    async fn container(&self, id: &ContainerId) -> Result<ContainerStatus>;

    /// `None` if it is not present.
    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>>;
    async fn images(&self) -> Result<Vec<ImageInfo>>;
    /// Gets the image from its registry and returns it.
    async fn pull_image(&self, reference: &str, auth: Option<&PullAuth>) -> Result<ImageInfo, PullError>;
    async fn remove_image(&self, reference: &str) -> Result<()>;
    /// Takes in an image made in memory under its own name. Repeating it with the same content writes nothing.
    async fn import_image(&self, layout: &Layout) -> Result<ImageInfo>;

    /// Runs a command to its end, or kills it after `timeout` and returns `RuntimeError::Timeout`.
    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput>;
    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecSession>;

    /// Lines as the container wrote them. With `follow` the stream ends when the container has ended and its log was read.
    async fn logs(&self, id: &ContainerId, options: LogOptions) -> Result<LogStream>;

    async fn usage(&self) -> Result<Vec<PodUsage>>;

    /// Events from now on; the first is `Relist`. A reader that falls behind gets `Relist` instead of what it missed.
    fn events(&self) -> EventStream;
}
