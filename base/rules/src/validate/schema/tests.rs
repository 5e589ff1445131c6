use irori_api::field::FieldPath;
use serde_json::{Map, Value, json};

use super::{Findings, Ratchet, Way, check, unknown_formats};

fn told(schema: &Value) -> Vec<String> {
    let (path, mut found) = (FieldPath::new("s"), Findings::default());
    check(schema, false, &Ratchet::default(), &Way::start(&path), &mut found);
    found.into_errors().iter().map(ToString::to_string).collect()
}

/// What is told of a field `a` with this schema, below `s.properties[a].`.
fn field(schema: Value) -> Vec<String> {
    let told = told(&json!({"type": "object", "properties": {"a": schema}}));
    told.into_iter().map(|text| text.strip_prefix("s.properties[a].").map_or(text.clone(), str::to_owned)).collect()
}

#[test]
fn fields_have_types_and_junctors_have_none() {
    for (schema, wrong) in [
        (json!({"type": "string"}), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), vec![]),
        (json!({"x-kubernetes-preserve-unknown-fields": true}), vec![]),
        (json!({"x-kubernetes-int-or-string": true, "anyOf": [{"type": "integer"}, {"type": "string"}]}), vec![]),
        (json!({"x-kubernetes-int-or-string": true, "allOf": [{"anyOf": [{"type": "integer"}, {"type": "string"}]}]}), vec![]),
        (json!({}), vec!["type: Required value: must not be empty for specified object fields"]),
        (json!({"type": "array"}), vec!["items: Required value: must be specified"]),
        (json!({"type": "array", "items": {}}), vec!["items.type: Required value: must not be empty for specified array items"]),
        (
            json!({"type": "string", "anyOf": [{"type": "string"}]}),
            vec!["anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            json!({"type": "object", "allOf": [{"properties": {"b": {"nullable": true}}}]}),
            vec!["allOf[0].properties[b].nullable: Forbidden: must be false to be structural"],
        ),
        (json!({"type": "object", "not": {"required": ["b"]}}), vec![]),
        (
            json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            vec!["additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            json!({"type": "string", "pattern": "("}),
            vec![
                "pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`",
            ],
        ),
        (
            json!({"type": "lamp"}),
            vec![
                "type: Unsupported value: \"lamp\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true}),
            vec![
                "properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ],
        ),
        (
            json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}}),
            vec!["uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"],
        ),
        (json!({"$ref": "#/x", "type": "string"}), vec!["$ref: Forbidden: $ref is not supported"]),
        (
            json!({"type": "array", "items": [{"type": "string"}]}),
            vec!["items: Forbidden: items must be a schema object and not an array"],
        ),
        (json!({"type": "string", "$schema": "x"}), vec!["s: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"]),
    ] {
        assert_eq!(field(schema.clone()), wrong, "{schema}");
    }
}

#[test]
fn a_root_is_an_object_and_says_little_of_its_metadata() {
    let root = |change: Value| {
        let mut schema = json!({"type": "object"});
        schema.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        told(&schema)
    };
    let meta = |schema: Value| root(json!({"properties": {"metadata": schema}}));
    assert_eq!(meta(json!({"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}})), [""; 0]);
    let only = "must not specify anything other than name and generateName, but metadata is implicitly specified";
    for bad in
        [json!({"type": "object", "properties": {"labels": {"type": "object"}}}), json!({"type": "object", "nullable": true})]
    {
        assert_eq!(meta(bad), [format!("s.properties[metadata]: Forbidden: {only}")]);
    }
    assert_eq!(
        meta(json!({"type": "object", "default": {}}))[0],
        "s.properties[metadata].default: Forbidden: must not be set in top-level metadata"
    );
    // Only junctors at the root are held to the fields.
    assert_eq!(
        root(json!({"anyOf": [{"properties": {"b": {"minimum": 1}}}]})),
        ["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"]
    );
    assert_eq!(root(json!({"nullable": true})), ["s.nullable: Forbidden: nullable cannot be true at the root"]);
    assert_eq!(
        root(json!({"additionalProperties": {"type": "string"}})),
        ["s.additionalProperties: Forbidden: must not be used at the root"]
    );
    assert_eq!(root(json!({"type": "string"})), ["s.type: Invalid value: \"string\": must be object at the root"]);
    assert_eq!(
        root(json!({"properties": {"kind": {"type": "integer"}}})),
        ["s.properties[kind].type: Invalid value: \"integer\": must be string"]
    );
}

#[test]
fn lists_and_maps_say_how_they_merge() {
    let item = json!({"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "o": {"type": "object"}}});
    let list = |kind: &str, keys: Value, items: &Value| {
        field(json!({"type": "array", "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys, "items": items}))
    };
    for (kind, keys, items, wrong) in [
        ("map", json!(["k"]), &item, vec![]),
        ("atomic", json!([]), &item, vec![]),
        (
            "map",
            json!([]),
            &item,
            vec!["x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map"],
        ),
        (
            "map",
            json!(["z"]),
            &item,
            vec!["x-kubernetes-list-map-keys: Invalid value: [\"z\"]: entries must all be names of item properties"],
        ),
        (
            "map",
            json!(["k", "k"]),
            &item,
            vec!["x-kubernetes-list-map-keys: Invalid value: [\"k\",\"k\"]: must not contain duplicate entries"],
        ),
        (
            "map",
            json!(["k"]),
            &json!({"type": "string"}),
            vec!["items.type: Invalid value: \"string\": must be object if parent array's x-kubernetes-list-type is map"],
        ),
        (
            "map",
            json!(["o"]),
            &item,
            vec![
                "items.properties[o].type: Invalid value: \"object\": must be a scalar type if parent array's x-kubernetes-list-type is map",
                "items.properties[o].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
        (
            "set",
            json!(["k"]),
            &json!({"type": "string"}),
            vec!["x-kubernetes-list-type: Invalid value: \"set\": must be map if x-kubernetes-list-map-keys is non-empty"],
        ),
        (
            "set",
            json!([]),
            &item,
            vec![
                "items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            "bag",
            json!([]),
            &item,
            vec!["x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\""],
        ),
    ] {
        assert_eq!(list(kind, keys.clone(), items), wrong, "{kind} {keys}");
    }
    assert_eq!(
        field(json!({"type": "string", "x-kubernetes-map-type": "round"})),
        [
            "type: Invalid value: \"string\": must be object if x-kubernetes-map-type is specified",
            "x-kubernetes-map-type: Unsupported value: \"round\": supported values: \"atomic\", \"granular\"",
        ]
    );
}

#[test]
fn rules_say_what_they_check_and_why() {
    let rule = |rule: Value| {
        let told = field(json!({"type": "object", "properties": {"b": {"type": "integer"}}, "x-kubernetes-validations": [rule]}));
        let short = |text: String| text.strip_prefix("x-kubernetes-validations[0].").map_or(text.clone(), str::to_owned);
        told.into_iter().map(short).collect::<Vec<_>>()
    };
    for (given, wrong) in [
        (json!({"rule": "self.b > 1", "message": "no", "reason": "FieldValueInvalid", "fieldPath": ".b"}), vec![]),
        (json!({"rule": " "}), vec!["rule: Required value: rule is not specified"]),
        (json!({"rule": "true", "message": " "}), vec!["message: Invalid value: \" \": message must be non-empty if specified"]),
        (
            json!({"rule": "true\n|| false"}),
            vec!["message: Required value: message must be specified if rule contains line breaks"],
        ),
        (
            json!({"rule": "true", "messageExpression": " "}),
            vec!["messageExpression: Required value: messageExpression must be non-empty if specified"],
        ),
        (
            json!({"rule": "true", "reason": "Why"}),
            vec![
                "reason: Unsupported value: \"Why\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
            ],
        ),
        (json!({"rule": "true", "fieldPath": ".c"}), vec!["fieldPath: Invalid value: \".c\": fieldPath must be a valid path"]),
        (
            json!({"rule": "true", "optionalOldSelf": true}),
            vec!["optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule"],
        ),
        (json!({"rule": "self.b > oldSelf.b"}), vec![]),
    ] {
        assert_eq!(rule(given.clone()), wrong, "{given}");
    }
    assert_eq!(
        field(json!({"type": "integer", "x-kubernetes-validations": [{"rule": "self + 1"}]})),
        [
            "x-kubernetes-validations[0].rule: Invalid value: {\"Rule\":\"self + 1\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\
          \"FieldPath\":\"\",\"OptionalOldSelf\":null}: cel expression must evaluate to a bool"
        ]
    );
    let list = json!({"type": "array", "items": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}});
    assert_eq!(
        field(list),
        [
            "items.x-kubernetes-validations[0].rule: Invalid value: \"self >= oldSelf\": oldSelf cannot be used on the uncorrelatable portion \
          of the schema within s.properties[a]"
        ]
    );
}

#[test]
fn defaults_are_values_of_their_schemas() {
    for (schema, wrong) in [
        (json!({"type": "string", "default": "x", "enum": ["x", "y"]}), vec![]),
        (json!({"type": "string", "default": 1}), vec!["default: Invalid value:  in body must be of type string: \"integer\""]),
        (
            json!({"type": "integer", "default": 1.5}),
            vec!["default: Invalid value:  in body must be of type integer: \"number\""],
        ),
        (json!({"type": "integer", "format": "int32", "default": 3}), vec![]),
        (json!({"type": "number", "default": 3}), vec![]),
        (
            json!({"type": "string", "default": "z", "enum": ["x", "y"]}),
            vec!["default: Unsupported value: \"z\": supported values: \"x\", \"y\""],
        ),
        (
            json!({"type": "string", "default": "b", "pattern": "^a"}),
            vec!["default: Invalid value: \"b\":  in body should match '^a'"],
        ),
        (json!({"type": "string", "default": "abc", "maxLength": 2}), vec!["default: Too long: may not be more than 2 bytes"]),
        (
            json!({"type": "integer", "default": 11, "maximum": 10}),
            vec!["default: Invalid value: 11:  in body should be less than or equal to 10"],
        ),
        (
            json!({"type": "string", "format": "date-time", "default": "now"}),
            vec!["default: Invalid value:  in body must be of type date-time: \"now\""],
        ),
        (
            json!({"type": "object", "default": {"b": 1}, "properties": {"b": {"type": "string"}}}),
            vec!["default.b: Invalid value: b in body must be of type string: \"integer\""],
        ),
        (
            json!({"type": "object", "default": {}, "required": ["b"], "properties": {"b": {"type": "string"}}}),
            vec!["default.b: Required value"],
        ),
        (
            json!({"type": "object", "default": {"z": 1}, "properties": {"b": {"type": "string"}}}),
            vec!["default: Invalid value: {\"z\":1}: must not have unknown fields"],
        ),
        (json!({"type": "object", "default": {"z": 1}, "x-kubernetes-preserve-unknown-fields": true}), vec![]),
        (json!({"type": "object", "default": {"z": "1"}, "additionalProperties": {"type": "string"}}), vec![]),
        (
            json!({"type": "array", "default": [1, "x"], "items": {"type": "integer"}}),
            vec!["default.[1]: Invalid value: [1] in body must be of type integer: \"string\""],
        ),
        (
            json!({"type": "integer", "default": 1, "anyOf": [{"minimum": 2}, {"maximum": 0}]}),
            vec![
                "default: Invalid value: \"\": \"\" must validate at least one schema (anyOf)",
                "default: Invalid value: 1:  in body should be greater than or equal to 2",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true,
                "default": {"kind": "Pod", "metadata": {"name": 1}, "apiVersion": "v1"}}),
            vec![
                "default.metadata: Invalid value: {\"name\":1}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string",
            ],
        ),
        (
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
                "metadata": {"type": "object", "properties": {"name": {"type": "string", "default": "a/b"}}}}}),
            vec![
                "properties[metadata].properties[name].default: Invalid value: \"a/b\": must result in valid metadata: metadata.name: Invalid value: \"a/b\": may not contain '/'",
            ],
        ),
    ] {
        assert_eq!(field(schema.clone()), wrong, "{schema}");
    }
}

#[test]
fn formats_that_nobody_checks_are_found_at_any_depth() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "array", "items": {"type": "string", "format": "nope"}},
        "b": {"type": "integer", "format": "int32"},
        "c": {"additionalProperties": {"type": "string", "format": "date-time"}},
    }});
    assert_eq!(unknown_formats(&schema), ["nope"]);
}

/// Any tree may stand below `items` and `additionalProperties`.
#[test]
fn trees_that_are_no_schemas_do_no_harm() {
    let odd = [
        json!(1),
        json!("x"),
        json!([1, [2]]),
        json!(true),
        json!(null),
        json!({"type": 1, "properties": 2, "items": {"default": {}}}),
    ];
    for value in &odd {
        for name in [
            "items",
            "additionalProperties",
            "properties",
            "allOf",
            "anyOf",
            "not",
            "enum",
            "required",
            "default",
            "pattern",
            "type",
            "x-kubernetes-validations",
            "x-kubernetes-list-map-keys",
            "x-kubernetes-list-type",
            "dependencies",
            "definitions",
            "maximum",
        ] {
            let inner = json!({"type": "array", "items": {"type": "object", (name): value, "default": [value]}});
            field(inner.clone());
            field(json!({"type": "object", "additionalProperties": inner}));
        }
    }
}

#[test]
fn deep_and_broad_schemas_end() {
    let (mut deep, mut default) = (json!({"type": "string"}), json!("x"));
    for _ in 0..240 {
        default = json!({ "a": default });
        deep = json!({"type": "object", "properties": {"a": deep}, "not": {"not": {}}, "default": default});
    }
    assert!(!told(&deep).is_empty());
    let mut nots = json!({});
    for _ in 0..500 {
        nots = json!({"not": nots, "type": "x"});
    }
    assert!(!told(&nots).is_empty());
    let many: Map<String, Value> = (0..20_000).map(|i| (format!("p{i}"), json!({}))).collect();
    assert_eq!(told(&json!({"type": "object", "properties": many})).len(), super::ERRORS_MAX);
    let any: Vec<Value> = (0..2_000).map(|i| json!({"minimum": i + 10_000})).collect();
    let numbers: Vec<Value> = (0..2_000).map(Value::from).collect();
    // Four million steps: those beyond the limit pass.
    assert!(field(json!({"type": "array", "items": {"type": "integer", "anyOf": any}, "default": numbers})).len() < 100);
    let patterns: Map<String, Value> =
        (0..101).map(|i| (format!("p{i}"), json!({"type": "string", "pattern": format!("^{i}$"), "default": "x"}))).collect();
    assert_eq!(told(&json!({"type": "object", "properties": patterns})).len(), 100);
}
