//! The one task of the scheduler: joins changes, queue, decisions and the API.
use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Instant};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use irori_client::{Change, EventType, Informers, Recorder};
use irori_runtime::{Clock, OnEnd, Shutdown, Tasks};
use k8s_openapi::api::core::v1::{Namespace, Node, ObjectReference, Pod};
use tracing::warn;

use crate::{
    api::{Api, BindError},
    cluster::Cluster,
    node::Facts,
    plan::{Decision, plan},
    pod::{Wants, is_finished},
    queue::{News, Queue, Wake},
};

pub const SCHEDULER_NAME: &str = "default-scheduler";
/// Bindings and conditions being written at once. Above this no further pod is taken from the queue.
const WRITES_MAX: usize = 64;
/// Decisions in a row before changes are looked at again.
const DECISIONS_IN_A_ROW: usize = 16;

/// Starts the scheduler, which writes through `client` (`system:kube-scheduler`) and reads through `informers`.
pub fn start(client: kube::Client, informers: &Informers, clock: &Clock, tasks: &Tasks) {
    let recorder = Recorder::new(client.clone(), SCHEDULER_NAME, None, clock.clone(), tasks);
    let scheduler = Scheduler {
        api: Api::new(client, clock.clone()),
        recorder,
        cluster: Cluster::default(),
        queue: Queue::default(),
        assumed: HashSet::new(),
        turn: 0,
    };
    let (informers, shutdown) = (informers.clone(), tasks.shutdown().clone());
    tasks.spawn("scheduler", OnEnd::Fatal, async move {
        scheduler.drive(informers, shutdown).await;
        Ok::<(), Infallible>(())
    });
}

struct Scheduler {
    api: Api,
    recorder: Recorder,
    cluster: Cluster,
    queue: Queue,
    /// Uids of pods that are being bound, or whose binding the copy does not show yet.
    assumed: HashSet<String>,
    turn: usize,
}

/// How a write ended.
enum Written {
    Bound { wants: Arc<Wants>, node: String, result: Result<(), BindError> },
    Told,
}

impl Scheduler {
    async fn drive(mut self, informers: Informers, shutdown: Shutdown) {
        let (pods, nodes, namespaces) = (informers.of::<Pod>(), informers.of::<Node>(), informers.of::<Namespace>());
        let (mut pod_changes, mut node_changes, mut namespace_changes) = (pods.changes(), nodes.changes(), namespaces.changes());
        tokio::select! {
            () = shutdown.wait() => return,
            _ = async { tokio::join!(pods.synced(), nodes.synced(), namespaces.synced()) } => {}
        }
        let mut writes: FuturesUnordered<BoxFuture<'static, Written>> = FuturesUnordered::new();
        loop {
            while let Some(change) = namespace_changes.next().now_or_never().flatten() {
                self.namespace_changed(change);
            }
            while let Some(change) = node_changes.next().now_or_never().flatten() {
                self.node_changed(change);
            }
            while let Some(change) = pod_changes.next().now_or_never().flatten() {
                self.pod_changed(change);
            }
            self.queue.due(Instant::now());
            for _ in 0..DECISIONS_IN_A_ROW {
                if writes.len() >= WRITES_MAX {
                    break;
                }
                let Some(wants) = self.queue.take() else { break };
                writes.push(self.decide(wants));
            }
            let idle = !self.queue.has_ready() || writes.len() >= WRITES_MAX;
            let due = self.queue.next_due();
            tokio::select! {
                () = shutdown.wait() => break,
                Some(change) = pod_changes.next() => self.pod_changed(change),
                Some(change) = node_changes.next() => self.node_changed(change),
                Some(change) = namespace_changes.next() => self.namespace_changed(change),
                Some(written) = writes.next(), if !writes.is_empty() => self.written(written),
                () = sleep_until(due), if idle => {}
                () = tokio::task::yield_now(), if !idle => {}
            }
        }
        // What is being bound is bound in full, or known to have failed.
        while let Some(written) = writes.next().await {
            self.written(written);
        }
    }

    fn namespace_changed(&mut self, change: Change<Namespace>) {
        match change.new {
            Some(namespace) => {
                let labels = namespace.metadata.labels.clone().unwrap_or_default();
                if self.cluster.namespaces.insert(change.key.name, labels).is_some() {
                    self.queue.wake(Wake::PODS, Instant::now());
                }
            }
            None => drop(self.cluster.namespaces.remove(&change.key.name)),
        }
    }

    fn node_changed(&mut self, change: Change<Node>) {
        match change.new {
            Some(node) => {
                if self.cluster.set_node(Facts::of(&node)) {
                    self.queue.wake(Wake::NODES, Instant::now());
                }
            }
            None => self.cluster.remove_node(&change.key.name),
        }
    }

    fn pod_changed(&mut self, change: Change<Pod>) {
        let former = change.old.as_ref().filter(|old| change.new.as_ref().is_none_or(|new| new.metadata.uid != old.metadata.uid));
        if let Some(uid) = former.and_then(|old| old.metadata.uid.as_deref()) {
            self.left(uid);
            self.queue.remove(&change.key);
        }
        let Some(pod) = change.new else { return };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        if is_finished(&pod) {
            self.left(&uid);
            self.queue.remove(&change.key);
            return;
        }
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).filter(|name| !name.is_empty());
        if let Some(node) = node {
            self.assumed.remove(&uid);
            self.queue.remove(&change.key);
            if change.old.is_some_and(|old| same_wants(&old, &pod)) && self.cluster.has_pod(&uid) {
                return;
            }
            self.cluster.put(Arc::new(Wants::of(&pod)), node);
            self.queue.wake(Wake::PODS, Instant::now());
        } else if is_ours(&pod) && !self.assumed.contains(&uid) {
            self.queue.put(Arc::new(Wants::of(&pod)));
        } else if !self.assumed.contains(&uid) {
            self.queue.remove(&change.key);
        }
    }

    fn left(&mut self, uid: &str) {
        self.assumed.remove(uid);
        if self.cluster.remove(uid) {
            self.queue.wake(Wake::FREED, Instant::now());
        }
    }

    fn decide(&mut self, wants: Arc<Wants>) -> BoxFuture<'static, Written> {
        self.turn = self.turn.wrapping_add(1);
        match plan(&wants, &self.cluster, self.turn) {
            Decision::Bind { node } => {
                self.assumed.insert(wants.uid.clone());
                self.cluster.put(wants.clone(), &node);
                let api = self.api.clone();
                async move {
                    let result = api.bind(&wants, &node).await;
                    Written::Bound { wants, node, result }
                }
                .boxed()
            }
            Decision::Wait { message, wake } => {
                self.queue.park(&wants.key, wake, Instant::now());
                self.recorder.event(&about(&wants), EventType::Warning, "FailedScheduling", message.clone());
                let Some(news) = self.queue.tell(&wants.key, &message) else { return std::future::ready(Written::Told).boxed() };
                let api = self.api.clone();
                async move {
                    api.tell_unschedulable(&wants, message, news == News::First).await;
                    Written::Told
                }
                .boxed()
            }
        }
    }

    fn written(&mut self, written: Written) {
        let Written::Bound { wants, node, result } = written else { return };
        match result {
            Ok(()) => {
                let message = format!("Successfully assigned {} to {node}", wants.key);
                self.recorder.event(&about(&wants), EventType::Normal, "Scheduled", message);
                self.queue.remove(&wants.key);
            }
            Err(source) => {
                // Unless the copy has already told how it ended.
                if self.assumed.remove(&wants.uid) {
                    self.cluster.remove(&wants.uid);
                }
                match source {
                    BindError::Gone => self.queue.remove(&wants.key),
                    BindError::Refused(source) => {
                        warn!(pod = %wants.key, node, "bind pod: {source}");
                        self.queue.retry(&wants.key, Instant::now());
                    }
                }
            }
        }
    }
}

fn about(wants: &Wants) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(wants.key.namespace.clone()),
        name: Some(wants.key.name.clone()),
        uid: Some(wants.uid.clone()),
        ..Default::default()
    }
}

/// Whether a change left alone all that decisions are made from (a node reports status far more often than anything else changes).
fn same_wants(old: &Pod, new: &Pod) -> bool {
    old.spec == new.spec
        && old.metadata.labels == new.metadata.labels
        && old.metadata.deletion_timestamp.is_some() == new.metadata.deletion_timestamp.is_some()
}

/// Waits for us: it names this scheduler, nothing gates it, and it is not on its way out.
fn is_ours(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else { return false };
    spec.scheduler_name.as_deref().is_none_or(|name| name == SCHEDULER_NAME)
        && spec.scheduling_gates.as_ref().is_none_or(Vec::is_empty)
        && pod.metadata.deletion_timestamp.is_none()
}

async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}
