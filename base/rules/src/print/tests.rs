use irori_api::row::Tables;
use serde_json::{Value, json};

use super::{follow, human_duration, table_cells};

#[test]
fn durations_are_coarser_the_longer_they_are() {
    for (seconds, want) in [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (303, "5m3s"),
        (600, "10m"),
        (10_799, "179m"),
        (10_800, "3h"),
        (10_860, "3h1m"),
        (28_800, "8h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (64_000_000, "2y10d"),
        (252_288_000, "8y"),
    ] {
        assert_eq!(human_duration(seconds), want, "{seconds}");
    }
}

fn pod_cells(status: Value) -> Vec<Value> {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let pod = json!({
        "metadata": {"name": "p", "creationTimestamp": "1970-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]},
        "status": status,
    });
    table_cells(row, &pod, 3600)
}

#[test]
fn a_pod_tells_what_keeps_it_from_running() {
    let reason = |status: Value| pod_cells(status)[2].as_str().unwrap().to_owned();
    assert_eq!(reason(json!({"phase": "Pending"})), "Pending");
    assert_eq!(
        reason(json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"running": {}}}]})),
        "Init:0/2"
    );
    let failed = json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 3}}}]});
    assert_eq!(reason(failed), "Init:ExitCode:3");
    let crash =
        json!({"phase": "Running", "containerStatuses": [{"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
    assert_eq!(reason(crash), "CrashLoopBackOff");
    let killed =
        json!({"phase": "Failed", "containerStatuses": [{"name": "a", "state": {"terminated": {"exitCode": 137, "signal": 9}}}]});
    assert_eq!(reason(killed), "Signal:9");
}

#[test]
fn a_pod_counts_ready_containers_and_restarts() {
    let up = json!({"running": {}});
    let cells = pod_cells(json!({"phase": "Running",
        "initContainerStatuses": [{"name": "i", "restartCount": 7, "state": {"terminated": {"exitCode": 0}}}, {"name": "s", "started": true, "ready": true, "state": up}],
        "containerStatuses": [
            {"name": "a", "ready": true, "restartCount": 2, "state": up, "lastState": {"terminated": {"finishedAt": "1970-01-01T00:55:00Z"}}},
            {"name": "b", "ready": false, "state": up}],
    }));
    assert_eq!((&cells[1], &cells[2], &cells[3]), (&json!("2/3"), &json!("Running"), &json!("2 (5m ago)")));
}

#[test]
fn columns_of_custom_kinds_follow_their_paths() {
    let object = json!({"spec": {"list": [{"name": "x"}]}, "metadata": {"labels": {"a.b/c": "d"}}});
    assert_eq!(follow(&object, ".spec.list[0].name"), Some(&json!("x")));
    assert_eq!(follow(&object, ".metadata.labels['a\\.b/c']"), Some(&json!("d")));
    assert_eq!(follow(&object, ".metadata.labels.a\\.b/c"), Some(&json!("d")));
    assert_eq!(follow(&object, ".spec.nothing"), None);
    assert_eq!(follow(&object, "spec"), None);
}

#[test]
fn both_versions_of_an_autoscaler_show_all_its_metrics() {
    let tables = Tables::builtin();
    let row = |version: &str| tables.resource("autoscaling", version, "horizontalpodautoscalers").unwrap();
    let object = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
        "maxReplicas": 3, "metrics": [
            {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}},
            {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}});
    let older = crate::convert(object.clone(), &row("v1").gvk);
    for (version, object) in [("v2", object), ("v1", older)] {
        assert_eq!(table_cells(row(version), &object, 0)[2], "memory: <unknown>/70%, cpu: <unknown>/50%", "{version}");
    }
}
