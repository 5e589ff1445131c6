//! Requests and limits, summed up as the kernel is told of them.
use std::collections::BTreeMap;

use irori_api::quantity::Quantity;
use k8s_openapi::{
    api::core::v1::{Container, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Text,
};

use super::facts::{self, Role};
use crate::runtime::{Qos, Resources};

type Amounts = BTreeMap<String, Text>;

fn of(amounts: Option<&Amounts>, name: &str) -> Option<Quantity> {
    amounts?.get(name)?.0.parse().ok()
}

/// Limit and request of one resource of a container; a request that is absent is the limit.
fn limit_and_request(resources: Option<&ResourceRequirements>, name: &str) -> (Option<Quantity>, Option<Quantity>) {
    let limit = resources.and_then(|r| of(r.limits.as_ref(), name));
    let request = resources.and_then(|r| of(r.requests.as_ref(), name)).or(limit);
    (limit, request)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn cpu(container: &Container) -> (Option<u64>, u64) {
    let (limit, request) = limit_and_request(container.resources.as_ref(), "cpu");
    let millis = |q: Quantity| unsigned(q.milli_value());
    (limit.filter(|l| !l.is_zero()).map(millis), request.map_or(0, millis))
}

fn memory(container: &Container) -> (Option<u64>, u64) {
    let (limit, request) = limit_and_request(container.resources.as_ref(), "memory");
    let bytes = |q: Quantity| unsigned(q.value());
    (limit.filter(|l| !l.is_zero()).map(bytes), request.map_or(0, bytes))
}

/// What the machine has, for shares of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    /// Tasks in one pod.
    pub pids_per_pod: Option<u64>,
}

/// For a container's cgroup.
pub fn of_container(container: &Container, qos: Qos, machine: &Machine) -> Resources {
    let ((cpu_limit_millis, cpu_request_millis), (memory_limit_bytes, memory_request)) = (cpu(container), memory(container));
    Resources {
        cpu_request_millis,
        cpu_limit_millis,
        memory_limit_bytes,
        pids_limit: None,
        oom_score_adj: oom_score_adj(qos, memory_request, machine.memory_bytes),
    }
}

/// Who goes first when memory runs out (Kubernetes page "Node-pressure Eviction", table of oom_score_adj).
fn oom_score_adj(qos: Qos, memory_request: u64, memory_bytes: u64) -> i32 {
    match qos {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let share = memory_request.saturating_mul(1000).checked_div(memory_bytes).unwrap_or(0);
            (1000 - i32::try_from(share).unwrap_or(1000)).clamp(2, 999)
        }
    }
}

/// For the pod's cgroup: apps and sidecars together, or the largest init container with the sidecars started before it,
/// whichever is more. Without a limit on every one of them there is none on the pod.
pub fn of_pod(spec: &PodSpec, machine: &Machine) -> Resources {
    let (cpu_limit_millis, cpu_request_millis) = pod_amount(spec, cpu);
    let (memory_limit_bytes, _) = pod_amount(spec, memory);
    Resources { cpu_request_millis, cpu_limit_millis, memory_limit_bytes, pids_limit: machine.pids_per_pod, oom_score_adj: 0 }
}

fn pod_amount(spec: &PodSpec, of: impl Fn(&Container) -> (Option<u64>, u64)) -> (Option<u64>, u64) {
    let plus = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
    let more = |a: Option<u64>, b: Option<u64>| Some(a?.max(b?));
    let (mut beside, mut beside_request) = (Some(0), 0_u64);
    let (mut peak, mut peak_request) = (Some(0), 0_u64);
    for (role, container) in facts::containers(spec) {
        let (limit, request) = of(container);
        match role {
            Role::Init => {
                peak = more(peak, plus(beside, limit));
                peak_request = peak_request.max(beside_request.saturating_add(request));
            }
            Role::Sidecar | Role::App => {
                beside = plus(beside, limit);
                beside_request = beside_request.saturating_add(request);
            }
        }
    }
    (more(beside, peak).filter(|limit| *limit > 0), beside_request.max(peak_request))
}

/// A `resourceFieldRef`: the amount in units of `divisor`, rounded up. What is not limited is what the node has.
pub fn resource_field(container: &Container, resource: &str, divisor: Option<&Text>, machine: &Machine) -> Option<String> {
    let (kind, name) = resource.split_once('.')?;
    let resources = container.resources.as_ref();
    let (limit, request) = limit_and_request(resources, name);
    let amount = match (kind, limit, request) {
        ("limits", Some(limit), _) => Some(limit),
        ("requests", _, request) => request,
        ("limits", None, _) => None,
        _ => return None,
    };
    let divisor: Option<Quantity> = divisor.and_then(|d| d.0.parse().ok()).filter(|d: &Quantity| !d.is_zero());
    let (amount, unit) = match name {
        "cpu" => {
            let all = if kind == "limits" { machine.cpu_millis } else { 0 };
            (amount.map_or(all, |q| unsigned(q.milli_value())), divisor.map_or(1000, |d| unsigned(d.milli_value())))
        }
        "memory" | "ephemeral-storage" => {
            let all = if kind == "limits" && name == "memory" { machine.memory_bytes } else { 0 };
            (amount.map_or(all, |q| unsigned(q.value())), divisor.map_or(1, |d| unsigned(d.value())))
        }
        _ => return None,
    };
    Some(amount.div_ceil(unit.max(1)).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MACHINE: Machine = Machine { cpu_millis: 4000, memory_bytes: 1 << 30, pids_per_pod: None };

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).expect("a spec")
    }

    #[test]
    fn a_pod_is_limited_only_if_all_its_containers_are() {
        let limited = json!({ "name": "a", "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } } });
        let free = json!({ "name": "b", "resources": { "requests": { "cpu": "250m" } } });
        let both = of_pod(&spec(json!({ "containers": [limited, limited] })), &MACHINE);
        assert_eq!(
            (both.memory_limit_bytes, both.cpu_limit_millis, both.cpu_request_millis),
            (Some(128 << 20), Some(1000), 1000)
        );
        let half = of_pod(&spec(json!({ "containers": [limited, free] })), &MACHINE);
        assert_eq!((half.memory_limit_bytes, half.cpu_limit_millis, half.cpu_request_millis), (None, None, 750));
    }

    #[test]
    fn the_largest_init_container_counts_with_the_sidecars_before_it() {
        let with = |name: &str, memory: &str, policy: Option<&str>| json!({ "name": name, "restartPolicy": policy, "resources": { "limits": { "memory": memory, "cpu": "1" } } });
        let pod = spec(json!({
            "initContainers": [with("side", "10Mi", Some("Always")), with("big", "100Mi", None)],
            "containers": [with("app", "20Mi", None)],
        }));
        assert_eq!(of_pod(&pod, &MACHINE).memory_limit_bytes, Some(110 << 20));
    }

    #[test]
    fn resource_fields_round_up_and_fall_back_to_the_node() {
        let container: Container =
            serde_json::from_value(json!({ "name": "a", "resources": { "limits": { "cpu": "1500m" } } })).expect("a container");
        let field =
            |resource: &str, divisor: &str| resource_field(&container, resource, Some(&Text(divisor.to_owned())), &MACHINE);
        assert_eq!(field("limits.cpu", "1").as_deref(), Some("2"));
        assert_eq!(field("limits.cpu", "1m").as_deref(), Some("1500"));
        assert_eq!(field("requests.cpu", "1m").as_deref(), Some("1500"));
        assert_eq!(field("limits.memory", "1Mi").as_deref(), Some("1024"));
        assert_eq!(field("limits.hugepages-2Mi", "1"), None);
    }
}
