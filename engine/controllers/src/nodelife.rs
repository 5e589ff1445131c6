//! Nodes that fall silent, and what that means for their pods.
//!
//! Flow: nodes, their leases and pods change -> key of the node -> silent for too long? conditions Unknown -> taints -> pods that do
//! not tolerate them leave, at their time.
//! Invariant: silence is measured by when a sign of life arrived here, never by comparing two machines' clocks.
mod apply;
mod plan;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use irori_client::{Change, EventType, Informer, Key, Loop, Outcome, ReconcileError, Reconciler, Recorder};
use irori_runtime::{Clock, Timestamp};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Node, Pod},
};
use kube::Resource;

use self::plan::{Leave, Readiness};
use crate::{Context, pods, until};

const LEASES: &str = "kube-node-lease";
/// A lease that lasts longer than that of a stock node says itself how long silence may last, up to an hour.
const LEASE_USUAL_S: i32 = 40;
const LEASE_LONGEST_S: i32 = 3_600;

pub(crate) fn start(context: &Context, client: kube::Client, grace: Duration) {
    let nodes = context.informers.of::<Node>();
    let leases = context.informers.of_namespace::<Lease>(LEASES, "", "");
    let pods = context.informers.of::<Pod>();
    let recorder = context.recorder(&client, "node-controller");
    let of_leases = leases.changes().map(|change| Key::cluster(change.key.name));
    let triggers = stream::select(
        of_nodes(nodes.changes(), nodes.clone()),
        stream::select(of_leases, of_pods(pods.changes(), nodes.clone())),
    );
    let reconciler =
        Nodes { client, nodes, leases, pods, recorder, clock: context.clock.clone(), grace, signs: Mutex::default() };
    Loop::default().run(reconciler, triggers, &context.tasks);
}

/// A node that becomes (un)ready concerns all: whether any is ready decides whether pods are driven out.
fn of_nodes(changes: impl Stream<Item = Change<Node>> + Send, nodes: Informer<Node>) -> impl Stream<Item = Key> + Send {
    changes.flat_map(move |change| {
        let ready = |node: &Option<Arc<Node>>| node.as_ref().is_some_and(|node| plan::readiness(node) == Readiness::Ready);
        let turned = ready(&change.old) != ready(&change.new);
        let others = if turned { nodes.list() } else { Vec::new() };
        stream::iter(std::iter::once(change.key).chain(others.into_iter().map(|node| Key::of(&*node))).collect::<Vec<_>>())
    })
}

/// A pod that comes onto a node that drives pods out, or changes what it tolerates.
fn of_pods(changes: impl Stream<Item = Change<Pod>> + Send, nodes: Informer<Node>) -> impl Stream<Item = Key> + Send {
    changes.filter_map(move |change| {
        let of = |pod: &Arc<Pod>| pod.spec.as_ref().and_then(|spec| Some((spec.node_name.clone()?, spec.tolerations.clone())));
        let (old, new) = (change.old.as_ref().and_then(of), change.new.as_ref().and_then(of));
        let key = new.filter(|new| old.as_ref() != Some(new)).map(|(node, _)| Key::cluster(node));
        std::future::ready(key.filter(|key| nodes.get(key).is_some_and(|node| drives_out(&node))))
    })
}

fn drives_out(node: &Node) -> bool {
    node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).any(|taint| taint.effect == "NoExecute")
}

struct Nodes {
    client: kube::Client,
    nodes: Informer<Node>,
    leases: Informer<Lease>,
    pods: Informer<Pod>,
    recorder: Recorder,
    clock: Clock,
    grace: Duration,
    /// The last sign of life of each node, and when it arrived.
    signs: Mutex<HashMap<String, (Sign, Instant)>>,
}

/// What changes while a node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sign {
    /// Its lease.
    renewed: Option<Timestamp>,
    /// Its status.
    heartbeat: Option<Timestamp>,
    /// Its readiness was given up on. Who says otherwise has heard of it.
    unknown: bool,
}

impl Sign {
    fn is_news_after(self, last: Self) -> bool {
        (self.renewed, self.heartbeat) != (last.renewed, last.heartbeat) || last.unknown && !self.unknown
    }
}

impl Reconciler for Nodes {
    fn name(&self) -> &'static str {
        "nodelife"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.nodes.synced(), self.leases.synced(), self.pods.synced());
            let Some(node) = self.nodes.get(&key) else {
                self.lock().remove(&key.name);
                return Ok(Outcome::Gone);
            };
            let now = self.clock.now();
            let lease = self.leases.get(&Key::new(LEASES, &key.name));
            let (silent_for, grace) = (self.silent_for(&key.name, &node, lease.as_deref()), self.grace_of(lease.as_deref()));
            let silenced = plan::silenced(&node, silent_for, grace, now);
            if !silenced.is_empty() {
                apply::write_conditions(&self.client, &node, &silenced).await?;
                let message = "Node is silent: its state is unknown".to_owned();
                self.recorder.event(&node.object_ref(&()), EventType::Normal, "NodeNotReady", message);
                return Ok(Outcome::Done); // the change that this makes comes back
            }
            if let Some(taints) = plan::taints(&node, self.any_ready(), now) {
                apply::write_taints(&self.client, &node, &taints).await?;
                return Ok(Outcome::Done);
            }
            let leaving = self.see_to_pods(&key.name, &node, now).await?;
            let silence = (silent_for < grace).then(|| grace - silent_for + Duration::from_millis(50));
            Ok([silence, leaving].into_iter().flatten().min().map_or(Outcome::Done, Outcome::After))
        }
        .boxed()
    }
}

impl Nodes {
    fn any_ready(&self) -> bool {
        self.nodes.list().iter().any(|node| plan::readiness(node) == Readiness::Ready)
    }

    fn grace_of(&self, lease: Option<&Lease>) -> Duration {
        match lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds) {
            Some(lasts) if lasts > LEASE_USUAL_S => {
                self.grace.max(Duration::from_secs(lasts.min(LEASE_LONGEST_S).unsigned_abs().into()))
            }
            _ => self.grace,
        }
    }

    /// Notes a sign of life, and says how long ago the last one arrived.
    fn silent_for(&self, name: &str, node: &Node, lease: Option<&Lease>) -> Duration {
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let heartbeat = conditions.filter_map(|c| c.last_heartbeat_time.as_ref().map(|time| time.0)).max();
        let sign = Sign { renewed, heartbeat, unknown: plan::readiness(node) == Readiness::Unknown };
        let mut signs = self.lock();
        let known = signs.entry(name.to_owned()).or_insert_with(|| (sign, Instant::now()));
        if sign.is_news_after(known.0) {
            known.1 = Instant::now();
        }
        known.0 = sign;
        known.1.elapsed()
    }

    /// Until when some pod may stay.
    async fn see_to_pods(&self, name: &str, node: &Node, now: Timestamp) -> Result<Option<Duration>, ReconcileError> {
        let unknown = plan::readiness(node) == Readiness::Unknown;
        if !unknown && !drives_out(node) {
            return Ok(None);
        }
        let here = |pod: &Arc<Pod>| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(name);
        let mut next: Option<Timestamp> = None;
        for pod in self.pods.list().into_iter().filter(here) {
            if unknown && pods::is_ready(&pod) {
                apply::mark_not_ready(&self.client, &pod, now).await?;
            }
            if pods::is_terminating(&pod) {
                continue;
            }
            match plan::leave(node, &pod, now) {
                Leave::Never => {}
                Leave::At(time) => next = Some(next.map_or(time, |next| next.min(time))),
                Leave::Now => {
                    let message = format!("Marking for deletion Pod {}", Key::of(&*pod));
                    self.recorder.event(&pod.object_ref(&()), EventType::Normal, "TaintManagerEviction", message);
                    apply::evict(&self.client, &pod, now).await?;
                }
            }
        }
        Ok(next.map(|time| until(time, now)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Sign, Instant)>> {
        self.signs.lock().expect("no holder of this lock panics")
    }
}
