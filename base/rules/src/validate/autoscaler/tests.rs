use serde_json::{Value, json};

use crate::{
    tree::set,
    validate::tests::{changed, created},
};

const SCALERS: (&str, &str) = ("autoscaling", "horizontalpodautoscalers");

fn scaler(target: Value, metrics: Value) -> Value {
    json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": metrics}})
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"})
}

/// What is told of one metric, below the metric.
fn metric(metric: Value) -> Vec<String> {
    let told = created(SCALERS, scaler(deployment(), json!([metric])));
    told.iter().map(|one| one.strip_prefix("spec.metrics[0].").unwrap_or(one).to_owned()).collect()
}

fn cpu() -> Value {
    json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}})
}

#[test]
fn a_metric_has_one_source() {
    let only = "Forbidden: must populate the given metric source only";
    assert_eq!(metric(json!({"type": "Resource", "resource": cpu()})), [""; 0]);
    assert_eq!(
        metric(json!({"type": "Resource", "resource": cpu(), "containerResource": {}})),
        [format!("containerResource: {only}")]
    );
    // The first in the server's order is looked into, whichever is meant.
    let told = metric(json!({"type": "Resource", "resource": cpu(), "pods": {}}));
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(told[4], format!("pods: {only}"));
    assert_eq!(
        metric(json!({"type": "Object", "resource": cpu()})),
        ["object: Required value: must populate information for the given metric source"]
    );
    assert_eq!(metric(json!({"type": "abc", "resource": cpu()})).len(), 2);
    assert_eq!(metric(json!({"type": "abc", "resource": {"name": "cpu", "target": {"type": "Utilization"}}})).len(), 3);
}

#[test]
fn an_external_metric_has_one_target() {
    let external = |target: Value| metric(json!({"type": "External", "external": {"metric": {"name": "m"}, "target": target}}));
    assert_eq!(external(json!({"type": "Value", "value": "1"})), [""; 0]);
    assert_eq!(
        external(json!({"type": "Value"})),
        ["external.target.averageValue: Required value: must set either a target value for metric or a per-pod target"]
    );
    assert_eq!(
        external(json!({"type": "Value", "value": "1", "averageValue": "1"})),
        ["external.target.value: Forbidden: may not set both a target value for metric and a per-pod target"]
    );
}

#[test]
fn names_of_a_metric_are_parts_of_paths() {
    let named = |name: &str| {
        metric(
            json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": {"type": "AverageValue", "averageValue": "1"}}}),
        )
    };
    assert_eq!(named("a.b"), [""; 0]);
    assert_eq!(named("a/b"), ["pods.metric.name: Invalid value: \"a/b\": may not contain '/'"]);
    assert_eq!(named("%").len(), 1);
    let inside = |container: &str, name: &str| {
        let mut source = cpu();
        set(&mut source, &["container"], container);
        set(&mut source, &["name"], name);
        metric(json!({"type": "ContainerResource", "containerResource": source})).len()
    };
    assert_eq!([inside("c", "cpu"), inside("Bad Name!", "cpu"), inside("c", "abc")], [0, 1, 2]);
}

#[test]
fn what_is_scaled_has_a_group() {
    let told = |version: &str, kind: &str| {
        let target = json!({"apiVersion": version, "kind": kind, "name": "d"});
        created(SCALERS, scaler(target, json!([{"type": "Resource", "resource": cpu()}])))
    };
    let group = |version: &str| {
        [format!("spec.scaleTargetRef.apiVersion: Invalid value: {version:?}: apiVersion must specify API group")]
    };
    assert_eq!(told("apps/v1", "Deployment"), [""; 0]);
    for version in ["", "v1", "/v1"] {
        assert_eq!(told(version, "Deployment"), group(version));
        assert_eq!(told(version, "ReplicationController"), [""; 0]);
    }
    assert_eq!(
        told("a/b/c", "ReplicationController"),
        ["spec.scaleTargetRef.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c"]
    );
    let described = |version: &str| {
        json!([{"type": "Object", "object": {"describedObject": {"apiVersion": version, "kind": "a", "name": "b"},
            "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}])
    };
    assert_eq!(created(SCALERS, scaler(deployment(), described("v1"))), [""; 0]);
    let odd = scaler(deployment(), described("a/b/c"));
    assert_eq!(created(SCALERS, odd.clone()).len(), 1);
    assert_eq!(changed(SCALERS, odd.clone(), odd), [""; 0]);
}

#[test]
fn a_stored_autoscaler_may_keep_what_is_refused_now() {
    let mut old =
        scaler(json!({"apiVersion": "v1", "kind": "Deployment", "name": "d"}), json!([{"type": "Resource", "resource": cpu()}]));
    assert_eq!(created(SCALERS, old.clone()).len(), 1);
    assert_eq!(changed(SCALERS, old.clone(), old.clone()), [""; 0]);
    set(&mut old, &["spec", "minReplicas"], 0);
    let told = changed(SCALERS, old.clone(), old);
    assert_eq!(
        told,
        ["spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas"]
    );
}
