use irori_api::row::{Gvk, Row, Tables};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Room, apply_patch, decode, default_object, patch::PatchKind, read_scale, write_scale};

fn with<T>(group: &str, version: &str, kind: &str, f: impl FnOnce(&Tables, &Row) -> T) -> T {
    let tables = Tables::builtin();
    let row = tables.kind(&Gvk::new(group, version, kind)).unwrap().clone();
    f(&tables, &row)
}

fn by<'a>(manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer { manager, subresource: "", now }
}

fn made(tables: &Tables, row: &Row, body: Value, manager: &str) -> Value {
    let mut object = decode(tables, row, body).unwrap().object;
    default_object(tables, row, &mut object);
    track_create(tables, row, &mut object, &by(manager, "2026-01-01T00:00:00Z"));
    object["metadata"]["uid"] = "u".into();
    object
}

fn apply(
    tables: &Tables,
    row: &Row,
    live: Option<&Value>,
    config: &Value,
    by: &Writer<'_>,
    force: bool,
) -> Result<Value, ApplyError> {
    super::apply(tables, row, live, config, by, force, &Room::ANY)
}

fn put(tables: &Tables, row: &Row, old: &Value, body: Value, writer: &Writer<'_>) -> Value {
    let mut new = decode(tables, row, body).unwrap().object;
    default_object(tables, row, &mut new);
    track_update(tables, row, old, &mut new, writer);
    new["metadata"]["uid"] = "u".into();
    new
}

fn owned(object: &Value, manager: &str) -> Value {
    let all = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|e| e["manager"] == manager).map_or(Value::Null, |e| e["fieldsV1"].clone())
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

/// Server-Side Apply: a manager that stops applying a field gives it up; it stays while another one applies it.
#[test]
fn a_field_that_nobody_applies_any_more_is_removed_and_a_shared_one_stays() {
    with("", "v1", "ConfigMap", |t, r| {
        let one = apply(t, r, None, &map(json!({"a": "1", "b": "2"})), &by("x", "t1"), false).unwrap();
        let two = apply(t, r, Some(&one), &map(json!({"a": "1"})), &by("y", "t2"), false).unwrap();
        let three = apply(t, r, Some(&two), &map(json!({})), &by("x", "t3"), false).unwrap();
        assert_eq!(three["data"], json!({"a": "1"}));
        assert_eq!(owned(&three, "y"), json!({"f:data": {"f:a": {}}}));
        assert_eq!(owned(&three, "x"), json!({"f:data": {}}));
    });
}

/// The same page: conflicts name every field and manager, and force takes the fields over.
#[test]
fn conflicts_with_several_managers_are_listed_and_force_takes_the_fields() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = made(t, r, map(json!({"a": "1"})), "maker");
        let old = apply(t, r, Some(&old), &map(json!({"b": "1", "c": "1"})), &by("x", "t"), false).unwrap();
        let config = map(json!({"a": "2", "b": "2", "c": "2"}));
        let Err(ApplyError::Conflict { message, causes }) = apply(t, r, Some(&old), &config, &by("y", "t"), false) else {
            panic!("no conflict");
        };
        let wanted = "Apply failed with 3 conflicts: conflicts with \"maker\" using v1:\n- .data.a\nconflicts with \"x\":\n- .data.b\n- .data.c";
        assert_eq!(message, wanted);
        assert_eq!(causes.len(), 3);
        let new = apply(t, r, Some(&old), &config, &by("y", "t"), true).unwrap();
        assert_eq!(new["data"], json!({"a": "2", "b": "2", "c": "2"}));
        assert_eq!(owned(&new, "x"), Value::Null);
        assert_eq!(owned(&new, "maker"), json!({"f:data": {}}));
    });
}

/// Same page: an apply that changes nothing leaves the object, and its times, alone; an empty one owns nothing.
#[test]
fn an_apply_that_changes_nothing_keeps_the_times() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = apply(t, r, None, &map(json!({"a": "1"})), &by("x", "t1"), false).unwrap();
        assert_eq!(apply(t, r, Some(&old), &map(json!({"a": "1"})), &by("x", "t2"), false).unwrap(), old);
        let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
        let new = apply(t, r, Some(&old), &bare, &by("y", "t2"), false).unwrap();
        assert_eq!(new, old);
    });
}

/// Same page: what was there before the first apply belongs to `before-first-apply`.
#[test]
fn untracked_objects_are_tracked_from_the_first_apply_on() {
    with("", "v1", "ConfigMap", |t, r| {
        let mut old = made(t, r, map(json!({"a": "1"})), "maker");
        old["metadata"]["managedFields"] = json!([]);
        let put = put(t, r, &old, map(json!({"a": "2"})), &by("later", "t"));
        assert!(put["metadata"].get("managedFields").is_none());
        let new = apply(t, r, Some(&put), &map(json!({"b": "1"})), &by("x", "t"), false).unwrap();
        assert_eq!(owned(&new, "before-first-apply"), json!({"f:data": {".": {}, "f:a": {}}}));
        assert_eq!(owned(&new, "x"), json!({"f:data": {"f:b": {}}}));
    });
}

/// Same page: `managedFields: [{}]` forgets the owners; an empty list does not.
#[test]
fn only_a_list_of_one_empty_entry_resets_the_entries() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = made(t, r, map(json!({"a": "1"})), "maker");
        for (list, kept) in [(json!([{}]), false), (json!([]), true)] {
            let patch = json!({"metadata": {"managedFields": list}});
            let patched = apply_patch(t, r, &old, PatchKind::Merge, &patch).unwrap();
            let new = put(t, r, &old, patched, &by("other", "t"));
            assert_eq!(new["metadata"].get("managedFields").is_some(), kept);
        }
    });
}

/// Same page: at most ten entries of Update; the oldest are merged per version.
#[test]
fn the_eleventh_updater_makes_a_bucket_of_the_two_oldest() {
    with("", "v1", "ConfigMap", |t, r| {
        let mut object = made(t, r, map(json!({"k0": "0"})), "m0");
        for i in 1..=12 {
            let mut body = map(object["data"].clone());
            body["data"][format!("k{i}")] = "x".into();
            object = put(t, r, &object, body, &by(&format!("m{i}"), &format!("2026-01-01T00:00:{i:02}Z")));
        }
        let all = object["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(all.len(), UPDATERS_MAX);
        let fields = json!({"f:data": {".": {}, "f:k0": {}, "f:k1": {}, "f:k2": {}, "f:k3": {}}});
        assert_eq!(
            all[0],
            json!({"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields, "manager": "ancient-changes",
            "operation": "Update", "time": "2026-01-01T00:00:03Z"})
        );
    });
}

/// A change by another takes exactly the changed fields from their owner.
#[test]
fn an_update_takes_what_it_changes_and_a_no_op_takes_nothing() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = made(t, r, map(json!({"a": "1", "b": "1", "c": "1"})), "maker");
        let same = put(t, r, &old, map(json!({"a": "1", "b": "1", "c": "1"})), &by("other", "t"));
        assert_eq!(same["metadata"]["managedFields"], old["metadata"]["managedFields"]);
        let new = put(t, r, &old, map(json!({"a": "2", "b": "1"})), &by("other", "t"));
        assert_eq!(owned(&new, "maker"), json!({"f:data": {".": {}, "f:b": {}}}));
        assert_eq!(owned(&new, "other"), json!({"f:data": {"f:a": {}}}));
    });
}

fn pod(containers: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": containers}})
}

/// The order of an applied list wins; items of others keep their place among them.
#[test]
fn applied_items_come_in_the_order_of_the_applier() {
    with("", "v1", "Pod", |t, r| {
        let c = |name: &str| json!({"name": name, "image": "i"});
        let old = made(t, r, pod(json!([c("a"), c("b"), c("x")])), "maker");
        let config = pod(json!([c("n"), c("b"), c("a")]));
        let new = apply(t, r, Some(&old), &config, &by("x", "t"), false).unwrap();
        let names: Vec<&str> =
            new["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["n", "b", "x", "a"]);
    });
}

/// What a stock server answers to a field that it does not know, a wrong type, and an item that is none or given twice.
#[test]
fn applied_objects_are_held_to_the_schema() {
    with("", "v1", "Pod", |t, r| {
        for (containers, why) in [
            (json!([{"name": "a", "bogus": 1}]), ".spec.containers[name=\"a\"].bogus: field not declared in schema"),
            (
                json!([{"name": "a", "image": 1}]),
                ".spec.containers[name=\"a\"].image: expected string, got &value.valueUnstructured{Value:1}",
            ),
            (json!([{"name": "a"}, {"name": "a"}]), ".spec.containers: duplicate entries for key [name=\"a\"]"),
            (json!({"a": 1}), ".spec.containers: expected list, got &{map[a:1]}"),
            (json!([1]), ".spec.containers: element 0: associative list with keys may not have non-map elements"),
        ] {
            let got = apply(t, r, None, &pod(containers), &by("x", "t"), false);
            assert_eq!(got, Err(ApplyError::Plain(format!("failed to create typed patch object (/p; /v1, Kind=Pod): {why}"))));
        }
    });
}

/// Limit: 100 errors are told of an applied object.
#[test]
fn no_more_than_a_hundred_errors_of_an_applied_object_are_told() {
    with("", "v1", "Pod", |t, r| {
        let config = pod(json!(vec![Value::Null; 5000]));
        let Err(ApplyError::Plain(text)) = apply(t, r, None, &config, &by("x", "t"), false) else { panic!("taken") };
        assert_eq!(text.lines().count(), 101);
    });
}

/// A request that brings thousands of entries, some of versions that nobody serves, is held to what its object has.
#[test]
fn entries_of_versions_that_are_not_served_are_dropped_and_doubles_read_once() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = made(t, r, map(json!({"a": "1"})), "maker");
        let entry = |version: String, manager: &str| json!({"manager": manager, "operation": "Apply", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}}});
        let mut body = map(json!({"a": "1", "b": "1"}));
        let mut list: Vec<Value> = (0..5000).map(|i| entry(format!("v{}", i + 2), &format!("m{i}"))).collect();
        list.extend([entry("v1".into(), "kept"), entry("v1".into(), "kept")]);
        body["metadata"]["managedFields"] = list.into();
        let new = put(t, r, &old, body, &by("other", "t"));
        assert_eq!(new["metadata"]["managedFields"].as_array().unwrap().len(), 2);
        assert_eq!(owned(&new, "kept"), json!({"f:data": {"f:a": {}}}));
        assert_eq!(owned(&new, "other"), json!({"f:data": {"f:b": {}}}));
    });
}

/// Subresources own apart: what `/status` writes is no business of the main resource.
#[test]
fn a_status_write_owns_status_only() {
    with("", "v1", "Pod", |t, r| {
        let old = made(t, r, pod(json!([{"name": "a", "image": "i"}])), "maker");
        let mut body = old.clone();
        body["status"] = json!({"phase": "Running"});
        body["spec"]["containers"][0]["image"] = "other".into();
        let new = put(t, r, &old, body, &Writer { manager: "kubelet", subresource: "status", now: "t" });
        assert_eq!(owned(&new, "kubelet"), json!({"f:status": {"f:phase": {}}}));
        assert_eq!(owned(&new, "maker"), owned(&old, "maker"));
    });
}

/// A Scale is applied to as any object; the object then shows who owns its replicas.
#[test]
fn an_applied_scale_conflicts_with_who_owns_replicas() {
    with("apps", "v1", "Deployment", |t, r| {
        let body = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 1,
            "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}}});
        let mut object = apply(t, r, None, &body, &by("x", "t"), false).unwrap();
        let mut old = read_scale(r, &object).unwrap();
        scale_entries(r, &object, &mut old);
        let config = json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 3}});
        let scale = scale_row(t, r).unwrap();
        let refused = apply_scale(t, &scale, &old, &config, &by("y", "t"), false);
        assert_eq!(refused.unwrap_err().to_string(), "Apply failed with 1 conflict: conflict with \"x\": .spec.replicas");
        let mut new = apply_scale(t, &scale, &old, &config, &by("y", "t"), true).unwrap();
        write_scale(r, &mut object, &new);
        take_scale_entries(r, &mut object, &mut new);
        assert_eq!(object["spec"]["replicas"], 3);
        assert_eq!(owned(&object, "y"), json!({"f:spec": {"f:replicas": {}}}));
        assert!(owned(&object, "x")["f:spec"].get("f:replicas").is_none());
        assert!(new["metadata"].get("managedFields").is_none());
    });
}

/// Entries of another version of the kind are taken from in that version's form.
#[test]
fn a_change_in_one_version_takes_from_entries_of_another() {
    with("autoscaling", "v2", "HorizontalPodAutoscaler", |t, r| {
        let v1 = t.kind(&Gvk::new("autoscaling", "v1", "HorizontalPodAutoscaler")).unwrap().clone();
        let body = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}, "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 50}});
        let old = made(t, &v1, body, "maker");
        let old = crate::convert(old, &r.gvk);
        let mut new = old.clone();
        new["spec"]["maxReplicas"] = 5.into();
        new["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] = 70.into();
        let new = put(t, r, &old, new, &by("other", "t"));
        let left = owned(&new, "maker");
        assert!(left["f:spec"].get("f:maxReplicas").is_none(), "{left}");
        assert!(left["f:spec"].get("f:targetCPUUtilizationPercentage").is_none(), "{left}");
        assert!(left["f:spec"].get("f:scaleTargetRef").is_some(), "{left}");
    });
}

/// `kubectl apply` moves to server-side apply without conflicts about what it set itself.
#[test]
fn kubectl_takes_over_what_its_annotation_says_it_set() {
    with("", "v1", "ConfigMap", |t, r| {
        let mut body = map(json!({"a": "1", "b": "1"}));
        body["metadata"]["annotations"] = json!({LAST_APPLIED: map(json!({"a": "1"})).to_string()});
        let old = made(t, r, body, "kubectl-client-side-apply");
        let new = apply(t, r, Some(&old), &map(json!({"a": "2"})), &by("kubectl", "t"), false).unwrap();
        assert_eq!(new["data"], json!({"a": "2", "b": "1"}));
        assert_eq!(new["metadata"]["annotations"][LAST_APPLIED], format!("{}\n", map(json!({"a": "2"}))));
        let refused = apply(t, r, Some(&old), &map(json!({"b": "2"})), &by("kubectl", "t"), false);
        assert!(matches!(refused, Err(ApplyError::Conflict { causes, .. }) if causes.len() == 1));
    });
}

/// Of two writes that store the same the second is none, whatever the times of its entries.
#[test]
fn times_alone_are_no_change() {
    with("", "v1", "ConfigMap", |t, r| {
        let old = made(t, r, map(json!({"a": "1"})), "maker");
        let mut new = old.clone();
        new["metadata"]["managedFields"][0]["time"] = "later".into();
        keep_times(&old, &mut new);
        assert_eq!(new, old);
        new["metadata"]["managedFields"][0]["time"] = "later".into();
        new["data"]["a"] = "2".into();
        keep_times(&old, &mut new);
        assert_eq!(new["metadata"]["managedFields"][0]["time"], "later");
    });
}

#[test]
fn a_manager_is_named_by_its_field_manager_or_user_agent() {
    assert_eq!(manager_name("m", "kubectl/v1"), "m");
    assert_eq!(manager_name("", "kubectl/v1.36 (linux)"), "kubectl");
    assert_eq!(manager_name("", "a\u{7}b\u{200b}"), "ab");
    assert_eq!(manager_name("", &"x".repeat(500)).len(), MANAGER_BYTES_MAX);
    assert_eq!(manager_name("", ""), "unknown");
}

#[test]
fn field_sets_that_make_no_sense_are_refused_and_new_kinds_of_steps_left_out() {
    for bad in [json!({"f:a": 1}), json!({"nothing": {}}), json!({"k:[]": {}}), json!({"v:{": {}}), json!([])] {
        assert!(Set::read(&bad).is_err(), "{bad}");
    }
    for (given, written) in [
        (r#"k:{"a":"b"}"#, r#"k:{"a":"b"}"#),
        (r#"k:{ "a" : "b" }"#, r#"k:{"a":"b"}"#),
        (r#"k:{"b":1,"a":"c"}"#, r#"k:{"a":"c","b":1}"#),
        (r#"k:{"a":"\u0041"}"#, r#"k:{"a":"A"}"#),
        (r#"k:{"a":"b","a":"c"}"#, r#"k:{"a":"c"}"#),
        (r#"v:"x""#, r#"v:"x""#),
        (r#"v:"\u0041""#, r#"v:"A""#),
        (r#"v: "x""#, r#"v:"x""#),
    ] {
        assert_eq!(Set::read(&json!({given: {}})).unwrap().write(), json!({written: {}}));
    }
    for bad in [r#"k:{"a"}"#, r#"k:{a":"b"}"#, r#"k:"a":"b""#, r#"v:"a"b""#, r#"v:""#, "k:{", "k:{}}"] {
        assert!(Set::read(&json!({bad: {}})).is_err(), "{bad}");
    }
    assert_eq!(Set::read(&json!({"f:a": {}, "z:b": {}})).unwrap().write(), json!({"f:a": {}}));
    let mut deep = json!({});
    for _ in 0..600 {
        deep = json!({"f:a": deep});
    }
    assert!(Set::read(&deep).is_err());
}

fn fields() -> impl Strategy<Value = Value> {
    let leaf = Just(json!({}));
    leaf.prop_recursive(4, 24, 4, |inner| {
        proptest::collection::btree_map("(f:[a-c]|k:\\{\"n\":[0-9]\\}|v:[0-9]|\\.)", inner, 0..4).prop_map(|mut map| {
            map.entry(".".into()).and_modify(|v| *v = json!({}));
            json!(map)
        })
    })
}

proptest! {
    /// FieldsV1 read and written is the same, but for `.` where it says nothing.
    #[test]
    fn a_set_survives_its_text(text in fields()) {
        let set = Set::read(&text).unwrap();
        prop_assert_eq!(Set::read(&set.write()).unwrap(), set);
    }

    /// The laws of sets.
    #[test]
    fn sets_obey_their_laws(a in fields(), b in fields()) {
        let (a, b) = (Set::read(&a).unwrap(), Set::read(&b).unwrap());
        prop_assert_eq!(a.clone().union(b.clone()), b.clone().union(a.clone()));
        prop_assert_eq!(a.difference(&b).union(a.intersection(&b)), a.clone());
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        let mut removed = a.clone();
        removed.remove(&b);
        prop_assert_eq!(removed, a.difference(&b));
    }

    /// An apply repeated is a no-op, and never conflicts with itself.
    #[test]
    fn an_apply_is_idempotent(first in containers(), second in containers()) {
        let (one, two) = with("", "v1", "Pod", |t, r| {
            let old = made(t, r, pod(first), "maker");
            let config = pod(second);
            let one = apply(t, r, Some(&old), &config, &by("x", "2026-01-01T00:00:00Z"), true).unwrap();
            let mut two = apply(t, r, Some(&one), &config, &by("x", "2026-01-02T00:00:00Z"), false).unwrap();
            keep_times(&one, &mut two);
            (one, two)
        });
        prop_assert_eq!(one, two);
    }
}

fn containers() -> impl Strategy<Value = Value> {
    let ports = proptest::collection::btree_set(1u16..5, 0..3);
    let env = proptest::collection::btree_map("[A-C]", "[x-z]", 0..3);
    let one = (ports, env, "[p-q]").prop_map(|(ports, env, image)| {
        let ports: Vec<Value> = ports.into_iter().map(|p| json!({"containerPort": p})).collect();
        let env: Vec<Value> = env.into_iter().map(|(k, v)| json!({"name": k, "value": v})).collect();
        json!({"image": image, "ports": ports, "env": env})
    });
    proptest::collection::btree_map("[a-d]", one, 0..4).prop_shuffle_items()
}

trait ShuffleItems: Sized {
    fn prop_shuffle_items(self) -> BoxedStrategy<Value>;
}

impl<S: Strategy<Value = std::collections::BTreeMap<String, Value>> + 'static> ShuffleItems for S {
    fn prop_shuffle_items(self) -> BoxedStrategy<Value> {
        let named = self.prop_map(|map| {
            map.into_iter()
                .map(|(name, mut value)| {
                    value["name"] = name.into();
                    value
                })
                .collect::<Vec<Value>>()
        });
        named.prop_shuffle().prop_map(Value::Array).boxed()
    }
}
