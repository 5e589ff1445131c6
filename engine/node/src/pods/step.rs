//! One step of a pod's life. Pure: no I/O, no clock.
use std::time::Duration;

use super::{
    absorb::absorb,
    conditions,
    decide::decide,
    effect::{Effect, Event},
    facts::{self, Role},
    life::{Instance, Life, Now, Work},
};

/// What one event makes of a pod's life.
#[derive(Debug)]
pub struct Step {
    pub life: Life,
    /// What is to be done now. Effects that are under way are not asked for again.
    pub effects: Vec<Effect>,
    /// When a `Tick` is due if nothing else happens before; `None` if nothing waits for time. It is later than this step's `now`,
    /// and holds however late it is looked at.
    pub wake: Option<Duration>,
}

/// Takes in one event.
pub fn step(mut life: Life, event: Event, now: Now) -> Step {
    let tells = absorb(&mut life, event, now);
    let mut effects: Vec<Effect> = tells.into_iter().map(Effect::Tell).collect();
    decide(&mut life, now, &mut effects);
    conditions::update(&mut life, now);
    let wake = wake_at(&life, now);
    Step { life, effects, wake }
}

fn wake_at(life: &Life, now: Now) -> Option<Duration> {
    if !life.observed || life.is_over() {
        return None;
    }
    let mut times: Vec<Duration> = Vec::new();
    let mut work = |work: &Work| {
        if let Work::Failed(trouble) = work {
            times.push(trouble.retry);
        }
    };
    for each in [&life.volumes, &life.sandbox.work, &life.sandbox.removal, &life.cleanup, &life.delete] {
        work(each);
    }
    for stray in &life.strays {
        work(&stray.removal);
    }
    for slot in &life.slots {
        work(&slot.image);
        if let Some(stop) = slot.run().and_then(|run| run.stop.as_ref()) {
            work(&stop.work);
        }
    }
    for slot in &life.slots {
        slot_times(life, slot, &mut times);
    }
    if life.stop.is_none() {
        times.extend(active_deadline(life, now));
    }
    // What is due already was dealt with in this step, or waits for something else than time.
    times.into_iter().filter(|at| *at > now.mono).min()
}

fn slot_times(life: &Life, slot: &super::life::Slot, times: &mut Vec<Duration>) {
    times.extend(slot.start_trouble.as_ref().map(|trouble| trouble.retry));
    match &slot.instance {
        Instance::Exited(exit) if life.stop.is_none() => times.push(exit.at + slot.crash.wait),
        Instance::Running(run) if run.stop.is_none() && slot.role != Role::Init => {
            times.extend(slot.probes.values().filter(|probe| !probe.busy).map(|probe| probe.next));
        }
        Instance::Running(_) if life.stop.is_some() => times.extend(life.stop.as_ref().map(|stop| stop.deadline)),
        _ => {}
    }
    if let Work::Failed(trouble) = &slot.image
        && !slot.pull_back_off
    {
        times.extend(super::decide::pull_back_off_at(trouble));
    }
}

/// When `activeDeadlineSeconds` runs out.
pub fn active_deadline(life: &Life, now: Now) -> Option<Duration> {
    let limit = facts::seconds(Some(life.spec()?.active_deadline_seconds?), 0);
    let age = Duration::try_from(now.wall.duration_since(life.start_time?)).unwrap_or(Duration::ZERO);
    Some(now.mono + limit.saturating_sub(age))
}

#[cfg(test)]
mod tests;
