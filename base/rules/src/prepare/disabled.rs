//! Fields whose feature a stock server of this version has off: they are taken, and dropped before anything is stored.
//!
//! Upstream's strategies drop them after field management has seen them, so who set one still counts as its manager.
use serde_json::Value;

use crate::tree::{get_mut, items_mut, remove};

/// Where the pod spec of a kind lies.
fn pod_spec(group: &str, kind: &str) -> Option<&'static [&'static str]> {
    Some(match (group, kind) {
        ("", "Pod") => &["spec"],
        ("", "PodTemplate") => &["template", "spec"],
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => &["spec", "template", "spec"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return None,
    })
}

/// Drops them from an object of a kind.
pub fn drop_disabled(group: &str, kind: &str, object: &mut Value) {
    if let Some(spec) = pod_spec(group, kind).and_then(|path| get_mut(object, path)) {
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for container in items_mut(spec, &[list]) {
                remove(container, &["lifecycle", "stopSignal"]);
            }
        }
    }
    match (group, kind) {
        ("apps", "StatefulSet") => drop(remove(object, &["spec", "updateStrategy", "rollingUpdate", "maxUnavailable"])),
        ("storage.k8s.io", "CSIDriver") => drop(remove(object, &["spec", "preventPodSchedulingIfMissing"])),
        ("discovery.k8s.io", "EndpointSlice") => {
            for endpoint in items_mut(object, &["endpoints"]) {
                remove(endpoint, &["deprecatedTopology"]);
            }
        }
        _ => {}
    }
}
