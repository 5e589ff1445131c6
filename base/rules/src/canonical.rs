//! The canonical form: what a stock server writes of an object.
//!
//! Upstream's objects pass through typed structs, so an optional field of a plain type that holds its zero is not written,
//! while one that is a pointer is; a struct held by value is always written, and so is a required field. The schema tells
//! most of it: `default: {}` marks a struct by value, the protobuf field which scalars are pointers. The few fields that it cannot
//! tell are named below.
use irori_api::schema::{Field, FieldForm, Object, Schemas, Shape, StringFormat, Type, TypeRef};
use serde_json::{Map, Value};

use crate::{decode::DEPTH_MAX, form::form};

/// Brings a tree of a built-in type into canonical form. Safe to repeat.
pub fn canonical(schemas: &Schemas, of: &TypeRef, value: &mut Value) {
    walk(schemas, of, value, EmptyLists::Null, 0);
}

/// The canonical form of what a client has given and nobody has stored yet: an empty list where one is required is still told from
/// none, as field management does. For a walk that brings the fields of an object there, then the object itself.
pub(crate) struct Given {
    said: Vec<(String, Value)>,
}

impl Given {
    /// Notes what can be seen only before the fields are in that form.
    pub fn note(of: &Type, fields: &Map<String, Value>) -> Given {
        Given { said: said_empty(of, fields) }
    }

    /// Brings the object into the form, whose fields are.
    pub fn settle(self, schemas: &Schemas, of: &Type, fields: &mut Map<String, Value>) {
        object(schemas, of, fields, EmptyLists::Kept, &mut |_: &TypeRef, _: &mut Value| {});
        self.say_again(fields);
    }

    fn say_again(self, fields: &mut Map<String, Value>) {
        if self.said.is_empty() {
            return;
        }
        if let Some(root) = fields.get_mut("schema").and_then(|of| of.get_mut("openAPIV3Schema")).and_then(Value::as_object_mut) {
            root.extend(self.said);
        }
    }
}

/// What becomes of an empty list that is always written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EmptyLists {
    Null,
    Kept,
}

fn walk(schemas: &Schemas, of: &TypeRef, value: &mut Value, empty: EmptyLists, depth: usize) {
    if let Some(of) = schemas.resolve(of) {
        walk_type(schemas, of, value, empty, depth);
    }
}

fn walk_type(schemas: &Schemas, of: &Type, value: &mut Value, empty: EmptyLists, depth: usize) {
    if depth >= DEPTH_MAX {
        return;
    }
    match (&of.shape, value) {
        (Shape::Object(_), Value::Object(fields)) => {
            let given = Given::note(of, fields);
            let mut below = |of: &TypeRef, value: &mut Value| walk(schemas, of, value, empty, depth + 1);
            object(schemas, of, fields, empty, &mut below);
            given.say_again(fields);
        }
        (Shape::Map { values }, Value::Object(entries)) => {
            let Some(of) = schemas.resolve(values).filter(|of| of.is_composite()) else { return };
            for entry in entries.values_mut() {
                walk_type(schemas, of, entry, empty, depth + 1);
                if empty == EmptyLists::Null && entry.as_array().is_some_and(Vec::is_empty) {
                    *entry = Value::Null;
                }
            }
        }
        (Shape::List(list), Value::Array(items)) => {
            let Some(of) = schemas.resolve(&list.items).filter(|of| of.is_composite()) else { return };
            items.iter_mut().for_each(|item| walk_type(schemas, of, item, empty, depth + 1));
        }
        (Shape::Any, value) => {
            let Some(schema) = of.schema_or_else() else { return };
            match value {
                Value::Object(_) => walk(schemas, &schema, value, empty, depth + 1),
                Value::Array(items) => items.iter_mut().for_each(|item| walk(schemas, &schema, item, empty, depth + 1)),
                _ => {}
            }
        }
        _ => {}
    }
}

/// One object, after `below` for each field that has parts.
fn object(
    schemas: &Schemas,
    of: &Type,
    fields: &mut Map<String, Value>,
    empty: EmptyLists,
    below: &mut dyn FnMut(&TypeRef, &mut Value),
) {
    let Shape::Object(shape) = &of.shape else { return };
    let form = form(schemas, of, shape);
    let mut gone = Vec::new();
    for (name, value) in fields.iter_mut() {
        let Some((at, field)) = shape.fields.find(name) else { continue };
        let known = &form.fields[at];
        match value {
            Value::Null if !form.builtin => {}
            Value::Null => match &known.absent {
                Some(zero) => value.clone_from(zero),
                None => gone.push(name.clone()),
            },
            value if known.null_when_empty && is_empty_list(value) => {
                if empty == EmptyLists::Null {
                    *value = Value::Null;
                }
            }
            value => {
                if value.is_object() || value.is_array() {
                    below(&field.of, value);
                }
                if form.builtin && !known.always_written && dropped(schemas, field, value) {
                    gone.push(name.clone());
                }
            }
        }
    }
    for name in gone {
        fields.remove(&name);
    }
    for at in &form.written {
        let (name, _) = shape.fields.at(*at);
        if !fields.contains_key(name) {
            fields.extend(form.fields[*at].absent.clone().map(|zero| (name.clone(), zero)));
        }
    }
}

/// What is written of the fields of a type.
pub(crate) fn form_of_fields(schemas: &Schemas, of: &Type, shape: &Object) -> Vec<FieldForm> {
    if !is_builtin(of) {
        return vec![FieldForm::default(); shape.fields.len()];
    }
    let short = of.name.rsplit('.').next().unwrap_or("");
    let nulls = written_as_null(&of.name, short);
    let form = |(name, field): (&String, &Field)| {
        let zero = absent(schemas, nulls, short, name, field).map(|mut zero| {
            walk(schemas, &field.of, &mut zero, EmptyLists::Null, 0);
            zero
        });
        FieldForm {
            absent: zero,
            default: None,
            always_written: always_written(short, name, field),
            null_when_empty: null_when_empty(nulls, short, name, field),
        }
    };
    shape.fields.iter().map(form).collect()
}

pub(crate) fn is_builtin(of: &Type) -> bool {
    of.name.starts_with("io.k8s.")
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty)
}

/// Lists and maps that stand empty at the root of a schema beside a status. A stock server refuses those it would refuse filled, so
/// they have to be seen when the definition is held to its rules; nothing that is stored has them.
fn said_empty(of: &Type, version: &Map<String, Value>) -> Vec<(String, Value)> {
    const REFUSED: &[&str] =
        &["allOf", "anyOf", "definitions", "dependencies", "enum", "oneOf", "patternProperties", "x-kubernetes-list-map-keys"];
    let status = version.get("subresources").is_some_and(|of| of["status"].is_object());
    if !status || !of.name.ends_with(".CustomResourceDefinitionVersion") {
        return Vec::new();
    }
    let empty = |value: &Value| match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    let root = version.get("schema").and_then(|of| of["openAPIV3Schema"].as_object());
    let refused = root.into_iter().flatten().filter(|(name, value)| REFUSED.contains(&name.as_str()) && empty(value));
    refused.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is written for a field that nobody set; `None` for nothing.
fn absent(schemas: &Schemas, nulls: &[&str], short: &str, name: &str, field: &Field) -> Option<Value> {
    if nulls.contains(&name) {
        return Some(Value::Null);
    }
    if omitted_though_required(short, name) {
        return None;
    }
    match &field.default {
        Some(Value::Object(_)) => return Some(Value::Object(Map::new())),
        Some(zero) if is_zero(zero) && always_written(short, name, field) => return Some(zero.clone()),
        _ => {}
    }
    if !field.required {
        return None;
    }
    match schemas.resolve(&field.of).map(|t| &t.shape)? {
        Shape::Object(_) | Shape::Map { .. } | Shape::List(_) | Shape::Any => Some(Value::Null),
        Shape::String { format: Some(StringFormat::Time | StringFormat::MicroTime | StringFormat::Byte), .. } => {
            Some(Value::Null)
        }
        Shape::String { .. } => Some("".into()),
        Shape::Integer { .. } | Shape::Number => Some(0.into()),
        Shape::Boolean => Some(false.into()),
        Shape::Quantity => Some("0".into()),
        Shape::IntOrString => Some(0.into()),
    }
}

/// Whether the field has no omitempty: required ones, and those whose zero the schema names as default.
fn always_written(short: &str, name: &str, field: &Field) -> bool {
    field.required
        || field.default.as_ref().is_some_and(is_zero)
            && !matches!(
                (short, name),
                (
                    "LocalObjectReference"
                        | "ConfigMapEnvSource"
                        | "ConfigMapKeySelector"
                        | "ConfigMapProjection"
                        | "ConfigMapVolumeSource"
                        | "SecretEnvSource"
                        | "SecretKeySelector"
                        | "SecretProjection",
                    "name"
                ) | ("ScaleSpec", "replicas")
                    | ("ReplicationControllerSpec", "minReadySeconds")
                    | ("AzureDiskVolumeSource", "readOnly")
                    | ("FileKeySelector", "optional")
                    | ("GRPCAction", "service")
            )
}

/// Whether a set, optional field is not written.
fn dropped(schemas: &Schemas, field: &Field, value: &Value) -> bool {
    let pointer = field.protobuf.as_ref().is_some_and(|p| p.pointer);
    let shape = || schemas.resolve(&field.of).map(|t| &t.shape);
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && matches!(shape(), Some(Shape::Map { .. })),
        Value::String(text) if text.is_empty() => match shape() {
            Some(Shape::String { format: Some(StringFormat::Byte), .. }) => true,
            Some(Shape::String { .. }) => !pointer,
            _ => false,
        },
        Value::Number(n) => !pointer && n.as_i64() == Some(0) && matches!(shape(), Some(Shape::Integer { .. } | Shape::Number)),
        Value::Bool(false) => !pointer,
        _ => false,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::Bool(b) => !b,
        _ => false,
    }
}

/// Lists that are written even when nobody set them: as null, also where an empty one was given.
fn null_when_empty(nulls: &[&str], short: &str, name: &str, field: &Field) -> bool {
    (field.required && !omitted_though_required(short, name)) || nulls.contains(&name)
}

/// The fields of a type that are times held by value, or pointers without omitempty.
fn written_as_null(owner: &str, short: &str) -> &'static [&'static str] {
    match short {
        "Event" => &["firstTimestamp", "lastTimestamp", "eventTime", "deprecatedFirstTimestamp", "deprecatedLastTimestamp"],
        "EventSeries" => &["lastObservedTime"],
        "PodCondition" | "JobCondition" | "PersistentVolumeClaimCondition" => &["lastProbeTime", "lastTransitionTime"],
        "NodeCondition" => &["lastHeartbeatTime", "lastTransitionTime"],
        "ContainerStateRunning" => &["startedAt"],
        "ContainerStateTerminated" => &["startedAt", "finishedAt"],
        "HorizontalPodAutoscalerCondition"
        | "CustomResourceDefinitionCondition"
        | "APIServiceCondition"
        | "FlowSchemaCondition"
        | "PriorityLevelConfigurationCondition"
        | "ReplicaSetCondition"
        | "DaemonSetCondition"
        | "StatefulSetCondition"
        | "ReplicationControllerCondition"
        | "NamespaceCondition" => &["lastTransitionTime"],
        "DeploymentCondition" | "CertificateSigningRequestCondition" => &["lastUpdateTime", "lastTransitionTime"],
        "VolumeError" => &["time"],
        "TokenRequestSpec" => &["boundObjectRef"],
        "CSINodeDriver" => &["topologyKeys"],
        "HTTPIngressPath" => &["pathType"],
        "MutatingWebhook" | "ValidatingWebhook" => &["sideEffects"],
        "EndpointSlice" => &["endpoints"],
        "Role" | "ClusterRole" => &["rules"],
        "DeviceClaim" => &["requests"],
        "CustomResourceDefinitionStatus" => &["conditions", "storedVersions"],
        "HorizontalPodAutoscalerStatus" if owner.contains(".v2.") => &["currentMetrics"],
        _ => &[],
    }
}

/// Fields that the schema requires and that are written only when set.
fn omitted_though_required(short: &str, name: &str) -> bool {
    matches!((short, name), ("LocalObjectReference", "name"))
}
