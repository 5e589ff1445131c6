use irori_api::row::{Gvk, Tables};
use serde_json::{Value, json};

use super::convert;

fn there_and_back(object: &Value, over: Gvk) -> Value {
    let home = Gvk::parse(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    convert(convert(object.clone(), &over), &home)
}

fn canonical(object: &Value) -> Value {
    let tables = Tables::builtin();
    let gvk = Gvk::parse(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    crate::decode(&tables, tables.kind(&gvk).unwrap(), object.clone()).unwrap().object
}

#[test]
fn autoscaler_v2_survives_the_way_over_v1() {
    let object = canonical(&json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "annotations": {"mine": "1"}},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 3,
            "metrics": [
                {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "m"}, "target": {"type": "Value", "value": "5"}}},
                {"type": "External", "external": {"metric": {"name": "q", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "AverageValue", "averageValue": "30"}}},
                {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "2"}}},
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}},
            ],
            "behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}},
        },
        "status": {"desiredReplicas": 2, "currentReplicas": 2, "currentMetrics": [
            {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40, "averageValue": "100m"}}}]},
    }));
    let v1 = convert(object.clone(), &Gvk::new("autoscaling", "v1", "HorizontalPodAutoscaler"));
    assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 50);
    assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 40);
    assert!(v1["spec"].get("metrics").is_none());
    let noted = |what: &str| {
        v1["metadata"]["annotations"][format!("autoscaling.alpha.kubernetes.io/{what}")].as_str().unwrap().to_owned()
    };
    assert_eq!(
        noted("metrics"),
        "[{\"type\":\"Resource\",\"resource\":{\"name\":\"memory\",\"targetAverageValue\":\"1Gi\"}},\
         {\"type\":\"Object\",\"object\":{\"target\":{\"kind\":\"Service\",\"name\":\"s\"},\"metricName\":\"m\",\"targetValue\":\"5\"}},\
         {\"type\":\"External\",\"external\":{\"metricName\":\"q\",\"metricSelector\":{\"matchLabels\":{\"a\":\"b\"}},\"targetAverageValue\":\"30\"}},\
         {\"type\":\"Pods\",\"pods\":{\"metricName\":\"p\",\"targetAverageValue\":\"2\"}}]"
    );
    assert_eq!(
        noted("behavior"),
        "{\"scaleDown\":{\"selectPolicy\":\"Max\",\"policies\":[{\"type\":\"Percent\",\"value\":100,\"periodSeconds\":15}]}}"
    );
    assert_eq!(there_and_back(&object, Gvk::new("autoscaling", "v1", "HorizontalPodAutoscaler")), object);
}

/// The way over v1 puts the target for cpu last, and keeps one.
#[test]
fn targets_for_cpu_come_last_and_once() {
    let cpu = |percent: i64| json!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}});
    let memory =
        json!({"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}});
    let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "metrics": [cpu(50), memory, cpu(60)]}});
    let back = there_and_back(&object, Gvk::new("autoscaling", "v1", "HorizontalPodAutoscaler"));
    assert_eq!(back["spec"]["metrics"], json!([memory, cpu(50)]));
}

#[test]
fn autoscaler_v1_survives_the_way_over_v2() {
    let object = canonical(&json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "minReplicas": 2, "targetCPUUtilizationPercentage": 50},
    }));
    assert_eq!(there_and_back(&object, Gvk::new("autoscaling", "v2", "HorizontalPodAutoscaler")), object);
}

#[test]
fn both_events_survive_the_way_over_the_other() {
    let core = canonical(&json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "n"}, "involvedObject": {"kind": "Pod", "name": "p"},
        "reason": "R", "message": "m", "type": "Normal", "count": 2, "source": {"component": "c"}, "lastTimestamp": "2026-01-01T00:00:00Z",
    }));
    let over = Gvk::new("events.k8s.io", "v1", "Event");
    let new = convert(core.clone(), &over);
    assert_eq!((&new["note"], &new["regarding"]["name"], &new["deprecatedCount"]), (&json!("m"), &json!("p"), &json!(2)));
    assert_eq!(new, canonical(&new), "the conversion is canonical");
    assert_eq!(there_and_back(&core, over), core);
    let new = canonical(&json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e", "namespace": "n"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"kind": "Pod", "name": "p"}, "note": "m", "reportingController": "c", "reportingInstance": "i", "action": "A", "reason": "R",
    }));
    let core = convert(new.clone(), &Gvk::new("", "v1", "Event"));
    assert_eq!(core, canonical(&core), "the conversion is canonical");
    assert_eq!(there_and_back(&new, Gvk::new("", "v1", "Event")), new);
}
