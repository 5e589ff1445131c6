use irori_api::row::Tables;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{decode, default_object};

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
