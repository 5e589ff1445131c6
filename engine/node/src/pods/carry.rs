//! Carrying out effects: each is a future that ends with the event that answers it. Makes no decision.
use std::{sync::Arc, time::Duration};

use irori_client::ApiError;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};

use super::{
    build::{self, ContainerParts},
    dns,
    effect::{Event, Failure, Image, StartFailure, Tell},
    env::{self, Place},
    facts::{self, ProbeKind},
    life::Present,
    site::Site,
};
use crate::{
    probes,
    runtime::{
        ContainerId, ContainerState, ContainerStatus, LogOptions, Mount, PodRef, Propagation, RuntimeError, SandboxId,
        SandboxState,
    },
    volumes::{
        PodFolder,
        sources::{self, PodSources},
    },
};

/// What a process may leave as its last words, in bytes, and what is taken of a log in their place.
const LAST_WORDS_MAX: usize = 4096;
const LAST_LOG_BYTES_MAX: u64 = 2048;
const LAST_LOG_LINES_MAX: u64 = 80;
/// What is left for the stop itself when a preStop hook used up the grace.
const AFTER_HOOK_MIN: Duration = Duration::from_secs(2);
/// Between questions to a runtime that does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);
const SERVICES_MAX: Duration = Duration::from_secs(10);

/// One pod's hands: what an effect needs beside its own words.
#[derive(Clone)]
pub struct Hands {
    pub site: Arc<Site>,
    pub pod: PodRef,
    pub object: Option<Arc<Pod>>,
    pub sources: Arc<PodSources>,
    pub present: Option<Present>,
}

fn runtime_failure(reason: &str, source: &RuntimeError) -> Failure {
    Failure::new(reason, source.to_string())
}

impl Hands {
    fn folder(&self) -> PodFolder {
        PodFolder::new(&self.site.pods_folder(), &self.pod.uid)
    }

    fn object(&self) -> Result<Arc<Pod>, Failure> {
        self.object.clone().ok_or_else(|| Failure::new("Gone", "the pod is gone"))
    }

    fn container_spec(&self, name: &str) -> Result<(Arc<Pod>, Container), Failure> {
        let object = self.object()?;
        let found = object.spec.as_ref().and_then(|spec| facts::container(spec, name)).cloned();
        Ok((object, found.ok_or_else(|| Failure::new("Gone", format!("container {name} is not in the pod")))?))
    }

    pub fn tell(&self, warning: bool, reason: &'static str, message: String, container: Option<&str>) {
        self.tell_this(&Tell { warning, reason, message, container: container.map(str::to_owned) });
    }

    pub fn tell_this(&self, tell: &Tell) {
        let version = self.object.as_ref().and_then(|object| object.metadata.resource_version.as_deref());
        self.site.tell(&self.pod, version, tell);
    }

    pub async fn prepare_volumes(self) -> Result<(), Failure> {
        let object = self.object()?;
        let found = self.sources.find(&object, &sources::of_volumes(&object)).await?;
        let (folder, machine) = (self.folder(), self.site.machine);
        blocking(move || folder.prepare(&object, &found, &machine)).await
    }

    pub async fn ensure_sandbox(self, attempt: u32) -> Result<Present, Failure> {
        let object = self.object()?;
        let config = build::sandbox(&self.pod, &object, attempt, &self.site.settings, &self.site.machine);
        let config = config.ok_or_else(|| Failure::new("Gone", "the pod has no spec"))?;
        let failed = |source: RuntimeError| runtime_failure("CreatePodSandboxError", &source);
        let id = self.site.runtime.ensure_sandbox(&config).await.map_err(failed)?;
        self.site.owners.add(&id.0, &self.pod.uid);
        let status = self.site.runtime.sandbox(&id).await.map_err(failed)?;
        let ready = status.state == SandboxState::Ready;
        Ok(Present { id, attempt, ips: status.ips, ready, stopped: false })
    }

    pub async fn stop_sandbox(self, id: SandboxId, remove: bool) -> Event {
        let result = match self.site.runtime.stop_sandbox(&id).await {
            Ok(()) if remove => self.site.runtime.remove_sandbox(&id).await,
            other => other,
        };
        if remove && result.is_ok() {
            self.site.owners.forget(&id.0);
        }
        let result = match result {
            Err(source) if !source.is_not_found() => Err(runtime_failure("KillPodSandboxError", &source)),
            _ => Ok(()),
        };
        Event::SandboxRemoval { id, removed: remove, result }
    }

    /// Creates and starts; says how the container is after that.
    pub async fn start(self, name: String, attempt: u32, image: Image) -> Result<ContainerStatus, StartFailure> {
        let (id, started) = match self.create(&name, attempt, image).await {
            Ok(id) => {
                self.tell(false, "Created", format!("Created container: {name}"), Some(&name));
                self.site.owners.add(&id.0, &self.pod.uid);
                let started = self.site.runtime.start_container(&id).await;
                (id, started)
            }
            Err(failure) => {
                self.tell(true, "Failed", format!("Error: {}", failure.message), Some(&name));
                return Err(StartFailure { failure, id: None });
            }
        };
        let with_id = |failure| StartFailure { failure, id: Some(id.clone()) };
        if let Err(source) = started {
            self.tell(true, "Failed", format!("Error: {source}"), Some(&name));
            return Err(with_id(runtime_failure("RunContainerError", &source)));
        }
        self.tell(false, "Started", format!("Started container {name}"), Some(&name));
        match self.look(&id).await {
            Some(status) => Ok(status),
            None => Err(with_id(Failure::new("RunContainerError", "the container is gone right after its start"))),
        }
    }

    async fn create(&self, name: &str, attempt: u32, image: Image) -> Result<ContainerId, Failure> {
        let (object, container) = self.container_spec(name)?;
        let present = self.present.clone().ok_or_else(|| Failure::new("CreateContainerError", "there is no sandbox"))?;
        let found = self
            .sources
            .find(&object, &sources::of_environment(&container))
            .await
            .map_err(|failure| Failure { reason: "CreateContainerConfigError".to_owned(), ..failure })?;
        let place = Place { pod_ips: self.pod_ips(&object, &present), host_ips: self.site.host_ips() };
        let services = self.services(&object).await?;
        let from = env::Sources { pod: &object, found: &found, place: &place, machine: &self.site.machine, services };
        let env = env::environment(&container, &from)?;
        let mounts = self.mounts(&object, &container, attempt, &env, &place).await?;
        let parts = ContainerParts { attempt, image, env, mounts };
        let config = build::container(&object, &container, parts, &self.site.machine)?;
        let sandbox = build::sandbox(&self.pod, &object, present.attempt, &self.site.settings, &self.site.machine);
        let sandbox = sandbox.ok_or_else(|| Failure::new("Gone", "the pod has no spec"))?;
        let made = self.site.runtime.create_container(&present.id, &config, &sandbox).await;
        made.map_err(|source| runtime_failure("CreateContainerError", &source))
    }

    fn pod_ips(&self, object: &Pod, present: &Present) -> Vec<String> {
        if object.spec.as_ref().is_some_and(facts::host_network) {
            return self.site.host_ips();
        }
        present.ips.iter().map(ToString::to_string).collect()
    }

    async fn services(&self, object: &Pod) -> Result<Vec<(String, String)>, Failure> {
        if tokio::time::timeout(SERVICES_MAX, self.site.services.synced()).await.is_err() {
            return Err(Failure::new("CreateContainerConfigError", "services could not be read yet"));
        }
        let links = object.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
        let all = self.site.services.list();
        Ok(env::services(all.iter().map(Arc::as_ref), &self.pod.namespace, links))
    }

    async fn mounts(
        &self,
        object: &Arc<Pod>,
        container: &Container,
        attempt: u32,
        env: &[(String, String)],
        place: &Place,
    ) -> Result<Vec<Mount>, Failure> {
        let folder = self.folder();
        let (object, container, env) = (object.clone(), container.clone(), env.to_vec());
        let (pod, settings, ips) = (self.pod.clone(), self.site.settings.clone(), place.pod_ips.clone());
        blocking(move || {
            let spec = object.spec.as_ref().ok_or_else(|| Failure::new("Gone", "the pod has no spec"))?;
            let mut mounts = folder.mounts(spec, &container, &env)?;
            let has = |mounts: &[Mount], path: &str| mounts.iter().any(|mount| mount.container_path == path);
            let own = |host_path: std::path::PathBuf, container_path: &str| Mount {
                host_path,
                container_path: container_path.to_owned(),
                read_only: false,
                propagation: Propagation::Private,
            };
            let failed =
                |source: std::io::Error| Failure::new("CreateContainerConfigError", format!("write pod files: {source}"));
            if !has(&mounts, "/etc/hosts") {
                let machine = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
                let text = dns::etc_hosts(&pod, spec, &ips, &settings, &machine);
                write_if_changed(&folder.etc_hosts(), &text).map_err(failed)?;
                mounts.push(own(folder.etc_hosts(), "/etc/hosts"));
            }
            let path = last_words_path(&container);
            if !has(&mounts, path) {
                let file = folder.termination_log(&container.name, attempt);
                fresh_file(&file).map_err(failed)?;
                mounts.push(own(file, path));
            }
            Ok(mounts)
        })
        .await
    }

    /// How a container is, with its last words; asks until the runtime answers. `None` if it does not know it.
    pub async fn look(&self, id: &ContainerId) -> Option<ContainerStatus> {
        loop {
            match self.site.runtime.container(id).await {
                Ok(status) => return Some(self.with_last_words(status).await),
                Err(source) if source.is_not_found() => return None,
                Err(source) => tracing::debug!(%id, "look at container: {source}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    pub async fn seen(self, id: ContainerId) -> Event {
        let status = self.look(&id).await;
        Event::Seen { id, status }
    }

    pub async fn look_sandbox(self, id: SandboxId) -> Event {
        loop {
            match self.site.runtime.sandbox(&id).await {
                Ok(status) => return Event::SandboxSeen { ready: status.state == SandboxState::Ready, id },
                Err(source) if source.is_not_found() => return Event::SandboxSeen { id, ready: false },
                Err(source) => tracing::debug!(%id, "look at sandbox: {source}"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    pub async fn with_last_words(&self, mut status: ContainerStatus) -> ContainerStatus {
        if status.state != ContainerState::Exited || !status.message.is_empty() {
            return status;
        }
        let Ok((_, container)) = self.container_spec(&status.name) else { return status };
        let file = self.folder().termination_log(&status.name, status.attempt);
        let words = blocking(move || Ok(read_start(&file, LAST_WORDS_MAX))).await.unwrap_or_default();
        status.message = words;
        let falls_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if status.message.is_empty() && falls_back && status.exit_code != Some(0) {
            status.message = self.log_tail(&status.id).await;
        }
        status
    }

    async fn log_tail(&self, id: &ContainerId) -> String {
        use futures::StreamExt;
        let options = LogOptions { tail_lines: Some(LAST_LOG_LINES_MAX), ..LogOptions::default() };
        let Ok(mut log) = self.site.runtime.logs(id, options).await else { return String::new() };
        let mut text = Vec::new();
        while let Some(Ok(part)) = log.next().await {
            text.extend_from_slice(&part);
        }
        let from = text.len().saturating_sub(usize::try_from(LAST_LOG_BYTES_MAX).unwrap_or(usize::MAX));
        String::from_utf8_lossy(&text[from..]).into_owned()
    }

    pub async fn post_start(self, name: String, id: ContainerId) -> Event {
        let result = match self.container_spec(&name) {
            Ok((_, container)) => match container.lifecycle.as_ref().and_then(|l| l.post_start.as_ref()) {
                Some(hook) => probes::hook(&self.site, &self.probe_target(&container), &id, hook, probes::HOOK_MAX).await,
                None => Ok(()),
            },
            Err(failure) => Err(failure.message),
        };
        Event::PostStarted { container: name, id, result }
    }

    fn probe_target(&self, container: &Container) -> probes::Target {
        let present = self.present.as_ref();
        let host_network = self.object.as_ref().and_then(|o| o.spec.as_ref()).is_some_and(facts::host_network);
        let ip = if host_network {
            self.site.settings.addresses.first().copied()
        } else {
            present.and_then(|p| p.ips.first().copied())
        };
        probes::Target { ip, ports: container.ports.clone().unwrap_or_default() }
    }

    /// preStop and stop within `grace`, then how the container ended.
    pub async fn stop(self, name: String, id: ContainerId, grace: Duration, pre_stop: bool) -> Event {
        let begun = tokio::time::Instant::now();
        if pre_stop
            && !grace.is_zero()
            && let Ok((_, container)) = self.container_spec(&name)
            && let Some(hook) = container.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref())
            && let Err(message) = probes::hook(&self.site, &self.probe_target(&container), &id, hook, grace).await
        {
            self.tell(true, "FailedPreStopHook", format!("PreStopHook failed: {message}"), Some(&name));
        }
        let left = grace.saturating_sub(begun.elapsed());
        let left = if pre_stop && !grace.is_zero() { left.max(AFTER_HOOK_MIN.min(grace)) } else { left };
        match self.site.runtime.stop_container(&id, left).await {
            Err(source) if !source.is_not_found() => {
                return Event::Stopped { container: name, id, result: Err(runtime_failure("KillContainerError", &source)) };
            }
            _ => {}
        }
        match self.look(&id).await {
            Some(status) if matches!(status.state, ContainerState::Running | ContainerState::Created) => {
                Event::Stopped { container: name, id, result: Ok(()) }
            }
            status => Event::Seen { id, status },
        }
    }

    pub async fn remove_container(self, id: ContainerId) -> Event {
        let result = match self.site.runtime.remove_container(&id).await {
            Err(source) if !source.is_not_found() => Err(runtime_failure("RemoveContainerError", &source)),
            _ => Ok(()),
        };
        if result.is_ok() {
            self.site.owners.forget(&id.0);
        }
        Event::Removed { id, result }
    }

    pub async fn probe(self, name: String, id: ContainerId, kind: ProbeKind) -> Event {
        let result = match self.container_spec(&name) {
            Ok((_, container)) => match facts::probe(&container, kind) {
                Some(probe) => {
                    let target = self.probe_target(&container);
                    let _turn = self.site.probes.acquire().await;
                    probes::run(&self.site, &target, &id, probe).await
                }
                None => super::effect::ProbeResult::Success,
            },
            Err(failure) => super::effect::ProbeResult::Failure(failure.message),
        };
        Event::Probed { container: name, id, kind, result }
    }

    pub async fn cleanup(self) -> Event {
        let folder = self.folder();
        Event::Cleaned(blocking(move || folder.remove()).await)
    }

    pub async fn delete(self) -> Result<(), Failure> {
        let api: Api<Pod> = Api::namespaced(self.site.client.clone(), &self.pod.namespace);
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.pod.uid.clone()), resource_version: None }),
            ..DeleteParams::default()
        };
        match api.delete(&self.pod.name, &params).await {
            Err(source) if !source.is_not_found() && !source.is_conflict() => Err(Failure::new("Delete", source.to_string())),
            _ => Ok(()),
        }
    }
}

pub fn last_words_path(container: &Container) -> &str {
    container.termination_message_path.as_deref().filter(|path| !path.is_empty()).unwrap_or("/dev/termination-log")
}

/// Runs what waits for a disk where it holds up nobody.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(source) => Err(Failure::new("FailedMount", format!("disk work ended early: {source}"))),
    }
}

fn write_if_changed(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    // In place: running containers have this very file mounted.
    std::fs::write(path, text)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
}

fn fresh_file(path: &std::path::Path) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, b"")?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o666))
}

fn read_start(path: &std::path::Path, max: usize) -> String {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // What cannot be read is no last word.
        let _read = file.take(max as u64).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
