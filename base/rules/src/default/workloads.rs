//! Defaults of apps, batch and autoscaling.
use serde_json::{Map, Value, json};

use super::{blank, child, has, is, objects, or, or_pointer};

pub fn by_code(name: &str, o: &mut Map<String, Value>) {
    match name {
        "api.apps.v1.DeploymentSpec" => deployment(o),
        "api.apps.v1.DaemonSetSpec" => daemon_set(o),
        "api.apps.v1.StatefulSetSpec" => stateful_set(o),
        "api.apps.v1.StatefulSet" => claim_templates(o),
        "api.apps.v1.ReplicaSetSpec" => or_pointer(o, "replicas", 1),
        "api.batch.v1.Job" => job(o),
        "api.batch.v1.PodFailurePolicyOnPodConditionsPattern" => or(o, "status", "True"),
        "api.batch.v1.CronJobSpec" => {
            or(o, "concurrencyPolicy", "Allow");
            or_pointer(o, "suspend", false);
            or_pointer(o, "successfulJobsHistoryLimit", 3);
            or_pointer(o, "failedJobsHistoryLimit", 1);
        }
        "api.autoscaling.v1.HorizontalPodAutoscalerSpec" => or_pointer(o, "minReplicas", 1),
        "api.autoscaling.v2.HorizontalPodAutoscalerSpec" => autoscaler(o),
        _ => {}
    }
}

fn deployment(o: &mut Map<String, Value>) {
    or_pointer(o, "replicas", 1);
    if let Some(strategy) = child(o, "strategy") {
        or(strategy, "type", "RollingUpdate");
        if is(strategy, "type", "RollingUpdate")
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            or_pointer(rolling, "maxUnavailable", "25%");
            or_pointer(rolling, "maxSurge", "25%");
        }
    }
    or_pointer(o, "revisionHistoryLimit", 10);
    or_pointer(o, "progressDeadlineSeconds", 600);
}

fn daemon_set(o: &mut Map<String, Value>) {
    if let Some(strategy) = child(o, "updateStrategy") {
        or(strategy, "type", "RollingUpdate");
        if is(strategy, "type", "RollingUpdate")
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            or_pointer(rolling, "maxUnavailable", 1);
            or_pointer(rolling, "maxSurge", 0);
        }
    }
    or_pointer(o, "revisionHistoryLimit", 10);
}

fn stateful_set(o: &mut Map<String, Value>) {
    or(o, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = child(o, "updateStrategy") {
        if blank(strategy, "type") {
            strategy.insert("type".into(), "RollingUpdate".into());
            or_pointer(strategy, "rollingUpdate", json!({}));
        }
        if is(strategy, "type", "RollingUpdate")
            && has(strategy, "rollingUpdate")
            && let Some(rolling) = child(strategy, "rollingUpdate")
        {
            or_pointer(rolling, "partition", 0);
        }
    }
    if let Some(policy) = child(o, "persistentVolumeClaimRetentionPolicy") {
        or(policy, "whenDeleted", "Retain");
        or(policy, "whenScaled", "Retain");
    }
    or_pointer(o, "replicas", 1);
    or_pointer(o, "revisionHistoryLimit", 10);
}

/// Claims in a template carry their type, as upstream's conversion writes it.
fn claim_templates(o: &mut Map<String, Value>) {
    let Some(spec) = o.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for claim in objects(spec, "volumeClaimTemplates") {
        claim.insert("apiVersion".into(), "v1".into());
        claim.insert("kind".into(), "PersistentVolumeClaim".into());
    }
}

fn job(o: &mut Map<String, Value>) {
    let labels = o
        .get("spec")
        .and_then(|s| crate::tree::map(s, &["template", "metadata", "labels"]))
        .filter(|labels| !labels.is_empty())
        .cloned();
    if let (Some(labels), Some(metadata)) = (labels, child(o, "metadata"))
        && metadata.get("labels").and_then(Value::as_object).is_none_or(|s| s.is_empty())
    {
        metadata.insert("labels".into(), Value::Object(labels));
    }
    let Some(spec) = child(o, "spec") else { return };
    if !has(spec, "completions") && !has(spec, "parallelism") {
        spec.insert("completions".into(), 1.into());
        spec.insert("parallelism".into(), 1.into());
    }
    or_pointer(spec, "parallelism", 1);
    let limit = if has(spec, "backoffLimitPerIndex") { i32::MAX } else { 6 };
    or_pointer(spec, "backoffLimit", limit);
    or_pointer(spec, "completionMode", "NonIndexed");
    or_pointer(spec, "suspend", false);
    or_pointer(spec, "manualSelector", false);
    let replacement = if has(spec, "podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    or_pointer(spec, "podReplacementPolicy", replacement);
}

fn autoscaler(o: &mut Map<String, Value>) {
    or_pointer(o, "minReplicas", 1);
    if o.get("metrics").and_then(Value::as_array).is_none_or(|m| m.is_empty()) {
        o.insert(
            "metrics".into(),
            json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
        );
    }
    let Some(behavior) = o.get_mut("behavior").and_then(Value::as_object_mut) else { return };
    if let Some(up) = child(behavior, "scaleUp") {
        or_pointer(up, "selectPolicy", "Max");
        or_pointer(up, "stabilizationWindowSeconds", 0);
        or_pointer(
            up,
            "policies",
            json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}]),
        );
    }
    if let Some(down) = child(behavior, "scaleDown") {
        or_pointer(down, "selectPolicy", "Max");
        or_pointer(down, "policies", json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]));
    }
}
