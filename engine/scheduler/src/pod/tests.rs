use super::*;
use serde_json::{Value, json};

fn wants(spec: Value) -> Wants {
    let pod: Pod = serde_json::from_value(
        json!({"metadata": {"name": "p", "namespace": "ns", "labels": {"app": "web", "v": "2"}}, "spec": spec}),
    )
    .unwrap();
    Wants::of(&pod)
}

fn asks(cpu: &str, memory: &str) -> Value {
    json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

#[test]
fn containers_add_up_and_overhead_comes_on_top() {
    let wants = wants(json!({"containers": [asks("100m", "64Mi"), asks("1", "1Gi")], "overhead": {"cpu": "50m"}}));
    assert_eq!((wants.amounts.milli_cpu, wants.amounts.memory, wants.amounts.pods), (1150, (64 << 20) + (1 << 30), 1));
}

#[test]
fn a_hungry_start_counts_if_it_is_more_than_running() {
    let hungry = wants(json!({"containers": [asks("100m", "1Gi")], "initContainers": [asks("2", "1Mi"), asks("1", "1Mi")]}));
    assert_eq!((hungry.amounts.milli_cpu, hungry.amounts.memory), (2000, 1 << 30));
}

#[test]
fn sidecars_run_beside_what_starts_after_them() {
    let mut sidecar = asks("500m", "0");
    sidecar["restartPolicy"] = json!("Always");
    let beside =
        wants(json!({"containers": [asks("1", "0")], "initContainers": [asks("1", "0"), sidecar.clone(), asks("2", "0")]}));
    assert_eq!(beside.amounts.milli_cpu, 2500, "the second start with the sidecar");
    let running = wants(json!({"containers": [asks("3", "0")], "initContainers": [sidecar]}));
    assert_eq!(running.amounts.milli_cpu, 3500);
}

#[test]
fn a_limit_alone_is_a_request_and_devices_are_counted() {
    let wants = wants(json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2", "example.org/gpu": "3"}}}]}));
    assert_eq!(wants.amounts.milli_cpu, 2000);
    assert_eq!(wants.amounts.extended["example.org/gpu"], 3);
}

#[test]
fn what_is_said_of_the_whole_pod_replaces_the_sum() {
    let wants = wants(json!({"containers": [asks("1", "1Gi")], "resources": {"requests": {"cpu": "3"}}}));
    assert_eq!((wants.amounts.milli_cpu, wants.amounts.memory), (3000, 1 << 30));
}

#[test]
fn what_is_not_built_yet_is_refused_by_name() {
    let claim = wants(json!({"containers": [], "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}));
    assert!(claim.refusal.unwrap().contains("\"data\""));
    assert!(wants(json!({"containers": [], "resourceClaims": [{"name": "gpu"}]})).refusal.is_some());
    let field = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}]}});
    assert!(wants(json!({"containers": [], "affinity": {"nodeAffinity": field}})).refusal.unwrap().contains("spec.x"));
    assert_eq!(wants(json!({"containers": []})).refusal, None);
}

#[test]
fn match_label_keys_ask_for_the_pods_own_values() {
    let wants =
        wants(json!({"containers": [], "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"labelSelector": {"matchLabels": {"app": "web"}}, "topologyKey": "h", "matchLabelKeys": ["v", "absent"]}]}}}));
    let selector = &wants.anti_affinity[0].selector;
    let labels = |v: &str| Labels::from([("app".to_owned(), "web".to_owned()), ("v".to_owned(), v.to_owned())]);
    assert!(selects(selector, &labels("2")));
    assert!(!selects(selector, &labels("1")));
}
