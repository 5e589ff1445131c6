//! Rows of workloads and what scales them.
use serde_json::Value;

use super::{Shown, age, containers, labels, selector};
use crate::tree::{get, int, items, text};

pub fn cells(group: &str, kind: &str, s: Shown<'_>) -> Option<Vec<Value>> {
    let n = |path: &[&str]| int(s.object, path).unwrap_or(0);
    let [names, images] = containers(s.at(&["spec", "template", "spec"]));
    Some(match (group, kind) {
        ("", "ReplicationController") => vec![
            s.name(),
            s.count(&["spec", "replicas"]),
            s.count(&["status", "replicas"]),
            s.count(&["status", "readyReplicas"]),
            s.age(),
            names,
            images,
            labels(s.at(&["spec", "selector"])),
        ],
        ("", "PodTemplate") => {
            let [names, images] = containers(s.at(&["template", "spec"]));
            vec![s.name(), names, images, labels(s.at(&["template", "metadata", "labels"]))]
        }
        ("apps", "Deployment") => vec![
            s.name(),
            format!("{}/{}", n(&["status", "readyReplicas"]), n(&["spec", "replicas"])).into(),
            s.count(&["status", "updatedReplicas"]),
            s.count(&["status", "availableReplicas"]),
            s.age(),
            names,
            images,
            selector(s.at(&["spec", "selector"])),
        ],
        ("apps", "ReplicaSet") => vec![
            s.name(),
            s.count(&["spec", "replicas"]),
            s.count(&["status", "replicas"]),
            s.count(&["status", "readyReplicas"]),
            s.age(),
            names,
            images,
            selector(s.at(&["spec", "selector"])),
        ],
        ("apps", "StatefulSet") => {
            vec![
                s.name(),
                format!("{}/{}", n(&["status", "readyReplicas"]), n(&["spec", "replicas"])).into(),
                s.age(),
                names,
                images,
            ]
        }
        ("apps", "DaemonSet") => vec![
            s.name(),
            s.count(&["status", "desiredNumberScheduled"]),
            s.count(&["status", "currentNumberScheduled"]),
            s.count(&["status", "numberReady"]),
            s.count(&["status", "updatedNumberScheduled"]),
            s.count(&["status", "numberAvailable"]),
            labels(s.at(&["spec", "template", "spec", "nodeSelector"])),
            s.age(),
            names,
            images,
            selector(s.at(&["spec", "selector"])),
        ],
        ("apps", "ControllerRevision") => vec![s.name(), controller(s.object).into(), s.count(&["revision"]), s.age()],
        ("batch", "Job") => job(s, names, images),
        ("batch", "CronJob") => {
            let [names, images] = containers(s.at(&["spec", "jobTemplate", "spec", "template", "spec"]));
            let suspend = match s.at(&["spec", "suspend"]).and_then(Value::as_bool) {
                None => "<unset>",
                Some(true) => "True",
                Some(false) => "False",
            };
            vec![
                s.name(),
                s.text(&["spec", "schedule"]).into(),
                s.or(&["spec", "timeZone"], "<none>"),
                suspend.into(),
                s.len(&["status", "active"]).into(),
                if s.text(&["status", "lastScheduleTime"]).is_empty() {
                    "<none>".into()
                } else {
                    s.since(&["status", "lastScheduleTime"])
                },
                s.age(),
                names,
                images,
                selector(s.at(&["spec", "jobTemplate", "spec", "selector"])),
            ]
        }
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(s),
        ("policy", "PodDisruptionBudget") => {
            let amount = |field: &str| match s.at(&["spec", field]) {
                None => "N/A".into(),
                Some(Value::String(text)) => text.clone().into(),
                Some(number) => Value::from(number.to_string()),
            };
            vec![s.name(), amount("minAvailable"), amount("maxUnavailable"), s.count(&["status", "disruptionsAllowed"]), s.age()]
        }
        _ => return None,
    })
}

fn controller(object: &Value) -> String {
    let owner = items(object, &["metadata", "ownerReferences"]).iter().find(|o| crate::tree::flag(o, &["controller"]));
    let Some(owner) = owner else { return "<none>".into() };
    let group = text(owner, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
    let kind = text(owner, &["kind"]).to_lowercase();
    let name = text(owner, &["name"]);
    if group.is_empty() { format!("{kind}/{name}") } else { format!("{kind}.{group}/{name}") }
}

fn job(s: Shown<'_>, names: Value, images: Value) -> Vec<Value> {
    let has = |kind: &str| {
        items(s.object, &["status", "conditions"]).iter().any(|c| text(c, &["type"]) == kind && text(c, &["status"]) == "True")
    };
    let status = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if s.at(&["metadata", "deletionTimestamp"]).is_some() {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let succeeded = int(s.object, &["status", "succeeded"]).unwrap_or(0);
    let completions = match (int(s.object, &["spec", "completions"]), int(s.object, &["spec", "parallelism"]).unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let time = |field: &str| crate::scalar::seconds(s.text(&["status", field]));
    let duration = match (time("startTime"), time("completionTime")) {
        (None, _) => String::new(),
        (Some(start), None) => age::human_duration(s.now_s.saturating_sub(start)),
        (Some(start), Some(end)) => age::human_duration(end.saturating_sub(start)),
    };
    vec![
        s.name(),
        status.into(),
        completions.into(),
        duration.into(),
        s.age(),
        names,
        images,
        selector(s.at(&["spec", "selector"])),
    ]
}

fn autoscaler(s: Shown<'_>) -> Vec<Value> {
    let reference = format!("{}/{}", s.text(&["spec", "scaleTargetRef", "kind"]), s.text(&["spec", "scaleTargetRef", "name"]));
    let min = s.at(&["spec", "minReplicas"]).and_then(Value::as_i64).map_or_else(|| "<unset>".to_owned(), |n| n.to_string());
    vec![
        s.name(),
        reference.into(),
        targets(s.object).into(),
        min.into(),
        s.count(&["spec", "maxReplicas"]),
        s.count(&["status", "currentReplicas"]),
        s.age(),
    ]
}

/// Each metric as `name: current/target`; the first two, and how many more.
fn targets(object: &Value) -> String {
    let current = items(object, &["status", "currentMetrics"]);
    let mut told: Vec<String> = Vec::new();
    for (i, metric) in items(object, &["spec", "metrics"]).iter().enumerate() {
        let kind = text(metric, &["type"]);
        let field = match kind {
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            "Pods" => "pods",
            "Object" => "object",
            "External" => "external",
            _ => {
                told.push("<unknown type>".into());
                continue;
            }
        };
        let now = |value: &str| {
            let found = current.get(i).and_then(|m| get(m, &[field, "current", value]));
            found.map_or_else(|| "<unknown>".to_owned(), |v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
        };
        let name = text(metric, &[field, "name"]);
        let prefix = if name.is_empty() { String::new() } else { format!("{name}: ") };
        let target = |value: &str| get(metric, &[field, "target", value]);
        told.push(if let Some(percent) = target("averageUtilization").and_then(Value::as_i64) {
            let now = now("averageUtilization");
            let now = if now == "<unknown>" { now } else { format!("{now}%") };
            format!("{prefix}{now}/{percent}%")
        } else if let Some(average) = target("averageValue").and_then(Value::as_str) {
            let mark = if field == "external" || field == "object" { " (avg)" } else { "" };
            format!("{prefix}{}/{average}{mark}", now("averageValue"))
        } else {
            format!("{prefix}{}/{}", now("value"), target("value").and_then(Value::as_str).unwrap_or("<unknown>"))
        });
    }
    if told.is_empty() {
        return "<none>".into();
    }
    let shown = told[..told.len().min(2)].join(", ");
    if told.len() > 2 { format!("{shown} + {} more...", told.len() - 2) } else { shown }
}
