//! HorizontalPodAutoscaler: v1 knows one target for cpu; everything else of v2 is kept in annotations.
use serde_json::{Map, Value, json};

use crate::tree::{get, int, items, map, remove, set, text};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// A metric by the field that holds it, in both versions.
const SOURCES: &[&str] = &["resource", "containerResource", "pods", "object", "external"];

/// Fields of what is noted, each behind those that stand before it wherever both are.
const FIELDS: &[&str] = &[
    "type",
    "status",
    "lastTransitionTime",
    "reason",
    "message",
    "object",
    "pods",
    "resource",
    "containerResource",
    "external",
    "target",
    "kind",
    "name",
    "apiVersion",
    "metricName",
    "metricSelector",
    "targetValue",
    "currentValue",
    "targetAverageUtilization",
    "currentAverageUtilization",
    "targetAverageValue",
    "currentAverageValue",
    "selector",
    "averageValue",
    "container",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "scaleUp",
    "scaleDown",
    "stabilizationWindowSeconds",
    "selectPolicy",
    "policies",
    "tolerance",
    "value",
    "periodSeconds",
];

pub fn to_v1(object: &mut Value) {
    let (mut cpu, mut others) = (None, Vec::new());
    for metric in items(object, &["spec", "metrics"]) {
        match int(metric, &["resource", "target", "averageUtilization"]) {
            // A second target for cpu is kept nowhere.
            Some(percent) if text(metric, &["resource", "name"]) == "cpu" => cpu = cpu.or(Some(percent)),
            _ => others.push(metric_to_v1(metric, "target")),
        }
    }
    let (mut used, mut currents) = (None, Vec::new());
    for metric in items(object, &["status", "currentMetrics"]) {
        let percent = int(metric, &["resource", "current", "averageUtilization"]);
        if let (Some(percent), true) = (percent, text(metric, &["resource", "name"]) == "cpu" && used.is_none()) {
            used = Some(percent);
        }
        currents.push(metric_to_v1(metric, "current"));
    }
    let conditions = items(object, &["status", "conditions"]).to_vec();
    let behavior = remove(object, &["spec", "behavior"]);
    remove(object, &["spec", "metrics"]);
    remove(object, &["status", "currentMetrics"]);
    remove(object, &["status", "conditions"]);
    if let Some(percent) = cpu {
        set(object, &["spec", "targetCPUUtilizationPercentage"], percent);
    }
    if let Some(percent) = used {
        set(object, &["status", "currentCPUUtilizationPercentage"], percent);
    }
    note(object, METRICS, (!others.is_empty()).then_some(Value::Array(others)));
    note(object, CURRENT, (!currents.is_empty()).then_some(Value::Array(currents)));
    note(object, CONDITIONS, (!conditions.is_empty()).then_some(Value::Array(conditions)));
    note(object, BEHAVIOR, behavior);
    // v1 always writes the current number.
    crate::tree::set_if_absent(object, &["status", "currentReplicas"], 0);
}

fn note(object: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        let mut text = String::new();
        write(&value, false, &mut text);
        set(object, &["metadata", "annotations", key], text);
    }
}

/// JSON as a stock server writes it here: fields in the order of the API reference, keys of labels by name.
fn write(value: &Value, labels: bool, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let place = |name: &str| FIELDS.iter().position(|field| *field == name && !labels).unwrap_or(FIELDS.len());
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| (place(name), *name));
            out.push('{');
            for (i, (name, value)) in fields.into_iter().enumerate() {
                let comma = if i == 0 { "" } else { "," };
                out.push_str(&format!("{comma}{}:", Value::from(name.as_str())));
                write(value, name == "matchLabels", out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, false, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

pub fn to_v2(object: &mut Value) {
    let percent = remove(object, &["spec", "targetCPUUtilizationPercentage"]);
    let used = remove(object, &["status", "currentCPUUtilizationPercentage"]);
    let noted = |object: &mut Value, key: &str| -> Option<Value> {
        let text = remove(object, &["metadata", "annotations", key])?;
        serde_json::from_str(text.as_str()?).ok()
    };
    let others = noted(object, METRICS);
    let mut currents: Vec<Value> = match noted(object, CURRENT) {
        Some(Value::Array(list)) => list.iter().map(|m| metric_to_v2(m, "current")).collect(),
        _ => Vec::new(),
    };
    let conditions = noted(object, CONDITIONS);
    let behavior = noted(object, BEHAVIOR);
    if map(object, &["metadata", "annotations"]).is_some_and(Map::is_empty) {
        remove(object, &["metadata", "annotations"]);
    }
    // What v1 says itself comes last.
    let mut metrics: Vec<Value> = match others {
        Some(Value::Array(list)) => list.iter().map(|m| metric_to_v2(m, "target")).collect(),
        _ => Vec::new(),
    };
    if let Some(percent) = percent {
        let target = json!({"type": "Utilization", "averageUtilization": percent});
        metrics.push(json!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    let told = currents.iter().any(|m| text(m, &["resource", "name"]) == "cpu");
    if let (Some(percent), false) = (used, told) {
        currents.insert(0, json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}}));
    }
    if !metrics.is_empty() {
        set(object, &["spec", "metrics"], metrics);
    }
    if let Some(behavior @ Value::Object(_)) = behavior {
        set(object, &["spec", "behavior"], behavior);
    }
    set(object, &["status", "currentMetrics"], if currents.is_empty() { Value::Null } else { Value::Array(currents) });
    if let Some(conditions @ Value::Array(_)) = conditions {
        set(object, &["status", "conditions"], conditions);
    }
    // v2 leaves out a current number of zero.
    if int(object, &["status", "currentReplicas"]) == Some(0) {
        remove(object, &["status", "currentReplicas"]);
    }
}

/// The names of a v1 metric source's values, by what they are in v2 (`target` in specs, `current` in statuses).
fn value_names(source: &str, side: &str) -> [(&'static str, &'static str); 3] {
    match (side, source) {
        ("target", "object") => [("value", "targetValue"), ("averageValue", "averageValue"), ("averageUtilization", "")],
        ("target", _) => {
            [("value", "targetValue"), ("averageValue", "targetAverageValue"), ("averageUtilization", "targetAverageUtilization")]
        }
        (_, "object") => [("value", "currentValue"), ("averageValue", "averageValue"), ("averageUtilization", "")],
        _ => [
            ("value", "currentValue"),
            ("averageValue", "currentAverageValue"),
            ("averageUtilization", "currentAverageUtilization"),
        ],
    }
}

/// The name of the metric and its selector in v1.
fn metric_names(source: &str) -> (&'static str, &'static str) {
    if source == "external" { ("metricName", "metricSelector") } else { ("metricName", "selector") }
}

fn metric_to_v1(metric: &Value, side: &str) -> Value {
    let mut out = json!({"type": text(metric, &["type"])});
    for source in SOURCES {
        let Some(old) = get(metric, &[source]) else { continue };
        let mut new = Map::new();
        let (name, selector) = metric_names(source);
        for (from, to) in [(["metric", "name"], name), (["metric", "selector"], selector)] {
            if let Some(value) = get(old, &from) {
                new.insert(to.to_owned(), value.clone());
            }
        }
        for (from, to) in [("name", "name"), ("container", "container"), ("describedObject", "target")] {
            if let Some(value) = get(old, &[from]) {
                new.insert(to.to_owned(), value.clone());
            }
        }
        for (from, to) in value_names(source, side) {
            if let (Some(value), false) = (get(old, &[side, from]), to.is_empty()) {
                new.insert(to.to_owned(), value.clone());
            }
        }
        set(&mut out, &[source], Value::Object(new));
    }
    out
}

fn metric_to_v2(metric: &Value, side: &str) -> Value {
    let mut out = json!({"type": text(metric, &["type"])});
    for source in SOURCES {
        let Some(old) = get(metric, &[source]) else { continue };
        let mut new = json!({});
        let (name, selector) = metric_names(source);
        for (from, to) in [(name, ["metric", "name"]), (selector, ["metric", "selector"])] {
            if let Some(value) = get(old, &[from]) {
                set(&mut new, &to, value.clone());
            }
        }
        for (from, to) in [("name", "name"), ("container", "container"), ("target", "describedObject")] {
            if let Some(value) = get(old, &[from]) {
                set(&mut new, &[to], value.clone());
            }
        }
        let mut kind = "";
        for ((to, from), as_type) in value_names(source, side).into_iter().zip(["Value", "AverageValue", "Utilization"]) {
            if let (Some(value), false) = (get(old, &[from]), from.is_empty()) {
                set(&mut new, &[side, to], value.clone());
                kind = as_type;
            }
        }
        if side == "target" && !kind.is_empty() {
            set(&mut new, &[side, "type"], kind);
        }
        set(&mut out, &[source], new);
    }
    out
}
