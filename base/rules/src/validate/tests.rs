use irori_api::row::{Row, Tables};
use serde_json::{Value, json};

use super::{validate_create, validate_scale, validate_update};
use crate::prepare::{Birth, Part};

fn row<'t>(tables: &'t Tables, (group, resource): (&str, &str)) -> &'t Row {
    ["v2", "v1"].iter().find_map(|version| tables.resource(group, version, resource)).unwrap()
}

fn made(tables: &Tables, row: &Row, body: Value) -> Value {
    let mut object = crate::decode(tables, row, body).unwrap().object;
    crate::default_object(tables, row, &mut object);
    object
}

/// What is told of a new object, which is named `x` if it has no name.
pub(super) fn created(resource: (&str, &str), mut body: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = row(&tables, resource);
    crate::tree::set_if_absent(&mut body, &["metadata", "name"], "x");
    let mut object = made(&tables, row, body);
    let birth = Birth {
        uid: "1".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: String::new(),
        namespace: if row.namespaced { "n".into() } else { String::new() },
    };
    crate::prepare_create(&tables, row, &mut object, &birth);
    validate_create(row, row, &object).iter().map(ToString::to_string).collect()
}

/// What is told of a change of one part of an object.
pub(super) fn changed_part(resource: (&str, &str), old: Value, new: Value, part: Part<'_>) -> Vec<String> {
    let tables = Tables::builtin();
    let row = row(&tables, resource);
    let [old, new] = [old, new].map(|body| made(&tables, row, body));
    validate_update(row, row, &new, &old, part).iter().map(ToString::to_string).collect()
}

pub(super) fn changed(resource: (&str, &str), old: Value, new: Value) -> Vec<String> {
    changed_part(resource, old, new, Part::Main)
}

#[test]
fn an_immutable_config_map_stays_as_it_is() {
    let map = |value: &str, immutable: bool| json!({"metadata": {"name": "c", "namespace": "n"}, "data": {"a": value}, "immutable": immutable});
    let why = "field is immutable when `immutable` is set";
    assert_eq!(changed(("", "configmaps"), map("1", true), map("2", true)), [format!("data: Forbidden: {why}")]);
    assert_eq!(changed(("", "configmaps"), map("1", true), map("1", false)), [format!("immutable: Forbidden: {why}")]);
    assert!(changed(("", "configmaps"), map("1", false), map("2", true)).is_empty());
}

#[test]
fn a_role_binding_keeps_its_role() {
    let binding = |role: &str| json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": {"kind": "Role", "name": role}});
    let got = changed(("rbac.authorization.k8s.io", "rolebindings"), binding("a"), binding("b"));
    assert_eq!(got.len(), 1);
    assert!(got[0].ends_with("cannot change roleRef"), "{got:?}");
}

#[test]
fn no_finalizer_joins_an_object_that_is_being_deleted() {
    let map = |finalizers: Value| json!({"metadata": {"name": "c", "namespace": "n", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": finalizers}});
    let got = changed(("", "configmaps"), map(json!(["a/b"])), map(json!(["a/b", "c/d"])));
    assert_eq!(
        got,
        [
            "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"c/d\"}"
        ]
    );
    assert!(changed(("", "configmaps"), map(json!(["a/b"])), map(json!([]))).is_empty());
}

#[test]
fn a_scale_below_zero_is_refused() {
    let errors = validate_scale(&json!({"spec": {"replicas": -1}}));
    assert_eq!(errors.to_string(), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
    assert!(validate_scale(&json!({"spec": {"replicas": 0}})).is_empty());
}

/// Kinds whose rules for an update look at the spec twice, and one whose rules do not.
#[test]
fn some_kinds_tell_the_faults_of_an_update_twice() {
    let template = json!({"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let workload = |seconds: i64| {
        json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {
            "minReadySeconds": seconds, "selector": {"matchLabels": {"app": "a"}}, "template": template}})
    };
    for (kind, times) in [("replicasets", 2), ("daemonsets", 2), ("statefulsets", 1)] {
        let told = changed(("apps", kind), workload(0), workload(-1));
        assert_eq!(told, vec!["spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"; times], "{kind}");
    }
    let rbac = "rbac.authorization.k8s.io";
    let role = |verbs: Value| json!({"metadata": {"name": "x", "namespace": "n"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]});
    let told = changed((rbac, "roles"), role(json!(["get"])), role(json!([])));
    assert_eq!(told, ["rules[0].verbs: Required value: verbs must contain at least one value"; 2]);
    let binding = |kind: &str| json!({"metadata": {"name": "b", "namespace": "n"}, "roleRef": {"apiGroup": rbac, "kind": kind, "name": "r"}});
    let told = changed((rbac, "rolebindings"), binding("Role"), binding("Other"));
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[2].ends_with("cannot change roleRef"), "{told:?}");
}
