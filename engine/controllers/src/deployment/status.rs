//! What a deployment says about itself, and whether its rollout moves
//! (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status).
use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus},
    jiff::{SignedDuration, Timestamp},
};
use kube::ResourceExt;

use super::{fleet::Fleet, limits::Limits};
use crate::pods::stamp;

pub const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
pub const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// Conditions under change: what says the same again keeps its times.
#[derive(Clone, Debug)]
pub struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    pub fn of(deployment: &Deployment, now: Timestamp) -> Self {
        let list = deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
        Self { list, now }
    }

    pub fn get(&self, r#type: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|condition| condition.type_ == r#type)
    }

    pub fn remove(&mut self, r#type: &str) {
        self.list.retain(|condition| condition.type_ != r#type);
    }

    pub fn set(&mut self, r#type: &str, status: &str, reason: &str, message: String) {
        let same = |c: &DeploymentCondition| c.status == status && c.reason.as_deref() == Some(reason);
        if !self.get(r#type).is_some_and(same) {
            self.touch(r#type, status, reason, message);
        }
    }

    /// As `set`, but it is news also when it says the same.
    pub fn touch(&mut self, r#type: &str, status: &str, reason: &str, message: String) {
        let since = self.get(r#type).filter(|c| c.status == status).and_then(|c| c.last_transition_time.clone());
        self.remove(r#type);
        self.list.push(DeploymentCondition {
            type_: r#type.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: Some(since.unwrap_or_else(|| stamp(self.now))),
            last_update_time: Some(stamp(self.now)),
        });
    }
}

/// Counters of the sets as they are, with `conditions` and the one about availability.
pub fn counted(deployment: &Deployment, fleet: &Fleet, limits: Limits, mut conditions: Conditions) -> DeploymentStatus {
    let stored = |count: &dyn Fn(&k8s_openapi::api::apps::v1::ReplicaSetStatus) -> i32| -> i32 {
        fleet.all().filter_map(|member| member.stored.status.as_ref()).map(count).sum()
    };
    let total = stored(&|status| status.replicas);
    let available = stored(&|status| status.available_replicas.unwrap_or(0));
    let updated = fleet.new.as_ref().and_then(|new| new.stored.status.as_ref()).map_or(0, |status| status.replicas);
    if available >= limits.least() {
        let message = "Deployment has minimum availability.".to_owned();
        conditions.set("Available", "True", "MinimumReplicasAvailable", message);
    } else {
        let message = "Deployment does not have minimum availability.".to_owned();
        conditions.set("Available", "False", "MinimumReplicasUnavailable", message);
    }
    DeploymentStatus {
        observed_generation: deployment.metadata.generation,
        replicas: Some(total),
        updated_replicas: Some(updated),
        ready_replicas: Some(stored(&|status| status.ready_replicas.unwrap_or(0))),
        available_replicas: Some(available),
        unavailable_replicas: Some((total - available).max(0)),
        terminating_replicas: Some(stored(&|status| status.terminating_replicas.unwrap_or(0))),
        collision_count: deployment.status.as_ref().and_then(|status| status.collision_count),
        conditions: Some(conditions.list),
    }
}

/// Whether the rollout has ended well.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus, replicas: i32) -> bool {
    let count = |count: Option<i32>| count.unwrap_or(0);
    count(status.updated_replicas) == replicas
        && count(status.replicas) == replicas
        && count(status.available_replicas) == replicas
        && status.observed_generation >= deployment.metadata.generation
}

/// Judges the rollout: its status, and when to look whether it is stuck.
pub fn judged(
    deployment: &Deployment,
    fleet: &Fleet,
    limits: Limits,
    mut conditions: Conditions,
    now: Timestamp,
) -> (DeploymentStatus, Option<Timestamp>) {
    let seen = counted(deployment, fleet, limits, conditions.clone());
    let complete = is_complete(deployment, &seen, limits.replicas);
    let present = conditions.get("Progressing").cloned();
    let reason = present.as_ref().and_then(|condition| condition.reason.as_deref());
    let settled = seen.replicas == seen.updated_replicas && reason == Some(NEW_SET_AVAILABLE);
    match deadline(deployment) {
        None => conditions.remove("Progressing"),
        Some(_) if settled => {}
        Some(_) if complete => {
            let message = format!("{} has successfully progressed.", subject(deployment, fleet));
            conditions.set("Progressing", "True", NEW_SET_AVAILABLE, message);
        }
        Some(_) if moves(deployment, &seen) => {
            let message = format!("{} is progressing.", subject(deployment, fleet));
            conditions.touch("Progressing", "True", "ReplicaSetUpdated", message);
        }
        Some(within) if is_late(present.as_ref(), within, now) => {
            let message = format!("{} has timed out progressing.", subject(deployment, fleet));
            conditions.set("Progressing", "False", TIMED_OUT, message);
        }
        Some(_) => {}
    }
    let failure = fleet
        .all()
        .filter_map(|member| member.stored.status.as_ref())
        .find_map(|status| status.conditions.iter().flatten().find(|condition| condition.type_ == "ReplicaFailure").cloned());
    match failure {
        Some(failure) => conditions.set(
            "ReplicaFailure",
            &failure.status,
            failure.reason.as_deref().unwrap_or_default(),
            failure.message.unwrap_or_default(),
        ),
        None => conditions.remove("ReplicaFailure"),
    }
    let judged = conditions.get("Progressing").cloned();
    let status = counted(deployment, fleet, limits, conditions);
    let stuck_at = deadline(deployment).filter(|_| !complete && !settled).and_then(|within| due(judged.as_ref(), within));
    (status, stuck_at.filter(|at| *at > now))
}

fn subject(deployment: &Deployment, fleet: &Fleet) -> String {
    match &fleet.new {
        Some(new) => format!("ReplicaSet {:?}", new.set.name_any()),
        None => format!("Deployment {:?}", deployment.name_any()),
    }
}

fn deadline(deployment: &Deployment) -> Option<SignedDuration> {
    let seconds = deployment.spec.as_ref()?.progress_deadline_seconds?;
    (seconds != i32::MAX).then(|| SignedDuration::from_secs(i64::from(seconds)))
}

/// Whether anything got better since the status was written.
fn moves(deployment: &Deployment, seen: &DeploymentStatus) -> bool {
    let old = deployment.status.clone().unwrap_or_default();
    let count = |count: Option<i32>| count.unwrap_or(0);
    let outdated = |status: &DeploymentStatus| count(status.replicas) - count(status.updated_replicas);
    count(seen.updated_replicas) > count(old.updated_replicas)
        || outdated(seen) < outdated(&old)
        || count(seen.ready_replicas) > count(old.ready_replicas)
        || count(seen.available_replicas) > count(old.available_replicas)
}

fn is_late(condition: Option<&DeploymentCondition>, within: SignedDuration, now: Timestamp) -> bool {
    match condition.and_then(|condition| condition.reason.as_deref()) {
        Some(TIMED_OUT) => true,
        Some(NEW_SET_AVAILABLE) | None => false,
        Some(_) => due(condition, within).is_some_and(|at| at <= now),
    }
}

/// When the rollout counts as stuck, if nothing moves until then.
fn due(condition: Option<&DeploymentCondition>, within: SignedDuration) -> Option<Timestamp> {
    let condition = condition?;
    if matches!(condition.reason.as_deref(), Some(TIMED_OUT | NEW_SET_AVAILABLE)) {
        return None;
    }
    condition.last_update_time.as_ref()?.0.checked_add(within).ok()
}

/// Whether the stored status says the same; absent counters mean zero.
pub fn same_status(old: Option<&DeploymentStatus>, new: &DeploymentStatus) -> bool {
    let zero = |count: Option<i32>| count.unwrap_or(0);
    old.is_some_and(|old| {
        zero(old.replicas) == zero(new.replicas)
            && zero(old.updated_replicas) == zero(new.updated_replicas)
            && zero(old.ready_replicas) == zero(new.ready_replicas)
            && zero(old.available_replicas) == zero(new.available_replicas)
            && zero(old.unavailable_replicas) == zero(new.unavailable_replicas)
            && zero(old.terminating_replicas) == zero(new.terminating_replicas)
            && old.collision_count == new.collision_count
            && old.observed_generation == new.observed_generation
            && old.conditions.as_deref().unwrap_or_default() == new.conditions.as_deref().unwrap_or_default()
    })
}
