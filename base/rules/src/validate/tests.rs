use irori_api::row::{Row, Tables};
use serde_json::{Value, json};

use super::{validate_create, validate_scale, validate_update};
mod core_v1;

use crate::{
    PatchKind, apply_patch,
    prepare::{Birth, Part},
};

/// What is told of a new object as it was sent.
fn sent(resource: (&str, &str), body: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource(resource.0, "v1", resource.1).unwrap();
    let mut object = crate::decode(&tables, row, body).unwrap().object;
    crate::default_object(&tables, row, &mut object);
    validate_create(row, row, &object).iter().map(|e| e.to_string()).collect()
}

fn merged(of: Value, fields: &Value) -> Value {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    apply_patch(&tables, row, &of, PatchKind::Merge, fields).unwrap()
}

fn pod_body(spec: Value) -> Value {
    let plain = json!({"containers": [{"name": "c", "image": "a/b:1"}], "serviceAccountName": "default"});
    json!({"metadata": {"name": "p", "namespace": "n"}, "spec": merged(plain, &spec)})
}

/// What is wrong with a pod of one container `c` and these further fields.
pub(super) fn pod(spec: Value) -> Vec<String> {
    sent(("", "pods"), pod_body(spec))
}

/// The same of a pod whose container has these further fields.
pub(super) fn container(fields: Value) -> Vec<String> {
    pod(with_container(fields))
}

pub(super) fn with_container(fields: Value) -> Value {
    json!({"containers": [merged(json!({"name": "c", "image": "a/b:1"}), &fields)]})
}

/// The same of the template of a ReplicaSet.
pub(super) fn template(spec: Value) -> Vec<String> {
    let mut template = pod_body(spec);
    template["metadata"] = json!({"labels": {"a": "b"}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    sent(("apps", "replicasets"), json!({"metadata": {"name": "r", "namespace": "n"}, "spec": spec}))
}

#[test]
fn a_pod_that_older_rules_let_pass_may_still_be_changed() {
    let bad = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchExpressions": [{"key": "k", "operator": "In", "values": ["Bad value!"]}]}
    ]}}}});
    let with_image = |image: &str| {
        let mut pod = pod_body(bad.clone());
        pod["spec"]["containers"][0]["image"] = image.into();
        pod
    };
    assert_eq!(pod(bad.clone()).len(), 1);
    assert!(changed(("", "pods"), with_image("a/b:1"), with_image("a/b:2")).is_empty());
    let got = changed(("", "pods"), with_image("a/b:1"), with_image(" "));
    assert!(!got.is_empty() && got.iter().all(|error| error.starts_with("spec.containers[0].image: ")), "{got:?}");
}

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

/// What is wrong with a new object in the namespace `n`, in the form in which it is stored.
pub(super) fn born(resource: (&str, &str), body: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource(resource.0, "v1", resource.1).unwrap();
    let mut object = crate::decode(&tables, row, body).unwrap().object;
    crate::default_object(&tables, row, &mut object);
    let stored = tables.stored_as(row).unwrap();
    let mut object = if row.converts() { crate::convert(object, &stored.gvk) } else { object };
    let birth = crate::Birth {
        uid: "u".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: String::new(),
        namespace: "n".into(),
    };
    crate::prepare_create(&tables, stored, &mut object, &birth);
    validate_create(stored, row, &object).iter().map(|e| e.to_string()).collect()
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
fn managers_of_fields_have_names_that_can_be_read() {
    let map = |manager: &str, subresource: &str| {
        let entry = json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "subresource": subresource});
        json!({"metadata": {"name": "c", "namespace": "n", "managedFields": [entry]}})
    };
    let (long, longer) = ("m".repeat(129), "s".repeat(257));
    let at = "metadata.managedFields[0]";
    for (manager, subresource, want) in [
        ("kube ctl é", "status", vec![]),
        (long.as_str(), "", vec![format!("{at}.manager: Too long: may not be more than 128 bytes")]),
        ("a\n", "", vec![format!("{at}.manager: Invalid value: \"a\\n\": invalid character U+000A (at position 1)")]),
        ("é\u{1}", "", vec![format!("{at}.manager: Invalid value: \"é\\x01\": invalid character U+0001 (at position 2)")]),
        ("m", longer.as_str(), vec![format!("{at}.subresource: Too long: may not be more than 256 bytes")]),
    ] {
        assert_eq!(changed(("", "configmaps"), map("m", ""), map(manager, subresource)), want);
        // What was stored once does not stand in the way.
        assert!(changed(("", "configmaps"), map(manager, subresource), map(manager, subresource)).is_empty());
    }
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
fn structs_that_may_not_change_are_told_as_they_are_built() {
    let address = |name: &str| json!({"metadata": {"name": "10.0.0.1"}, "spec": {"parentRef": {"resource": "services", "namespace": "n", "name": name}}});
    let why = "field is immutable";
    assert_eq!(
        changed(("networking.k8s.io", "ipaddresses"), address("s"), address("t")),
        [format!(
            "spec.parentRef: Invalid value: {{\"Group\":\"\",\"Resource\":\"services\",\"Namespace\":\"n\",\"Name\":\"t\"}}: {why}"
        )]
    );
    let attachment = |driver: &str| json!({"metadata": {"name": "a"}, "spec": {"attacher": driver, "nodeName": "n", "source": {"persistentVolumeName": "p"}}});
    let source = "{\"PersistentVolumeName\":\"p\",\"InlineVolumeSpec\":null}";
    assert_eq!(
        changed(("storage.k8s.io", "volumeattachments"), attachment("a"), attachment("b")),
        [format!("spec: Invalid value: {{\"Attacher\":\"b\",\"Source\":{source},\"NodeName\":\"n\"}}: {why}")]
    );
    let node = |id: &str, count: i64| json!({"metadata": {"name": "n"}, "spec": {"drivers": [{"name": "d", "nodeID": id, "topologyKeys": ["a"], "allocatable": {"count": count}}]}});
    let csi = ("storage.k8s.io", "csinodes");
    assert_eq!(changed(csi, node("i", 1), node("i", 2)), [""; 0]);
    assert_eq!(
        changed(csi, node("i", 1), node("j", 1)),
        [format!(
            "spec.drivers: Invalid value: {{\"Name\":\"d\",\"NodeID\":\"j\",\"TopologyKeys\":[\"a\"],\"Allocatable\":null}}: {why}"
        )]
    );
}

#[test]
fn a_class_keeps_its_controller() {
    let class = |controller: &str| json!({"metadata": {"name": "c"}, "spec": {"controller": controller}});
    assert_eq!(
        changed(("networking.k8s.io", "ingressclasses"), class("a.example/b"), class("")),
        ["spec.controller: Invalid value: \"\": field is immutable", "spec.controller: Required value"]
    );
}

#[test]
fn addresses_that_a_service_had_may_stay() {
    let service = |ranges: Value, label: &str| {
        json!({"metadata": {"name": "s", "namespace": "n", "labels": {"l": label}}, "spec": {
            "type": "LoadBalancer", "clusterIP": "::ffff:1.2.3.4", "clusterIPs": ["::ffff:1.2.3.4"], "externalIPs": ["::ffff:1.2.3.5"],
            "loadBalancerSourceRanges": ranges, "ports": [{"port": 80}]}})
    };
    let services = ("", "services");
    let old = service(json!([" 10.0.0.1/8"]), "a");
    assert_eq!(changed(services, old.clone(), service(json!(["10.0.0.1/8 "]), "b")), [""; 0]);
    assert_eq!(
        changed(services, old, service(json!(["10.0.0.2/8"]), "b")),
        ["spec.LoadBalancerSourceRanges[0]: Invalid value: \"10.0.0.2/8\": must not have bits set beyond the prefix length"]
    );
    let node = |cidr: &str, label: &str| json!({"metadata": {"name": "n", "labels": {"l": label}}, "spec": {"podCIDRs": [cidr]}});
    assert_eq!(changed(("", "nodes"), node("10.0.0.1/24", "a"), node("10.0.0.1/24", "b")), [""; 0]);
    assert_eq!(
        changed(("", "nodes"), node("10.0.0.1/24", "a"), node("10.0.0.2/24", "b")),
        ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"]
    );
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
