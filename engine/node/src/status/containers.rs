//! The status of one container.
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodSpec,
};

use super::{some, time};
use crate::pods::{
    facts::{self, Role},
    life::{Exit, Instance, Life, Slot, Work},
};

/// The reason of a container that waits because its pod asks for what this node does not do.
pub const NOT_IMPLEMENTED: &str = "NotImplemented";

pub fn status(life: &Life, spec: &PodSpec, slot: &Slot) -> ContainerStatus {
    let wanted_image = facts::container(spec, &slot.name).and_then(|c| c.image.clone()).unwrap_or_default();
    let waiting = waiting(life, spec, slot);
    let (state, last) = match (&slot.instance, waiting) {
        (Instance::Running(run), _) => {
            let running = ContainerStateRunning { started_at: Some(time(run.started_at)) };
            (ContainerState { running: Some(running), ..ContainerState::default() }, slot.last.as_ref())
        }
        (Instance::Exited(exit), Some(waiting)) => (waiting_state(waiting), Some(exit)),
        (Instance::Exited(exit), None) => (terminated(exit), slot.last.as_ref()),
        (Instance::None | Instance::Starting, waiting) => {
            (waiting_state(waiting.unwrap_or_else(|| default_waiting(life))), slot.last.as_ref())
        }
    };
    let (image, image_id, id) = match (&slot.instance, &slot.last) {
        (Instance::Running(run), _) => (run.image_ref.as_str(), run.image_id.as_str(), Some(&run.id)),
        (Instance::Exited(exit), _) | (_, Some(exit)) => (exit.image_ref.as_str(), exit.image_id.as_str(), exit.id.as_ref()),
        _ => ("", "", None),
    };
    ContainerStatus {
        name: slot.name.clone(),
        image: if image.is_empty() { wanted_image } else { image.to_owned() },
        image_id: image_id.to_owned(),
        container_id: id.map(|id| format!("containerd://{id}")),
        ready: slot.is_ready(spec),
        started: Some(slot.is_started(spec)),
        restart_count: i32::try_from(slot.attempt).unwrap_or(i32::MAX),
        state: Some(state),
        last_state: Some(last.map(terminated).unwrap_or_default()),
        ..ContainerStatus::default()
    }
}

type Waiting = (String, String);

fn default_waiting(life: &Life) -> Waiting {
    let has_init = life.slots.iter().any(|slot| slot.role != Role::App);
    (if has_init { "PodInitializing" } else { "ContainerCreating" }.to_owned(), String::new())
}

/// Why a container that should run does not; `None` if nothing special is to be said.
fn waiting(life: &Life, spec: &PodSpec, slot: &Slot) -> Option<Waiting> {
    if !life.refusals.is_empty() {
        let message = life.refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Some((NOT_IMPLEMENTED.to_owned(), message));
    }
    if life.stop.is_some() {
        return None;
    }
    if let Some(trouble) = &slot.start_trouble {
        return Some((trouble.reason.clone(), trouble.message.clone()));
    }
    if let Work::Failed(trouble) = &slot.image {
        if slot.pull_back_off && matches!(trouble.reason.as_str(), "ErrImagePull" | "RegistryUnavailable") {
            let image = facts::container(spec, &slot.name).and_then(|c| c.image.as_deref()).unwrap_or_default();
            let message = format!("Back-off pulling image \"{image}\": {}: {}", trouble.reason, trouble.message);
            return Some(("ImagePullBackOff".to_owned(), message));
        }
        return Some((trouble.reason.clone(), trouble.message.clone()));
    }
    if matches!(slot.instance, Instance::Exited(_)) && slot.replaced {
        // It is started again whatever the restart policy says, which has no place in a status once it was said to have ended.
        return Some(("ContainerCreating".to_owned(), String::new()));
    }
    if matches!(slot.instance, Instance::Exited(_)) && slot.crash.told {
        let pod = &life.pod;
        let message = format!(
            "back-off {}s restarting failed container={} pod={}_{}({})",
            slot.crash.wait.as_secs(),
            slot.name,
            pod.name,
            pod.namespace,
            pod.uid
        );
        return Some(("CrashLoopBackOff".to_owned(), message));
    }
    None
}

fn waiting_state((reason, message): Waiting) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: some(&reason), message: some(&message) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn terminated(exit: &Exit) -> ContainerState {
    let terminated = ContainerStateTerminated {
        container_id: exit.id.as_ref().map(|id| format!("containerd://{id}")),
        exit_code: exit.exit_code,
        reason: some(&exit.reason),
        message: some(&exit.message),
        started_at: exit.started_at.map(time),
        finished_at: exit.finished_at.map(time),
        signal: None,
    };
    ContainerState { terminated: Some(terminated), ..ContainerState::default() }
}
