use irori_api::row::Tables;
use serde_json::{Value, json};

use crate::{Birth, Part, prepare_create, prepare_update, validate_create, validate_update};

fn definition() -> Value {
    json!({
        "metadata": {"name": "lamps.home.example"},
        "spec": {
            "group": "home.example",
            "names": {"plural": "lamps", "kind": "Lamp"},
            "scope": "Namespaced",
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"on": {"type": "boolean"}, "room": {"type": "string"}}},
                }}},
            }],
        },
    })
}

fn set(mut object: Value, path: &str, value: Value) -> Value {
    match object.pointer_mut(path) {
        Some(at) => *at = value,
        None => {
            let (above, name) = path.rsplit_once('/').unwrap();
            object.pointer_mut(above).unwrap()[name] = value;
        }
    }
    object
}

fn read(body: Value) -> Value {
    let tables = Tables::builtin();
    let row = tables.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let mut object = crate::decode(&tables, row, body).unwrap().object;
    crate::default_object(&tables, row, &mut object);
    object
}

fn made(body: Value) -> Value {
    let tables = Tables::builtin();
    let row = tables.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let mut object = read(body);
    let birth = Birth {
        uid: "u".into(),
        creation_timestamp: "2026-01-01T00:00:00Z".into(),
        generated_name: String::new(),
        namespace: String::new(),
    };
    prepare_create(&tables, row, &mut object, &birth);
    object
}

fn created(body: Value) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    validate_create(row, row, &made(body)).iter().map(ToString::to_string).collect()
}

fn changed(old: &Value, body: Value, part: Part<'_>) -> Vec<String> {
    let tables = Tables::builtin();
    let row = tables.resource("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
    let mut new = read(body);
    prepare_update(&tables, row, &mut new, old, part, "2026-01-01T00:00:01Z");
    validate_update(row, row, &new, old, part).iter().map(ToString::to_string).collect()
}

fn settled(body: Value) -> Value {
    let mut object = made(body);
    object["status"]["conditions"] = json!([{"type": "Established", "status": "True", "lastTransitionTime": null}]);
    object
}

const ROOT: &str = "/spec/versions/0/schema/openAPIV3Schema";

#[test]
fn a_plain_definition_is_good_and_gets_its_names() {
    assert_eq!(created(definition()), [""; 0]);
    let object = made(definition());
    assert_eq!(
        (&object["spec"]["names"]["singular"], &object["spec"]["names"]["listKind"]),
        (&json!("lamp"), &json!("LampList"))
    );
    assert_eq!(object["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(object["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn what_a_definition_gets_wrong_is_told_where_it_stands() {
    let webhook =
        |client: Value| json!({"strategy": "Webhook", "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}});
    let name = r#"metadata.name: Invalid value: "lamps.home.example": must be spec.names.plural+"."+spec.group"#;
    for (path, value, told) in [
        ("/spec/group", json!("lights.example"), vec![name]),
        (
            "/spec/scope",
            json!("Galaxy"),
            vec![r#"spec.scope: Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced""#],
        ),
        (
            "/spec/names/kind",
            json!(""),
            vec!["spec.names.singular: Required value", "spec.names.kind: Required value", "spec.names.listKind: Required value"],
        ),
        (
            "/spec/names/listKind",
            json!("Lamp"),
            vec![r#"spec.names.listKind: Invalid value: "Lamp": kind and listKind may not be the same"#],
        ),
        (
            "/spec/versions/0/storage",
            json!(false),
            vec![
                r#"spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version"#,
                "status.storedVersions: Invalid value: null: must have at least one stored version",
            ],
        ),
        ("/spec/versions/0/schema", json!({}), vec!["spec.versions[0].schema.openAPIV3Schema: Required value"]),
        (
            "/spec/versions/0/deprecationWarning",
            json!("old"),
            vec![r#"spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions"#],
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "On", "type": "boolean", "jsonPath": "spec.on"}]),
            vec![
                r#"spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec.on": must be a simple json path starting with ."#,
            ],
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "", "type": "lamp", "format": "x", "jsonPath": ""}]),
            vec![
                "spec.additionalPrinterColumns[0].name: Required value",
                r#"spec.additionalPrinterColumns[0].type: Invalid value: "lamp": must be one of boolean,date,integer,number,string"#,
                r#"spec.additionalPrinterColumns[0].format: Invalid value: "x": must be one of byte,date,date-time,double,float,int32,int64,password"#,
                "spec.additionalPrinterColumns[0].JSONPath: Required value",
            ],
        ),
        (
            "/spec/versions/0/subresources",
            json!({"scale": {"specReplicasPath": ".status.n", "labelSelectorPath": ".x"}}),
            vec![
                r#"spec.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec"#,
                "spec.subresources.scale.statusReplicasPath: Required value",
                r#"spec.subresources.scale.labelSelectorPath: Invalid value: ".x": should be a json path under either .spec or .status"#,
            ],
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.room"}, {"jsonPath": ".spec"}, {"jsonPath": ".spec.room"}, {"jsonPath": ".x"}]),
            vec![
                r#"spec.selectableFields[1].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed."#,
                r#"spec.selectableFields[2].jsonPath: Duplicate value: ".spec.room""#,
                r#"spec.selectableFields[3].jsonPath: Invalid value: ".x": is an invalid path: does not refer to a valid field"#,
            ],
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            vec![
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            "/spec/conversion",
            webhook(json!({})),
            vec!["spec.conversion.webhookClientConfig: Required value: exactly one of url or service is required"],
        ),
        ("/spec/conversion", webhook(json!({"url": "https://a.example"})), vec![]),
        (
            "/spec/conversion",
            json!({"strategy": "None", "webhook": {"conversionReviewVersions": ["v1"]}}),
            vec!["spec.conversion.conversionReviewVersions: Forbidden: should not be set when strategy is not set to Webhook"],
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            vec![
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            ],
        ),
    ] {
        assert_eq!(created(set(definition(), path, value.clone())), told, "{path} {value}");
    }
}

#[test]
fn what_versions_share_is_told_once_beside_them() {
    let second = |change: fn(&mut Value)| {
        let mut body = definition();
        let mut version = body["spec"]["versions"][0].clone();
        version["name"] = json!("v2");
        version["storage"] = json!(false);
        change(&mut version);
        body["spec"]["versions"].as_array_mut().unwrap().push(version);
        body
    };
    let untyped = |mut body: Value| {
        for version in body["spec"]["versions"].as_array_mut().unwrap() {
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["x"] = json!({});
        }
        body
    };
    let why = "properties[spec].properties[x].type: Required value: must not be empty for specified object fields";
    assert_eq!(created(untyped(second(|_| {}))), [format!("spec.validation.openAPIV3Schema.{why}")]);
    let other = second(|version| version["schema"]["openAPIV3Schema"]["description"] = json!("new"));
    let each = |i: usize| format!("spec.versions[{i}].schema.openAPIV3Schema.{why}");
    assert_eq!(created(untyped(other)), [each(0), each(1)]);
    let same_name = created(second(|version| version["name"] = json!("v1")));
    assert!(same_name[0].ends_with("must contain unique version names"), "{same_name:?}");
    let both_stored = created(second(|version| version["storage"] = json!(true)));
    assert_eq!(both_stored[1], r#"status.storedVersions: Invalid value: ["v1"]: must have the storage version v2"#);
}

#[test]
fn groups_of_the_community_need_its_approval() {
    let asked = |approval: Value| {
        let mut body = set(definition(), "/spec/group", json!("lamps.k8s.io"));
        body["metadata"] = json!({"name": "lamps.lamps.k8s.io", "annotations": {"api-approved.kubernetes.io": approval}});
        created(body)
    };
    assert_eq!(asked(json!("https://github.com/kubernetes/kubernetes/pull/1")), [""; 0]);
    assert_eq!(asked(json!("unapproved, an experiment")), [""; 0]);
    assert!(
        asked(json!(""))[0].starts_with("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups")
    );
    assert!(asked(json!("yes"))[0].contains("with either a URL or a reason starting with \"unapproved\""));
}

#[test]
fn beside_a_status_the_root_of_a_schema_says_little() {
    let with_status = |field: &str, value: Value| {
        let body = set(definition(), "/spec/versions/0/subresources", json!({"status": {}}));
        created(set(body, &format!("{ROOT}/{field}"), value))
    };
    assert_eq!(with_status("description", json!("a lamp")), [""; 0]);
    assert_eq!(with_status("required", json!([])), [""; 0]);
    for (field, value) in [("allOf", json!([])), ("maxProperties", json!(0)), ("enum", json!([])), ("default", json!({}))] {
        let told = with_status(field, value);
        assert!(
            told[0].ends_with("fields are allowed at the root of the schema if the status subresource is enabled"),
            "{field}"
        );
        assert!(told[0].starts_with("spec.validation.openAPIV3Schema: Invalid value: {\"ID\":\"\""), "{field}");
    }
    assert_eq!(created(set(definition(), &format!("{ROOT}/allOf"), json!([]))), [""; 0]);
    assert!(made(set(definition(), &format!("{ROOT}/allOf"), json!([]))).pointer(&format!("{ROOT}/allOf")).is_none());
}

#[test]
fn names_and_scope_stay_once_they_are_taken() {
    let old = settled(definition());
    assert_eq!(changed(&old, definition(), Part::Main), [""; 0]);
    for (path, value, told) in [
        ("/spec/scope", json!("Cluster"), r#"spec.scope: Invalid value: "Cluster": field is immutable"#),
        ("/spec/names/kind", json!("Light"), r#"spec.names.kind: Invalid value: "Light": field is immutable"#),
        ("/spec/group", json!("a.example"), r#"spec.group: Invalid value: "a.example": field is immutable"#),
    ] {
        let got = changed(&old, set(definition(), path, value), Part::Main);
        assert!(got.contains(&told.to_owned()), "{got:?}");
    }
    let fresh = made(definition());
    assert_eq!(changed(&fresh, set(definition(), "/spec/scope", json!("Cluster")), Part::Main), [""; 0]);
}

#[test]
fn a_version_that_was_stored_in_has_to_stay() {
    let old = made(definition());
    let renamed = changed(&old, set(definition(), "/spec/versions/0/name", json!("v2")), Part::Main);
    assert_eq!(
        renamed,
        [
            "status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was previously a storage version, and must \
             remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from \
             status.storedVersions"
        ]
    );
}

#[test]
fn what_was_stored_wrong_is_not_held_against_a_change() {
    let list = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object", "nullable": true}});
    let body = set(definition(), &format!("{ROOT}/properties/spec/properties/l"), list);
    assert_eq!(created(body.clone()).len(), 2);
    assert_eq!(changed(&made(body.clone()), body.clone(), Part::Main), [""; 0]);
    assert_eq!(changed(&made(definition()), body, Part::Main).len(), 2);
}

#[test]
fn a_status_is_held_to_the_names_in_it() {
    let old = made(definition());
    let mut body = definition();
    body["status"] = json!({"acceptedNames": {"kind": "Lamp", "plural": "Lamps!"}, "storedVersions": ["v1"], "conditions": []});
    assert!(
        changed(&old, body, Part::Status)[0].starts_with("status.acceptedNames.plural: Invalid value: \"Lamps!\": a DNS-1035")
    );
}

#[test]
fn certificates_count_once_a_definition_is_established() {
    let with = |bundle: &str| {
        let client = json!({"url": "https://a.example", "caBundle": bundle});
        let webhook = json!({"clientConfig": client, "conversionReviewVersions": ["v1"]});
        set(definition(), "/spec/conversion", json!({"strategy": "Webhook", "webhook": webhook}))
    };
    assert_eq!(created(with("YQ==")), [""; 0]);
    assert_eq!(changed(&made(definition()), with("YQ=="), Part::Main), [""; 0]);
    let told = changed(&settled(definition()), with("YQ=="), Part::Main);
    assert!(
        told[0].starts_with("spec.conversion.webhookClientConfig.caBundle: Invalid value: \"YQ==\": unable to load"),
        "{told:?}"
    );
    assert_eq!(changed(&settled(with("YQ==")), with("Yg=="), Part::Main), [""; 0]);
}
