//! One pod's worker: feeds events into steps and carries out what they ask for.
//!
//! Invariant: steps of one pod happen one after another; effects happen at once and never block the worker.
use std::{sync::Arc, time::Duration};

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, SelectAll},
};
use irori_client::ApiError;
use irori_runtime::Backoff;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    carry::Hands,
    effect::{Effect, Event, Failure, Observed},
    life::{Instance, Life, Work},
    site::{ContainerView, Site, View},
    step::{Step, step},
};
use crate::{
    runtime::{ContainerState, ContainerStatus, PodRef, SandboxId, SandboxStatus},
    status,
    volumes::sources::{Changes, PodSources},
};

/// Messages that wait for one worker. The sender waits above this; a worker never blocks, so it is short.
pub const INBOX_MAX: usize = 64;
const STATUS_BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(30) };
/// A status that does not show in the object after this is written again.
const STATUS_SETTLED: Duration = Duration::from_secs(5);
/// Between tries to bring volumes up to date.
const REFRESH_MIN: Duration = Duration::from_secs(30);

/// What the manager tells a worker.
pub enum Message {
    Pod(Arc<Pod>),
    Gone,
    /// What the runtime's lists have of this pod.
    Listed {
        sandboxes: Vec<SandboxStatus>,
        containers: Vec<ContainerStatus>,
    },
    /// Something happened to a container or sandbox of this pod.
    Look {
        id: String,
    },
}

enum Done {
    Event(Box<Event>),
    Written(Box<PodStatus>, Result<(), kube::Error>),
    Refreshed(Result<(), Failure>),
}

pub struct Worker {
    site: Arc<Site>,
    pod: PodRef,
    life: Life,
    /// When the last step wants the next one, in `Now::mono`.
    due: Option<Duration>,
    inbox: mpsc::Receiver<Message>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    sources: Arc<PodSources>,
    new_changes: mpsc::UnboundedReceiver<Changes>,
    changes: SelectAll<Changes>,
    status: StatusState,
    refresh: Refresh,
}

#[derive(Default)]
struct StatusState {
    /// What was written last, and when.
    written: Option<(PodStatus, Instant)>,
    busy: bool,
    fails: u32,
    retry: Option<Instant>,
}

#[derive(Default)]
struct Refresh {
    busy: bool,
    again: bool,
    last: Option<Instant>,
}

impl Worker {
    pub fn new(site: Arc<Site>, pod: PodRef, inbox: mpsc::Receiver<Message>) -> Self {
        let (sender, new_changes) = mpsc::unbounded_channel();
        let sources = PodSources::new(pod.clone(), site.client.clone(), site.informers.clone(), site.clock.clone(), sender);
        Self {
            life: Life::new(pod.clone()),
            due: None,
            site,
            pod,
            inbox,
            running: FuturesUnordered::new(),
            sources,
            new_changes,
            changes: SelectAll::new(),
            status: StatusState::default(),
            refresh: Refresh::default(),
        }
    }

    /// Runs until the pod is over or the process stops. What runs in containers goes on either way.
    pub async fn run(mut self) {
        let shutdown = self.site.tasks.shutdown().clone();
        // What is begun now would be waited for.
        while !self.life.is_over() && !shutdown.started() {
            let wake = self.wake();
            let has_changes = !self.changes.is_empty();
            let event = tokio::select! {
                () = shutdown.wait() => break,
                message = self.inbox.recv() => match message {
                    Some(message) => self.message(message),
                    None => break,
                },
                Some(done) = self.running.next() => self.done(done),
                Some(stream) = self.new_changes.recv() => {
                    self.changes.push(stream);
                    continue;
                }
                Some(()) = self.changes.next(), if has_changes => {
                    self.refresh.again = true;
                    Some(Event::SourcesChanged)
                }
                () = sleep_until(wake) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.turn(event);
            }
            self.refresh_volumes();
            self.write_status();
            self.show();
        }
        self.site.board.remove(&self.pod.uid);
        if self.life.is_over() {
            self.site.owners.forget_pod(&self.pod.uid);
        }
    }

    fn wake(&self) -> Option<Instant> {
        let step = self.due.map(|mono| self.site.instant(mono));
        let status = self.status.retry.filter(|_| !self.status.busy);
        [step, status, self.refresh_due()].into_iter().flatten().min()
    }

    fn message(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Pod(object) => {
                let before = self.life.object.as_ref();
                let meta = |pod: &Arc<Pod>| (pod.metadata.labels.clone(), pod.metadata.annotations.clone());
                self.refresh.again |= before.is_some_and(|before| meta(before) != meta(&object));
                Some(Event::Pod(object))
            }
            Message::Gone => Some(Event::Gone),
            Message::Listed { sandboxes, containers } => {
                let hands = self.hands();
                self.running
                    .push(observe(hands, sandboxes, containers).map(|o| Done::Event(Box::new(Event::Observed(o)))).boxed());
                None
            }
            Message::Look { id } => {
                self.look(&id);
                None
            }
        }
    }

    fn look(&mut self, id: &str) {
        let hands = self.hands();
        let sandbox = self.life.sandbox.present.as_ref().is_some_and(|present| present.id.0 == id);
        let future = if sandbox {
            hands.look_sandbox(SandboxId(id.to_owned())).map(|event| Done::Event(Box::new(event))).boxed()
        } else {
            hands.seen(id.into()).map(|event| Done::Event(Box::new(event))).boxed()
        };
        self.running.push(future);
    }

    fn done(&mut self, done: Done) -> Option<Event> {
        match done {
            Done::Event(event) => {
                if let Event::Observed(observed) = event.as_ref() {
                    self.look_at_unlisted(observed);
                }
                Some(*event)
            }
            Done::Written(status, result) => {
                self.written(*status, result);
                None
            }
            Done::Refreshed(result) => {
                self.refresh.busy = false;
                if let Err(failure) = result {
                    self.hands().tell(true, "FailedMount", failure.message, None);
                }
                None
            }
        }
    }

    /// What is younger than the list is asked for by itself.
    fn look_at_unlisted(&mut self, observed: &Observed) {
        let listed =
            |id: &str| observed.containers.iter().any(|c| c.id.0 == id) || observed.sandboxes.iter().any(|s| s.id.0 == id);
        let runs = self.life.slots.iter().filter_map(|slot| slot.run()).map(|run| run.id.0.clone());
        let present = self.life.sandbox.present.iter().map(|present| present.id.0.clone());
        let unlisted: Vec<String> = runs.chain(present).filter(|id| !listed(id)).collect();
        for id in unlisted {
            self.look(&id);
        }
    }

    fn turn(&mut self, event: Event) {
        let life = std::mem::replace(&mut self.life, Life::new(self.pod.clone()));
        let Step { life, effects, wake } = step(life, event, self.site.now());
        (self.life, self.due) = (life, wake);
        for effect in effects {
            self.carry(effect);
        }
    }

    fn hands(&self) -> Hands {
        Hands {
            site: self.site.clone(),
            pod: self.pod.clone(),
            object: self.life.object.clone(),
            sources: self.sources.clone(),
            present: self.life.sandbox.present.clone(),
        }
    }

    fn carry(&mut self, effect: Effect) {
        let hands = self.hands();
        let future: BoxFuture<'static, Event> = match effect {
            Effect::Tell(tell) => return hands.tell_this(&tell),
            Effect::PrepareVolumes => hands.prepare_volumes().map(Event::Volumes).boxed(),
            Effect::EnsureSandbox { attempt } => hands.ensure_sandbox(attempt).map(Event::SandboxUp).boxed(),
            Effect::StopSandbox { id } => hands.stop_sandbox(id, false).boxed(),
            Effect::RemoveSandbox { id } => hands.stop_sandbox(id, true).boxed(),
            Effect::EnsureImage { container } => {
                let name = container.clone();
                hands.ensure_image(container).map(|result| Event::Image { container: name, result }).boxed()
            }
            Effect::Start { container, attempt, image } => {
                let name = container.clone();
                let started = hands.start(container, attempt, image);
                started.map(move |result| Event::Started { container: name, attempt, result }).boxed()
            }
            Effect::PostStart { container, id } => hands.post_start(container, id).boxed(),
            Effect::Stop { container, id, grace, pre_stop } => hands.stop(container, id, grace, pre_stop).boxed(),
            Effect::RemoveContainer { id } => hands.remove_container(id).boxed(),
            Effect::Probe { container, id, kind } => hands.probe(container, id, kind).boxed(),
            Effect::Cleanup => hands.cleanup().boxed(),
            Effect::Delete => self.delete(hands),
        };
        self.running.push(future.map(|event| Done::Event(Box::new(event))).boxed());
    }

    /// The last status goes before the object: whoever watches learns how the pod ended.
    fn delete(&self, hands: Hands) -> BoxFuture<'static, Event> {
        let unwritten = self.unwritten();
        async move {
            if let Some(status) = unwritten
                && let Err(source) = write(&hands, &status).await
                && !source.is_not_found()
            {
                tracing::debug!(pod = %hands.pod.name, "write last status: {source}");
            }
            Event::Deleted(hands.delete().await)
        }
        .boxed()
    }

    // ---- status ----

    /// The status as it is, unless the object shows it already.
    fn unwritten(&self) -> Option<PodStatus> {
        let object = self.life.object.as_ref()?;
        status::status(&self.life, &self.site.settings.addresses).filter(|status| !status::is_written(object, status))
    }

    fn write_status(&mut self) {
        if self.status.busy {
            return;
        }
        let over = self.life.gone || self.life.delete != Work::Idle;
        let Some(wanted) = (!over).then(|| self.unwritten()).flatten() else {
            // Also where the write seemed to fail and the watch shows it: a retry in the past would wake us for ever.
            self.status.retry = None;
            return;
        };
        if self.status.retry.is_some_and(|at| at > Instant::now()) {
            return;
        }
        let settling = |(status, at): &(PodStatus, Instant)| *status == wanted && at.elapsed() < STATUS_SETTLED;
        if self.status.written.as_ref().is_some_and(settling) {
            return;
        }
        self.status.busy = true;
        let hands = self.hands();
        let future = async move {
            let result = write(&hands, &wanted).await;
            Done::Written(Box::new(wanted), result)
        };
        self.running.push(future.boxed());
    }

    fn written(&mut self, status: PodStatus, result: Result<(), kube::Error>) {
        self.status.busy = false;
        match result {
            Err(source) if !source.is_not_found() && !source.is_conflict() => {
                tracing::debug!(pod = %self.pod.name, "write status: {source}");
                self.status.retry = Some(Instant::now() + STATUS_BACKOFF.wait(self.status.fails));
                self.status.fails += 1;
            }
            // Gone, or another pod by that name: the watch tells.
            _ => {
                self.status.written = Some((status, Instant::now()));
                self.status.fails = 0;
                self.status.retry = None;
            }
        }
    }

    // ---- volumes that change ----

    fn refresh_due(&self) -> Option<Instant> {
        if self.life.volumes != Work::Done || self.life.stop.is_some() || self.refresh.busy {
            return None;
        }
        let left = self.sources.renew_at()?.duration_since(self.site.clock.now());
        let due = Instant::now() + Duration::try_from(left).unwrap_or(Duration::ZERO);
        Some(self.refresh.last.map_or(due, |last| due.max(last + REFRESH_MIN)))
    }

    fn refresh_volumes(&mut self) {
        let token_due = self.refresh_due().is_some_and(|at| at <= Instant::now());
        let may = self.life.volumes == Work::Done && self.life.stop.is_none() && !self.refresh.busy;
        if !may || !(self.refresh.again || token_due) {
            return;
        }
        self.refresh = Refresh { busy: true, again: false, last: Some(Instant::now()) };
        self.running.push(self.hands().prepare_volumes().map(Done::Refreshed).boxed());
    }

    // ---- for the server ----

    fn show(&self) {
        let Some(pod) = self.life.object.clone() else { return };
        let containers = self.life.slots.iter().map(|slot| ContainerView {
            name: slot.name.clone(),
            present: match &slot.instance {
                Instance::Running(run) => Some(run.id.clone()),
                Instance::Exited(exit) => exit.id.clone(),
                Instance::None | Instance::Starting => slot.last.as_ref().and_then(|exit| exit.id.clone()),
            },
            running: slot.run().is_some(),
            previous: slot.last.as_ref().and_then(|exit| exit.id.clone()),
            waiting: match (&slot.start_trouble, &slot.image) {
                (None, Work::Failed(trouble)) if ["ErrImagePull", "RegistryUnavailable"].contains(&&*trouble.reason) => {
                    "trying and failing to pull image".to_owned()
                }
                (Some(trouble), _) | (None, Work::Failed(trouble)) => trouble.reason.clone(),
                (None, _) => "ContainerCreating".to_owned(),
            },
        });
        self.site.board.set(&self.pod.uid, View { pod, containers: containers.collect() });
    }
}

async fn write(hands: &Hands, status: &PodStatus) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(hands.site.client.clone(), &hands.pod.namespace);
    let patch = status::patch(&hands.pod.uid, status);
    api.patch_status(&hands.pod.name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(|_pod| ())
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Completes what lists leave out: addresses of the newest sandbox, ends of containers.
async fn observe(hands: Hands, mut sandboxes: Vec<SandboxStatus>, containers: Vec<ContainerStatus>) -> Observed {
    for sandbox in &sandboxes {
        hands.site.owners.add(&sandbox.id.0, &hands.pod.uid);
    }
    if let Some(newest) = sandboxes.iter_mut().max_by_key(|sandbox| sandbox.attempt)
        && let Ok(full) = hands.site.runtime.sandbox(&newest.id).await
    {
        *newest = full;
    }
    let mut complete = Vec::with_capacity(containers.len());
    for listed in containers {
        hands.site.owners.add(&listed.id.0, &hands.pod.uid);
        if listed.state == ContainerState::Unknown {
            complete.push(listed);
        } else if let Some(mut full) = hands.look(&listed.id).await {
            full.sandbox = listed.sandbox.or(full.sandbox);
            complete.push(full);
        }
    }
    Observed { sandboxes, containers: complete }
}
