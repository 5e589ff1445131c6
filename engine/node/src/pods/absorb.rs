//! First half of a step: what an event says is taken into the life. Nothing is asked for here.
use std::{sync::Arc, time::Duration};

use irori_runtime::Backoff;
use k8s_openapi::api::core::v1::Pod;

use super::{
    adopt,
    effect::{Event, Failure, INSPECT_FAILED, Image, ProbeResult, StartFailure, Tell},
    facts::{self, ProbeKind, Role},
    life::{Cause, Exit, Hook, Instance, Life, Now, Present, Run, RunStop, Slot, Stop, Stray, Trouble, Work},
    replace,
};
use crate::{
    refusal,
    runtime::{ContainerId, ContainerState, ContainerStatus, SandboxId},
};

const fn backoff(first_ms: u64, max_s: u64) -> Backoff {
    Backoff { first: Duration::from_millis(first_ms), max: Duration::from_secs(max_s) }
}

const VOLUMES: Backoff = backoff(500, 120);
const SANDBOX: Backoff = backoff(1_000, 60);
const IMAGE: Backoff = backoff(10_000, 300);
const CREATE: Backoff = backoff(2_000, 300);
const STOP: Backoff = backoff(1_000, 30);
const CLEAN: Backoff = backoff(1_000, 60);
/// The least time that a process gets to end.
const GRACE_MIN: Duration = Duration::from_secs(2);
/// What an unknown pod, left over from before, gets.
const ORPHAN_GRACE: Duration = Duration::from_secs(30);
/// A container that ran this long since its last restart starts its back-off anew.
pub const CRASH_FORGET: Duration = Duration::from_secs(600);

pub fn absorb(life: &mut Life, event: Event, now: Now) -> Vec<Tell> {
    let mut tells = Vec::new();
    match event {
        Event::Pod(object) => pod(life, object, now, &mut tells),
        Event::Gone => gone(life, now),
        Event::Observed(observed) => adopt::observed(life, observed, now),
        Event::SourcesChanged => sources_changed(life, now),
        Event::Volumes(result) => volumes(life, result, now, &mut tells),
        Event::SandboxUp(result) => sandbox_up(life, result, now, &mut tells),
        Event::SandboxSeen { id, ready } => sandbox_seen(life, &id, ready),
        Event::SandboxRemoval { id, removed, result } => sandbox_removal(life, &id, removed, result, now),
        Event::Image { container, result } => image(life, &container, result, now),
        Event::Started { container, attempt, result } => started(life, &container, attempt, result, now),
        Event::PostStarted { container, id, result } => post_started(life, &container, &id, result, now, &mut tells),
        Event::Seen { id, status } => seen(life, &id, status, now),
        Event::Stopped { container, id, result } => stopped(life, &container, &id, result, now),
        Event::Removed { id, result } => removed(life, &id, result, now),
        Event::Probed { container, id, kind, result } => probed(life, &container, &id, kind, result, now, &mut tells),
        Event::Cleaned(result) => life.cleanup = outcome(&life.cleanup, result, CLEAN, now),
        Event::Deleted(result) => life.delete = outcome(&life.delete, result, CLEAN, now),
        Event::Tick => {}
    }
    tells
}

fn outcome(before: &Work, result: Result<(), Failure>, backoff: Backoff, now: Now) -> Work {
    match result {
        Ok(()) => Work::Done,
        Err(failure) => Work::Failed(trouble(before.fails(), failure, backoff, now)),
    }
}

fn trouble(fails: u32, failure: Failure, backoff: Backoff, now: Now) -> Trouble {
    Trouble { reason: failure.reason, message: failure.message, fails: fails + 1, retry: now.mono + backoff.wait(fails) }
}

fn warning(reason: &'static str, message: String, container: Option<&str>) -> Tell {
    Tell { warning: true, reason, message, container: container.map(str::to_owned) }
}

fn normal(reason: &'static str, message: String, container: Option<&str>) -> Tell {
    Tell { warning: false, reason, message, container: container.map(str::to_owned) }
}

fn pod(life: &mut Life, object: Arc<Pod>, now: Now, tells: &mut Vec<Tell>) {
    let first = life.object.is_none();
    if first {
        life.refusals = refusal::check(&object);
        if !life.refusals.is_empty() && facts::deletion_grace(&object).is_none() {
            let all: Vec<String> = life.refusals.iter().map(ToString::to_string).collect();
            tells.push(warning("NotImplemented", all.join("; "), None));
        }
        if let Some(spec) = &object.spec {
            life.slots = facts::containers(spec).map(|(role, c)| Slot::new(&c.name, role)).collect();
        }
        life.start_time = object.status.as_ref().and_then(|s| s.start_time.as_ref()).map_or(Some(now.wall), |t| Some(t.0));
        adopt::conditions(life, &object);
    }
    if let Some(grace) = facts::deletion_grace(&object) {
        stop_by(life, Cause::Deleted, now.mono + grace.max(GRACE_MIN));
    } else if first && facts::ended(&object) {
        stop_by(life, Cause::Completed, now.mono + object.spec.as_ref().map_or(ORPHAN_GRACE, facts::spec_grace));
    }
    if let Some(before) = &life.object {
        replace::forget_images(&mut life.slots, before, &object);
    }
    life.object = Some(object);
}

/// A deletion overrules other causes; a deadline only ever moves nearer.
pub fn stop_by(life: &mut Life, cause: Cause, deadline: Duration) {
    match &mut life.stop {
        Some(stop) => {
            stop.deadline = stop.deadline.min(deadline);
            if cause == Cause::Deleted {
                stop.cause = cause;
            }
        }
        None => life.stop = Some(Stop { cause, deadline }),
    }
}

fn gone(life: &mut Life, now: Now) {
    life.gone = true;
    let grace = match &life.object {
        Some(object) => facts::deletion_grace(object).or(object.spec.as_ref().map(facts::spec_grace)),
        None => None,
    };
    stop_by(life, Cause::Deleted, now.mono + grace.unwrap_or(ORPHAN_GRACE).max(GRACE_MIN));
}

fn sources_changed(life: &mut Life, now: Now) {
    let retry_now = |trouble: &mut Trouble| trouble.retry = trouble.retry.min(now.mono);
    if let Work::Failed(trouble) = &mut life.volumes {
        retry_now(trouble);
    }
    life.slots.iter_mut().filter_map(|slot| slot.start_trouble.as_mut()).for_each(retry_now);
}

fn volumes(life: &mut Life, result: Result<(), Failure>, now: Now, tells: &mut Vec<Tell>) {
    if let Err(failure) = &result {
        tells.push(warning("FailedMount", failure.message.clone(), None));
    }
    life.volumes = outcome(&life.volumes, result, VOLUMES, now);
}

fn sandbox_up(life: &mut Life, result: Result<Present, Failure>, now: Now, tells: &mut Vec<Tell>) {
    let sandbox = &mut life.sandbox;
    match result {
        Ok(present) => {
            sandbox.next_attempt = sandbox.next_attempt.max(present.attempt + 1);
            sandbox.work = Work::Idle;
            if let Some(before) = sandbox.present.replace(present) {
                sandbox.old.push(before.id);
            }
        }
        Err(failure) => {
            tells.push(warning("FailedCreatePodSandBox", format!("Failed to create pod sandbox: {}", failure.message), None));
            sandbox.work = Work::Failed(trouble(sandbox.work.fails(), failure, SANDBOX, now));
        }
    }
}

fn sandbox_seen(life: &mut Life, id: &SandboxId, ready: bool) {
    if let Some(present) = life.sandbox.present.as_mut().filter(|present| present.id == *id) {
        present.ready = ready;
    }
}

fn sandbox_removal(life: &mut Life, id: &SandboxId, removed: bool, result: Result<(), Failure>, now: Now) {
    let sandbox = &mut life.sandbox;
    if let Err(failure) = result {
        sandbox.removal = Work::Failed(trouble(sandbox.removal.fails(), failure, STOP, now));
        return;
    }
    sandbox.removal = Work::Idle;
    sandbox.old.retain(|old| old != id);
    if sandbox.present.as_ref().is_some_and(|present| present.id == *id) {
        if removed {
            sandbox.present = None;
        } else if let Some(present) = &mut sandbox.present {
            present.stopped = true;
            present.ready = false;
        }
    }
}

fn image(life: &mut Life, container: &str, result: Result<Image, Failure>, now: Now) {
    let Some(slot) = life.slot_mut(container) else { return };
    slot.pull_back_off = false;
    if std::mem::take(&mut slot.image_changed) {
        slot.image = Work::Idle;
        return;
    }
    match result {
        Ok(image) => {
            slot.image = Work::Done;
            slot.image_found = Some(image);
        }
        Err(failure) => {
            // A runtime that could not be asked is back soon; a registry that says no is not asked again at once.
            let backoff = if failure.reason == INSPECT_FAILED { SANDBOX } else { IMAGE };
            slot.image = Work::Failed(trouble(slot.image.fails(), failure, backoff, now));
        }
    }
}

fn started(life: &mut Life, container: &str, attempt: u32, result: Result<ContainerStatus, StartFailure>, now: Now) {
    let post_start = life.spec().and_then(|spec| facts::container(spec, container)).is_some_and(facts::has_post_start);
    let Some(slot) = life.slot_mut(container) else { return };
    if slot.instance != Instance::Starting || slot.attempt != attempt {
        return;
    }
    let fails = slot.start_trouble.take().map_or(0, |trouble| trouble.fails);
    match result {
        Ok(status) if status.state == ContainerState::Running => {
            let hook = if post_start { Hook::Due } else { Hook::Done };
            slot.instance = Instance::Running(run_of(&status, hook, now));
        }
        Ok(status) => end(slot, exit_of(&status, now), now),
        Err(StartFailure { failure, id: Some(id) }) => {
            let exit = Exit {
                id: Some(id),
                exit_code: 128,
                reason: "StartError".to_owned(),
                message: failure.message.clone(),
                started_at: None,
                finished_at: Some(now.wall),
                image_ref: String::new(),
                image_id: String::new(),
                at: now.mono,
            };
            end(slot, exit, now);
        }
        Err(StartFailure { failure, id: None }) => {
            slot.instance = Instance::None;
            slot.start_trouble = Some(trouble(fails, failure, CREATE, now));
        }
    }
}

pub fn run_of(status: &ContainerStatus, post_start: Hook, now: Now) -> Run {
    let started_at = status.started_at.unwrap_or(status.created_at);
    let age = Duration::try_from(now.wall.duration_since(started_at)).unwrap_or(Duration::ZERO);
    Run {
        id: status.id.clone(),
        started_at,
        since: now.mono.saturating_sub(age),
        image_ref: status.image_ref.clone(),
        image_id: status.image_id.clone(),
        post_start,
        stop: None,
    }
}

pub fn exit_of(status: &ContainerStatus, now: Now) -> Exit {
    let reason = match (status.oom_killed, status.reason.as_str(), status.exit_code) {
        (true, ..) => "OOMKilled",
        (_, "", Some(0)) => "Completed",
        (_, "", _) => "Error",
        (_, reason, _) => reason,
    };
    let age = status.finished_at.and_then(|at| Duration::try_from(now.wall.duration_since(at)).ok()).unwrap_or_default();
    Exit {
        id: Some(status.id.clone()),
        exit_code: status.exit_code.unwrap_or(137),
        reason: reason.to_owned(),
        message: status.message.clone(),
        started_at: status.started_at,
        finished_at: status.finished_at,
        image_ref: status.image_ref.clone(),
        image_id: status.image_id.clone(),
        at: now.mono.saturating_sub(age),
    }
}

/// A container of which the runtime knows nothing any more.
pub fn lost(run: &Run, now: Now) -> Exit {
    Exit {
        id: None,
        exit_code: 137,
        reason: "ContainerStatusUnknown".to_owned(),
        message: "The container could not be located when the pod was looked at".to_owned(),
        started_at: Some(run.started_at),
        finished_at: Some(now.wall),
        image_ref: run.image_ref.clone(),
        image_id: run.image_id.clone(),
        at: now.mono,
    }
}

/// The slot's container has ended.
pub fn end(slot: &mut Slot, exit: Exit, now: Now) {
    if now.mono.saturating_sub(slot.crash.updated) > CRASH_FORGET {
        slot.crash.wait = Duration::ZERO;
    }
    slot.crash.told = false;
    slot.instance = Instance::Exited(exit);
    slot.image = Work::Idle;
    slot.probes.clear();
}

fn seen(life: &mut Life, id: &ContainerId, status: Option<ContainerStatus>, now: Now) {
    let Some(slot) = life.slots.iter_mut().find(|slot| slot.run().is_some_and(|run| run.id == *id)) else { return };
    let Some(run) = slot.run() else { return };
    let exit = match status {
        None => lost(run, now),
        Some(status) if matches!(status.state, ContainerState::Exited | ContainerState::Unknown) => exit_of(&status, now),
        Some(_) => return,
    };
    end(slot, exit, now);
}

/// Asks for the container's end; the earlier deadline holds.
pub fn stop_run(slot: &mut Slot, deadline: Duration) {
    let Instance::Running(run) = &mut slot.instance else { return };
    match &mut run.stop {
        Some(stop) if stop.deadline <= deadline => {}
        // A call that is under way goes on beside the stricter one.
        Some(stop) => {
            stop.deadline = deadline;
            stop.work = Work::Idle;
        }
        none => *none = Some(RunStop { deadline, work: Work::Idle, asked: false }),
    }
}

fn post_started(life: &mut Life, container: &str, id: &ContainerId, result: Result<(), String>, now: Now, tells: &mut Vec<Tell>) {
    let grace = life.spec().map_or(ORPHAN_GRACE, facts::spec_grace);
    let Some(slot) = life.slot_mut(container) else { return };
    let Instance::Running(run) = &mut slot.instance else { return };
    if run.id != *id {
        return;
    }
    run.post_start = Hook::Done;
    if let Err(message) = result {
        run.post_start = Hook::Busy; // never started in the sense of a status
        tells.push(warning("FailedPostStartHook", format!("PostStartHook failed: {message}"), Some(container)));
        tells.push(normal("Killing", "FailedPostStartHook".to_owned(), Some(container)));
        stop_run(slot, now.mono + grace);
    }
}

fn stopped(life: &mut Life, container: &str, id: &ContainerId, result: Result<(), Failure>, now: Now) {
    let Some(slot) = life.slot_mut(container) else { return };
    let Instance::Running(run) = &mut slot.instance else { return };
    if run.id != *id {
        return;
    }
    if let Some(stop) = &mut run.stop {
        // A stop that worked is followed by what the runtime says of the end; if it does not say, the stop is repeated.
        let failure = result.err().unwrap_or_else(|| Failure::new("StillRunning", "the container still runs"));
        stop.work = Work::Failed(trouble(stop.work.fails(), failure, STOP, now));
    }
}

fn removed(life: &mut Life, id: &ContainerId, result: Result<(), Failure>, now: Now) {
    match result {
        Ok(()) => life.strays.retain(|stray| stray.id != *id),
        Err(failure) => {
            for stray in life.strays.iter_mut().filter(|stray| stray.id == *id) {
                stray.removal = Work::Failed(trouble(stray.removal.fails(), failure.clone(), CLEAN, now));
            }
        }
    }
}

/// Adds a container to those that are to be removed.
pub fn discard(life_strays: &mut Vec<Stray>, id: ContainerId) {
    if !life_strays.iter().any(|stray| stray.id == id) {
        life_strays.push(Stray { id, removal: Work::Idle });
    }
}

#[allow(clippy::too_many_arguments, reason = "one event, taken apart")]
fn probed(
    life: &mut Life,
    container: &str,
    id: &ContainerId,
    kind: ProbeKind,
    result: ProbeResult,
    now: Now,
    tells: &mut Vec<Tell>,
) {
    let Some(object) = life.object.clone() else { return };
    let Some(spec) = object.spec.as_ref() else { return };
    let Some(probe) = facts::container(spec, container).and_then(|c| facts::probe(c, kind)) else { return };
    let stopping = life.stop.is_some();
    let Some(slot) = life.slot_mut(container) else { return };
    if slot.role == Role::Init || slot.run().is_none_or(|run| run.id != *id || run.stop.is_some()) {
        return;
    }
    let state = slot.probes.entry(kind).or_default();
    state.busy = false;
    let good = result == ProbeResult::Success;
    state.row = if state.last == Some(good) { state.row + 1 } else { 1 };
    state.last = Some(good);
    let needed = if good { probe.success_threshold.unwrap_or(1) } else { probe.failure_threshold.unwrap_or(3) };
    let reached = state.row >= u32::try_from(needed.max(1)).unwrap_or(1);
    if reached {
        state.verdict = Some(good);
    }
    let ProbeResult::Failure(message) = result else { return };
    tells.push(warning("Unhealthy", format!("{} probe failed: {message}", kind.as_str()), Some(container)));
    if reached && kind != ProbeKind::Readiness && !stopping {
        let word = if kind == ProbeKind::Startup { "startup" } else { "liveness" };
        let text = format!("Container {container} failed {word} probe, will be restarted");
        tells.push(normal("Killing", text, Some(container)));
        let grace = probe.termination_grace_period_seconds.map(|s| facts::seconds(Some(s), 30));
        stop_run(slot, now.mono + grace.unwrap_or_else(|| facts::spec_grace(spec)).max(GRACE_MIN));
    }
}
