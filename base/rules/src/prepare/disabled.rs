//! Fields whose feature a stock server of this version has off: they are taken, and dropped before anything is stored.
//!
//! Upstream's strategies drop them after field management has seen them, so who set one still counts as its manager.
use irori_api::row::Row;
use serde_json::Value;

use crate::{
    template_path,
    tree::{get, get_mut, items_mut, remove},
};

/// Drops them from an object of a kind. `old`: what it was, at an update.
pub fn drop_disabled(row: &Row, object: &mut Value, old: Option<&Value>) {
    let kind = (row.gvk.group.as_str(), row.gvk.kind.as_str());
    let pod = if kind == ("", "Pod") { Some(&[][..]) } else { template_path(row) };
    let was_in_group = old.zip(pod).and_then(|(old, path)| get(get(old, path)?, &["spec", "schedulingGroup"])).is_some();
    if let Some(pod) = pod.and_then(|path| get_mut(object, path)) {
        if !was_in_group {
            remove(pod, &["spec", "schedulingGroup"]);
        }
        for list in ["containers", "initContainers", "ephemeralContainers"] {
            for container in items_mut(pod, &["spec", list]) {
                remove(container, &["lifecycle", "stopSignal"]);
            }
        }
    }
    match kind {
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
