//! Rollouts: one ReplicaSet per pod template, sized so that enough pods serve at every step.
//!
//! Flow: Deployments, their sets, and the end of their pods -> key of the deployment -> claim sets -> `plan` -> write sets -> status.
//! Invariant: sets are written with the revision they were read at, and a new one has a name made of its template: a step planned on
//! an old copy is refused, never done twice.
mod apply;
mod fleet;
mod limits;
mod plan;
mod scale;
mod status;

use std::{collections::HashSet, sync::Arc};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use irori_client::{Change, Informer, Key, Loop, Outcome, ReconcileError, Reconciler, Recorder};
use irori_runtime::Clock;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
};

use self::apply::Applier;
use crate::{Context, owners, pods, selector, until};

pub(crate) fn start(context: &Context, client: kube::Client) {
    let deployments = context.informers.of::<Deployment>();
    let sets = context.informers.of::<ReplicaSet>();
    let pods = context.informers.of::<Pod>();
    let recorder = context.recorder(&client, "deployment-controller");
    let triggers = stream::select(
        deployments.changes().map(|change| change.key),
        stream::select(of_sets(sets.changes(), deployments.clone()), of_ended_pods(pods.changes(), sets.clone())),
    );
    let reconciler = Deployments { client, deployments, sets, pods, recorder, clock: context.clock.clone() };
    Loop::default().run(reconciler, triggers, &context.tasks);
}

/// The deployments that a set's change concerns: those that control(led) it, or for an orphan those that it matches.
fn of_sets(
    changes: impl Stream<Item = Change<ReplicaSet>> + Send,
    deployments: Informer<Deployment>,
) -> impl Stream<Item = Key> + Send {
    changes.flat_map(move |change| {
        let mut keys: Vec<Key> = change
            .states()
            .filter_map(|set| owners::controller_name::<Deployment>(&set.metadata))
            .map(|name| Key::new(&change.key.namespace, name))
            .collect();
        keys.dedup();
        if let Some(orphan) = change.new.as_ref().filter(|set| owners::controller_of(&set.metadata).is_none()) {
            let matching =
                deployments.in_namespace(&change.key.namespace).into_iter().filter(|deployment| selects(deployment, orphan));
            keys.extend(matching.map(|deployment| Key::of(&*deployment)));
        }
        stream::iter(keys)
    })
}

/// A recreation waits for the last old pod to end.
fn of_ended_pods(changes: impl Stream<Item = Change<Pod>> + Send, sets: Informer<ReplicaSet>) -> impl Stream<Item = Key> + Send {
    changes.filter_map(move |change| {
        let key = (|| {
            if change.new.as_ref().is_some_and(|pod| !pods::is_finished(pod)) {
                return None;
            }
            let pod = change.any()?;
            let set = sets.get(&Key::new(&change.key.namespace, owners::controller_name::<ReplicaSet>(&pod.metadata)?))?;
            Some(Key::new(&change.key.namespace, owners::controller_name::<Deployment>(&set.metadata)?))
        })();
        std::future::ready(key)
    })
}

fn selects(deployment: &Deployment, set: &ReplicaSet) -> bool {
    deployment.spec.as_ref().is_some_and(|spec| {
        !selector::is_empty(&spec.selector) && selector::matches(&spec.selector, set.metadata.labels.as_ref())
    })
}

struct Deployments {
    client: kube::Client,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    recorder: Recorder,
    clock: Clock,
}

impl Reconciler for Deployments {
    fn name(&self) -> &'static str {
        "deployment"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.deployments.synced(), self.sets.synced(), self.pods.synced());
            let Some(deployment) = self.deployments.get(&key) else { return Ok(Outcome::Gone) };
            let applier = Applier { client: &self.client, recorder: &self.recorder, key: &key, deployment: &deployment };
            let nearby = self.sets.in_namespace(&key.namespace);
            let claims = owners::claim(&deployment.metadata, |set: &ReplicaSet| selects(&deployment, set), nearby);
            let owned = applier.settle_claims(claims).await?;
            let their_pods = if limits::is_recreate(&deployment) { self.pods_of(&key, &owned) } else { Vec::new() };
            let now = self.clock.now();
            let plan = plan::plan(&deployment, owned, &their_pods, now);
            let look_again = plan.look_again;
            applier.apply(plan).await?;
            Ok(look_again.map_or(Outcome::Done, |time| Outcome::After(until(time, now))))
        }
        .boxed()
    }
}

impl Deployments {
    fn pods_of(&self, key: &Key, sets: &[Arc<ReplicaSet>]) -> Vec<Arc<Pod>> {
        let uids: HashSet<_> = sets.iter().filter_map(|set| set.metadata.uid.as_deref()).collect();
        let theirs = |pod: &Arc<Pod>| owners::controller_of(&pod.metadata).is_some_and(|owner| uids.contains(owner.uid.as_str()));
        self.pods.in_namespace(&key.namespace).into_iter().filter(theirs).collect()
    }
}
