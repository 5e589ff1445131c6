//! What a node's state means: taints, conditions of a silent node, pods that have to leave
//! (https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller).
use std::time::Duration;

use k8s_openapi::{
    api::core::v1::{Node, NodeCondition, Pod, Taint, Toleration},
    jiff::{SignedDuration, Timestamp},
};

use crate::pods::stamp;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// Conditions that, when True, keep new pods away.
const PRESSURES: [(&str, &str); 4] = [
    ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "node.kubernetes.io/disk-pressure"),
    ("PIDPressure", "node.kubernetes.io/pid-pressure"),
    ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
];
/// Conditions that only the node itself can know.
const FROM_NODE: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// Readiness as the node said it, or as its silence says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    NotReady,
    Unknown,
}

pub fn readiness(node: &Node) -> Readiness {
    match condition(node, "Ready").map(|condition| condition.status.as_str()) {
        Some("True") => Readiness::Ready,
        Some("Unknown") => Readiness::Unknown,
        Some(_) | None => Readiness::NotReady,
    }
}

fn condition<'a>(node: &'a Node, r#type: &str) -> Option<&'a NodeCondition> {
    node.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == r#type)
}

/// The conditions that have to turn Unknown because the node has been silent; empty: none.
pub fn silenced(node: &Node, silent_for: Duration, grace: Duration, now: Timestamp) -> Vec<NodeCondition> {
    if silent_for < grace {
        return Vec::new();
    }
    let unknown = |r#type: &&str| {
        let old = condition(node, r#type);
        if old.is_some_and(|old| old.status == "Unknown") {
            return None;
        }
        let (reason, message) = match old {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        Some(NodeCondition {
            type_: (*r#type).to_owned(),
            status: "Unknown".to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: old.and_then(|old| old.last_heartbeat_time.clone()),
            last_transition_time: Some(stamp(now)),
        })
    };
    FROM_NODE.iter().filter_map(unknown).collect()
}

/// The node's taints as they have to be; `None`: they are. `others_ready`: some node is ready. Where none is, the trouble is not the
/// node's alone, and nothing is driven out.
pub fn taints(node: &Node, others_ready: bool, now: Timestamp) -> Option<Vec<Taint>> {
    let present = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    match readiness(node) {
        Readiness::Ready => {}
        Readiness::NotReady => wanted.push((NOT_READY, "NoSchedule")),
        Readiness::Unknown => wanted.push((UNREACHABLE, "NoSchedule")),
    }
    if others_ready {
        match readiness(node) {
            Readiness::Ready => {}
            Readiness::NotReady => wanted.push((NOT_READY, "NoExecute")),
            Readiness::Unknown => wanted.push((UNREACHABLE, "NoExecute")),
        }
    }
    for (r#type, key) in PRESSURES {
        if condition(node, r#type).is_some_and(|condition| condition.status == "True") {
            wanted.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    let ours = |taint: &Taint| {
        let life = [NOT_READY, UNREACHABLE].contains(&taint.key.as_str()) && taint.effect != "PreferNoSchedule";
        let state = PRESSURES.iter().any(|(_, key)| *key == taint.key) || taint.key == UNSCHEDULABLE;
        life || state && taint.effect == "NoSchedule"
    };
    let is_wanted = |taint: &Taint| wanted.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect);
    let mut taints: Vec<Taint> = present.iter().filter(|taint| !ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in &wanted {
        if !taints.iter().any(|taint| taint.key == *key && taint.effect == *effect) {
            let time_added = (*effect == "NoExecute" || *key == UNSCHEDULABLE).then(|| stamp(now));
            taints.push(Taint { key: (*key).to_owned(), effect: (*effect).to_owned(), value: None, time_added });
        }
    }
    (taints != present).then_some(taints)
}

/// When a pod has to leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Now,
    At(Timestamp),
    Never,
}

/// By the node's NoExecute taints and the pod's tolerations: the shortest toleration decides.
pub fn leave(node: &Node, pod: &Pod, now: Timestamp) -> Leave {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten()).filter(|taint| taint.effect == "NoExecute");
    let none = Vec::new();
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_ref()).unwrap_or(&none);
    let mut at: Option<Timestamp> = None;
    for taint in taints {
        let mut fitting = tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
        if fitting.peek().is_none() {
            return Leave::Now;
        }
        let Some(seconds) = fitting.filter_map(|toleration| toleration.toleration_seconds).min() else { continue };
        let since = taint.time_added.as_ref().map_or(now, |time| time.0);
        let until = since.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX);
        at = Some(at.map_or(until, |at| at.min(until)));
    }
    match at {
        None => Leave::Never,
        Some(at) if at <= now => Leave::Now,
        Some(at) => Leave::At(at),
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    fn said(text: &Option<String>) -> Option<&str> {
        text.as_deref().filter(|text| !text.is_empty())
    }
    let key = said(&toleration.key);
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok());
    let value = match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => key.is_some() && said(&toleration.value) == said(&taint.value),
        Some("Gt") => matches!((number(&taint.value), number(&toleration.value)), (Some(have), Some(bound)) if have > bound),
        Some("Lt") => matches!((number(&taint.value), number(&toleration.value)), (Some(have), Some(bound)) if have < bound),
        Some(_) => false,
    };
    value && said(&toleration.effect).is_none_or(|effect| effect == taint.effect) && key.is_none_or(|key| key == taint.key)
}

#[cfg(test)]
mod tests;
