use irori_api::row::Tables;
use serde_json::{Value, json};

use super::{validate_scale, validate_update};
use crate::prepare::Part;

fn changed(resource: (&str, &str), old: Value, new: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource(resource.0, "v1", resource.1).unwrap();
    let mut made = [old, new].map(|body| {
        let mut object = crate::decode(&tables, row, body).unwrap().object;
        crate::default_object(&tables, row, &mut object);
        object
    });
    let [old, new] = &mut made;
    validate_update(row, row, new, old, Part::Main).iter().map(|e| e.to_string()).collect()
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
fn a_scale_below_zero_is_refused() {
    let errors = validate_scale(&json!({"spec": {"replicas": -1}}));
    assert_eq!(errors.to_string(), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
    assert!(validate_scale(&json!({"spec": {"replicas": 0}})).is_empty());
}
