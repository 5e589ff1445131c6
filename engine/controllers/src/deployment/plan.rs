//! The next step of a rollout. Each step changes sets within the limits of the strategy; what comes of it starts the next.
use std::sync::Arc;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, DeploymentStatus, ReplicaSet},
        core::v1::Pod,
    },
    jiff::Timestamp,
};

use super::{
    fleet::{self, Fleet, Member},
    limits::{Limits, is_recreate},
    scale,
    status::{self, Conditions},
};
use crate::{owners, pods, selector};

/// What to do for one deployment, in this order.
#[derive(Debug)]
pub struct Plan {
    pub create: Option<ReplicaSet>,
    /// Sets to be written, as they are stored and as they shall be.
    pub update: Vec<Member>,
    /// Old sets that the history limit has no room for.
    pub delete: Vec<Arc<ReplicaSet>>,
    /// For the deployment's own annotation.
    pub revision: Option<String>,
    pub status: DeploymentStatus,
    /// When the rollout counts as stuck.
    pub look_again: Option<Timestamp>,
    /// The selector selects everything: nothing is done but saying so.
    pub selects_all: bool,
}

/// `sets` are those that the deployment controls, `their_pods` the pods that those control.
pub fn plan(deployment: &Deployment, sets: Vec<Arc<ReplicaSet>>, their_pods: &[Arc<Pod>], now: Timestamp) -> Plan {
    let limits = Limits::of(deployment);
    let mut fleet = Fleet::of(deployment, sets);
    let mut conditions = Conditions::of(deployment, now);
    let Some(spec) = &deployment.spec else { return Plan::only(deployment.status.clone().unwrap_or_default()) };
    if selector::is_empty(&spec.selector) {
        let status = DeploymentStatus {
            observed_generation: deployment.metadata.generation,
            ..deployment.status.clone().unwrap_or_default()
        };
        return Plan { selects_all: true, ..Plan::only(status) };
    }
    if deployment.metadata.deletion_timestamp.is_some() {
        return Plan::only(status::counted(deployment, &fleet, limits, conditions));
    }
    let paused = spec.paused == Some(true);
    note_pause(&mut conditions, paused, spec.progress_deadline_seconds.is_some());
    let revision = fleet.next_revision();
    if let Some(new) = &mut fleet.new {
        new.refresh(deployment, revision);
    }
    if paused || scale::is_due(&fleet, limits) {
        scale::scale(&mut fleet, deployment, limits);
        let delete = if paused { surplus_history(deployment, &fleet) } else { Vec::new() };
        let status = status::counted(deployment, &fleet, limits, conditions);
        return Plan { delete, ..Plan::of(deployment, fleet, None, (status, None)) };
    }
    let create = if is_recreate(deployment) {
        recreate(deployment, &mut fleet, their_pods, limits)
    } else {
        roll(deployment, &mut fleet, limits)
    };
    if let Some(set) = &create {
        let message = format!("Created new replica set {:?}", set.metadata.name.as_deref().unwrap_or_default());
        if spec.progress_deadline_seconds.is_some() {
            conditions.touch("Progressing", "True", "NewReplicaSetCreated", message);
        }
    } else if let Some(new) = &fleet.new
        && spec.progress_deadline_seconds.is_some()
        && conditions.get("Progressing").is_none()
    {
        let message = format!("Found new replica set {:?}", new.set.metadata.name.as_deref().unwrap_or_default());
        conditions.set("Progressing", "True", "FoundNewReplicaSet", message);
    }
    let judged = status::judged(deployment, &fleet, limits, conditions, now);
    let complete = status::is_complete(deployment, &judged.0, limits.replicas);
    let delete = if complete { surplus_history(deployment, &fleet) } else { Vec::new() };
    Plan { delete, ..Plan::of(deployment, fleet, create, judged) }
}

impl Plan {
    fn only(status: DeploymentStatus) -> Self {
        Self {
            create: None,
            update: Vec::new(),
            delete: Vec::new(),
            revision: None,
            status,
            look_again: None,
            selects_all: false,
        }
    }

    fn of(
        deployment: &Deployment,
        fleet: Fleet,
        create: Option<ReplicaSet>,
        (status, look_again): (DeploymentStatus, Option<Timestamp>),
    ) -> Self {
        let new_revision = create.as_ref().or(fleet.new.as_ref().map(|new| &new.set)).map(|set| fleet::revision(&set.metadata));
        let revision = new_revision
            .map(|revision| revision.to_string())
            .filter(|revision| fleet::annotation(&deployment.metadata, fleet::REVISION) != Some(revision));
        let update = fleet.old.into_iter().chain(fleet.new).filter(Member::changed).collect();
        Self { create, update, delete: Vec::new(), revision, status, look_again, selects_all: false }
    }
}

fn note_pause(conditions: &mut Conditions, paused: bool, has_deadline: bool) {
    let reason = conditions.get("Progressing").and_then(|condition| condition.reason.clone());
    match (paused, reason.as_deref()) {
        _ if !has_deadline => {}
        (_, Some(status::TIMED_OUT)) => {}
        (true, Some("DeploymentPaused")) => {}
        (true, _) => conditions.set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused".to_owned()),
        (false, Some("DeploymentPaused")) => {
            conditions.set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
        }
        (false, _) => {}
    }
}

/// Old pods go first, all of them; new ones come when the last is gone.
fn recreate(deployment: &Deployment, fleet: &mut Fleet, their_pods: &[Arc<Pod>], limits: Limits) -> Option<ReplicaSet> {
    if fleet.old_replicas() > 0 {
        fleet.old.iter_mut().filter(|member| member.replicas() > 0).for_each(|member| member.scale(0, limits));
        return None;
    }
    let of_old = |pod: &Pod| {
        let owner = owners::controller_of(&pod.metadata).map(|owner| owner.uid.as_str());
        fleet.old.iter().any(|member| member.set.metadata.uid.as_deref() == owner)
    };
    if their_pods.iter().any(|pod| !pods::is_finished(pod) && of_old(pod)) {
        return None;
    }
    let revision = fleet.next_revision();
    match &mut fleet.new {
        None => fleet::new_set(deployment, limits.replicas, revision, limits),
        Some(new) => {
            if new.replicas() != limits.replicas {
                new.scale(limits.replicas, limits);
            }
            None
        }
    }
}

/// New pods come as far as the surge allows; old ones go as far as availability allows.
fn roll(deployment: &Deployment, fleet: &mut Fleet, limits: Limits) -> Option<ReplicaSet> {
    let (total, revision) = (fleet.replicas(), fleet.next_revision());
    let room = (limits.most() - total).max(0);
    match &mut fleet.new {
        None => return fleet::new_set(deployment, room.min(limits.replicas), revision, limits),
        Some(new) => {
            let (has, wanted) = (new.replicas(), limits.replicas);
            let to = if has > wanted { wanted } else { has + room.min(wanted - has) };
            if to != has {
                new.scale(to, limits);
                return None;
            }
        }
    }
    shrink_old(fleet, limits);
    None
}

fn shrink_old(fleet: &mut Fleet, limits: Limits) {
    let new_unavailable = fleet.new.as_ref().map_or(0, |new| new.replicas() - new.available());
    let spare = fleet.replicas() - limits.least() - new_unavailable;
    if fleet.old_replicas() == 0 || spare <= 0 {
        return;
    }
    // Pods that serve nobody go first: they can go without a loss.
    let mut left = spare;
    for member in &mut fleet.old {
        let broken = (member.replicas() - member.available()).max(0).min(left);
        if broken > 0 {
            left -= broken;
            let to = member.replicas() - broken;
            member.scale(to, limits);
        }
    }
    let mut left = fleet.available() - limits.least();
    for member in &mut fleet.old {
        let count = member.replicas().min(left);
        if count > 0 {
            left -= count;
            let to = member.replicas() - count;
            member.scale(to, limits);
        }
    }
}

/// The oldest idle sets beyond the history limit.
fn surplus_history(deployment: &Deployment, fleet: &Fleet) -> Vec<Arc<ReplicaSet>> {
    let limit = deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit).unwrap_or(10);
    let mut alive: Vec<_> = fleet.old.iter().filter(|member| member.set.metadata.deletion_timestamp.is_none()).collect();
    let surplus = alive.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    alive.sort_by_key(|member| member.revision());
    let idle = |member: &&Member| {
        let status = member.stored.status.clone().unwrap_or_default();
        status.replicas == 0 && member.replicas() == 0 && status.observed_generation >= member.stored.metadata.generation
    };
    alive.into_iter().take(surplus).filter(idle).map(|member| member.stored.clone()).collect()
}

#[cfg(test)]
mod tests;
