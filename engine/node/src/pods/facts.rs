//! What a Pod object says, read once and in one place.
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Probe};

use crate::runtime::{PodRef, Qos};

/// The part a container plays in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: starts in its turn and stays until the app containers are done.
    Sidecar,
    App,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// As it stands in an event's message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// `None` for an object without name or uid, which no API server sends.
pub fn pod_ref(pod: &Pod) -> Option<PodRef> {
    let meta = &pod.metadata;
    let uid = meta.uid.clone().filter(|uid| is_plain(uid))?;
    Some(PodRef { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid })
}

/// Whether a uid can be the name of a folder and nothing else: folders are made and removed by it.
pub fn is_plain(uid: &str) -> bool {
    !uid.is_empty() && uid.len() <= 128 && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

pub fn restart_policy(spec: &PodSpec) -> RestartPolicy {
    match spec.restart_policy.as_deref() {
        Some("Never") => RestartPolicy::Never,
        Some("OnFailure") => RestartPolicy::OnFailure,
        _ => RestartPolicy::Always,
    }
}

/// All containers in the order in which they start.
pub fn containers(spec: &PodSpec) -> impl Iterator<Item = (Role, &Container)> {
    let init = spec.init_containers.iter().flatten().map(|c| (init_role(c), c));
    init.chain(spec.containers.iter().map(|c| (Role::App, c)))
}

fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

pub fn container<'a>(spec: &'a PodSpec, name: &str) -> Option<&'a Container> {
    containers(spec).map(|(_, c)| c).find(|c| c.name == name)
}

pub fn probe(container: &Container, kind: ProbeKind) -> Option<&Probe> {
    match kind {
        ProbeKind::Startup => container.startup_probe.as_ref(),
        ProbeKind::Liveness => container.liveness_probe.as_ref(),
        ProbeKind::Readiness => container.readiness_probe.as_ref(),
    }
}

/// A hundred years: what is longer is as long. A grace of 2^63 seconds is valid, and more than any clock can be asked to wait.
const SECONDS_MAX: u64 = 100 * 365 * 24 * 3600;

pub fn seconds(value: Option<i64>, default: u64) -> Duration {
    Duration::from_secs(value.map_or(default, |s| u64::try_from(s).unwrap_or(0)).min(SECONDS_MAX))
}

/// How long the pod may take to end when nobody says otherwise.
pub fn spec_grace(spec: &PodSpec) -> Duration {
    seconds(spec.termination_grace_period_seconds, 30)
}

/// The grace that a deletion gave, if the pod is being deleted.
pub fn deletion_grace(pod: &Pod) -> Option<Duration> {
    pod.metadata.deletion_timestamp.as_ref()?;
    Some(seconds(pod.metadata.deletion_grace_period_seconds, 30))
}

/// Whether the API already says that the pod has ended.
pub fn ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// The class that the server wrote.
pub fn qos(pod: &Pod) -> Qos {
    match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
        Some("Guaranteed") => Qos::Guaranteed,
        Some("Burstable") => Qos::Burstable,
        _ => Qos::BestEffort,
    }
}

pub fn has_post_start(container: &Container) -> bool {
    container.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some())
}

pub fn is_privileged(container: &Container) -> bool {
    container.security_context.as_ref().and_then(|s| s.privileged).unwrap_or(false)
}

pub fn host_network(spec: &PodSpec) -> bool {
    spec.host_network.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_seconds_can_be_waited_for() {
        let now = tokio::time::Instant::now();
        for value in [i64::MIN, -1, 0, 30, i64::MAX] {
            assert!(now.checked_add(seconds(Some(value), 0)).is_some(), "{value}");
        }
        assert_eq!(seconds(Some(30), 0), Duration::from_secs(30));
    }
}
