use irori_api::row::{Gvk, Row, Tables};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{COPY_BYTES_MAX, JSON_OPERATIONS_MAX, PatchError, PatchKind, apply_patch};

fn with_pod<T>(f: impl FnOnce(&Tables, &Row) -> T) -> T {
    let tables = Tables::builtin();
    let row = tables.kind(&Gvk::new("", "v1", "Pod")).unwrap().clone();
    f(&tables, &row)
}

fn strategic(object: Value, patch: Value) -> Result<Value, PatchError> {
    with_pod(|tables, row| apply_patch(tables, row, &object, PatchKind::Strategic, &patch))
}

fn named(names: &[&str]) -> Value {
    json!({"spec": {"containers": names.iter().map(|n| json!({"name": n})).collect::<Vec<_>>()}})
}

fn order(object: &Value) -> Vec<String> {
    object["spec"]["containers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect()
}

/// RFC 7386, appendix A.
#[test]
fn merge_patch_does_what_the_examples_of_its_rfc_do() {
    for (object, patch, want) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        let got = with_pod(|t, r| apply_patch(t, r, &object, PatchKind::Merge, &patch)).unwrap();
        assert_eq!(got, want);
    }
}

/// RFC 6902, appendix A.
#[test]
fn json_patch_does_what_the_examples_of_its_rfc_do() {
    for (object, patch, want) in [
        (
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux"}]),
            Some(json!({"baz": "qux", "foo": "bar"})),
        ),
        (
            json!({"foo": ["bar", "baz"]}),
            json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
            Some(json!({"foo": ["bar", "qux", "baz"]})),
        ),
        (json!({"foo": ["a", "b"]}), json!([{"op": "remove", "path": "/foo/1"}]), Some(json!({"foo": ["a"]}))),
        (
            json!({"foo": {"bar": 1}, "q": {}}),
            json!([{"op": "move", "from": "/foo/bar", "path": "/q/t"}]),
            Some(json!({"foo": {}, "q": {"t": 1}})),
        ),
        (
            json!({"a~b": 1, "c/d": 2}),
            json!([{"op": "test", "path": "/a~0b", "value": 1}, {"op": "remove", "path": "/c~1d"}]),
            Some(json!({"a~b": 1})),
        ),
        (
            json!({"a": [1]}),
            json!([{"op": "add", "path": "/a/-", "value": 2}, {"op": "replace", "path": "/a/-1", "value": 3}]),
            Some(json!({"a": [1, 3]})),
        ),
        (json!({"a": 1}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), Some(json!({"a": 1, "b": 1}))),
        (json!({"a": 1}), json!([{"op": "remove", "path": "/b"}]), None),
        (json!({"a": 1}), json!([{"op": "add", "path": "/b/c", "value": 1}]), None),
        (json!({"a": [1]}), json!([{"op": "add", "path": "/a/9", "value": 1}]), None),
        (json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 2}]), None),
        (json!({"a": 1}), json!([{"op": "dance", "path": "/a"}]), None),
    ] {
        let got = with_pod(|t, r| apply_patch(t, r, &object, PatchKind::Json, &patch));
        match want {
            Some(want) => assert_eq!(got.unwrap(), want, "{patch}"),
            None => assert!(matches!(got, Err(PatchError::Unprocessable(_))), "{patch}"),
        }
    }
}

/// Liberties of json-patch 4, which a stock server takes with its patches.
#[test]
fn json_patch_takes_a_missing_member_for_null_and_the_whole_for_a_place() {
    let object = json!({"a": {"b": 1}, "l": [1]});
    for (operation, want) in [
        (json!({"op": "replace", "path": "/a/c", "value": 2}), Some(json!({"a": {"b": 1, "c": 2}, "l": [1]}))),
        (json!({"op": "replace", "path": "/z/c", "value": 2}), None),
        (json!({"op": "replace", "path": "/l/1", "value": 2}), None),
        (json!({"op": "copy", "from": "/a/z", "path": "/c"}), Some(json!({"a": {"b": 1}, "c": null, "l": [1]}))),
        (json!({"op": "copy", "from": "/z/z", "path": "/c"}), None),
        (json!({"op": "move", "from": "/a/z", "path": "/c"}), None),
        (json!({"op": "test", "path": "/z", "value": null}), Some(object.clone())),
        (json!({"op": "test", "path": "/z"}), Some(object.clone())),
        (json!({"op": "test", "path": "/z", "value": 1}), None),
        (json!({"op": "test", "path": "/z/z", "value": null}), None),
        (json!({"op": "test", "path": "/l/1", "value": null}), None),
        (json!({"op": "test", "path": "", "value": object}), Some(object.clone())),
        (json!({"op": "test", "path": "", "value": {}}), None),
        (json!({"op": "replace", "path": "", "value": {"d": 1}}), Some(json!({"d": 1}))),
        (json!({"op": "replace", "path": "", "value": [1]}), Some(json!([1]))),
        (json!({"op": "replace", "path": "", "value": 1}), None),
        (json!({"op": "add", "path": "", "value": {}}), None),
        (json!({"op": "remove", "path": ""}), None),
        (json!({"op": "add", "path": "x/q", "value": 1}), Some(json!({"a": {"b": 1}, "l": [1], "q": 1}))),
        (json!({"op": "add", "path": "x", "value": 1}), None),
    ] {
        let patch = json!([operation]);
        let got = with_pod(|t, r| apply_patch(t, r, &object, PatchKind::Json, &patch));
        match want {
            Some(want) => assert_eq!(got.unwrap(), want, "{patch}"),
            None => assert!(matches!(got, Err(PatchError::Unprocessable(_))), "{patch}"),
        }
    }
}

#[test]
fn a_json_patch_with_too_many_operations_is_refused() {
    let one = json!({"op": "test", "path": "/a", "value": 1});
    let patch = Value::Array(vec![one; JSON_OPERATIONS_MAX + 1]);
    let got = with_pod(|t, r| apply_patch(t, r, &json!({"a": 1}), PatchKind::Json, &patch));
    assert!(matches!(got, Err(PatchError::TooLarge(_))));
}

#[test]
fn a_json_patch_that_copies_without_end_is_refused() {
    let object = json!({"a": "x".repeat(COPY_BYTES_MAX / 2)});
    let copies: Vec<Value> = (0..3).map(|i| json!({"op": "copy", "from": "/a", "path": format!("/b{i}")})).collect();
    let got = with_pod(|t, r| apply_patch(t, r, &object, PatchKind::Json, &Value::Array(copies)));
    assert!(matches!(got, Err(PatchError::Unprocessable(_))));
}

#[test]
fn strategic_merge_orders_its_own_items_and_keeps_those_of_the_server_in_place() {
    let got = strategic(named(&["a", "b", "c"]), named(&["d", "b"])).unwrap();
    assert_eq!(order(&got), ["d", "a", "b", "c"]);
}

#[test]
fn set_element_order_orders_what_it_names() {
    let patch = json!({"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "a", "image": "i"}]}});
    let got = strategic(named(&["a", "b", "c"]), patch).unwrap();
    assert_eq!(order(&got), ["b", "c", "a"]);
}

#[test]
fn items_are_deleted_by_directive() {
    let patch = json!({"spec": {"containers": [{"$patch": "delete", "name": "a"}]}});
    assert_eq!(order(&strategic(named(&["a", "b"]), patch).unwrap()), ["b"]);
    let patch = json!({"spec": {"$patch": "delete"}});
    assert_eq!(strategic(named(&["a"]), patch).unwrap()["spec"], json!({}));
    let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}});
    let got = strategic(json!({"metadata": {"finalizers": ["a/x", "b/y"]}}), patch).unwrap();
    assert_eq!(got["metadata"]["finalizers"], json!(["b/y"]));
}

#[test]
fn directives_never_reach_the_object() {
    let patch = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {"$retainKeys": ["medium"], "medium": "Memory", "sizeLimit": null}}]}});
    let got = strategic(json!({}), patch).unwrap();
    assert_eq!(got, json!({"spec": {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}}));
}

/// A search for each item would need 400 million comparisons.
#[test]
fn long_lists_are_merged_by_looking_up() {
    let list = |from: usize| json!({"spec": {"containers": (from..from + 20_000).map(|i| json!({"name": format!("c{i}")})).collect::<Vec<_>>()}});
    let got = strategic(list(0), list(10_000)).unwrap();
    assert_eq!(order(&got).len(), 30_000);
    let finalizers =
        |from: usize| json!({"metadata": {"finalizers": (from..from + 20_000).map(|i| format!("a/{i}")).collect::<Vec<_>>()}});
    let got = strategic(finalizers(0), finalizers(10_000)).unwrap();
    assert_eq!(got["metadata"]["finalizers"].as_array().unwrap().len(), 30_000);
}

/// The texts of upstream's strategicpatch and mergepatch.
#[test]
fn what_is_wrong_with_a_strategic_merge_patch_is_told_in_stock_words() {
    let pod = || {
        let mut pod = named(&["a"]);
        pod["metadata"] = json!({"finalizers": ["x/y"]});
        pod
    };
    let plain = |text: &str| PatchError::Plain(text.to_owned());
    let refused = || PatchError::Unprocessable("the server rejected our request due to an error in our request".to_owned());
    for (patch, want) in [
        (json!({"spec": {"$patch": "bogus"}}), plain("unknown patch type: bogus in map: map[$patch:bogus]")),
        (
            json!({"spec": {"$patch": "merge", "hostNetwork": true}}),
            plain("unknown patch type: merge in map: map[$patch:merge hostNetwork:true]"),
        ),
        (
            json!({"spec": {"containers": [{"name": "a", "$patch": "bogus"}]}}),
            plain("unknown patch type: bogus in map: map[$patch:bogus name:a]"),
        ),
        (
            json!({"spec": {"containers": [{"name": "a"}], "$setElementOrder/containers": [{"name": "b"}]}}),
            plain("The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n"),
        ),
        (json!({"spec": {"$setElementOrder/containers": "x"}}), plain("expected a []interface {}, but received a string")),
        (
            json!({"spec": {"$setElementOrder/containers": [], "containers": 5}}),
            plain("expected a []interface {}, but received a int64"),
        ),
        (
            json!({"spec": {"$setElementOrder/foo": []}}),
            plain("unable to find api field in struct PodSpec for the json field \"foo\""),
        ),
        (json!({"spec": {"containers": ["x"]}}), plain("list element types are not identical: [[map[name:a]] [x]]")),
        (json!({"metadata": {"finalizers": ["x", 5]}}), plain("list element types are not identical: [[x/y] [x 5]]")),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [{"a": 1}]}}),
            plain("list element types are not identical: [[x/y] [map[a:1]]]"),
        ),
    ] {
        assert_eq!(strategic(pod(), patch.clone()).unwrap_err(), want, "{patch}");
    }
    let lists = json!({"metadata": {"finalizers": [["x"]]}});
    assert_eq!(strategic(json!({"metadata": {"finalizers": []}}), lists).unwrap_err(), refused());
    assert_eq!(strategic(pod(), Value::Null).unwrap(), pod());
}

#[test]
fn malformed_directives_are_refused() {
    for patch in [
        json!({"$retainKeys": "spec"}),
        json!({"$retainKeys": ["metadata"], "spec": {}}),
        json!({"spec": {"$setElementOrder/containers": 1}}),
        json!({"$patch": "mangle"}),
        json!({"spec": {"containers": [{"image": "i"}]}}),
        json!({"spec": {"containers": [{"name": "a"}], "$setElementOrder/containers": [{"name": "b"}]}}),
    ] {
        assert!(strategic(named(&["a"]), patch.clone()).is_err(), "{patch}");
    }
}

/// Trees made of words that patches care about.
fn tree() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "spec",
        "containers",
        "name",
        "metadata",
        "finalizers",
        "labels",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "delete",
        "replace",
        "merge",
        "a",
        "b",
        "op",
        "path",
        "/a",
        "/spec/containers/0",
        "/-",
        "from",
        "value",
        "add",
        "remove",
        "copy",
        "move",
        "test",
        "-1",
        "env",
        "volumes",
        "emptyDir",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|n| n.into()),
        word.clone().prop_map(|w| w.into()),
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map(word.clone(), inner, 0..5)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    tree().prop_map(|t| if t.is_object() { t } else { json!({"spec": t}) })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(o) => o.values().any(has_null),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_patch_panics(object in object(), patch in tree()) {
        with_pod(|t, r| {
            for kind in [PatchKind::Json, PatchKind::Merge, PatchKind::Strategic] {
                let _ = apply_patch(t, r, &object, kind, &patch);
            }
        });
    }

    #[test]
    fn an_empty_merge_patch_changes_nothing(object in object()) {
        with_pod(|t, r| {
            for kind in [PatchKind::Merge, PatchKind::Strategic] {
                assert_eq!(apply_patch(t, r, &object, kind, &json!({})).unwrap(), object);
            }
        });
    }

    #[test]
    fn a_merge_patch_applied_twice_is_applied_once(object in object(), patch in object()) {
        with_pod(|t, r| {
            let once = apply_patch(t, r, &object, PatchKind::Merge, &patch).unwrap();
            assert_eq!(apply_patch(t, r, &once, PatchKind::Merge, &patch).unwrap(), once);
        });
    }

    #[test]
    fn an_object_merged_over_nothing_is_itself(object in object().prop_filter("nulls delete", |o| !has_null(o))) {
        with_pod(|t, r| assert_eq!(apply_patch(t, r, &json!({}), PatchKind::Merge, &object).unwrap(), object));
    }
}
