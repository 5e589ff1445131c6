//! Pods that nobody looks after any more: those of nodes that are gone, and finished ones beyond a number.
use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{ApiError, Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::Clock;
use k8s_openapi::{
    api::core::v1::{Node, Pod},
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use crate::{
    Context,
    pods::{self, stamp},
};

/// Finished pods kept. Above this the oldest go.
const FINISHED_MAX: usize = 12_500;
/// How long a pod's node may be unknown here before the API is asked: the pod may simply have been seen before its node.
const NODE_WAIT: Duration = Duration::from_secs(40);

pub(crate) fn start(context: &Context, client: kube::Client) {
    let pods = context.informers.of::<Pod>();
    let nodes = context.informers.of::<Node>();
    // Nodes by name; the pods of all namespaces together under no name.
    let of_nodes = nodes.changes().filter_map(|change| std::future::ready(change.new.is_none().then_some(change.key)));
    let known = nodes.clone();
    let of_pods = pods.changes().filter_map(move |change| {
        let key = change.new.filter(|pod| change.old.is_none() || pods::is_finished(pod)).and_then(|pod| {
            if pods::is_finished(&pod) {
                return Some(Key::default());
            }
            let node = Key::cluster(pod.spec.as_ref()?.node_name.clone()?);
            known.get(&node).is_none().then_some(node)
        });
        std::future::ready(key)
    });
    let reconciler = Abandoned { client, pods, nodes, clock: context.clock.clone() };
    Loop::default().run(reconciler, stream::select(of_nodes, of_pods), &context.tasks);
}

struct Abandoned {
    client: kube::Client,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    clock: Clock,
}

/// The finished pods that are too many, oldest first.
fn surplus(pods: &[Arc<Pod>], max: usize) -> Vec<Arc<Pod>> {
    let mut finished: Vec<_> = pods.iter().filter(|pod| pods::is_finished(pod) && !pods::is_terminating(pod)).cloned().collect();
    let count = finished.len().saturating_sub(max);
    finished.sort_by(|a, b| {
        (&a.metadata.creation_timestamp, &a.metadata.name).cmp(&(&b.metadata.creation_timestamp, &b.metadata.name))
    });
    finished.truncate(count);
    finished
}

impl Reconciler for Abandoned {
    fn name(&self) -> &'static str {
        "podgc"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.pods.synced(), self.nodes.synced());
            let now = self.clock.now();
            if key == Key::default() {
                for pod in surplus(&self.pods.list(), FINISHED_MAX) {
                    self.delete(&pod).await?;
                }
                return Ok(Outcome::Done);
            }
            if self.nodes.get(&key).is_some() {
                return Ok(Outcome::Done);
            }
            let here = |pod: &Arc<Pod>| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(&key.name);
            let stranded: Vec<_> = self.pods.list().into_iter().filter(here).collect();
            if stranded.is_empty() {
                return Ok(Outcome::Gone);
            }
            let newest = stranded.iter().filter_map(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0)).max();
            let young = newest.is_some_and(|made| now.duration_since(made).unsigned_abs() < NODE_WAIT);
            if young {
                return Ok(Outcome::After(NODE_WAIT));
            }
            // Never on the word of a copy alone: the node may just not have been seen yet.
            let nodes: Api<Node> = Api::all(self.client.clone());
            if nodes.get_opt(&key.name).await?.is_some() {
                return Ok(Outcome::After(NODE_WAIT));
            }
            for pod in stranded {
                if !pods::is_finished(&pod) {
                    self.fail(&pod, now).await?;
                }
                self.delete(&pod).await?;
            }
            Ok(Outcome::Gone)
        }
        .boxed()
    }
}

impl Abandoned {
    fn api(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    async fn fail(&self, pod: &Pod, now: Timestamp) -> Result<(), ReconcileError> {
        let patch = json!({
            "metadata": { "uid": pod.metadata.uid },
            "status": { "phase": "Failed", "conditions": [{
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists", "lastTransitionTime": stamp(now),
            }] },
        });
        match self.api(pod).patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Err(source) if !source.is_not_found() && !source.is_conflict() => Err(source.into()),
            _ => Ok(()),
        }
    }

    /// At once: there is no node to wait for.
    async fn delete(&self, pod: &Pod) -> Result<(), ReconcileError> {
        let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default().grace_period(0) };
        match self.api(pod).delete(&pod.name_any(), &params).await {
            Err(source) if !source.is_not_found() && !source.is_conflict() => Err(source.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builders::pod;

    #[test]
    fn the_oldest_finished_pods_are_too_many() {
        let pods = [
            pod("young").phase("Failed").made_at(30).done(),
            pod("old").phase("Succeeded").made_at(10).done(),
            pod("running").on("n1").made_at(1).done(),
            pod("going").phase("Failed").made_at(1).terminating().done(),
        ];
        let names = |max: usize| -> Vec<String> { surplus(&pods, max).iter().map(|pod| pod.name_any()).collect() };
        assert_eq!(names(1), ["old"]);
        assert!(names(2).is_empty());
    }
}
