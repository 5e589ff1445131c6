//! What is written of a pod: from its life to `status`, and to the patch that brings it about.
mod containers;
mod patch;

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{HostIP, PodCondition, PodIP, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};

pub use patch::{is_written, patch};

use crate::pods::{
    conditions,
    facts::{self, Role},
    life::{Cause, Instance, Life},
};

/// Times in a status have whole seconds.
pub(crate) fn time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The phase of a pod that has ended; `None` before.
pub fn ended_phase(life: &Life, spec: &PodSpec) -> Option<&'static str> {
    let object = life.object.as_ref()?;
    match object.status.as_ref().and_then(|s| s.phase.as_deref()) {
        Some("Succeeded") => return Some("Succeeded"),
        Some("Failed") => return Some("Failed"),
        _ => {}
    }
    let stop = life.stop.as_ref()?;
    if !life.is_quiet() || spec.containers.is_empty() {
        return None;
    }
    let succeeded = stop.cause != Cause::DeadlineExceeded
        && life.of_role(Role::App).all(|slot| slot.exit().is_some_and(|exit| exit.exit_code == 0));
    Some(if succeeded { "Succeeded" } else { "Failed" })
}

fn phase(life: &Life, spec: &PodSpec) -> &'static str {
    if let Some(ended) = ended_phase(life, spec) {
        return ended;
    }
    let never_ran =
        |slot: &crate::pods::life::Slot| matches!(slot.instance, Instance::None | Instance::Starting) && slot.last.is_none();
    if life.slots.iter().filter(|slot| slot.role == Role::App).any(never_ran) { "Pending" } else { "Running" }
}

/// The status as this node sees it. `None` while there is nothing to say yet.
pub fn status(life: &Life, host_ips: &[IpAddr]) -> Option<PodStatus> {
    let object = life.object.as_ref()?;
    let spec = object.spec.as_ref()?;
    if !life.observed {
        return None;
    }
    let generation = object.metadata.generation;
    let (reason, message) = reason(life, spec);
    let ips: Vec<IpAddr> = match &life.sandbox.present {
        Some(_) if facts::host_network(spec) => host_ips.to_vec(),
        Some(present) => present.ips.clone(),
        None => Vec::new(),
    };
    let mut wanted: Vec<PodCondition> = Vec::new();
    for kind in conditions::OURS {
        let Some(condition) = life.conditions.get(kind) else { continue };
        wanted.push(PodCondition {
            type_: kind.to_owned(),
            status: if condition.status { "True" } else { "False" }.to_owned(),
            reason: some(&condition.reason),
            message: some(&condition.message),
            last_transition_time: Some(time(condition.since)),
            last_probe_time: None,
            observed_generation: generation,
        });
    }
    let of = |roles: &[Role]| -> Option<Vec<_>> {
        let all: Vec<_> =
            life.slots.iter().filter(|s| roles.contains(&s.role)).map(|slot| containers::status(life, spec, slot)).collect();
        (!all.is_empty()).then_some(all)
    };
    Some(PodStatus {
        phase: Some(phase(life, spec).to_owned()),
        reason,
        message,
        start_time: life.start_time.map(time),
        host_ip: host_ips.first().map(ToString::to_string),
        host_ips: (!host_ips.is_empty()).then(|| host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        pod_ip: ips.first().map(ToString::to_string),
        pod_ips: (!ips.is_empty()).then(|| ips.iter().map(|ip| PodIP { ip: ip.to_string() }).collect()),
        conditions: Some(wanted),
        init_container_statuses: of(&[Role::Init, Role::Sidecar]),
        container_statuses: of(&[Role::App]),
        observed_generation: generation,
        ..PodStatus::default()
    })
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn reason(life: &Life, spec: &PodSpec) -> (Option<String>, Option<String>) {
    let exceeded = life.stop.as_ref().is_some_and(|stop| stop.cause == Cause::DeadlineExceeded);
    if exceeded && ended_phase(life, spec).is_some() {
        let message = "Pod was active on the node longer than the specified deadline";
        return (some("DeadlineExceeded"), some(message));
    }
    let written = life.object.as_ref().and_then(|pod| pod.status.as_ref());
    (written.and_then(|s| s.reason.clone()), written.and_then(|s| s.message.clone()))
}
