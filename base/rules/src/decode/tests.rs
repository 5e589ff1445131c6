use irori_api::row::{Gvk, Tables};
use serde_json::{Value, json};

use super::{DEPTH_MAX, decode};

fn pod(body: Value) -> Result<super::Decoded, super::DecodeError> {
    let tables = Tables::builtin();
    decode(&tables, tables.kind(&Gvk::new("", "v1", "Pod")).unwrap(), body)
}

#[test]
fn wrong_types_are_refused_in_the_stock_words() {
    let error = pod(json!({"spec": {"containers": [{"name": 5}]}})).unwrap_err();
    assert_eq!(
        error.message,
        "Pod in version \"v1\" cannot be handled as a Pod: json: cannot unmarshal number into Go struct field Container.spec.containers.name of type string"
    );
    assert!(
        pod(json!([]))
            .unwrap_err()
            .message
            .starts_with("couldn't get version/kind; json parse error: json: cannot unmarshal array")
    );
}

#[test]
fn another_kind_is_refused() {
    let error = pod(json!({"apiVersion": "v1", "kind": "Bogus"})).unwrap_err();
    assert!(
        error
            .message
            .ends_with("no kind \"Bogus\" is registered for version \"v1\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""),
        "{error}"
    );
    let error = pod(json!({"apiVersion": "v1", "kind": "Service"})).unwrap_err();
    assert!(error.message.contains("converting (v1.Service) to (core.Pod): unknown conversion"), "{error}");
}

#[test]
fn nulls_and_plain_zeros_are_dropped_and_pointers_to_zero_stay() {
    let decoded = pod(json!({"spec": {"hostNetwork": false, "hostUsers": false, "nodeName": "", "priority": 0, "volumes": null, "containers": []}})).unwrap();
    let spec = decoded.object["spec"].as_object().unwrap();
    assert_eq!(spec.get("hostNetwork"), None);
    assert_eq!(spec.get("nodeName"), None);
    assert_eq!(spec.get("volumes"), None);
    assert_eq!(spec["hostUsers"], false);
    assert_eq!(spec["priority"], 0);
    // Told from none as long as somebody may ask who set it; stored as null.
    assert_eq!(spec["containers"], json!([]));
}

#[test]
fn scalars_are_normalised() {
    let decoded = pod(json!({
        "metadata": {"creationTimestamp": "2026-01-01T01:00:00.5+01:00"},
        "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": 2, "memory": "1024Mi"}}}]},
    }))
    .unwrap();
    assert_eq!(decoded.object["metadata"]["creationTimestamp"], "2026-01-01T00:00:00Z");
    assert_eq!(decoded.object["spec"]["containers"][0]["resources"]["limits"], json!({"cpu": "2", "memory": "1Gi"}));
}

#[test]
fn base64_faults_name_the_byte_that_is_wrong() {
    for (text, byte) in [("a", 0), ("abc", 0), ("abcdefg!", 7), ("ab=c", 3), ("!", 0), ("abcd====", 4)] {
        let fault = crate::scalar::base64(text).unwrap_err();
        assert_eq!(fault, format!("illegal base64 data at input byte {byte}"), "{text}");
    }
    assert_eq!(crate::scalar::base64("YQ==\n").unwrap(), "YQ==");
}

#[test]
fn hostile_depth_is_refused_without_a_panic() {
    let mut schema = json!({"type": "object"});
    for _ in 0..DEPTH_MAX {
        schema = json!({"not": schema});
    }
    let tables = Tables::builtin();
    let row = tables.kind(&Gvk::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition")).unwrap();
    let body = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]}});
    assert!(decode(&tables, row, body).unwrap_err().message.contains("exceeded max depth"));
}

#[test]
fn many_unknown_fields_are_told_up_to_a_limit() {
    let many: serde_json::Map<String, Value> = (0..1000).map(|i| (format!("x{i}"), Value::Null)).collect();
    assert_eq!(pod(Value::Object(many)).unwrap().unknown.len(), super::UNKNOWN_MAX);
}

/// The words of the converter of trees, which is not the reader of JSON.
#[test]
fn a_tree_is_refused_in_words_of_its_own() {
    let tables = Tables::builtin();
    let tree = |kind: &str, body: Value| {
        let row = tables.rows.values().find(|row| row.gvk.kind == kind && row.gvk.version == "v1").unwrap();
        super::decode_tree(&tables, &row.gvk.api_version(), kind, &row.of, body).map_err(|source| source.message)
    };
    let pod = |spec: Value| tree("Pod", json!({"spec": spec}));
    let container = |field: &str, value: Value| pod(json!({"containers": [{"name": "c", field: value}]}));
    for (got, why) in [
        (container("image", json!(5)), "cannot convert int64 to string"),
        (container("imagePullPolicy", json!(5)), "cannot convert int64 to v1.PullPolicy"),
        (container("image", json!(true)), "unrecognized type: string"),
        (container("image", json!(1.5)), "unrecognized type: string"),
        (container("stdin", json!("yes")), "unrecognized type: bool"),
        (container("args", json!("x")), "cannot restore slice from string"),
        (container("args", json!({})), "cannot restore slice from map"),
        (container("resources", json!("x")), "cannot restore struct from: string"),
        (container("resources", json!([])), "cannot restore struct from: slice"),
        (
            container("livenessProbe", json!({"httpGet": {"port": true}})),
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        (pod(json!({"nodeSelector": "x"})), "cannot restore map from string"),
        (pod(json!({"priority": 1.5})), "cannot convert float64 to int32"),
        (pod(json!({"priority": "x"})), "unrecognized type: int32"),
        (tree("Secret", json!({"data": {"a": "!!"}})), "error decoding from json: illegal base64 data at input byte 0"),
        (
            tree("Pod", json!({"metadata": {"creationTimestamp": 5}})),
            "json: cannot unmarshal number into Go value of type string",
        ),
    ] {
        assert_eq!(got.unwrap_err(), why);
    }
    let got = pod(json!({"priority": 2.0, "zz": 1, "aa": 1})).unwrap();
    assert_eq!(got.object["spec"]["priority"].to_string(), "2");
    assert_eq!(got.unknown, ["unknown field \"spec.aa\"", "unknown field \"spec.zz\""]);
}
