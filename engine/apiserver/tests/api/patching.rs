//! Patches that cannot be carried out, or not as asked: what is said of them.
use serde_json::{Value, json};

use crate::harness::*;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const JSON: &str = "json-patch+json";
const MERGE: &str = "merge-patch+json";
const STRATEGIC: &str = "strategic-merge-patch+json";
const APPLY: &str = "apply-patch+yaml";

async fn patch(client: &Client, kind: &str, path: &str, body: impl Into<String>) -> Answer {
    client.raw("PATCH", path, &[("content-type", &format!("application/{kind}"))], body.into()).await
}

fn deployment(name: &str) -> Value {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec})
}

/// The outcome of a patch that is no object of its kind: no name, no kind, one cause.
#[tokio::test]
async fn the_outcome_of_a_patch_that_cannot_be_decoded_is_invalid() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let path = format!("{MAPS}/a");
    for (kind, body, ends) in [
        (MERGE, json!({"data": {"a": 5}}), "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (MERGE, json!({"kind": "Secret"}), "converting (v1.Secret) to (core.ConfigMap): unknown conversion"),
        (
            JSON,
            json!([{"op": "add", "path": "/data/b", "value": 5}]),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (STRATEGIC, json!({"data": {"a": 5}}), "\"map[data:map[a:5]]\": cannot convert int64 to string"),
    ] {
        let told = patch(&admin, kind, &path, body.to_string()).await.refuses(422, "Invalid", ends);
        let message = told["message"].as_str().unwrap();
        assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: \""), "{message}");
        let details = told["details"].as_object().unwrap();
        assert_eq!(details.keys().collect::<Vec<_>>(), ["causes"], "{told}");
        let cause = &details["causes"][0];
        assert_eq!((cause["field"].as_str(), cause["reason"].as_str()), (Some("patch"), Some("FieldValueInvalid")));
        assert!(message.ends_with(ends) && cause["message"].as_str().unwrap().ends_with(ends), "{told}");
    }
    // By its Go type the object is what it is.
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "data": {"b": "2"}});
    let patched = patch(&admin, STRATEGIC, &path, other.to_string()).await.expect(200);
    assert_eq!((&patched["kind"], &patched["data"]["b"]), (&json!("ConfigMap"), &json!("2")));
}

#[tokio::test]
async fn a_strict_patch_with_unknown_or_repeated_fields_is_invalid() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let path = format!("{MAPS}/a");
    let strict = format!("{path}?fieldValidation=Strict");
    for (kind, body, complaints) in [
        (MERGE, r#"{"bogus":1}"#, vec!["unknown field \"bogus\""]),
        (MERGE, r#"{"data":{"a":"1","a":"2"},"bogus":1}"#, vec!["duplicate field \"data.a\"", "unknown field \"bogus\""]),
        // Told in the order of their texts.
        (
            STRATEGIC,
            r#"{"zz":1,"aa":1,"metadata":{"foo":1}}"#,
            vec!["unknown field \"aa\"", "unknown field \"metadata.foo\"", "unknown field \"zz\""],
        ),
        (
            JSON,
            r#"[{"op":"add","op":"test","path":"/metadata/name","value":"a","foo":1}]"#,
            vec!["json patch duplicate field \"[0].op\"", "json patch unknown field \"[0].foo\""],
        ),
    ] {
        let text = format!("strict decoding error: {}", complaints.join(", "));
        let told = patch(&admin, kind, &strict, body).await.refuses(422, "Invalid", &text);
        assert!(told["message"].as_str().unwrap().starts_with(" \"\" is invalid: patch: Invalid value: "), "{told}");
        let warned = patch(&admin, kind, &path, body).await;
        let warnings: Vec<&str> = warned.headers.get_all("warning").iter().map(|text| text.to_str().unwrap()).collect();
        let wanted: Vec<String> = complaints.iter().map(|text| format!("299 - \"{}\"", text.replace('"', "\\\""))).collect();
        assert_eq!(warnings, wanted);
        warned.expect(200);
    }
}

#[tokio::test]
async fn what_an_apply_makes_and_its_kind_cannot_hold_is_told_with_its_name() {
    let api = Api::start().await;
    let admin = api.admin();
    let path = format!("{DEPLOYMENTS}/x?fieldManager=m");
    let with = |at: &str, value: Value| {
        let mut wanted = deployment("x");
        wanted["spec"][at] = value;
        wanted
    };
    let surge = |value: Value| json!({"rollingUpdate": {"maxSurge": value}});
    for (config, why) in [
        (with("replicas", json!(1.5)), "cannot convert float64 to int32"),
        (with("strategy", surge(json!(true))), "json: cannot unmarshal bool into Go value of type int32"),
    ] {
        let told = patch(&admin, APPLY, &path, config.to_string()).await.expect(500);
        let text = "failed to convert new object (/x; apps/v1, Kind=Deployment) to proper version: unable to convert unstructured object to apps/v1, Kind=Deployment: ";
        assert_eq!((told["message"].as_str().unwrap(), told.get("reason")), (format!("{text}{why}").as_str(), None));
    }
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "default"}, "binaryData": {"a": "!!"}});
    let text = "failed to convert new object (default/m; /v1, Kind=ConfigMap) to proper version: unable to convert unstructured object to /v1, Kind=ConfigMap: error decoding from json: illegal base64 data at input byte 0";
    patch(&admin, APPLY, &format!("{MAPS}/m?fieldManager=m"), config.to_string()).await.refuses(500, "", text);
    let made = patch(&admin, APPLY, &path, with("replicas", json!(2.0)).to_string()).await.expect(201);
    assert_eq!(made["spec"]["replicas"].to_string(), "2");
    let again = patch(&admin, APPLY, &path, with("replicas", json!(2.0)).to_string()).await.expect(200);
    assert_eq!(again["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn what_kubectl_applied_last_is_kept_as_go_writes_it() {
    let api = Api::start().await;
    let admin = api.admin();
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    let meta = json!({"name": "a", "annotations": {last: "{}"}});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1<2&>"}});
    let made = patch(&admin, APPLY, &format!("{MAPS}/a?fieldManager=kubectl"), config.to_string()).await.expect(201);
    let kept = made["metadata"]["annotations"][last].as_str().unwrap();
    assert!(kept.contains(r#""a":"1\u003c2\u0026\u003e""#), "{kept}");
}

/// First come the options and an object that is not there; then the patch.
#[tokio::test]
async fn a_malformed_patch_is_told_in_the_words_of_its_decoder() {
    let api = Api::start().await;
    let admin = api.admin();
    admin.post(MAPS, config_map("a")).await.expect(201);
    let path = format!("{MAPS}/a");
    let ignore = format!("{path}?fieldValidation=Ignore");
    for kind in [JSON, MERGE, STRATEGIC] {
        patch(&admin, kind, &format!("{MAPS}/none"), "{bad").await.refuses(404, "NotFound", "configmaps \"none\" not found");
        patch(&admin, kind, &format!("{path}?dryRun=x"), "{bad").await.refuses(422, "Invalid", "dryRun");
    }
    let key = "invalid character 'b' looking for beginning of object key string";
    for (kind, path, body, want) in [
        (JSON, &path, "{bad", format!("error decoding patch: {key}")),
        (MERGE, &path, "{bad", format!("error decoding patch: {key}")),
        (MERGE, &path, "", "error decoding patch: unexpected end of JSON input".to_owned()),
        (STRATEGIC, &path, "{bad", key.to_owned()),
        (JSON, &ignore, "{bad", key.to_owned()),
        (MERGE, &ignore, "{bad", "Invalid JSON Patch".to_owned()),
        (MERGE, &path, "null", "Invalid JSON Patch".to_owned()),
        (
            JSON,
            &path,
            "{}",
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp".to_owned(),
        ),
        (
            JSON,
            &path,
            r#"["x"]"#,
            "error decoding patch: json: cannot unmarshal string into Go value of type handlers.jsonPatchOp".to_owned(),
        ),
        (
            JSON,
            &path,
            r#"[{"op":"remove","path":5}]"#,
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.path of type string".to_owned(),
        ),
        (JSON, &ignore, "{}", "json: cannot unmarshal object into Go value of type jsonpatch.Patch".to_owned()),
    ] {
        let told = patch(&admin, kind, path, body).await.refuses(400, "BadRequest", &want);
        assert_eq!(told["message"], want, "{kind} {body}");
    }
    for kind in [JSON, STRATEGIC] {
        patch(&admin, kind, &path, "null").await.expect(200);
    }
    patch(&admin, JSON, &path, "[null]").await.refuses(422, "Invalid", "the server rejected our request");
    let apply = format!("{path}?fieldManager=m");
    for (body, kind) in [("[]", "array"), ("abc", "string")] {
        let text = format!(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        );
        patch(&admin, APPLY, &apply, body).await.refuses(400, "BadRequest", &text);
    }
    patch(&admin, APPLY, &apply, "").await.refuses(400, "BadRequest", "invalid object type: /, Kind=");
    // Repeated keys are looked at when all else is right.
    let twice = r#"{"apiVersion":"v1","kind":"Secret","kind":"Secret"}"#;
    patch(&admin, APPLY, &format!("{apply}&fieldValidation=Strict"), twice).await.refuses(
        400,
        "BadRequest",
        "invalid object type: /v1",
    );
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_shown_from_its_beginning() {
    let api = Api::start().await;
    let admin = api.admin();
    let begin = "the object provided is unrecognized (must be of type ConfigMap): ";
    let json = "couldn't get version/kind; json parse error: ";
    let go = r#"into Go value of type struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
    let key = "invalid character 'b' looking for beginning of object key string";
    for (body, want) in [
        ("{bad", format!("{json}{key} ({{bad)")),
        ("", format!("{json}unexpected end of JSON input (<empty>)")),
        ("[]", format!("{json}json: cannot unmarshal array {go} (5b5d)")),
        ("\"x\"", format!("{json}json: cannot unmarshal string {go} (227822)")),
        ("{bad 1234567890 1234567890 1234567890", format!("{json}{key} ({{bad 1234567890 1234567890 123 ...)")),
    ] {
        let told = admin.raw("POST", MAPS, &[], body.to_owned()).await.refuses(400, "BadRequest", begin);
        assert_eq!(told["message"].as_str().unwrap(), format!("{begin}{want}"));
        admin.raw("PUT", &format!("{MAPS}/a"), &[], body.to_owned()).await.refuses(400, "BadRequest", &want);
    }
    let yaml = [("content-type", "application/yaml")];
    let told = admin.raw("POST", MAPS, &yaml, "a: [".to_owned()).await.refuses(400, "BadRequest", &format!("{begin}yaml: "));
    assert!(told["message"].as_str().unwrap().ends_with(" (613a205b)"), "{told}");
    admin.raw("POST", MAPS, &[], "null".to_owned()).await.refuses(422, "Invalid", "metadata.name: Required value");
}

#[tokio::test]
async fn too_many_warnings_are_cut_short_and_the_rest_is_left_out() {
    let api = Api::start().await;
    let admin = api.admin();
    let with = |count: usize, chars: usize| {
        let mut map = config_map("a");
        (0..count).for_each(|i| map[format!("{i:02}{}", "x".repeat(chars - 2))] = json!(1));
        map
    };
    // `unknown field "…"` is 16 characters more.
    for (count, chars, told, longest) in
        [(16, 240, 16, 256), (17, 240, 17, 256), (18, 240, 17, 256), (60, 100, 36, 116), (15, 300, 15, 256)]
    {
        let answer = admin.post(&format!("{MAPS}?dryRun=All"), with(count, chars)).await;
        let warnings: Vec<usize> = answer.headers.get_all("warning").iter().map(|w| w.to_str().unwrap().len()).collect();
        assert_eq!(warnings.len(), told, "{count} of {chars}");
        assert!(warnings.iter().all(|len| *len <= "299 - \"\"".len() + longest + 2), "{warnings:?}");
    }
}
