//! Containers by containerd: the real `Runtime`.
//!
//! What it is: an own containerd (own root, state, socket, runc root, network plugin dirs, cgroup) started, watched and asked.
//! What it is not: it knows no Pod objects; the distribution's own containerd service is never spoken to.
//! Flow: `Runtime` call → CRI (sandboxes, containers, pulls) or containerd's services (events, imports, execs) over one socket.
//! Invariant: shims and containers live on whatever happens to containerd or irori.
//! Invariant: nothing polls; the end of the event subscription says that containerd is gone.
//! Limits: a call lasts 120 s, the start of a sandbox 240 s, a pull an hour; an image made in memory has 64 MiB.
//! Failure modes: containerd that dies is started again under `RESTART`; calls in between fail as `Unavailable`.
mod config;
mod containers;
mod daemon;
mod events;
mod exec;
mod images;
mod install;
mod observe;
mod rpc;
mod sandboxes;
mod strays;
mod wire;

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use irori_runtime::{Backoff, Clock, OnEnd, Tasks};
use tokio::sync::Mutex;

pub use config::PAUSE_IMAGE;
use daemon::Daemon;
use events::Events;
use rpc::{Rpc, USUAL, failed};
use wire::cri;

use crate::{
    cgroups::{CgroupError, Cgroups},
    images::{Layout, pause::pause},
    logs::{FileWatch, LogLimits, Reopen, Rotation},
    runtime::{
        ContainerConfig, ContainerId, ContainerStatus, EventStream, ExecOutput, ExecRequest, ExecSession, ImageInfo, LogOptions,
        LogStream, PodUsage, PullAuth, PullError, Result, Runtime, RuntimeError, RuntimeStatus, RuntimeVersion, SandboxConfig,
        SandboxId, SandboxStatus,
    },
};

/// Waits between starts of a containerd that keeps ending.
const RESTART: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(30) };
/// A containerd that ran this long has earned a quick restart again.
const STEADY: Duration = Duration::from_secs(60);
/// Waits for a containerd that was just started to answer.
const ANSWER: Backoff = Backoff { first: Duration::from_millis(5), max: Duration::from_millis(100) };
/// Looks whether the last shims have ended, about ten seconds long.
const DISMANTLE_ATTEMPTS: u32 = 100;
/// Looks whether exits were noticed, about five seconds long.
const SETTLE_ATTEMPTS: u32 = 50;
/// A start that takes longer is given up.
const START_MAX: Duration = Duration::from_secs(30);

/// Where a machine keeps things, and which instance it is.
#[derive(Clone, Debug)]
pub struct MachineSettings {
    /// Six lowercase hex digits; part of everything global to the host.
    pub instance: String,
    /// containerd's own: `DATA/containerd`.
    pub dir: PathBuf,
    /// `DATA/logs/pods`
    pub log_dir: PathBuf,
    /// Holds the programs that the conflist names, and `loopback`.
    pub cni_bin_dir: PathBuf,
    pub cni_conf_dir: PathBuf,
    pub log_limits: LogLimits,
    /// Overrides the search for the program.
    pub containerd: Option<PathBuf>,
    pub runc: Option<PathBuf>,
}

/// Why containers cannot be had on this machine.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`{program}` is not installed: install the package `{package}`")]
    Missing { program: &'static str, package: &'static str },
    #[error("containerd is too old, 1.6 is the oldest that works: `{said}`")]
    TooOld { said: String },
    #[error("`{}` does not say its version: `{said}`", program.display())]
    Version { program: PathBuf, said: String },
    #[error("run `{}`", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{operation} `{}`", path.display())]
    Disk {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("path `{}` of a socket is over {max} bytes: choose a shorter data directory", path.display())]
    SocketPath { path: PathBuf, max: usize },
    #[error("containerd does not answer: {message}")]
    Silent { message: String },
    #[error("prepare control groups")]
    Cgroups(#[from] CgroupError),
    #[error("prepare the node's images")]
    Image(#[source] RuntimeError),
    #[error("list the containers that run")]
    Adopt(#[source] RuntimeError),
    #[error("prepare the reading of logs")]
    Logs(#[source] io::Error),
}

/// The machine below the pods. Shared by `Arc`.
pub struct Machine {
    settings: MachineSettings,
    rpc: Rpc,
    events: Events,
    cgroups: Cgroups,
    files: FileWatch,
    rotation: Rotation,
    daemon: Mutex<Daemon>,
    engine_log: PathBuf,
    clock: Clock,
    tasks: Tasks,
    /// containerd is being ended on purpose.
    stopping: AtomicBool,
    /// Itself, for tasks that must not keep it.
    me: Weak<Self>,
}

impl Machine {
    /// Starts or finds containerd, takes in the pause image, and watches from then on.
    pub async fn start(settings: MachineSettings, clock: Clock, tasks: &Tasks) -> Result<Arc<Self>, StartError> {
        let cgroups = Cgroups::prepare(&settings.instance)?;
        let mut daemon = Daemon::prepare(&settings, cgroups.clone()).await?;
        daemon.ensure_running().await?;
        let rpc = Rpc::new(&daemon.socket).map_err(|source| StartError::Silent { message: source.to_string() })?;
        let files = FileWatch::new(tasks).map_err(StartError::Logs)?;
        let reopen = Arc::new(Reopener(rpc.clone()));
        let machine = Arc::new_cyclic(|me| Self {
            rpc,
            events: Events::new(),
            cgroups,
            rotation: Rotation::new(files.clone(), reopen, settings.log_limits, tasks.clone()),
            files,
            engine_log: daemon.log(),
            daemon: Mutex::new(daemon),
            settings,
            clock,
            tasks: tasks.clone(),
            stopping: AtomicBool::new(false),
            me: me.clone(),
        });
        if let Err(error) = machine.answers().await {
            // Of no use as it is; it is started anew at the next attempt.
            machine.stop_engine().await?;
            return Err(error);
        }
        machine.take_in(&pause(PAUSE_IMAGE)).await.map_err(StartError::Image)?;
        machine.end_stale_execs().await;
        machine.end_strays().await.map_err(StartError::Adopt)?;
        machine.sweep().await.map_err(StartError::Adopt)?;
        machine.adopt_logs().await.map_err(StartError::Adopt)?;
        let watching = machine.clone();
        tasks.spawn("containerd watch", OnEnd::Fatal, async move { watching.watch().await });
        Ok(machine)
    }

    /// Ends containerd; sandboxes and containers live on unless they were removed before.
    pub async fn stop_engine(&self) -> Result<(), StartError> {
        self.stopping.store(true, Ordering::Relaxed);
        self.daemon.lock().await.stop().await
    }

    /// Ends containerd and removes the control groups of this instance; its sandboxes have to be removed before.
    pub async fn dismantle(&self) -> Result<(), StartError> {
        self.stop_engine().await?;
        // Shims end a moment after what they looked after. One whose sandbox was just being made is known to nobody, and does not.
        for attempt in 0..DISMANTLE_ATTEMPTS {
            if self.cgroups.remove_all().is_ok() {
                return Ok(());
            }
            if attempt >= DISMANTLE_ATTEMPTS / 5 {
                self.cgroups.kill_all();
            }
            tokio::time::sleep(ANSWER.wait(attempt)).await;
        }
        Ok(self.cgroups.remove_all()?)
    }

    /// Waits until the CRI plugin has read what it had.
    async fn answers(&self) -> Result<(), StartError> {
        let deadline = tokio::time::Instant::now() + START_MAX;
        for attempt in 0.. {
            // Unlike the version, a list is given only once the plugin has read what it had.
            let request = cri::ListImagesRequest {};
            let answer = self.rpc.call::<_, cri::ListImagesResponse>("/runtime.v1.ImageService/ListImages", request, USUAL).await;
            let Err(status) = answer else { break };
            let daemon = self.daemon.lock().await;
            // An engine that answers without that service will never have it.
            let hopeless = status.code() == tonic::Code::Unimplemented || daemon.running().is_none();
            if hopeless || tokio::time::Instant::now() > deadline {
                return Err(StartError::Silent { message: format!("{}; {}", status.message(), daemon.last_words()) });
            }
            drop(daemon);
            tokio::time::sleep(ANSWER.wait(attempt)).await;
        }
        Ok(())
    }

    /// Reads events; when they end, brings containerd back.
    async fn watch(self: Arc<Self>) -> Result<(), StartError> {
        let shutdown = self.tasks.shutdown().clone();
        let mut failures = 0;
        while !shutdown.started() {
            let since = tokio::time::Instant::now();
            let Some(ended) = shutdown.guard(self.events.follow(&self.rpc, self.settled())).await else { break };
            let why = ended.err().map_or_else(|| "the stream ended".to_owned(), |status| status.message().to_owned());
            tracing::info!("containerd's events ended: {why}");
            failures = if since.elapsed() > STEADY { 0 } else { failures + 1 };
            if failures > 1 && !shutdown.sleep(RESTART.wait(failures - 2)).await {
                break;
            }
            if self.stopping.load(Ordering::Relaxed) {
                shutdown.wait().await;
                break;
            }
            if let Err(error) = self.daemon.lock().await.ensure_running().await {
                tracing::error!("start containerd again: {}", sandboxes::chain(&error));
                failures = failures.max(2);
            } else if let Err(error) = self.answers().await {
                tracing::error!("containerd was started and is silent: {error}");
            }
        }
        Ok(())
    }

    /// Waits until the CRI plugin knows of every exit that came before: an event that was missed is not told again.
    async fn settled(&self) {
        for attempt in 0..SETTLE_ATTEMPTS {
            match self.has_unnoticed_exits().await {
                Ok(false) => return,
                Ok(true) => tokio::time::sleep(ANSWER.wait(attempt)).await,
                // The connection is lost again; the subscription will say so.
                Err(error) => return tracing::debug!("look for exits that were missed: {error}"),
            }
        }
        tracing::warn!("containerd's CRI plugin shows containers as running that have no running task");
    }

    /// A call that goes on when its caller goes away, and is waited for at the end of irori: containerd tidies up badly after a start that
    /// is cut off (`strays`).
    async fn whole<Q, A>(&self, path: &'static str, request: Q, limit: Duration) -> Result<A, tonic::Status>
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + 'static,
    {
        let (answered, answer) = tokio::sync::oneshot::channel();
        let rpc = self.rpc.clone();
        self.tasks.spawn("containerd call", OnEnd::Contained, async move {
            // Nobody may be waiting any more.
            let _waits = answered.send(rpc.call(path, request, limit).await);
            Ok::<(), std::convert::Infallible>(())
        });
        answer.await.unwrap_or_else(|_| Err(tonic::Status::unavailable("irori is stopping")))
    }

    /// Rotation goes on for containers that were started by a former process.
    async fn adopt_logs(&self) -> Result<()> {
        for container in self.list_containers(containers::everything()).await? {
            if container.state == crate::runtime::ContainerState::Running
                && let Some(log) = self.container_status(&container.id).await?.log_path
            {
                self.rotation.watch(&container.id, log);
            }
        }
        Ok(())
    }
}

/// Tells containerd to open a log anew.
struct Reopener(Rpc);

#[async_trait]
impl Reopen for Reopener {
    async fn reopen(&self, id: &ContainerId) -> Result<()> {
        let request = cri::ReopenContainerLogRequest { container_id: id.0.clone() };
        let answer = self.0.call::<_, cri::Empty>("/runtime.v1.RuntimeService/ReopenContainerLog", request, USUAL).await;
        answer.map(drop).map_err(|status| failed("reopen the log of container", &id.0, &status))
    }
}

#[async_trait]
impl Runtime for Machine {
    async fn version(&self) -> Result<RuntimeVersion> {
        let request = cri::VersionRequest::default();
        let answer = self.rpc.call::<_, cri::VersionResponse>("/runtime.v1.RuntimeService/Version", request, USUAL).await;
        let answer = answer.map_err(|status| failed("ask for the version", "", &status))?;
        Ok(RuntimeVersion { name: answer.runtime_name, version: answer.runtime_version, api_version: answer.runtime_api_version })
    }

    async fn status(&self) -> Result<RuntimeStatus> {
        let answer =
            self.rpc.call::<_, cri::StatusResponse>("/runtime.v1.RuntimeService/Status", cri::StatusRequest {}, USUAL).await;
        let conditions =
            answer.map_err(|status| failed("ask for the status", "", &status))?.status.unwrap_or_default().conditions;
        let ready = |kind: &str| conditions.iter().any(|condition| condition.kind == kind && condition.status);
        let messages = conditions.iter().filter(|condition| !condition.status).map(|condition| condition.message.as_str());
        Ok(RuntimeStatus {
            runtime_ready: ready("RuntimeReady"),
            network_ready: ready("NetworkReady"),
            message: messages.collect::<Vec<_>>().join("; "),
        })
    }

    async fn ensure_sandbox(&self, config: &SandboxConfig) -> Result<SandboxId> {
        self.run_sandbox(config).await
    }

    async fn stop_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.halt_sandbox(id).await
    }

    async fn remove_sandbox(&self, id: &SandboxId) -> Result<()> {
        self.delete_sandbox(id).await
    }

    async fn sandboxes(&self) -> Result<Vec<SandboxStatus>> {
        self.list_sandboxes(std::collections::BTreeMap::new()).await
    }

    async fn sandbox(&self, id: &SandboxId) -> Result<SandboxStatus> {
        self.sandbox_status(id).await
    }

    async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: &ContainerConfig,
        sandbox_config: &SandboxConfig,
    ) -> Result<ContainerId> {
        self.new_container(sandbox, config, sandbox_config).await
    }

    async fn start_container(&self, id: &ContainerId) -> Result<()> {
        self.run_container(id).await
    }

    async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        self.halt_container(id, grace).await
    }

    async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        self.delete_container(id).await
    }

    async fn containers(&self) -> Result<Vec<ContainerStatus>> {
        self.list_containers(containers::everything()).await
    }

    async fn container(&self, id: &ContainerId) -> Result<ContainerStatus> {
        self.container_status(id).await
    }

    async fn image(&self, reference: &str) -> Result<Option<ImageInfo>> {
        self.find_image(reference).await
    }

    async fn images(&self) -> Result<Vec<ImageInfo>> {
        self.list_images().await
    }

    async fn pull_image(&self, reference: &str, auth: Option<&PullAuth>) -> Result<ImageInfo, PullError> {
        self.fetch_image(reference, auth).await
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        self.delete_image(reference).await
    }

    async fn import_image(&self, layout: &Layout) -> Result<ImageInfo> {
        self.take_in(layout).await
    }

    async fn exec_sync(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        self.run_to_end(id, command, timeout).await
    }

    async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecSession> {
        self.open_exec(id, request).await
    }

    async fn logs(&self, id: &ContainerId, options: LogOptions) -> Result<LogStream> {
        self.read_logs(id, options).await
    }

    async fn usage(&self) -> Result<Vec<PodUsage>> {
        self.measure().await
    }

    fn events(&self) -> EventStream {
        self.events.stream()
    }
}
