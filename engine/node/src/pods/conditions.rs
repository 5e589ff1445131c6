//! The pod's conditions, with the time of their last change.
use k8s_openapi::api::core::v1::PodSpec;

use super::{
    facts::Role,
    life::{Condition, Life, Now, Slot},
};
use crate::status;

pub const READY_TO_START: &str = "PodReadyToStartContainers";
pub const INITIALIZED: &str = "Initialized";
pub const READY: &str = "Ready";
pub const CONTAINERS_READY: &str = "ContainersReady";
/// `False` where the pod asks for something that this node does not do.
pub const SUPPORTED: &str = "irori.dev/Supported";
/// What this node writes; conditions of others are left alone.
pub const OURS: [&str; 5] = [READY_TO_START, INITIALIZED, READY, CONTAINERS_READY, SUPPORTED];

type Wanted = (&'static str, bool, String, String);

pub fn update(life: &mut Life, now: Now) {
    if !life.observed {
        return; // what was written before still holds
    }
    let Some(object) = life.object.clone() else { return };
    let Some(spec) = &object.spec else { return };
    for (kind, status, reason, message) in wanted(life, spec) {
        let since = match life.conditions.get(kind) {
            Some(before) if before.status == status => before.since,
            _ => now.wall,
        };
        life.conditions.insert(kind, Condition { status, reason, message, since });
    }
}

fn wanted(life: &Life, spec: &PodSpec) -> Vec<Wanted> {
    let text = str::to_owned;
    let mut all: Vec<Wanted> = Vec::new();
    if let Some(first) = life.refusals.first() {
        let names: Vec<&str> = life.refusals.iter().map(|r| r.path.as_str()).collect();
        let message = format!("{}: {}", names.join(", "), first.why);
        all.push((SUPPORTED, false, text("NotImplemented"), message));
    }
    let has_sandbox = life.sandbox.present.as_ref().is_some_and(|present| present.ready);
    all.push((READY_TO_START, has_sandbox, String::new(), String::new()));
    let ended = status::ended_phase(life, spec);
    let done = ended == Some("Succeeded");
    all.push(match () {
        () if done => (INITIALIZED, true, text("PodCompleted"), String::new()),
        () if life.initialized || life.slots.iter().all(|slot| slot.role == Role::App) => {
            (INITIALIZED, true, String::new(), String::new())
        }
        () => {
            let message = format!("containers with incomplete status: {}", names(life, is_incomplete_init));
            (INITIALIZED, false, text("ContainersNotInitialized"), message)
        }
    });
    let (ready, reason, message) = containers_ready(life, spec, ended);
    all.push((CONTAINERS_READY, ready, reason.clone(), message.clone()));
    all.push(match missing_gate(life, spec).filter(|_| ready) {
        Some(gate) => (
            READY,
            false,
            text("ReadinessGatesNotReady"),
            format!("corresponding condition of pod readiness gate \"{gate}\" does not exist or is not \"True\""),
        ),
        None => (READY, ready, reason, message),
    });
    all
}

fn containers_ready(life: &Life, spec: &PodSpec, ended: Option<&str>) -> (bool, String, String) {
    match ended {
        Some("Succeeded") => return (false, "PodCompleted".to_owned(), String::new()),
        Some("Failed") => return (false, "PodFailed".to_owned(), String::new()),
        _ => {}
    }
    let unready = |slot: &Slot| slot.role != Role::Init && !slot.is_ready(spec);
    if life.slots.iter().any(unready) {
        let message = format!("containers with unready status: {}", names(life, unready));
        return (false, "ContainersNotReady".to_owned(), message);
    }
    (true, String::new(), String::new())
}

fn is_incomplete_init(slot: &Slot) -> bool {
    slot.role == Role::Init && slot.exit().is_none_or(|exit| exit.exit_code != 0)
        || slot.role == Role::Sidecar && slot.run().is_none()
}

/// `[one two]`, as people know it from other nodes.
fn names(life: &Life, of: impl Fn(&Slot) -> bool) -> String {
    let names: Vec<&str> = life.slots.iter().filter(|slot| of(slot)).map(|slot| slot.name.as_str()).collect();
    format!("[{}]", names.join(" "))
}

fn missing_gate(life: &Life, spec: &PodSpec) -> Option<String> {
    let has = |kind: &str| {
        let written = life.object.iter().filter_map(|pod| pod.status.as_ref()).flat_map(|s| s.conditions.iter().flatten());
        written.into_iter().any(|c| c.type_ == kind && c.status == "True")
    };
    spec.readiness_gates.iter().flatten().map(|gate| &gate.condition_type).find(|kind| !has(kind)).cloned()
}

/// Whether the condition of this kind holds.
pub fn holds(life: &Life, kind: &str) -> bool {
    life.conditions.get(kind).is_some_and(|condition| condition.status)
}
