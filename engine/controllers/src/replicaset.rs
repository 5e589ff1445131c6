//! As many pods as a ReplicaSet says.
//!
//! Flow: ReplicaSets and pods change -> key of the set -> claim pods -> `plan` -> create or delete -> status.
//! Invariant: never acts on a copy of the pods that misses what it wrote itself (`OwnWrites`, uids told to go).
mod apply;
mod plan;

use std::{
    collections::{HashMap, HashSet},
    sync::Mutex,
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use irori_client::{Change, Informer, Key, Loop, Outcome, OwnWrites, ReconcileError, Reconciler, Recorder};
use irori_runtime::Clock;
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::Resource;

use self::apply::Applier;
pub use self::apply::told;
use crate::{Context, owners, pods, selector, until};

/// A lost change must not keep a set waiting for its own writes for ever.
const WRITES_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn start(context: &Context, client: kube::Client) {
    let sets = context.informers.of::<ReplicaSet>();
    let pods = context.informers.of::<Pod>();
    let recorder = context.recorder(&client, "replicaset-controller");
    let triggers = stream::select(sets.changes().map(|change| change.key), of_pods(pods.changes(), sets.clone()));
    let reconciler = ReplicaSets {
        client,
        sets,
        pods,
        recorder,
        clock: context.clock.clone(),
        writes: OwnWrites::default(),
        told_to_go: Mutex::default(),
    };
    Loop::default().run(reconciler, triggers, &context.tasks);
}

/// The sets that a pod's change concerns: those that control(led) it, or for an orphan those that it matches.
fn of_pods(changes: impl Stream<Item = Change<Pod>> + Send, sets: Informer<ReplicaSet>) -> impl Stream<Item = Key> + Send {
    changes.flat_map(move |change| {
        let mut keys: Vec<Key> = change
            .states()
            .filter_map(|pod| owners::controller_name::<ReplicaSet>(&pod.metadata))
            .map(|name| Key::new(&change.key.namespace, name))
            .collect();
        keys.dedup();
        if let Some(orphan) = change.new.as_ref().filter(|pod| owners::controller_of(&pod.metadata).is_none()) {
            let matching = sets.in_namespace(&change.key.namespace).into_iter().filter(|set| selects(set, orphan));
            keys.extend(matching.map(|set| Key::of(&*set)));
        }
        stream::iter(keys)
    })
}

fn selects(set: &ReplicaSet, pod: &Pod) -> bool {
    set.spec.as_ref().is_some_and(|spec| {
        !selector::is_empty(&spec.selector) && selector::matches(&spec.selector, pod.metadata.labels.as_ref())
    })
}

struct ReplicaSets {
    client: kube::Client,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    recorder: Recorder,
    clock: Clock,
    writes: OwnWrites,
    /// Pods that were deleted, until the copy shows it.
    told_to_go: Mutex<HashMap<Key, HashSet<String>>>,
}

impl Reconciler for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.sets.synced(), self.pods.synced());
            let Some(set) = self.sets.get(&key) else {
                self.writes.forget(&key);
                self.lock().remove(&key);
                return Ok(Outcome::Gone);
            };
            if !self.writes.seen_by(&key, &self.pods) {
                return Ok(Outcome::After(WRITES_WAIT));
            }
            self.bring_about(&key, &set).await
        }
        .boxed()
    }
}

impl ReplicaSets {
    async fn bring_about(&self, key: &Key, set: &ReplicaSet) -> Result<Outcome, ReconcileError> {
        let applier = Applier { client: &self.client, recorder: &self.recorder, writes: &self.writes, key };
        let nearby = self.pods.in_namespace(&key.namespace);
        let neighbours = self.neighbours(set, &nearby);
        let claims = owners::claim(&set.metadata, |pod: &Pod| selects(set, pod), nearby);
        let owned = applier.settle_claims(set, claims).await?;
        let now = self.clock.now();
        let going = self.still_going(key, &owned);
        let plan = plan::plan(set, &owned, &neighbours, &going, now);
        let done = if plan.create > 0 {
            applier.create(set, plan.create).await.map(drop)
        } else {
            self.lock().entry(key.clone()).or_default().extend(plan.delete.iter().filter_map(|pod| pod.metadata.uid.clone()));
            let done = applier.delete(set, &plan.delete).await;
            if let (Err(failure), Some(told)) = (&done, self.lock().get_mut(key)) {
                told.retain(|uid| !failure.left.contains(uid));
            }
            done
        };
        let failure = done.as_ref().err().map(|failure| (failure.reason, told(&failure.source)));
        applier.write_status(set, plan::with_failure(plan.status, failure, now)).await?;
        done.map_err(|failure| failure.source)?;
        Ok(plan.look_again.map_or(Outcome::Done, |time| Outcome::After(until(time, now))))
    }

    /// The pods of all sets with the same controller, this one's included.
    fn neighbours(&self, set: &ReplicaSet, nearby: &[std::sync::Arc<Pod>]) -> Vec<std::sync::Arc<Pod>> {
        let controller = owners::controller_of(&set.metadata).map(|owner| &owner.uid);
        let related = |other: &ReplicaSet| {
            other.metadata.uid == set.metadata.uid
                || controller.is_some() && owners::controller_of(&other.metadata).map(|owner| &owner.uid) == controller
        };
        let sets = self.sets.in_namespace(set.meta().namespace.as_deref().unwrap_or_default());
        let uids: HashSet<_> =
            sets.iter().filter(|other| related(other)).filter_map(|other| other.metadata.uid.clone()).collect();
        let of_related = |pod: &Pod| owners::controller_of(&pod.metadata).is_some_and(|owner| uids.contains(&owner.uid));
        nearby.iter().filter(|pod| of_related(pod)).cloned().collect()
    }

    /// Forgets the deletions that the copy shows by now, and returns the others.
    fn still_going(&self, key: &Key, owned: &[std::sync::Arc<Pod>]) -> HashSet<String> {
        let active: HashSet<_> =
            owned.iter().filter(|pod| pods::is_active(pod)).filter_map(|pod| pod.metadata.uid.as_ref()).collect();
        let mut told = self.lock();
        let Some(uids) = told.get_mut(key) else { return HashSet::new() };
        uids.retain(|uid| active.contains(uid));
        let left = uids.clone();
        if left.is_empty() {
            told.remove(key);
        }
        left
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, HashSet<String>>> {
        self.told_to_go.lock().expect("no holder of this lock panics")
    }
}
