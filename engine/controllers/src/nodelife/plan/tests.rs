use super::*;
use crate::builders::{at, pod};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_secs(40);

fn node(ready: &str, spec: Value) -> Node {
    serde_json::from_value(json!({
        "metadata": {"name": "n1"}, "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": ready}, {"type": "DiskPressure", "status": "False"}]},
    }))
    .unwrap()
}

fn keys(taints: Option<Vec<Taint>>) -> Vec<String> {
    let mut keys: Vec<_> = taints.unwrap().iter().map(|taint| format!("{}:{}", taint.key, taint.effect)).collect();
    keys.sort();
    keys
}

#[test]
fn a_node_is_silent_only_after_the_grace() {
    let node = node("True", json!({}));
    assert!(silenced(&node, Duration::from_secs(39), GRACE, at(0)).is_empty());
    let unknown = silenced(&node, GRACE, GRACE, at(0));
    let said: Vec<_> = unknown.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_deref().unwrap())).collect();
    assert_eq!(
        said,
        [
            ("Ready", "Unknown", "NodeStatusUnknown"),
            ("MemoryPressure", "Unknown", "NodeStatusNeverUpdated"),
            ("DiskPressure", "Unknown", "NodeStatusUnknown"),
            ("PIDPressure", "Unknown", "NodeStatusNeverUpdated"),
        ]
    );
}

#[test]
fn taints_follow_the_conditions_and_leave_others_alone() {
    let own = json!({"taints": [{"key": "mine", "effect": "NoExecute"}]});
    assert_eq!(taints(&node("True", own.clone()), true, at(0)), None);
    assert_eq!(
        keys(taints(&node("False", own.clone()), true, at(0))),
        ["mine:NoExecute", "node.kubernetes.io/not-ready:NoExecute", "node.kubernetes.io/not-ready:NoSchedule"]
    );
    assert_eq!(
        keys(taints(&node("Unknown", own), true, at(0))),
        ["mine:NoExecute", "node.kubernetes.io/unreachable:NoExecute", "node.kubernetes.io/unreachable:NoSchedule"]
    );
    let stale = json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}, {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]});
    assert_eq!(taints(&node("True", stale), true, at(0)), Some(Vec::new()));
}

#[test]
fn where_no_node_is_ready_nobody_is_driven_out() {
    assert_eq!(keys(taints(&node("Unknown", json!({})), false, at(0))), ["node.kubernetes.io/unreachable:NoSchedule"]);
}

#[test]
fn cordons_and_pressure_keep_new_pods_away() {
    let mut cordoned = node("True", json!({"unschedulable": true}));
    cordoned.status.as_mut().unwrap().conditions.as_mut().unwrap()[1].status = "True".to_owned();
    assert_eq!(
        keys(taints(&cordoned, true, at(0))),
        ["node.kubernetes.io/disk-pressure:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"]
    );
}

#[test]
fn taints_that_stand_keep_their_time() {
    let mut down = node("Unknown", json!({}));
    down.spec.as_mut().unwrap().taints = taints(&down, true, at(5));
    assert_eq!(taints(&down, true, at(99)), None);
}

#[test]
fn a_pod_leaves_when_its_shortest_toleration_ends() {
    let tainted = node(
        "Unknown",
        json!({"taints": [
            {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": at(100).to_string()},
            {"key": UNREACHABLE, "effect": "NoSchedule"},
        ]}),
    );
    let with = |tolerations: Value| leave(&tainted, &pod("p").spec("tolerations", tolerations).done(), at(200));
    let for_seconds =
        |seconds: i64| json!({"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds});
    assert_eq!(with(json!([])), Leave::Now);
    assert_eq!(with(json!([for_seconds(300)])), Leave::At(at(400)));
    assert_eq!(with(json!([for_seconds(300), for_seconds(150)])), Leave::At(at(250)));
    assert_eq!(with(json!([for_seconds(100)])), Leave::Now);
    assert_eq!(with(json!([{"operator": "Exists"}])), Leave::Never);
    assert_eq!(leave(&node("True", json!({})), &pod("p").done(), at(0)), Leave::Never);
}
