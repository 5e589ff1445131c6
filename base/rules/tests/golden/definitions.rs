//! Definitions that operators ship: a stock server takes each of them.
use std::{io::Read, path::Path};

use irori_api::row::Tables;
use irori_rules::{Part, prepare_update, validate_create, validate_update, warnings};
use serde_json::{Value, json};

use super::recording::row;

const PATH: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn real() -> Vec<(String, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/definitions.jsonl.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(file).unwrap()).read_to_string(&mut text).unwrap();
    let one = |line: &str| -> (String, Value) {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["origin"].as_str().unwrap().to_owned(), line["body"].clone())
    };
    text.lines().map(one).collect()
}

fn born(tables: &Tables, body: Value) -> Value {
    let (row, ..) = row(tables, PATH).unwrap();
    let mut object = irori_rules::decode(tables, row, body).unwrap().object;
    irori_rules::default_object(tables, row, &mut object);
    let birth = irori_rules::Birth {
        uid: "u".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: String::new(),
        namespace: String::new(),
    };
    irori_rules::prepare_create(tables, row, &mut object, &birth);
    object
}

/// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
#[test]
fn definitions_of_real_operators_are_never_refused() {
    let tables = Tables::builtin();
    let (row, ..) = row(&tables, PATH).unwrap();
    let all = real();
    assert!(all.len() >= 14);
    for (origin, body) in all {
        let object = born(&tables, body);
        let errors = validate_create(row, row, &object);
        assert!(errors.is_empty(), "{origin}: {errors}");
        assert_eq!(warnings(row, &object, None), [""; 0], "{origin}");
        let mut changed = object.clone();
        changed["metadata"]["labels"] = json!({"a": "b"});
        prepare_update(&tables, row, &mut changed, &object, Part::Main, "2026-01-01T00:00:01Z");
        let errors = validate_update(row, row, &changed, &object, Part::Main);
        assert!(errors.is_empty(), "{origin}: {errors}");
    }
}

/// The same definitions, each with one thing that a stock server refuses.
#[test]
fn definitions_of_real_operators_are_refused_once_they_are_broken() {
    let tables = Tables::builtin();
    let (row, ..) = row(&tables, PATH).unwrap();
    for (origin, body) in real() {
        let mut breaks: Vec<fn(&mut Value)> = vec![
            |b| b["spec"]["names"]["plural"] = json!("Bad"),
            |b| b["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] = json!({}),
            |b| b["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["metadata"]["required"] = json!(["name"]),
            |b| b["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["type"] = json!("array"),
        ];
        while let Some(broken) = breaks.pop() {
            let mut body = body.clone();
            broken(&mut body);
            assert!(!validate_create(row, row, &born(&tables, body)).is_empty(), "{origin} {}", breaks.len());
        }
    }
}
