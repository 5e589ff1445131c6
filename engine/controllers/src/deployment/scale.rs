//! A new size in the middle of a rollout: shared out in proportion, so that the risk stays what it was
//! (https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#proportional-scaling).
use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::Deployment;

use super::{
    fleet::{self, Fleet, Member},
    limits::{Limits, is_recreate},
};

/// Whether the sets were sized for another size of the deployment.
pub fn is_due(fleet: &Fleet, limits: Limits) -> bool {
    fleet.all().filter(|member| member.replicas() > 0).any(|member| {
        let sized_for = fleet::annotation(&member.set.metadata, fleet::DESIRED).and_then(|text| text.parse().ok());
        sized_for.is_some_and(|desired: i32| desired != limits.replicas)
    })
}

pub fn scale(fleet: &mut Fleet, deployment: &Deployment, limits: Limits) {
    let active = fleet.all().filter(|member| member.replicas() > 0).count();
    if active <= 1 {
        if let Some(only) = active_or_latest(fleet) {
            if only.replicas() != limits.replicas {
                only.scale(limits.replicas, limits);
            } else {
                only.annotate_size(limits);
            }
        }
        return;
    }
    if is_saturated(fleet.new.as_ref(), limits) {
        fleet.old.iter_mut().filter(|member| member.replicas() > 0).for_each(|member| member.scale(0, limits));
        return;
    }
    if !is_recreate(deployment) {
        share_out(fleet, deployment, limits);
    }
}

fn active_or_latest(fleet: &mut Fleet) -> Option<&mut Member> {
    if fleet.new.as_ref().is_some_and(|new| new.replicas() > 0) {
        return fleet.new.as_mut();
    }
    match fleet.old.iter().position(|member| member.replicas() > 0) {
        Some(at) => fleet.old.get_mut(at),
        None if fleet.new.is_some() => fleet.new.as_mut(),
        None => fleet.old.last_mut(),
    }
}

/// The new set has all its pods, available.
fn is_saturated(new: Option<&Member>, limits: Limits) -> bool {
    new.is_some_and(|new| {
        let desired = fleet::annotation(&new.set.metadata, fleet::DESIRED).and_then(|text| text.parse().ok());
        new.replicas() == limits.replicas && desired == Some(limits.replicas) && new.available() == limits.replicas
    })
}

fn share_out(fleet: &mut Fleet, deployment: &Deployment, limits: Limits) {
    let allowed = if limits.replicas > 0 { limits.most() } else { 0 };
    let to_add = allowed - fleet.replicas();
    let known = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
    let mut active: Vec<&mut Member> = fleet.all_mut().filter(|member| member.replicas() > 0).collect();
    // Biggest first; among equals the newest gains first, and the oldest loses first.
    if to_add > 0 {
        active.reverse();
    }
    active.sort_by_key(|member| Reverse(member.replicas()));
    let mut sizes: Vec<i32> = active.iter().map(|member| member.replicas()).collect();
    let mut added = 0;
    for (member, size) in active.iter().zip(&mut sizes) {
        let share = proportion(member, known, limits);
        let left = to_add - added;
        let share = if to_add > 0 { share.min(left).max(0) } else { share.max(left).min(0) };
        *size += share;
        added += share;
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + to_add - added).max(0);
    }
    for (member, size) in active.into_iter().zip(sizes) {
        member.scale(size, limits);
    }
}

/// By how much a set should grow or shrink to keep its share.
fn proportion(member: &Member, known: i32, limits: Limits) -> i32 {
    if limits.replicas == 0 {
        return -member.replicas();
    }
    let sized_for = fleet::annotation(&member.set.metadata, fleet::MOST).and_then(|text| text.parse().ok());
    let before = sized_for.filter(|most: &i32| *most > 0).unwrap_or(known).max(1);
    let exact = f64::from(member.replicas()) * f64::from(limits.most()) / f64::from(before);
    #[allow(clippy::cast_possible_truncation)] // a share of an i32; `as` saturates
    let rounded = exact.round() as i32;
    rounded - member.replicas()
}
