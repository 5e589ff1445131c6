//! The row of a pod: what its containers are doing, in one word.
use hashbrown::HashSet;

use serde_json::{Value, json};

use super::{Shown, age};
use crate::tree::{flag, get, int, items, text};

pub fn cells(shown: Shown<'_>) -> Vec<Value> {
    let pod = shown.object;
    let told = tell(pod);
    let restarts = match told.last_restart {
        Some(at) if told.restarts != 0 => {
            format!("{} ({} ago)", told.restarts, age::human_duration(shown.now_s.saturating_sub(at)))
        }
        _ => told.restarts.to_string(),
    };
    let gates = items(pod, &["spec", "readinessGates"]);
    let open = gates.iter().filter(|gate| condition(pod, text(gate, &["conditionType"])) == "True").count();
    let ip = items(pod, &["status", "podIPs"]).first().map_or("", |ip| text(ip, &["ip"]));
    vec![
        shown.name(),
        format!("{}/{}", told.ready, told.total).into(),
        told.reason.into(),
        restarts.into(),
        shown.age(),
        if ip.is_empty() { "<none>" } else { ip }.into(),
        shown.or(&["spec", "nodeName"], "<none>"),
        shown.or(&["status", "nominatedNodeName"], "<none>"),
        if gates.is_empty() { "<none>".into() } else { format!("{open}/{}", gates.len()).into() },
    ]
}

/// A pod that has ended is no more than a record.
pub fn conditions(pod: &Value) -> Option<Value> {
    let phase = text(pod, &["status", "phase"]);
    let message = match phase {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": phase, "message": message}]))
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    items(object, &["status", "conditions"]).iter().find(|c| text(c, &["type"]) == kind).map_or("", |c| text(c, &["status"]))
}

struct Told {
    reason: String,
    ready: i64,
    total: usize,
    restarts: i64,
    last_restart: Option<i64>,
}

/// Restarts of some containers and when the last one was.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<i64>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += int(status, &["restartCount"]).unwrap_or(0);
        let last = crate::scalar::seconds(text(status, &["lastState", "terminated", "finishedAt"]));
        self.last = self.last.max(last);
    }
}

fn tell(pod: &Value) -> Told {
    let phase = text(pod, &["status", "phase"]);
    let mut reason = match text(pod, &["status", "reason"]) {
        "" => phase.to_owned(),
        reason => reason.to_owned(),
    };
    if items(pod, &["status", "conditions"])
        .iter()
        .any(|c| text(c, &["type"]) == "PodScheduled" && text(c, &["reason"]) == "SchedulingGated")
    {
        reason = "SchedulingGated".into();
    }
    let init_specs = items(pod, &["spec", "initContainers"]);
    let always = init_specs.iter().filter(|c| text(c, &["restartPolicy"]) == "Always");
    let sidecars_of_spec: HashSet<&str> = always.map(|c| text(c, &["name"])).collect();
    let total =
        items(pod, &["spec", "containers"]).len() + init_specs.iter().filter(|c| text(c, &["restartPolicy"]) == "Always").count();

    let (mut ready, mut all, mut sidecars) = (0, Restarts::default(), Restarts::default());
    let mut initializing = false;
    for (i, status) in items(pod, &["status", "initContainerStatuses"]).iter().enumerate() {
        all.add(status);
        let beside = sidecars_of_spec.contains(text(status, &["name"]));
        if beside {
            sidecars.add(status);
        }
        let terminated = get(status, &["state", "terminated"]);
        if terminated.is_some_and(|t| int(t, &["exitCode"]).unwrap_or(0) == 0) {
            continue;
        }
        if beside && flag(status, &["started"]) {
            ready += i64::from(flag(status, &["ready"]));
            continue;
        }
        let waiting = text(status, &["state", "waiting", "reason"]);
        reason = match terminated {
            Some(ended) => format!("Init:{}", ending(ended)),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{i}/{}", init_specs.len()),
        };
        initializing = true;
        break;
    }
    if !initializing || condition(pod, "Initialized") == "True" {
        all = sidecars;
        let mut running = false;
        for status in items(pod, &["status", "containerStatuses"]).iter().rev() {
            all.add(status);
            let waiting = text(status, &["state", "waiting", "reason"]);
            if !waiting.is_empty() {
                reason = waiting.to_owned();
            } else if let Some(ended) = get(status, &["state", "terminated"]) {
                reason = ending(ended);
            } else if flag(status, &["ready"]) && get(status, &["state", "running"]).is_some() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            reason = if condition(pod, "Ready") == "True" { "Running" } else { "NotReady" }.into();
        }
    }
    if get(pod, &["metadata", "deletionTimestamp"]).is_some() {
        if text(pod, &["status", "reason"]) == "NodeLost" {
            reason = "Unknown".into();
        } else if !matches!(phase, "Failed" | "Succeeded") {
            reason = "Terminating".into();
        }
    }
    Told { reason, ready, total, restarts: all.count, last_restart: all.last }
}

/// How a container ended.
fn ending(terminated: &Value) -> String {
    match (text(terminated, &["reason"]), int(terminated, &["signal"]).unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", int(terminated, &["exitCode"]).unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}
