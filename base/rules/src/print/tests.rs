use irori_api::row::Tables;
use serde_json::{Value, json};

use super::{follow, human_duration, order_rows, table_cells, table_conditions};

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

fn cells(group: &str, resource: &str, object: Value) -> Vec<Value> {
    let tables = Tables::builtin();
    table_cells(tables.resource(group, "v1", resource).unwrap(), &object, 3600)
}

#[test]
fn a_pod_that_has_ended_is_marked_so() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    let told = |phase: &str| table_conditions(row, &json!({"status": {"phase": phase}}));
    assert_eq!(told("Running"), None);
    assert_eq!(
        told("Succeeded"),
        Some(
            json!([{"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}])
        )
    );
    assert_eq!(
        told("Failed"),
        Some(json!([{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}]))
    );
}

#[test]
fn a_claim_that_is_bound_has_a_capacity() {
    let capacity = |object: Value| cells("", "persistentvolumeclaims", object)[3].clone();
    assert_eq!(capacity(json!({"spec": {}})), "");
    assert_eq!(capacity(json!({"spec": {"volumeName": "v"}})), "0");
    assert_eq!(capacity(json!({"spec": {"volumeName": "v"}, "status": {"capacity": {"storage": "1Gi"}}})), "1Gi");
}

#[test]
fn an_event_names_component_and_host_each_from_where_it_is_told() {
    let source = |object: Value| cells("", "events", object)[5].clone();
    assert_eq!(source(json!({"source": {"component": "kubelet"}, "reportingInstance": "i"})), "kubelet, i");
    assert_eq!(source(json!({"source": {"host": "h"}, "reportingComponent": "x", "reportingInstance": "i"})), "x, h");
    assert_eq!(source(json!({"reportingComponent": "x"})), "x");
}

#[test]
fn parameters_of_a_policy_are_anywhere_or_chosen() {
    let parameter = |reference: Value| {
        let binding = json!({"spec": {"paramRef": reference}});
        cells("admissionregistration.k8s.io", "validatingadmissionpolicybindings", binding)[2].clone()
    };
    assert_eq!(parameter(json!({"name": "x"})), "*/x");
    assert_eq!(parameter(json!({"name": "x", "namespace": "n"})), "n/x");
    let chosen =
        json!({"matchLabels": {"b": "c", "a": "b"}, "matchExpressions": [{"key": "k", "operator": "In", "values": ["x", "y"]}]});
    assert_eq!(
        parameter(json!({"selector": chosen})),
        "&LabelSelector{MatchLabels:map[string]string{a: b,b: c,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{Key:k,Operator:In,Values:[x y],},},}"
    );
}

#[test]
fn a_port_without_a_number_is_told_by_its_name() {
    let ports = |ports: Value| cells("discovery.k8s.io", "endpointslices", json!({"ports": ports}))[2].clone();
    assert_eq!(ports(json!([{"name": "web"}, {"port": 80}, {}])), "web,80,*");
}

#[test]
fn hosts_of_an_ingress_are_counted_in_rules() {
    let hosts = |hosts: &[&str]| {
        let rules: Vec<Value> = hosts.iter().map(|host| json!({"host": host})).collect();
        cells("networking.k8s.io", "ingresses", json!({"spec": {"rules": rules}}))[2].clone()
    };
    assert_eq!(hosts(&["", ""]), "*");
    assert_eq!(hosts(&["a", "", "b"]), "a,b");
    assert_eq!(hosts(&["a", "b", "c"]), "a,b,c");
    assert_eq!(hosts(&["a", "b", "c", ""]), "a,b,c + 1 more...");
    assert_eq!(hosts(&["a", "b", "", "c", "d"]), "a,b,c + 2 more...");
}

#[test]
fn a_service_of_an_api_tells_a_reason_if_there_is_one() {
    let available = |condition: Value| {
        let object = json!({"status": {"conditions": [condition]}});
        cells("apiregistration.k8s.io", "apiservices", object)[2].clone()
    };
    assert_eq!(available(json!({"type": "Available", "status": "False", "reason": "Gone"})), "False (Gone)");
    assert_eq!(available(json!({"type": "Available", "status": "False"})), "False");
}

#[test]
fn only_a_limited_level_has_shares() {
    let level = json!({"spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0}}});
    assert_eq!(cells("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", level)[2], "<none>");
}

#[test]
fn flow_schemas_are_shown_in_the_order_in_which_they_are_asked() {
    let tables = Tables::builtin();
    let row = tables.resource("flowcontrol.apiserver.k8s.io", "v1", "flowschemas").unwrap();
    let schema = |name: &str, at: i64| json!({"metadata": {"name": name}, "spec": {"matchingPrecedence": at}});
    let mut list = [schema("a", 9), schema("c", 2), schema("b", 2)];
    order_rows(row, &mut list);
    assert_eq!(list.map(|s| s["metadata"]["name"].clone()), ["b", "c", "a"]);
}
