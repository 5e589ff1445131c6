use irori_api::{
    codec::json::least_bytes,
    row::{Gvk, Tables},
    schema::{Shape, TypeRef},
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{Room, TooLarge, decode, default_object, default_within};

/// Any value a schema may hold, small.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2i64..70_000).prop_map(|n| n.into()),
        prop::sample::select(vec![
            "",
            "a",
            "Always",
            "10.0.0.1",
            "ClientIP",
            "LoadBalancer",
            "2026-01-01T00:00:00Z",
            "1Gi",
            "YQ=="
        ])
        .prop_map(|s| s.into()),
    ];
    let key = prop::sample::select(vec![
        "metadata",
        "spec",
        "status",
        "name",
        "labels",
        "template",
        "containers",
        "ports",
        "port",
        "type",
        "data",
        "stringData",
        "limits",
        "resources",
        "replicas",
        "selector",
        "volumes",
        "strategy",
        "behavior",
        "scaleUp",
        "subsets",
        "rules",
        "podIP",
        "podIPs",
        "metrics",
        "jobTemplate",
    ]);
    leaf.prop_recursive(7, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map(key.clone(), inner, 0..7)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// No kind panics on any tree, and what decoding takes is stable: decoding and defaulting again change nothing.
    #[test]
    fn decoding_and_defaulting_are_stable_for_every_kind(body in prop::collection::btree_map("metadata|spec|status|data|rules|subsets|template", tree(), 0..5)) {
        let body = Value::Object(body.into_iter().collect());
        let tables = Tables::builtin();
        for row in tables.rows.values() {
            // Defaults see what could be decoded; they must not panic on anything else either.
            default_object(&tables, row, &mut body.clone());
            let Ok(decoded) = decode(&tables, row, body.clone()) else { continue };
            let again = decode(&tables, row, decoded.object.clone()).unwrap();
            prop_assert_eq!(&again.object, &decoded.object, "{}", row.gvk.kind);
            prop_assert!(again.unknown.is_empty());
            let mut once = decoded.object;
            default_object(&tables, row, &mut once);
            let mut twice = once.clone();
            default_object(&tables, row, &mut twice);
            prop_assert_eq!(&twice, &once, "{}", row.gvk.kind);
            let birth = crate::Birth { uid: "u".into(), creation_timestamp: "2026-01-01T00:00:00Z".into(), generated_name: String::new(), namespace: "n".into() };
            let mut born = once.clone();
            crate::prepare_create(&tables, row, &mut born, &birth);
            let _ = crate::validate_create(row, row, &born);
            let _ = crate::table_cells(row, &born, 0);
            let _ = crate::read_scale(row, &born);
            let mut changed = once;
            crate::prepare_update(&tables, row, &mut changed, &born, crate::Part::Main, "2026-01-01T00:00:00Z");
            let _ = crate::validate_update(row, row, &changed, &born, crate::Part::Main);
        }
    }
}

#[test]
fn an_image_without_tag_or_with_latest_is_always_pulled() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "pods").unwrap();
    for (image, want) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:1", "IfNotPresent"),
        ("r:5000/a", "Always"),
        ("r:5000/a:1", "IfNotPresent"),
        ("a@sha256:0000000000000000000000000000000000000000000000000000000000000000", "IfNotPresent"),
        ("Not An Image", "IfNotPresent"),
    ] {
        let mut pod = decode(&tables, row, json!({"spec": {"containers": [{"name": "c", "image": image}]}})).unwrap().object;
        default_object(&tables, row, &mut pod);
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], want, "{image}");
    }
}

fn defaulted(resource: &str, body: Value) -> Value {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", resource).unwrap();
    let mut object = decode(&tables, row, body).unwrap().object;
    default_object(&tables, row, &mut object);
    object
}

#[test]
fn an_image_that_is_a_volume_is_pulled_like_any_other() {
    for (reference, want) in [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"), ("", "IfNotPresent")] {
        let pod = defaulted("pods", json!({"spec": {"volumes": [{"name": "v", "image": {"reference": reference}}]}}));
        assert_eq!(pod["spec"]["volumes"][0]["image"]["pullPolicy"], want, "{reference}");
    }
}

#[test]
fn amounts_of_resources_are_kept_in_thousandths() {
    let quota = defaulted("resourcequotas", json!({"spec": {"hard": {"cpu": "0.0001", "memory": "1e-4", "pods": "1"}}}));
    assert_eq!(quota["spec"]["hard"], json!({"cpu": "1m", "memory": "1e-3", "pods": "1"}));
    let pod = defaulted("pods", json!({"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "100u"}}}]}}));
    assert_eq!(pod["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "1m"}, "requests": {"cpu": "1m"}}));
}

#[test]
fn a_pod_asks_for_what_its_containers_ask_for() {
    let resources = |own: Value, containers: &[Value]| {
        let containers: Vec<Value> = containers.iter().map(|one| json!({"name": "c", "resources": one})).collect();
        defaulted("pods", json!({"spec": {"containers": containers, "resources": own}}))["spec"]["resources"].clone()
    };
    let cpu = json!({"requests": {"cpu": "500m"}});
    assert_eq!(
        resources(json!({"limits": {"cpu": "2", "memory": "1Gi"}}), &[cpu.clone(), cpu.clone()]),
        json!({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}})
    );
    let pages = json!({"limits": {"cpu": "1", "hugepages-2Mi": "2Mi"}});
    assert_eq!(
        resources(json!({"limits": {"cpu": "2"}}), &[pages.clone(), pages]),
        json!({"limits": {"cpu": "2", "hugepages-2Mi": "4Mi"}, "requests": {"cpu": "2", "hugepages-2Mi": "4Mi"}})
    );
    assert_eq!(resources(json!({}), &[cpu]), json!({}));
}

#[test]
fn text_of_a_secret_is_stored_as_bytes() {
    let tables = Tables::builtin();
    let row = tables.resource("", "v1", "secrets").unwrap();
    let mut secret = decode(&tables, row, json!({"stringData": {"a": "b"}, "data": {"a": "eA==", "c": "eA=="}})).unwrap().object;
    default_object(&tables, row, &mut secret);
    assert_eq!(secret["data"], json!({"a": "Yg==", "c": "eA=="}));
    assert!(secret.get("stringData").is_none());
}

/// Defaults may not multiply an object; what is large without them, or has them already, is none of their doing.
#[test]
fn an_object_grows_by_its_defaults_so_far_and_no_further() {
    let tables = Tables::builtin();
    let counts = |name: &str| name == "spec";
    let within = |pod: &Value, bytes_max, grown_max| {
        let mut pod = pod.clone();
        let row = tables.kind(&Gvk::new("", "v1", "Pod")).unwrap();
        default_within(&tables, row, &mut pod, &Room { bytes_max, grown_max, counts: &counts }).map(|()| pod)
    };
    let containers: Vec<Value> = (0..2000).map(|n| json!({"name": format!("c{n}"), "image": "i"})).collect();
    let bare = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}});
    let whole = within(&bare, usize::MAX, usize::MAX).unwrap();
    let (before, after) = (least_bytes(&bare["spec"]), least_bytes(&whole["spec"]));
    assert!(after > before + 200_000, "{before} {after}");
    assert_eq!(within(&bare, after, after).as_ref(), Ok(&whole));
    assert_eq!(within(&bare, after, after / 2), Err(TooLarge { bytes_max: after / 2 }));
    assert_eq!(within(&bare, after - 1, after), Err(TooLarge { bytes_max: after - 1 }));
    // It may have become larger than that on other ways, and still be changed.
    assert_eq!(within(&whole, after, 1).as_ref(), Ok(&whole));
    // What does not count takes no room.
    let status: Vec<Value> = (0..200).map(|n| json!({"name": format!("c{n}")})).collect();
    let beside = json!({"apiVersion": "v1", "kind": "Pod", "spec": whole["spec"], "status": {"containerStatuses": status}});
    assert_eq!(within(&beside, after, 1).map(drop), Ok(()));
}

/// A Secret's `stringData` takes the place of its `data`.
#[test]
fn what_defaults_take_away_takes_no_room() {
    let tables = Tables::builtin();
    let row = tables.kind(&Gvk::new("", "v1", "Secret")).unwrap();
    let counts = |name: &str| name == "data" || name == "stringData";
    let (data, new) = ("YWFh".repeat(30_000), "a".repeat(90_000));
    let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "data": {"k": data}, "stringData": {"k": new}});
    let room = Room { bytes_max: 250_000, grown_max: 1, counts: &counts };
    assert_eq!(default_within(&tables, row, &mut secret, &room), Ok(()));
    assert_eq!(secret["data"]["k"].as_str().map(str::len), Some(120_000));
    assert_eq!(secret.get("stringData"), None);
}

/// The form of a type is worked out from those of its defaults: a circle of them would have no end.
#[test]
fn no_type_stands_in_its_own_defaults() {
    fn follow<'a>(tables: &'a Tables, of: &'a str, way: &mut Vec<&'a str>) {
        assert!(!way.contains(&of), "{of} stands in its own defaults: {way:?}");
        way.push(of);
        if let Some(Shape::Object(shape)) = tables.schemas.named(of).map(|of| &of.shape) {
            for (_, field) in shape.fields.iter().filter(|(_, field)| field.default.as_ref().is_some_and(Value::is_object)) {
                if let TypeRef::Named(name) = &field.of {
                    follow(tables, name, way);
                }
            }
        }
        way.pop();
    }
    let tables = Tables::builtin();
    assert!(tables.schemas.types.len() > 500);
    tables.schemas.types.keys().for_each(|name| follow(&tables, name, &mut Vec::new()));
}
