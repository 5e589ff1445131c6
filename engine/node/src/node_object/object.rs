//! The Node object as it should be. Pure.
use std::collections::BTreeMap;

use irori_runtime::Timestamp;
use k8s_openapi::{
    api::core::v1::{
        DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{ObjectMeta, Time},
    },
};
use serde_json::{Value, json};

use super::capacity::{Capacity, Machine, Pressure};
use crate::{runtime::RuntimeVersion, settings::Settings};

/// What is known now.
#[derive(Clone, Debug)]
pub struct Facts {
    pub capacity: Capacity,
    pub machine: Machine,
    pub pressure: Pressure,
    pub runtime: Option<RuntimeVersion>,
    /// Why pods cannot be started; `None` if they can.
    pub not_ready: Option<String>,
    pub now: Timestamp,
}

pub fn labels(settings: &Settings, machine: &Machine) -> BTreeMap<String, String> {
    let own = [
        ("kubernetes.io/hostname", settings.hostname.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", machine.architecture),
        ("beta.kubernetes.io/os", "linux"),
        ("beta.kubernetes.io/arch", machine.architecture),
    ];
    let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.chain(settings.labels.iter().cloned()).collect()
}

/// For registration. The status goes with it.
pub fn fresh(settings: &Settings, facts: &Facts) -> Node {
    let taint = |(key, value, effect): &(String, String, String)| Taint {
        key: key.clone(),
        value: Some(value.clone()).filter(|value| !value.is_empty()),
        effect: effect.clone(),
        time_added: None,
    };
    let taints: Vec<Taint> = settings.taints.iter().map(taint).collect();
    Node {
        metadata: ObjectMeta {
            name: Some(settings.name.clone()),
            labels: Some(labels(settings, &facts.machine)),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec { taints: (!taints.is_empty()).then_some(taints), ..NodeSpec::default() }),
        status: Some(status(settings, facts, &[])),
    }
}

/// `written` are the conditions that stand in the API: what has not changed keeps its time.
pub fn status(settings: &Settings, facts: &Facts, written: &[NodeCondition]) -> NodeStatus {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let mut addresses: Vec<NodeAddress> = settings.addresses.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    addresses.push(address("Hostname", settings.hostname.clone()));
    let machine = &facts.machine;
    let runtime = facts.runtime.as_ref().map_or_else(String::new, |r| format!("{}://{}", r.name, r.version));
    NodeStatus {
        addresses: Some(addresses),
        capacity: Some(amounts(settings, &facts.capacity, 0, 0)),
        allocatable: Some(amounts(settings, &facts.capacity, settings.reserved_cpu_millis, settings.reserved_memory_bytes)),
        conditions: Some(conditions(facts, written)),
        daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(DaemonEndpoint { port: settings.port.into() }) }),
        node_info: Some(NodeSystemInfo {
            architecture: machine.architecture.to_owned(),
            boot_id: machine.boot_id.clone(),
            container_runtime_version: runtime,
            kernel_version: machine.kernel.clone(),
            kube_proxy_version: String::new(),
            kubelet_version: settings.version.clone(),
            machine_id: machine.machine_id.clone(),
            operating_system: "linux".to_owned(),
            os_image: machine.os_image.clone(),
            system_uuid: machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }),
        ..NodeStatus::default()
    }
}

fn amounts(settings: &Settings, all: &Capacity, kept_cpu: u64, kept_memory: u64) -> BTreeMap<String, Quantity> {
    let cpu = all.cpu_millis.saturating_sub(kept_cpu);
    let cpu = if cpu.is_multiple_of(1000) { (cpu / 1000).to_string() } else { format!("{cpu}m") };
    let ki = |bytes: u64| format!("{}Ki", bytes / 1024);
    let pairs = [
        ("cpu", cpu),
        ("memory", ki(all.memory_bytes.saturating_sub(kept_memory))),
        ("ephemeral-storage", ki(all.disk_bytes)),
        ("pods", settings.pods_max.to_string()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value))).collect()
}

fn conditions(facts: &Facts, written: &[NodeCondition]) -> Vec<NodeCondition> {
    let now = Time(Timestamp::from_second(facts.now.as_second()).unwrap_or(facts.now));
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        let status = if status { "True" } else { "False" };
        let before = written.iter().find(|c| c.type_ == kind && c.status == status);
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(now.clone()),
            last_transition_time: before.and_then(|c| c.last_transition_time.clone()).or_else(|| Some(now.clone())),
        }
    };
    let pressure = |kind: &str, short: bool, yes: &str, no: &str, what: &str| {
        let message = format!("node has {}{what}", if short { "insufficient " } else { "sufficient " });
        condition(kind, short, if short { yes } else { no }, &message)
    };
    let p = facts.pressure;
    vec![
        pressure("MemoryPressure", p.memory, "NodeHasInsufficientMemory", "NodeHasSufficientMemory", "memory available"),
        pressure("DiskPressure", p.disk, "NodeHasDiskPressure", "NodeHasNoDiskPressure", "disk space"),
        pressure("PIDPressure", p.pids, "NodeHasInsufficientPID", "NodeHasSufficientPID", "PIDs available"),
        match &facts.not_ready {
            None => condition("Ready", true, "KubeletReady", "node is ready to run pods"),
            Some(why) => condition("Ready", false, "KubeletNotReady", why),
        },
    ]
}

/// Whether the object says the same already; times of heartbeats do not count.
pub fn is_written(node: &Node, wanted: &NodeStatus) -> bool {
    let Some(status) = &node.status else { return false };
    let same = |c: &NodeCondition| {
        status
            .conditions
            .iter()
            .flatten()
            .any(|w| w.type_ == c.type_ && w.status == c.status && w.reason == c.reason && w.message == c.message)
    };
    // The server writes quantities in its own form.
    let amounts = |map: &Option<BTreeMap<String, Quantity>>| -> Vec<Option<i64>> {
        let of = |name| {
            map.as_ref().and_then(|m| m.get(name)).and_then(|q: &Quantity| q.0.parse::<irori_api::quantity::Quantity>().ok())
        };
        ["cpu", "memory", "ephemeral-storage", "pods"].map(|name| of(name).map(|q| q.milli_value())).to_vec()
    };
    status.addresses == wanted.addresses
        && amounts(&status.capacity) == amounts(&wanted.capacity)
        && amounts(&status.allocatable) == amounts(&wanted.allocatable)
        && status.daemon_endpoints == wanted.daemon_endpoints
        && status.node_info == wanted.node_info
        && wanted.conditions.iter().flatten().all(same)
}

/// A strategic merge patch of the status.
pub fn patch(wanted: &NodeStatus) -> Value {
    let mut status = serde_json::to_value(wanted).unwrap_or_default();
    // Addresses merge by type, and a node may have two of one type.
    if let Some(list) = status["addresses"].as_array_mut() {
        list.insert(0, json!({ "$patch": "replace" }));
    }
    json!({ "status": status })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(now: i64, not_ready: Option<&str>) -> Facts {
        Facts {
            capacity: Capacity { cpu_millis: 4000, memory_bytes: 8 << 30, disk_bytes: 64 << 30 },
            machine: Machine { architecture: "amd64", ..Machine::default() },
            pressure: Pressure { memory: false, disk: true, pids: false },
            runtime: Some(RuntimeVersion { name: "containerd".into(), version: "1.6.20".into(), api_version: "v1".into() }),
            not_ready: not_ready.map(str::to_owned),
            now: Timestamp::from_second(now).expect("in range"),
        }
    }

    fn condition(status: &NodeStatus, kind: &str) -> (String, i64) {
        let found = status.conditions.iter().flatten().find(|c| c.type_ == kind).expect("there");
        (found.status.clone(), found.last_transition_time.as_ref().expect("a time").0.as_second())
    }

    #[test]
    fn a_node_says_what_it_has_and_keeps_back_what_is_reserved() {
        let node = fresh(&crate::settings::for_tests(), &facts(100, None));
        let status = node.status.expect("a status");
        let of = |map: &Option<BTreeMap<String, Quantity>>, name: &str| map.as_ref().expect("there")[name].0.clone();
        assert_eq!((of(&status.capacity, "cpu"), of(&status.allocatable, "cpu")), ("4".to_owned(), "3500m".to_owned()));
        assert_eq!(of(&status.allocatable, "memory"), format!("{}Ki", 8 << 20));
        assert_eq!((condition(&status, "Ready").0.as_str(), condition(&status, "DiskPressure").0.as_str()), ("True", "True"));
        assert_eq!(status.node_info.expect("info").container_runtime_version, "containerd://1.6.20");
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_changes_and_heartbeats_alone_are_not_written() {
        let settings = crate::settings::for_tests();
        let first = status(&settings, &facts(100, None), &[]);
        let written = first.conditions.clone().expect("conditions");
        let later = status(&settings, &facts(200, None), &written);
        assert_eq!(condition(&later, "Ready"), ("True".to_owned(), 100));
        let node = Node { status: Some(first), ..Node::default() };
        assert!(is_written(&node, &later));
        let worse = status(&settings, &facts(300, Some("containerd is away")), &written);
        assert_eq!(condition(&worse, "Ready"), ("False".to_owned(), 300));
        assert!(!is_written(&node, &worse));
    }
}
