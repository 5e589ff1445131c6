//! Second half of a step: from what is known to what is to be done. The present comes as an argument.
use std::time::Duration;

use k8s_openapi::api::core::v1::PodSpec;

use super::{
    absorb::{discard, stop_by, stop_run},
    effect::{Effect, INSPECT_FAILED, Tell},
    facts::{self, RestartPolicy, Role},
    life::{Cause, Exit, Instance, Life, Now, Slot, Trouble, Work},
    probing, replace, step,
};

/// The first wait between restarts, and the longest. The very first restart does not wait.
const CRASH_FIRST: Duration = Duration::from_secs(10);
pub const CRASH_MAX: Duration = Duration::from_secs(300);
/// How long a status says `ErrImagePull` before it says `ImagePullBackOff`.
const SHOW_PULL_ERROR: Duration = Duration::from_secs(2);

/// When a failed pull is told as a back-off; never where nothing was pulled.
pub fn pull_back_off_at(trouble: &Trouble) -> Option<Duration> {
    if trouble.reason == INSPECT_FAILED {
        return None;
    }
    let wait = Duration::from_secs(10).saturating_mul(2_u32.saturating_pow((trouble.fails - 1).min(31)));
    Some(trouble.retry.saturating_sub(wait.min(CRASH_MAX)) + SHOW_PULL_ERROR)
}

pub fn decide(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    if !life.observed || life.is_over() {
        return;
    }
    judge(life, now, effects);
    if life.stop.is_some() {
        wind_down(life, now, effects);
    } else if life.refusals.is_empty()
        && let Some(object) = life.object.clone()
        && let Some(spec) = &object.spec
    {
        bring_up(life, spec, now, effects);
        probing::drive(life, spec, now, effects);
    }
    drive_stops(life, now, effects);
    drive_strays(life, now, effects);
}

/// Whether the pod has come to its end by itself.
fn judge(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    let Some(object) = life.object.clone() else { return };
    let Some(spec) = &object.spec else { return };
    if life.stop.is_some() || !life.refusals.is_empty() {
        return;
    }
    if step::active_deadline(life, now).is_some_and(|at| at <= now.mono) {
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        effects.push(Effect::Tell(Tell { warning: false, reason: "DeadlineExceeded", message, container: None }));
        stop_by(life, Cause::DeadlineExceeded, now.mono + facts::spec_grace(spec));
    } else if is_completed(life, spec) {
        stop_by(life, Cause::Completed, now.mono + facts::spec_grace(spec));
    }
}

fn is_completed(life: &Life, spec: &PodSpec) -> bool {
    let policy = facts::restart_policy(spec);
    let ended_for_good = |slot: &Slot| slot.exit().is_some_and(|exit| !slot.replaced && !restarts(slot.role, policy, exit));
    let apps_done = life.of_role(Role::App).count() > 0 && life.of_role(Role::App).all(ended_for_good);
    let init_failed = !life.initialized
        && life.of_role(Role::Init).any(|slot| slot.exit().is_some_and(|e| e.exit_code != 0) && ended_for_good(slot));
    apps_done || init_failed
}

/// Whether a container that ended so is started again.
fn restarts(role: Role, policy: RestartPolicy, exit: &Exit) -> bool {
    match (role, policy) {
        (Role::Sidecar, _) => true,
        (Role::Init, RestartPolicy::Never) => false,
        (Role::Init, _) => exit.exit_code != 0,
        (Role::App, RestartPolicy::Always) => true,
        (Role::App, RestartPolicy::OnFailure) => exit.exit_code != 0,
        (Role::App, RestartPolicy::Never) => false,
    }
}

// ---- up ----

fn bring_up(life: &mut Life, spec: &PodSpec, now: Now, effects: &mut Vec<Effect>) {
    if life.volumes.is_due(now) {
        life.volumes.begin();
        effects.push(Effect::PrepareVolumes);
    }
    if life.sandbox.present.as_ref().is_some_and(|present| !present.ready) {
        replace_sandbox(life, spec, now, effects);
        if life.sandbox.present.is_some() {
            return;
        }
    }
    if life.sandbox.present.is_none() && life.sandbox.work.is_due(now) {
        life.sandbox.work.begin();
        effects.push(Effect::EnsureSandbox { attempt: life.sandbox.next_attempt });
    }
    drive_old_sandboxes(life, now, effects);
    replace::drive(life, spec, now, effects);
    let may_start = life.volumes == Work::Done && life.sandbox.present.is_some();
    let policy = facts::restart_policy(spec);
    for index in due_slots(life, spec) {
        let mut strays = std::mem::take(&mut life.strays);
        drive_slot(&mut life.slots[index], policy, may_start, now, effects, &mut |id| discard(&mut strays, id));
        life.strays = strays;
    }
    for slot in &mut life.slots {
        let name = slot.name.clone();
        if let Instance::Running(run) = &mut slot.instance
            && run.stop.is_none()
            && run.post_start == super::life::Hook::Due
        {
            run.post_start = super::life::Hook::Busy;
            effects.push(Effect::PostStart { container: name, id: run.id.clone() });
        }
    }
}

/// Which slots should run now: init containers one after another, then the apps. Sidecars whose turn has come stay.
fn due_slots(life: &mut Life, spec: &PodSpec) -> Vec<usize> {
    let mut due = Vec::new();
    if !life.initialized {
        for (index, slot) in life.slots.iter().enumerate().filter(|(_, slot)| slot.role != Role::App) {
            let satisfied = match slot.role {
                Role::Init => slot.exit().is_some_and(|exit| exit.exit_code == 0),
                Role::Sidecar | Role::App => slot.is_started(spec),
            };
            if !satisfied || slot.role == Role::Sidecar {
                due.push(index);
            }
            if !satisfied {
                return due;
            }
        }
        life.initialized = true;
        due.clear();
    }
    due.extend(life.slots.iter().enumerate().filter(|(_, slot)| slot.role != Role::Init).map(|(index, _)| index));
    due
}

fn drive_slot(
    slot: &mut Slot,
    policy: RestartPolicy,
    may_start: bool,
    now: Now,
    effects: &mut Vec<Effect>,
    discard: &mut dyn FnMut(crate::runtime::ContainerId),
) {
    match &slot.instance {
        Instance::Starting | Instance::Running(_) => return,
        Instance::Exited(_) if slot.replaced => {}
        Instance::Exited(exit) if !restarts(slot.role, policy, exit) => return,
        Instance::Exited(exit) if now.mono < exit.at + slot.crash.wait => return tell_back_off(slot, effects),
        Instance::Exited(_) | Instance::None => {}
    }
    if slot.start_trouble.as_ref().is_some_and(|trouble| trouble.retry > now.mono) {
        return;
    }
    if let Work::Failed(trouble) = &slot.image
        && !slot.pull_back_off
        && pull_back_off_at(trouble).is_some_and(|at| at <= now.mono)
    {
        slot.pull_back_off = true;
        let message = format!("Back-off pulling image of container {}: {}", slot.name, trouble.message);
        effects.push(Effect::Tell(Tell { warning: false, reason: "BackOff", message, container: Some(slot.name.clone()) }));
    }
    if slot.image.is_due(now) {
        slot.image.begin();
        slot.pull_back_off = false;
        effects.push(Effect::EnsureImage { container: slot.name.clone() });
    }
    let (true, Work::Done, Some(image)) = (may_start, &slot.image, slot.image_found.clone()) else { return };
    if let Instance::Exited(exit) = std::mem::replace(&mut slot.instance, Instance::Starting) {
        slot.attempt += 1;
        // An end that was asked for is no crash.
        if !std::mem::take(&mut slot.replaced) {
            slot.crash.wait = if slot.crash.wait.is_zero() { CRASH_FIRST } else { (slot.crash.wait * 2).min(CRASH_MAX) };
            slot.crash.updated = now.mono;
        }
        if let Some(id) = slot.last.replace(exit).and_then(|before| before.id) {
            discard(id);
        }
    }
    slot.probes.clear();
    effects.push(Effect::Start { container: slot.name.clone(), attempt: slot.attempt, image });
}

fn tell_back_off(slot: &mut Slot, effects: &mut Vec<Effect>) {
    if !std::mem::replace(&mut slot.crash.told, true) {
        let message = format!("Back-off restarting failed container {}", slot.name);
        effects.push(Effect::Tell(Tell { warning: true, reason: "BackOff", message, container: Some(slot.name.clone()) }));
    }
}

/// The sandbox died: what still runs in it is stopped, then another one is made and the containers are started anew.
fn replace_sandbox(life: &mut Life, spec: &PodSpec, now: Now, effects: &mut Vec<Effect>) {
    for slot in &mut life.slots {
        stop_run(slot, now.mono + Duration::from_secs(2));
    }
    if !life.is_quiet() {
        return;
    }
    let Some(present) = life.sandbox.present.take() else { return };
    let message = "Pod sandbox changed, it will be killed and re-created.".to_owned();
    effects.push(Effect::Tell(Tell { warning: false, reason: "SandboxChanged", message, container: None }));
    life.sandbox.old.push(present.id);
    life.sandbox.work = Work::Idle;
    life.initialized = false;
    let policy = facts::restart_policy(spec);
    for slot in &mut life.slots {
        // Init containers run again in a new sandbox whatever their end was; the others by the policy.
        let again = |exit: &Exit| slot.role == Role::Init || restarts(slot.role, policy, exit);
        let Instance::Exited(exit) = &slot.instance else { continue };
        if again(exit) {
            slot.last = Some(exit.clone());
            slot.instance = Instance::None;
            slot.attempt += 1;
        }
    }
}

// ---- down ----

fn wind_down(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    let Some(stop) = life.stop.clone() else { return };
    let late = stop.deadline <= now.mono;
    for slot in life.slots.iter_mut().filter(|slot| slot.role != Role::Sidecar) {
        stop_run(slot, stop.deadline);
    }
    let others_quiet = life.slots.iter().filter(|s| s.role != Role::Sidecar).all(|s| s.run().is_none());
    if others_quiet || late {
        // Sidecars end after the others, in the reverse of the order in which they started.
        for slot in life.slots.iter_mut().rev().filter(|slot| slot.role == Role::Sidecar) {
            stop_run(slot, stop.deadline);
            if slot.run().is_some() && !late {
                break;
            }
        }
    }
    if !life.is_quiet() || life.volumes.is_busy() || life.sandbox.work.is_busy() {
        return;
    }
    let Some(present) = &life.sandbox.present else { return wind_up(life, now, effects) };
    if present.stopped {
        return wind_up(life, now, effects);
    }
    if life.sandbox.removal.is_due(now) {
        effects.push(Effect::StopSandbox { id: present.id.clone() });
        life.sandbox.removal.begin();
    }
}

/// All processes are gone: volumes, then sandboxes, then the object.
fn wind_up(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    if life.cleanup.is_due(now) {
        life.cleanup.begin();
        return effects.push(Effect::Cleanup);
    }
    if life.cleanup != Work::Done || !life.is_deleted() {
        return;
    }
    if let Some(present) = life.sandbox.present.take() {
        life.sandbox.old.push(present.id);
    }
    drive_old_sandboxes(life, now, effects);
    if !life.sandbox.old.is_empty() || !life.strays.is_empty() {
        return;
    }
    if life.gone {
        life.delete = Work::Done;
    } else if life.delete.is_due(now) {
        life.delete.begin();
        effects.push(Effect::Delete);
    }
}

fn drive_old_sandboxes(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    if let Some(id) = life.sandbox.old.first()
        && life.sandbox.removal.is_due(now)
    {
        effects.push(Effect::RemoveSandbox { id: id.clone() });
        life.sandbox.removal.begin();
    }
}

fn drive_stops(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    let killed_by_pod = life.stop.is_some();
    for slot in &mut life.slots {
        let (name, Instance::Running(run)) = (slot.name.clone(), &mut slot.instance) else { continue };
        let Some(stop) = run.stop.as_mut().filter(|stop| stop.work.is_due(now)) else { continue };
        let first = !std::mem::replace(&mut stop.asked, true);
        stop.work.begin();
        if first && killed_by_pod {
            let message = format!("Stopping container {name}");
            effects.push(Effect::Tell(Tell { warning: false, reason: "Killing", message, container: Some(name.clone()) }));
        }
        let grace = stop.deadline.saturating_sub(now.mono);
        effects.push(Effect::Stop { container: name, id: run.id.clone(), grace, pre_stop: first });
    }
}

fn drive_strays(life: &mut Life, now: Now, effects: &mut Vec<Effect>) {
    for stray in life.strays.iter_mut().filter(|stray| stray.removal.is_due(now)) {
        stray.removal.begin();
        effects.push(Effect::RemoveContainer { id: stray.id.clone() });
    }
}
