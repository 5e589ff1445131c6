use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    row::Tables,
    scalar,
    schema::{IntegerBits, Shape, StringFormat, TypeRef},
};

mod tree;

static TABLES: LazyLock<Tables> = LazyLock::new(Tables::builtin);
static CODEC: LazyLock<Protobuf> = LazyLock::new(|| Protobuf::compile(&TABLES.schemas));

fn round(value: &Value) -> Value {
    CODEC.read(&CODEC.write(value).unwrap(), None, &Limits::default()).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_config_map_has_the_bytes_of_the_published_messages() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    // k8s\0, Unknown{1: TypeMeta{1: "v1", 2: "ConfigMap"}, 2: ConfigMap{1: {1: "a"}, 2: {1: "k", 2: "v"}}, 3: "", 4: ""}
    let wanted = "6b387300".to_owned()
        + "0a0f"
        + "0a027631"
        + "1209436f6e6669674d6170"
        + "120d"
        + "0a03"
        + "0a0161"
        + "1206"
        + "0a016b"
        + "120176"
        + "1a00"
        + "2200";
    assert_eq!(hex(&CODEC.write(&map).unwrap()), wanted);
}

#[test]
fn objects_with_every_odd_field_come_back_as_they_were() {
    for object in [
        json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a": "", "b": "c"},
                "managedFields": [{"manager": "m", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {".": {}}}, "time": "1969-12-31T23:59:59Z"}]},
            "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
                    "livenessProbe": {"httpGet": {"port": "http", "path": "/"}, "terminationGracePeriodSeconds": 0},
                    "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 3},
                    "env": [{"name": "E", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": false}}}, {"name": "F"}],
                    "securityContext": {"runAsUser": 0, "runAsNonRoot": false}}],
                "ephemeralContainers": [{"name": "e", "image": "i", "command": ["a", ""], "resources": {}, "targetContainerName": "c"}],
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "hostPath": {"path": "/", "type": ""}},
                    {"name": "p", "projected": {"sources": [{"configMap": {"name": "m", "items": [{"key": "a", "path": "b", "mode": 0}]}}]}}],
                "terminationGracePeriodSeconds": 0, "priority": -5}, "status": {}}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {"metadata": {}, "spec": {"containers": [{"name": "c", "resources": {}}]}}}, "status": {}}),
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "AAECAw==", "e": ""}, "immutable": false, "type": "Opaque"}),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
            "spec": {"renewTime": "2026-01-01T00:00:00.123456Z", "acquireTime": "1969-12-31T23:59:59.500000Z", "leaseTransitions": 0}}),
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {},
            "spec": {"request": "AQ==", "signerName": "s", "extra": {"a": ["b", "c"], "d": []}, "usages": ["client auth"]}, "status": {}}),
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {}, "spec": {"rules": [{"host": "h", "http": {"paths":
            [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}}, {"host": "x"}]}, "status": {"loadBalancer": {}}}),
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {}, "spec": {"matchConstraints":
            {"resourceRules": [{"resourceNames": ["n"], "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "scope": "*"}]}}, "status": {}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "a"}, "spec": {"group": "g", "scope": "Namespaced",
            "names": {"plural": "as", "kind": "A"}, "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "$ref": "x", "default": {"a": [1, null]}, "enum": [1, "a"], "maximum": 1.5, "additionalProperties": {"type": "string"},
                 "x-kubernetes-preserve-unknown-fields": true, "properties": {"a": {"items": {"type": "string"}, "additionalProperties": false},
                 "b": {"items": [{"type": "string"}, {}], "dependencies": {"x": ["y"], "z": {"type": "object"}}}}}}}]},
            "status": {"acceptedNames": {"plural": "", "kind": ""}}}),
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "propagationPolicy": "Foreground", "dryRun": ["All"], "preconditions": {"uid": "u"}}),
        json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 404, "reason": "NotFound", "details": {"causes": [{"field": "a"}]}}),
        json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "5", "remainingItemCount": 0}, "items": []}),
        json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "a"}, "spec": {"replicas": 3}, "status": {"replicas": 0, "selector": "a=b"}}),
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}, "deleteOptions": {"gracePeriodSeconds": 0}}),
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "a"}}),
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": [{"metadata": {"name": "a"}}]}),
    ] {
        assert_eq!(round(&object), object);
    }
}

/// Go writes zeros of plain fields, and empty messages for times that nobody set; JSON shows neither.
#[test]
fn zeros_that_go_always_writes_are_not_taken_for_values() {
    let mut meta = Vec::new();
    wire::put_bytes(&mut meta, 1, b"a");
    wire::put_bytes(&mut meta, 2, b"");
    wire::put_tag(&mut meta, 7, wire::VARINT);
    meta.push(0);
    wire::put_bytes(&mut meta, 8, b"");
    let mut map = Vec::new();
    wire::put_bytes(&mut map, 1, &meta);
    let gvk = Gvk::new("", "v1", "ConfigMap");
    let read = CODEC.read_bare(&gvk, &map, &Limits::default()).unwrap();
    assert_eq!(read, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
}

#[test]
fn a_list_is_put_together_from_items_that_are_already_bytes() {
    let pod = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "resources": {}}]}, "status": {}});
    let mut encoder = CODEC.encoder(&Gvk::new("", "v1", "Pod")).unwrap();
    let mut items = Vec::new();
    encoder.put_item(pod.to_string().as_bytes(), &mut items).unwrap();
    // What cannot be written leaves nothing behind, not even in the encoder.
    for broken in ["{\"metadata\":{\"name\":\"a\"", "{\"spec\":[]}", "{\"metadata\": {}}", "{}{}", ""] {
        assert!(encoder.put_item(broken.as_bytes(), &mut items).is_err(), "{broken}");
    }
    encoder.put_item(pod.to_string().as_bytes(), &mut items).unwrap();
    let list = Gvk::new("", "v1", "PodList");
    let head = CODEC.list_head(&list, &json!({"resourceVersion": "7"}), items.len()).unwrap();
    let list = [&head[..], &items, ENVELOPE_END].concat();
    let wanted = json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "7"}, "items": [pod, pod]});
    assert_eq!(CODEC.read(&list, None, &Limits::default()).unwrap(), wanted);
}

#[test]
fn every_list_has_its_metadata_in_field_1_and_its_items_in_field_2() {
    for row in TABLES.rows.values().filter(|row| row.supports("list")) {
        let list = Gvk { kind: row.list_kind.clone(), ..row.gvk.clone() };
        let message = CODEC.of_kind(&list).unwrap_or_else(|| panic!("{}", row.list_kind));
        assert_eq!(&*message.field("metadata").unwrap().path, [1]);
        assert_eq!(&*message.field("items").unwrap().path, [2]);
    }
}

#[test]
fn a_watch_frame_carries_its_length_type_and_object() {
    let object = CODEC.write(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})).unwrap();
    let frame = watch_frame("ADDED", &object);
    assert_eq!(u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
    let event = CODEC.read_bare(&Gvk::new("meta.k8s.io", "v1", "WatchEvent"), &frame[4..], &Limits::default()).unwrap();
    assert_eq!((&event["type"], &event["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("a")));
}

#[test]
fn what_cannot_be_carried_is_refused() {
    assert_eq!(
        CODEC.write(&json!({"apiVersion": "example.com/v1", "kind": "Widget"})),
        Err(CodecError::NotCarried("Widget".into()))
    );
    assert!(!CODEC.carries(&Gvk::new("meta.k8s.io", "v1", "Table")));
    let wrong = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"priority": 3_000_000_000u32}});
    assert_eq!(CODEC.write(&wrong).unwrap_err().to_string(), "cannot encode priority as protobuf: not an integer of 32 bits");
    let mut unknown = Vec::new();
    open_envelope(&mut unknown, &Gvk::new("example.com", "v1", "Widget"));
    unknown.extend_from_slice(ENVELOPE_END);
    assert_eq!(
        CODEC.read(&unknown, None, &Limits::default()).unwrap_err().to_string(),
        "no kind \"Widget\" is registered for version \"example.com/v1\""
    );
    assert!(CODEC.read(b"{}", None, &Limits::default()).is_err());
    let named = CODEC.read(b"k8s\0", Some(&Gvk::new("", "v1", "Pod")), &Limits::default()).unwrap();
    assert_eq!(named["kind"], "Pod");
}

#[test]
fn lengths_beyond_the_body_and_deep_nesting_are_refused() {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "JSONSchemaProps");
    let read = |bytes: &[u8]| CODEC.read_bare(&gvk, bytes, &Limits::default());
    for bytes in
        [&b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"[..], b"\x0a\xff\xff\xff\x7f", b"\x0a\x05a", b"\x0a", b"\x00", b"\x0f"]
    {
        assert!(matches!(read(bytes), Err(CodecError::Protobuf(_))), "{bytes:?}");
    }
    // `not` within itself, 10,000 times.
    let number = CODEC.of_kind(&gvk).unwrap().field("not").unwrap().path[0];
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        let mut outer = Vec::with_capacity(bytes.len() + 8);
        wire::put_bytes(&mut outer, number, &bytes);
        bytes = outer;
    }
    assert_eq!(read(&bytes), Err(CodecError::TooDeep(256)));
}

#[test]
fn a_small_body_cannot_become_a_huge_tree() {
    // Two bytes each: an empty container.
    let mut spec = Vec::new();
    for _ in 0..1_000_000 {
        wire::put_bytes(&mut spec, 2, b"");
    }
    let mut pod = Vec::new();
    wire::put_bytes(&mut pod, 2, &spec);
    assert_eq!(CODEC.read_bare(&Gvk::new("", "v1", "Pod"), &pod, &Limits::default()), Err(CodecError::TooMany));
}

/// A tree in canonical form of a type: what a stock server would write, so nothing that protobuf cannot tell from absence.
fn canonical(of: &TypeRef, keeps_zero: bool, depth: u32) -> BoxedStrategy<Value> {
    let found = TABLES.schemas.resolve(of).unwrap();
    match &found.shape {
        Shape::Object(object) => {
            let mut fields: Vec<BoxedStrategy<Option<(String, Value)>>> = Vec::new();
            for (name, field) in &object.fields {
                let Some(proto) = &field.protobuf else { continue };
                let scalar = matches!(
                    &TABLES.schemas.resolve(&field.of).unwrap().shape,
                    Shape::String { .. }
                        | Shape::Integer { .. }
                        | Shape::Number
                        | Shape::Boolean
                        | Shape::Quantity
                        | Shape::IntOrString
                );
                if depth == 0 && !scalar {
                    continue;
                }
                let keeps_zero = proto.pointer || field.required || field.default.is_some();
                let value = canonical(&field.of, keeps_zero, depth.saturating_sub(1));
                let name = name.clone();
                let odds = if fields.len() < 12 { 0.5 } else { 0.2 };
                fields.push(
                    prop::option::weighted(odds, value).prop_map(move |value| value.map(|value| (name.clone(), value))).boxed(),
                );
            }
            fields.prop_map(|fields| Value::Object(fields.into_iter().flatten().collect())).boxed()
        }
        Shape::Map { values } => prop::collection::btree_map("[a-z./]{0,6}", canonical(values, true, depth), 1..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed(),
        Shape::List(list) => prop::collection::vec(canonical(&list.items, true, depth), 1..3).prop_map(Value::from).boxed(),
        Shape::String { format: None, .. } if keeps_zero => "[a-zé\\n]{0,6}".prop_map(Value::from).boxed(),
        Shape::String { format: None, .. } => "[a-zé\\n]{1,6}".prop_map(Value::from).boxed(),
        Shape::String { format: Some(StringFormat::Byte), .. } => {
            prop::sample::select(vec!["AA==", "AQID", "/+8="]).prop_map(Value::from).boxed()
        }
        Shape::String { format: Some(StringFormat::Time), .. } => {
            time(0).prop_map(|time| scalar::format_time(time).into()).boxed()
        }
        Shape::String { format: Some(StringFormat::MicroTime), .. } => {
            time(999_999).prop_map(|time| scalar::format_micro_time(time).into()).boxed()
        }
        Shape::String { format: Some(StringFormat::Duration), .. } => {
            any::<i64>().prop_map(|nanos| scalar::format_duration(nanos).into()).boxed()
        }
        Shape::Integer { bits } => {
            let number = if *bits == IntegerBits::I32 { any::<i32>().prop_map(i64::from).boxed() } else { any::<i64>().boxed() };
            number.prop_map(move |number| if number == 0 && !keeps_zero { 1 } else { number }.into()).boxed()
        }
        // Whole ones are printed without a point, as Go does.
        Shape::Number => {
            prop_oneof![any::<i32>().prop_map(|number| json!(f64::from(number) + 0.5)), any::<i32>().prop_map(Value::from)]
                .boxed()
        }
        Shape::Boolean => any::<bool>().prop_map(move |set| (set || !keeps_zero).into()).boxed(),
        Shape::Quantity => prop::sample::select(vec!["0", "1", "500m", "1536Mi", "1e3"]).prop_map(Value::from).boxed(),
        Shape::IntOrString => prop_oneof![any::<i32>().prop_map(Value::from), "[a-z%]{0,4}".prop_map(Value::from)].boxed(),
        Shape::Any => {
            let props = TypeRef::Named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps".into());
            let schema = |depth: u32| if depth == 0 { Just(json!({})).boxed() } else { canonical(&props, true, depth - 1) };
            match found.name.rsplit('.').next().unwrap() {
                "JSONSchemaPropsOrArray" => {
                    prop_oneof![schema(depth), prop::collection::vec(schema(depth), 0..2).prop_map(Value::from)].boxed()
                }
                "JSONSchemaPropsOrBool" => prop_oneof![schema(depth), any::<bool>().prop_map(Value::from)].boxed(),
                "JSONSchemaPropsOrStringArray" => {
                    prop_oneof![schema(depth), prop::collection::vec("[a-z]{0,3}", 0..3).prop_map(Value::from)].boxed()
                }
                "JSON" => {
                    prop_oneof![any::<i32>().prop_map(Value::from), Just(json!({"a": [1, "b", null, {}]})), Just(json!([]))]
                        .boxed()
                }
                _ => prop_oneof![Just(json!({"f:a": {".": {}}})), Just(json!({"x": [1.5, true]}))].boxed(),
            }
        }
    }
}

fn time(micros_max: i32) -> impl Strategy<Value = jiff::Timestamp> {
    (-62_000_000_000i64..250_000_000_000, 0..=micros_max)
        .prop_map(|(seconds, micros)| jiff::Timestamp::new(seconds, micros * 1000).unwrap())
}

/// The transcoder writes what a plain walk over the tree writes, whatever the order of the fields in the JSON.
fn as_the_tree_says(gvk: &Gvk, tree: &Value) {
    let wanted = tree::message(&CODEC.plan, CODEC.of_kind(gvk).unwrap(), tree);
    for json in [tree.to_string(), backwards(tree)] {
        let mut written = b"before".to_vec();
        let done = CODEC.encoder(gvk).unwrap().put(json.as_bytes(), &mut written);
        assert_eq!(done.map(|()| hex(&written[6..])), wanted.as_ref().map(|bytes| hex(bytes)).map_err(Clone::clone), "{json}");
    }
}

/// The JSON of a tree with the fields of the object, of its metadata and its spec from last to first, as splicing may leave them.
fn backwards(tree: &Value) -> String {
    let turned = |object: &Value, inner: &dyn Fn(&str, &Value) -> String| -> String {
        let fields = object.as_object().unwrap().iter().rev();
        let fields: Vec<String> = fields.map(|(name, value)| format!("{}:{}", json!(name), inner(name, value))).collect();
        format!("{{{}}}", fields.join(","))
    };
    turned(tree, &|name, value| match (name, value) {
        ("metadata" | "spec", Value::Object(_)) => turned(value, &|_, value| value.to_string()),
        _ => value.to_string(),
    })
}

#[test]
fn odd_values_are_written_or_refused_as_the_tree_says() {
    let pod = Gvk::new("", "v1", "Pod");
    for (path, values) in [
        ("/spec/priority", json!([null, 0, -1, 1.0, 1.5, 1e20, 3_000_000_000u32, u64::MAX, "1", true, {}, []])),
        ("/spec/hostname", json!([null, "", "a\"b\\c\n\u{1}é", "x".repeat(200), "\n".repeat(200), 1, {}, []])),
        ("/spec/hostPID", json!([null, true, false, 0, "true", {}])),
        ("/spec/nodeSelector", json!([null, {}, {"a": "b", "c": null, "d\n": "e\t"}, {"a": 1}, [], "a"])),
        ("/spec/overhead", json!([null, {"cpu": "1", "memory": 5, "x": 1.5, "y": null}, {"cpu": true}, {"cpu": {}}])),
        ("/spec/tolerations", json!([null, [], [null, {}, {"key": "a", "what": [{"x": "]"}]}], [1], {}, "a"])),
        ("/spec/securityContext", json!([null, {}, {"fsGroup": 0, "unknown": {"a": [1, "}"]}}, [], 1])),
        ("/spec/unknown", json!([null, {"a": [true, false, null, -1.5e300, "\"}"]}])),
        (
            "/metadata/creationTimestamp",
            json!([
                null,
                "2026-02-29T00:00:00Z",
                "2024-02-29T23:59:59Z",
                "1969-12-31T23:59:59Z",
                "2026-01-01T00:00:00.5+01:00",
                "2026-01-31T00:00:00Z",
                "0000-03-01T00:00:00Z",
                "",
                "\n",
                1
            ]),
        ),
        ("/metadata/finalizers", json!([["a", null, "b"], [[]]])),
        ("/metadata/managedFields", json!([[{"fieldsV1": null}, {"fieldsV1": {"f:a": {".": {}}}}, {"fieldsV1": "x"}, null]])),
    ] {
        for value in values.as_array().unwrap() {
            let mut tree =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {}});
            let (parent, field) = path.rsplit_once('/').unwrap();
            tree.pointer_mut(parent).unwrap()[field] = value.clone();
            as_the_tree_says(&pod, &tree);
        }
    }
    let lease = Gvk::new("coordination.k8s.io", "v1", "Lease");
    for time in ["2026-01-01T00:00:00.000001Z", "1969-12-31T23:59:59.999999Z", "2026-01-01T00:00:00Z"] {
        as_the_tree_says(&lease, &json!({"metadata": {}, "spec": {"renewTime": time}}));
    }
    let secret = Gvk::new("", "v1", "Secret");
    for data in [json!("AAEC"), json!(""), json!(null), json!("A"), json!("é"), json!("A".repeat(400)), json!(1)] {
        as_the_tree_says(&secret, &json!({"metadata": {}, "data": {"k": data}}));
    }
    let service = Gvk::new("", "v1", "Service");
    for port in [
        json!(80),
        json!("http"),
        json!(-1),
        json!(80.0),
        json!(1.5),
        json!(3_000_000_000u32),
        json!(null),
        json!(true),
        json!([]),
    ] {
        as_the_tree_says(&service, &json!({"spec": {"ports": [{"port": 1, "targetPort": port}]}}));
    }
}

#[test]
fn json_nested_too_deeply_is_not_written() {
    let gvk = Gvk::new("apiextensions.k8s.io", "v1", "JSONSchemaProps");
    let nested = |levels: usize| format!("{}{{}}{}", "{\"not\":".repeat(levels), "}".repeat(levels));
    let write = |levels: usize| CODEC.encoder(&gvk).unwrap().put(nested(levels).as_bytes(), &mut Vec::new());
    assert_eq!((write(255), write(256)), (Ok(()), Err(CodecError::TooDeep(256))));
}

/// Every kind, its list and every other type with a kind, several random trees each.
#[test]
fn every_kind_survives_the_way_over_protobuf() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut kinds: Vec<Gvk> = TABLES.rows.values().map(|row| row.gvk.clone()).collect();
    kinds.extend(
        TABLES.rows.values().filter(|row| row.supports("list")).map(|row| Gvk { kind: row.list_kind.clone(), ..row.gvk.clone() }),
    );
    kinds.extend(
        TABLES
            .rows
            .values()
            .flat_map(|row| row.subresources.values())
            .map(|sub| sub.gvk.clone())
            .filter(|gvk| CODEC.carries(gvk)),
    );
    kinds.extend(["Status", "DeleteOptions"].map(|kind| Gvk::new("", "v1", kind)));
    kinds.sort();
    kinds.dedup();
    assert!(kinds.len() > 130, "{}", kinds.len());
    for gvk in kinds {
        let of = TABLES.schemas.of_kind(&gvk).unwrap();
        let trees = canonical(&TypeRef::Inline(of.clone()), true, 5);
        for _ in 0..6 {
            let mut tree = trees.new_tree(&mut runner).unwrap().current();
            let fields = tree.as_object_mut().unwrap();
            fields.insert("apiVersion".into(), gvk.api_version().into());
            fields.insert("kind".into(), gvk.kind.clone().into());
            if gvk.kind.ends_with("List") {
                fields.entry("items").or_insert_with(|| json!([]));
            }
            let bytes = CODEC.write(&tree).unwrap();
            let again = CODEC.read(&bytes, None, &Limits { cost_max: usize::MAX, ..Limits::default() }).unwrap();
            assert_eq!(again, tree, "{gvk:?}");
            as_the_tree_says(&gvk, &tree);
        }
    }
}

proptest! {
    #[test]
    fn no_json_makes_the_writer_panic(text in "[{}\\[\\],:\"\\\\a0-9tn. u]{0,40}", cut in any::<prop::sample::Index>()) {
        let pod = r#"{"metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"a\n":"b\u00e9"}},"spec":{"containers":[{"name":"c","ports":[{"containerPort":80}]}],"volumes":[{"emptyDir":{},"name":"v"}]}}"#;
        let cut = cut.index(pod.len());
        for json in [text.clone(), format!("{}{text}", &pod[..cut]), format!("{}{text}{}", &pod[..cut], &pod[cut..])] {
            let _ = CODEC.encoder(&Gvk::new("", "v1", "Pod")).unwrap().put(json.as_bytes(), &mut Vec::new());
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0usize..4) {
        let gvk = [Gvk::new("", "v1", "Pod"), Gvk::new("apiextensions.k8s.io", "v1", "JSONSchemaProps"), Gvk::new("meta.k8s.io", "v1", "WatchEvent"), Gvk::new("", "v1", "Event")];
        let _ = CODEC.read_bare(&gvk[kind], &bytes, &Limits::default());
        let _ = CODEC.read(&[&MAGIC[..], &bytes].concat(), Some(&gvk[kind]), &Limits::default());
    }

    #[test]
    fn a_damaged_body_is_read_or_refused_but_never_panics(at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = CODEC.write(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "abc", "labels": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}, "livenessProbe": {"httpGet": {"port": 80}}}], "volumes": [{"name": "v", "emptyDir": {}}]}})).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = CODEC.read(&bytes, None, &Limits::default());
    }
}
