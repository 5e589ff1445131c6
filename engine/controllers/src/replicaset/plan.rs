//! How many pods to make, which to delete, and what to say about it.
use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use k8s_openapi::{
    api::{
        apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus},
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::Timestamp,
};
use kube::ResourceExt;

use crate::{
    owners,
    pods::{self, Available},
    selector,
};

/// Pods made or deleted in one go; the rest follows with the next.
pub const BURST: usize = 500;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// What to do for one ReplicaSet. At most one of `create` and `delete` is not empty.
#[derive(Debug, Default)]
pub struct Plan {
    pub create: usize,
    pub delete: Vec<Arc<Pod>>,
    /// When a ready pod becomes available without anything else happening.
    pub look_again: Option<Timestamp>,
    /// As it is before `create` and `delete`.
    pub status: ReplicaSetStatus,
}

/// `owned` are the pods that the set controls and that match it; `neighbours` are all pods of the sets of the same owner,
/// for the order of deletion; `deleting` are uids of pods that were told to go but do not show it yet.
pub fn plan(set: &ReplicaSet, owned: &[Arc<Pod>], neighbours: &[Arc<Pod>], deleting: &HashSet<String>, now: Timestamp) -> Plan {
    let told_to_go = |pod: &Pod| pod.metadata.uid.as_ref().is_some_and(|uid| deleting.contains(uid));
    let active: Vec<_> = owned.iter().filter(|pod| pods::is_active(pod) && !told_to_go(pod)).cloned().collect();
    let seconds = min_ready_seconds(set);
    let look_again = active.iter().filter_map(|pod| match pods::available(pod, seconds, now) {
        Available::From(time) => Some(time),
        Available::Yes | Available::No => None,
    });
    let mut plan = Plan { look_again: look_again.min(), status: status(set, owned, &active, now), ..Plan::default() };
    if set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let wanted = replicas(set);
    match active.len().cmp(&wanted) {
        Ordering::Less => plan.create = (wanted - active.len()).min(BURST),
        Ordering::Greater => {
            let surplus = (active.len() - wanted).min(BURST);
            plan.delete = first_to_go(active, neighbours, now, surplus);
        }
        Ordering::Equal => {}
    }
    plan
}

pub fn replicas(set: &ReplicaSet) -> usize {
    let wanted = set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    usize::try_from(wanted).unwrap_or(0)
}

fn min_ready_seconds(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0)
}

fn status(set: &ReplicaSet, owned: &[Arc<Pod>], active: &[Arc<Pod>], now: Timestamp) -> ReplicaSetStatus {
    let template_labels = set.spec.as_ref().and_then(|spec| spec.template.as_ref()?.metadata.as_ref()?.labels.as_ref());
    let count = |pods: &[Arc<Pod>], counts: &dyn Fn(&Pod) -> bool| {
        i32::try_from(pods.iter().filter(|pod| counts(pod)).count()).unwrap_or(i32::MAX)
    };
    let seconds = min_ready_seconds(set);
    ReplicaSetStatus {
        replicas: count(active, &|_| true),
        fully_labeled_replicas: Some(count(active, &|pod| selector::matches_all(template_labels, pod.metadata.labels.as_ref()))),
        ready_replicas: Some(count(active, &pods::is_ready)),
        available_replicas: Some(count(active, &|pod| pods::available(pod, seconds, now) == Available::Yes)),
        terminating_replicas: Some(count(owned, &|pod| pods::is_terminating(pod) && !pods::is_finished(pod))),
        observed_generation: set.metadata.generation,
        conditions: set.status.as_ref().and_then(|status| status.conditions.clone()),
    }
}

/// With the condition that pods cannot be made or deleted (`failure`: reason and message), or without it.
pub fn with_failure(mut status: ReplicaSetStatus, failure: Option<(&str, String)>, now: Timestamp) -> ReplicaSetStatus {
    let mut conditions = status.conditions.take().unwrap_or_default();
    match failure {
        None => conditions.retain(|condition| condition.type_ != "ReplicaFailure"),
        Some((reason, message)) => {
            let present = |c: &ReplicaSetCondition| c.type_ == "ReplicaFailure" && c.reason.as_deref() == Some(reason);
            if !conditions.iter().any(present) {
                conditions.retain(|condition| condition.type_ != "ReplicaFailure");
                conditions.push(ReplicaSetCondition {
                    type_: "ReplicaFailure".to_owned(),
                    status: "True".to_owned(),
                    reason: Some(reason.to_owned()),
                    message: Some(message),
                    last_transition_time: Some(pods::stamp(now)),
                });
            }
        }
    }
    status.conditions = (!conditions.is_empty()).then_some(conditions);
    status
}

/// Whether the stored status says the same; absent counters mean zero.
pub fn same_status(old: Option<&ReplicaSetStatus>, new: &ReplicaSetStatus) -> bool {
    let zero = |count: Option<i32>| count.unwrap_or(0);
    old.is_some_and(|old| {
        old.replicas == new.replicas
            && zero(old.fully_labeled_replicas) == zero(new.fully_labeled_replicas)
            && zero(old.ready_replicas) == zero(new.ready_replicas)
            && zero(old.available_replicas) == zero(new.available_replicas)
            && zero(old.terminating_replicas) == zero(new.terminating_replicas)
            && old.observed_generation == new.observed_generation
            && old.conditions.as_deref().unwrap_or_default() == new.conditions.as_deref().unwrap_or_default()
    })
}

/// The `count` pods whose loss hurts least
/// (https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset).
fn first_to_go(mut active: Vec<Arc<Pod>>, neighbours: &[Arc<Pod>], now: Timestamp, count: usize) -> Vec<Arc<Pod>> {
    let mut on_node: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in neighbours.iter().filter(|pod| pods::is_active(pod)) {
        *on_node.entry(node(pod)).or_default() += 1;
    }
    active.sort_by_cached_key(|pod| Loss::of(pod, on_node.get(node(pod)).copied().unwrap_or(0), now));
    active.truncate(count);
    active
}

fn node(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// In the order of its fields, less is lost by deleting the smaller one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Loss {
    assigned: bool,
    phase: u8,
    ready: bool,
    cost: i32,
    beside_others: Reverse<usize>,
    /// Shorter readiness is the smaller loss; by powers of two, so that pods of about one age go in random order of their names.
    ready_for: u32,
    restarts: Reverse<i32>,
    age: u32,
    uid: String,
}

impl Loss {
    fn of(pod: &Pod, on_node: usize, now: Timestamp) -> Self {
        let phase = match pods::phase(pod) {
            "Running" => 2,
            "Unknown" => 1,
            _ => 0,
        };
        let magnitude = |since: Option<Timestamp>| {
            let seconds = since.map_or(0, |since| now.duration_since(since).as_secs().max(0));
            u64::try_from(seconds).unwrap_or(0).checked_ilog2().map_or(0, |power| power + 1)
        };
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        Self {
            assigned: !node(pod).is_empty(),
            phase,
            ready: pods::is_ready(pod),
            cost: pod.annotations().get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
            beside_others: Reverse(on_node),
            ready_for: magnitude(pods::ready_since(pod)),
            restarts: Reverse(statuses.into_iter().flatten().map(|status| status.restart_count).max().unwrap_or(0)),
            age: magnitude(pod.metadata.creation_timestamp.as_ref().map(|time| time.0)),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

/// A pod as the set's template says, named by the server.
pub fn new_pod(set: &ReplicaSet) -> Option<Pod> {
    let template = set.spec.as_ref()?.template.as_ref()?;
    let meta = template.metadata.clone().unwrap_or_default();
    Some(Pod {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", set.name_any())),
            namespace: set.metadata.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![owners::controller_ref(set)]),
            ..Default::default()
        },
        spec: template.spec.clone(),
        status: None,
    })
}

#[cfg(test)]
mod tests;
