//! What was there before: sandboxes and containers that outlived irori are taken over, never restarted.
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus as ApiStatus, Pod};

use super::{
    absorb::{discard, end, exit_of, run_of},
    conditions,
    effect::Observed,
    facts::{ProbeKind, Role},
    life::{Condition, Exit, Hook, Instance, Life, Now, Present, ProbeState, Slot},
};
use crate::runtime::{ContainerId, ContainerState, ContainerStatus, SandboxState};

/// Conditions keep the time of their last change.
pub fn conditions(life: &mut Life, object: &Pod) {
    let written = object.status.iter().flat_map(|s| s.conditions.iter().flatten());
    for condition in written {
        let Some(kind) = conditions::OURS.iter().find(|kind| **kind == condition.type_) else { continue };
        let Some(since) = condition.last_transition_time.as_ref() else { continue };
        let kept = Condition {
            status: condition.status == "True",
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
            since: since.0,
        };
        life.conditions.insert(kind, kept);
    }
}

/// Takes in the runtime's list.
pub fn observed(life: &mut Life, observed: Observed, now: Now) {
    sandboxes(life, &observed);
    let present = life.sandbox.present.as_ref().map(|present| present.id.clone());
    let first = !life.observed;
    life.observed = true;
    let object = life.object.clone();
    let mut known: Vec<ContainerId> = Vec::new();
    let mut slots = std::mem::take(&mut life.slots);
    for slot in &mut slots {
        let mut of_slot: Vec<&ContainerStatus> = observed.containers.iter().filter(|c| c.name == slot.name).collect();
        of_slot.sort_by_key(|c| std::cmp::Reverse(c.attempt));
        if first && slot.instance == Instance::None {
            let in_present = |c: &ContainerStatus| c.sandbox.is_none() || c.sandbox == present;
            adopt(slot, &of_slot, in_present, api_status(object.as_ref(), slot), now);
        } else {
            look_again(slot, &of_slot, now);
        }
        known.extend(slot.run().map(|run| run.id.clone()));
        known.extend(slot.exit().and_then(|exit| exit.id.clone()));
        known.extend(slot.last.as_ref().and_then(|exit| exit.id.clone()));
        if slot.instance == Instance::Starting || slot.instance == Instance::None {
            known.extend(of_slot.iter().filter(|c| c.attempt == slot.attempt).map(|c| c.id.clone()));
        }
    }
    life.slots = slots;
    if first {
        let app_ran = life.of_role(Role::App).any(|slot| slot.instance != Instance::None);
        life.initialized = app_ran;
    }
    for container in observed.containers.iter().filter(|c| !known.contains(&c.id)) {
        discard(&mut life.strays, container.id.clone());
    }
}

fn sandboxes(life: &mut Life, observed: &Observed) {
    let sandbox = &mut life.sandbox;
    let newest = observed.sandboxes.iter().max_by_key(|s| s.attempt);
    sandbox.next_attempt = sandbox.next_attempt.max(newest.map_or(0, |s| s.attempt + 1));
    match &mut sandbox.present {
        Some(present) => {
            // One that is not in the list may be younger than the list; the executor asks for it by itself.
            if let Some(status) = observed.sandboxes.iter().find(|s| s.id == present.id) {
                present.ready = status.state == SandboxState::Ready;
            }
        }
        None if sandbox.work.is_busy() => return,
        None => {
            sandbox.present = newest.map(|s| Present {
                id: s.id.clone(),
                attempt: s.attempt,
                ips: s.ips.clone(),
                ready: s.state == SandboxState::Ready,
                stopped: false,
            });
        }
    }
    let present = sandbox.present.as_ref().map(|present| present.id.clone());
    for status in &observed.sandboxes {
        if Some(&status.id) != present.as_ref() && !sandbox.old.contains(&status.id) {
            sandbox.old.push(status.id.clone());
        }
    }
}

fn api_status<'a>(object: Option<&'a Arc<Pod>>, slot: &Slot) -> Option<&'a ApiStatus> {
    let status = object?.status.as_ref()?;
    let of = match slot.role {
        Role::App => &status.container_statuses,
        Role::Init | Role::Sidecar => &status.init_container_statuses,
    };
    of.iter().flatten().find(|c| c.name == slot.name)
}

fn adopt(
    slot: &mut Slot,
    of_slot: &[&ContainerStatus],
    in_present: impl Fn(&ContainerStatus) -> bool,
    api: Option<&ApiStatus>,
    now: Now,
) {
    let Some((newest, older)) = of_slot.split_first() else { return remembered(slot, api, now) };
    slot.attempt = newest.attempt;
    slot.last = older.iter().find(|c| c.state == ContainerState::Exited).map(|c| exit_of(c, now));
    match newest.state {
        ContainerState::Running if in_present(newest) => {
            slot.instance = Instance::Running(run_of(newest, Hook::Done, now));
            trusted(slot, newest, api);
        }
        ContainerState::Exited if in_present(newest) => slot.instance = Instance::Exited(exit_of(newest, now)),
        // Made and not started: the start that is coming finds it by name and attempt.
        ContainerState::Created if in_present(newest) => {}
        ContainerState::Exited => {
            slot.last = Some(exit_of(newest, now));
            slot.attempt += 1;
        }
        ContainerState::Running | ContainerState::Created | ContainerState::Unknown => slot.attempt += 1,
    }
}

/// The runtime has nothing of it: the count and the last end are taken from what was written.
fn remembered(slot: &mut Slot, api: Option<&ApiStatus>, now: Now) {
    let Some(api) = api else { return };
    slot.attempt = u32::try_from(api.restart_count).unwrap_or(0);
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| exit_from(t, api, now))
    };
    slot.last = ended(&api.last_state);
    if let Some(exit) = ended(&api.state) {
        slot.instance = Instance::Exited(exit);
    } else if api.state.as_ref().is_some_and(|s| s.running.is_some()) {
        slot.attempt += 1;
    }
}

fn exit_from(terminated: &ContainerStateTerminated, api: &ApiStatus, now: Now) -> Exit {
    Exit {
        id: None,
        exit_code: terminated.exit_code,
        reason: terminated.reason.clone().unwrap_or_default(),
        message: terminated.message.clone().unwrap_or_default(),
        started_at: terminated.started_at.as_ref().map(|t| t.0),
        finished_at: terminated.finished_at.as_ref().map(|t| t.0),
        image_ref: api.image.clone(),
        image_id: api.image_id.clone(),
        at: now.mono,
    }
}

/// A container that was started and ready stays so until a probe says otherwise.
fn trusted(slot: &mut Slot, container: &ContainerStatus, api: Option<&ApiStatus>) {
    let Some(api) = api.filter(|api| api.container_id.as_deref() == Some(&format!("containerd://{}", container.id))) else {
        return;
    };
    let good = ProbeState { verdict: Some(true), ..ProbeState::default() };
    if api.started == Some(true) {
        slot.probes.insert(ProbeKind::Startup, good.clone());
    }
    if api.ready {
        slot.probes.insert(ProbeKind::Readiness, good);
    }
}

fn look_again(slot: &mut Slot, of_slot: &[&ContainerStatus], now: Now) {
    let Some(run) = slot.run() else { return };
    let exit = match of_slot.iter().find(|c| c.id == run.id) {
        Some(c) if matches!(c.state, ContainerState::Running | ContainerState::Created) => return,
        Some(c) => exit_of(c, now),
        // It may be younger than the list; the executor asks for it by itself.
        None => return,
    };
    end(slot, exit, now);
}
