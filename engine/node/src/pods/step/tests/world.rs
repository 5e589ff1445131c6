//! A machine without a machine.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use irori_runtime::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use super::super::*;
use crate::{
    pods::{
        effect::{Failure, Image, Observed, ProbeResult, StartFailure},
        facts::ProbeKind,
        life::Present,
    },
    runtime::{
        ContainerId, ContainerState, ContainerStatus, ImageConfig, ImageInfo, PodRef, SandboxId, SandboxState, SandboxStatus,
    },
};

pub struct World {
    pub life: Life,
    pub object: Arc<Pod>,
    pub now: Now,
    /// When the last step wants the next one.
    pub wake: Option<Duration>,
    /// Asked for and not answered yet.
    pub effects: Vec<Effect>,
    /// All that was ever asked for.
    pub log: Vec<Effect>,
    pub sandboxes: BTreeMap<String, SandboxStatus>,
    pub containers: BTreeMap<String, ContainerStatus>,
    pub stopped: Vec<String>,
    pub fail_image: Option<Failure>,
    pub fail_start: Option<Failure>,
    pub fail_post_start: bool,
    made: u32,
}

fn pod_ref() -> PodRef {
    PodRef { namespace: "shop".to_owned(), name: "web".to_owned(), uid: "u1".to_owned() }
}

impl World {
    /// A pod that has just been bound to this node.
    pub fn new(spec: serde_json::Value) -> Self {
        let meta = json!({ "name": "web", "namespace": "shop", "uid": "u1", "generation": 1 });
        let object: Arc<Pod> = Arc::new(serde_json::from_value(json!({ "metadata": meta, "spec": spec })).expect("a pod"));
        let mut world = Self {
            life: Life::new(pod_ref()),
            object: object.clone(),
            now: Now { mono: Duration::from_secs(1000), wall: Timestamp::from_second(1_800_000_000).expect("in range") },
            wake: None,
            effects: Vec::new(),
            log: Vec::new(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            stopped: Vec::new(),
            fail_image: None,
            fail_start: None,
            fail_post_start: false,
            made: 0,
        };
        world.event(Event::Pod(object));
        world.event(Event::Observed(Observed::default()));
        world
    }

    pub fn event(&mut self, event: Event) {
        let life = std::mem::replace(&mut self.life, Life::new(pod_ref()));
        let Step { life, effects, wake } = step(life, event, self.now);
        (self.life, self.wake) = (life, wake);
        self.log.extend(effects.iter().cloned());
        self.effects.extend(effects.into_iter().filter(|effect| !matches!(effect, Effect::Tell(_))));
    }

    /// Answers everything but probes, until nothing is asked for.
    pub fn settle(&mut self) {
        self.settle_for(1000);
        assert!(self.next().is_none(), "the world does not come to rest: {:?}", self.effects);
    }

    pub fn settle_for(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some(index) = self.next() else { return };
            let effect = self.effects.remove(index);
            let event = self.answer(effect);
            self.event(event);
        }
    }

    fn next(&self) -> Option<usize> {
        self.effects.iter().position(|effect| !matches!(effect, Effect::Probe { .. }))
    }

    fn id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}{}", self.made)
    }

    pub fn answer(&mut self, effect: Effect) -> Event {
        match effect {
            Effect::Tell(_) => Event::Tick,
            Effect::PrepareVolumes => Event::Volumes(Ok(())),
            Effect::EnsureSandbox { attempt } => {
                let id = SandboxId(self.id("s"));
                self.sandboxes.insert(id.0.clone(), self.sandbox(&id, attempt));
                Event::SandboxUp(Ok(Present { id, attempt, ips: Vec::new(), ready: true, stopped: false }))
            }
            Effect::StopSandbox { id } => {
                if let Some(sandbox) = self.sandboxes.get_mut(&id.0) {
                    sandbox.state = SandboxState::NotReady;
                }
                Event::SandboxRemoval { id, removed: false, result: Ok(()) }
            }
            Effect::RemoveSandbox { id } => {
                self.sandboxes.remove(&id.0);
                self.containers.retain(|_, c| c.sandbox.as_ref() != Some(&id));
                Event::SandboxRemoval { id, removed: true, result: Ok(()) }
            }
            Effect::EnsureImage { container } => {
                let result = self.fail_image.clone().map_or_else(|| Ok(image()), Err);
                Event::Image { container, result }
            }
            Effect::Start { container, attempt, .. } => self.start(container, attempt),
            Effect::PostStart { container, id } => {
                let result = if self.fail_post_start { Err("no".to_owned()) } else { Ok(()) };
                Event::PostStarted { container, id, result }
            }
            Effect::Stop { container, id, .. } => {
                self.stopped.push(container);
                self.end(&id, 143);
                Event::Seen { status: self.containers.get(&id.0).cloned(), id }
            }
            Effect::RemoveContainer { id } => {
                self.containers.remove(&id.0);
                Event::Removed { id, result: Ok(()) }
            }
            Effect::Probe { container, id, kind } => Event::Probed { container, id, kind, result: ProbeResult::Success },
            Effect::Cleanup => Event::Cleaned(Ok(())),
            Effect::Delete => Event::Deleted(Ok(())),
        }
    }

    fn sandbox(&self, id: &SandboxId, attempt: u32) -> SandboxStatus {
        SandboxStatus {
            id: id.clone(),
            pod: pod_ref(),
            attempt,
            state: SandboxState::Ready,
            created_at: self.now.wall,
            ips: Vec::new(),
            netns: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    fn start(&mut self, container: String, attempt: u32) -> Event {
        if let Some(failure) = self.fail_start.clone() {
            let result = Err(StartFailure { failure, id: None });
            return Event::Started { container, attempt, result };
        }
        let id = ContainerId(self.id("c"));
        let spec = self.object.spec.as_ref().expect("a pod has one");
        let image_ref = crate::pods::facts::container(spec, &container).and_then(|c| c.image.clone()).unwrap_or_default();
        let status = ContainerStatus {
            id: id.clone(),
            sandbox: self.life.sandbox.present.as_ref().map(|present| present.id.clone()),
            pod: pod_ref(),
            name: container.clone(),
            attempt,
            state: ContainerState::Running,
            created_at: self.now.wall,
            started_at: Some(self.now.wall),
            finished_at: None,
            exit_code: None,
            reason: String::new(),
            message: String::new(),
            oom_killed: false,
            image_ref,
            image_id: "sha256:1".to_owned(),
            log_path: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        };
        self.containers.insert(id.0, status.clone());
        Event::Started { container, attempt, result: Ok(status) }
    }

    fn end(&mut self, id: &ContainerId, code: i32) {
        let at = self.now.wall;
        if let Some(container) = self.containers.get_mut(&id.0).filter(|c| c.state == ContainerState::Running) {
            container.state = ContainerState::Exited;
            container.exit_code = Some(code);
            container.finished_at = Some(at);
        }
    }

    pub fn running(&self, name: &str) -> Option<ContainerId> {
        let running = |c: &&ContainerStatus| c.name == name && c.state == ContainerState::Running;
        self.containers.values().find(running).map(|c| c.id.clone())
    }

    /// The process of a container ends, and the life learns of it.
    pub fn crash(&mut self, name: &str, code: i32) {
        let id = self.running(name).expect("it runs");
        self.end(&id, code);
        self.event(Event::Seen { status: self.containers.get(&id.0).cloned(), id });
    }

    pub fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        loop {
            let wake = self.wake.filter(|at| *at <= end);
            let at = wake.map_or(end, |at| at.max(self.now.mono));
            self.now.wall += SignedDuration::try_from(at - self.now.mono).expect("in range");
            self.now.mono = at;
            self.event(Event::Tick);
            self.settle();
            if wake.is_none() {
                return;
            }
        }
    }

    pub fn pass_to_wake(&mut self) {
        let at = self.wake.expect("something waits for time");
        self.pass(at - self.now.mono);
    }

    pub fn delete(&mut self, grace_s: i64) {
        let mut pod = Pod::clone(&self.object);
        pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(self.now.wall));
        pod.metadata.deletion_grace_period_seconds = Some(grace_s);
        self.object = Arc::new(pod);
        self.event(Event::Pod(self.object.clone()));
    }

    /// Another image is asked for.
    pub fn change_image(&mut self, image: &str) {
        let mut pod = Pod::clone(&self.object);
        pod.spec.as_mut().expect("a pod has one").containers[0].image = Some(image.to_owned());
        self.object = Arc::new(pod);
        self.event(Event::Pod(self.object.clone()));
    }

    /// As if irori had been restarted.
    pub fn forget_life(&mut self) {
        (self.life, self.wake) = (Life::new(pod_ref()), None);
        self.effects.clear();
    }

    pub fn observe(&mut self) {
        let observed = Observed {
            sandboxes: self.sandboxes.values().cloned().collect(),
            containers: self.containers.values().cloned().collect(),
        };
        self.event(Event::Observed(observed));
    }

    pub fn probes(&self) -> Vec<ProbeKind> {
        self.effects.iter().filter_map(|e| if let Effect::Probe { kind, .. } = e { Some(*kind) } else { None }).collect()
    }

    pub fn answer_probes(&mut self, result: &ProbeResult) {
        let (probes, others) = std::mem::take(&mut self.effects).into_iter().partition(|e| matches!(e, Effect::Probe { .. }));
        self.effects = others;
        for effect in probes {
            let Effect::Probe { container, id, kind } = effect else { continue };
            self.event(Event::Probed { container, id, kind, result: result.clone() });
        }
    }

    pub fn told(&self, reason: &str) -> bool {
        self.log.iter().any(|e| matches!(e, Effect::Tell(tell) if tell.reason == reason))
    }

    /// What was asked for from the first stop on.
    pub fn log_of_end(&self) -> Vec<&'static str> {
        let name = |effect: &Effect| match effect {
            Effect::Stop { .. } => Some("Stop"),
            Effect::StopSandbox { .. } => Some("StopSandbox"),
            Effect::RemoveSandbox { .. } => Some("RemoveSandbox"),
            Effect::Cleanup => Some("Cleanup"),
            Effect::Delete => Some("Delete"),
            _ => None,
        };
        self.log.iter().filter_map(name).collect()
    }
}

pub fn image() -> Image {
    Image::new(ImageInfo {
        id: "sha256:1".to_owned(),
        repo_tags: vec!["x".to_owned()],
        repo_digests: Vec::new(),
        size_bytes: 1,
        uid: None,
        username: String::new(),
        config: ImageConfig::default(),
        pinned: false,
    })
}
