//! Schemas of the types that a document's paths lead to.
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{gvk_value, meta};
use crate::{
    builtin,
    descriptions::Descriptions,
    row::{Gvk, Row, Tables},
    schema::{Field, IntegerBits, ListKind, Object, Shape, StringFormat, Type, TypeRef},
};

/// What references to schemas begin with.
pub const REFERENCES: &str = "#/components/schemas/";

/// Kinds and unions of a type, which only documents show.
#[derive(Default)]
struct Note {
    kinds: Vec<Gvk>,
    unions: Option<Value>,
}

/// Read from the head lines of the type table.
fn notes() -> BTreeMap<&'static str, Note> {
    let heads = builtin::TYPES.lines().filter(|line| !line.starts_with(['\t', '#']));
    let note = |line: &'static str| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let mut note = Note::default();
        for word in words {
            if let Some(kind) = word.strip_prefix("gvk=") {
                note.kinds.extend(builtin::gvk(kind));
            } else if let Some(unions) = word.strip_prefix("unions=") {
                note.unions = serde_json::from_str(unions).ok();
            }
        }
        Some((name, note))
    };
    heads.filter_map(note).collect()
}

/// The schemas that a document's paths lead to.
pub struct Schemas<'a> {
    tables: &'a Tables,
    descriptions: &'a Descriptions,
    notes: BTreeMap<&'static str, Note>,
    out: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub fn new(tables: &'a Tables, descriptions: &'a Descriptions) -> Self {
        Schemas { tables, descriptions, notes: notes(), out: BTreeMap::new() }
    }

    pub fn into_map(self) -> BTreeMap<String, Value> {
        self.out
    }

    pub fn row(&mut self, row: &Row) -> Value {
        match &row.of {
            TypeRef::Named(_) => self.reference(&row.of),
            TypeRef::Inline(of) => {
                let name = custom_name(&row.gvk);
                if !self.out.contains_key(&name) {
                    let mut schema = self.schema(of);
                    schema["x-kubernetes-group-version-kind"] = json!([gvk_value(&row.gvk)]);
                    self.out.insert(name.clone(), schema);
                }
                json!({"$ref": format!("{REFERENCES}{name}")})
            }
        }
    }

    pub fn list(&mut self, row: &Row) -> Value {
        if let Some(list) = self.tables.schemas.list_of(row) {
            return self.reference(&TypeRef::Named(list.name.as_str().into()));
        }
        if !row.supports("list") {
            return Value::Null;
        }
        let gvk = Gvk { kind: row.list_kind.clone(), ..row.gvk.clone() };
        let name = custom_name(&gvk);
        let items = self.row(row);
        let metadata = self.reference(&meta("ListMeta"));
        let schema = json!({
            "type": "object", "required": ["items"],
            "properties": {
                "apiVersion": {"type": "string"}, "kind": {"type": "string"},
                "items": {"type": "array", "items": items}, "metadata": {"allOf": [metadata]},
            },
            "x-kubernetes-group-version-kind": [gvk_value(&gvk)],
        });
        self.out.insert(name.clone(), schema);
        json!({"$ref": format!("{REFERENCES}{name}")})
    }

    pub fn kind(&mut self, gvk: &Gvk) -> Value {
        match self.tables.schemas.of_kind(gvk) {
            Some(of) => self.reference(&TypeRef::Named(of.name.as_str().into())),
            None => match self.tables.kind(gvk) {
                Some(row) => self.row(&row.clone()),
                None => json!({"type": "object"}),
            },
        }
    }

    /// A reference to a named type, whose schema joins the document; an anonymous type in place.
    pub fn reference(&mut self, of: &TypeRef) -> Value {
        match of {
            TypeRef::Inline(of) => self.schema(of),
            TypeRef::Named(name) => {
                if !self.out.contains_key(&**name)
                    && let Some(of) = self.tables.schemas.named(name).cloned()
                {
                    // Kept before its fields are walked: types may hold themselves.
                    self.out.insert(name.to_string(), Value::Null);
                    let mut schema = self.schema(&of);
                    if let Some(text) = self.descriptions.of(name) {
                        schema["description"] = text.into();
                    }
                    self.out.insert(name.to_string(), schema);
                }
                json!({"$ref": format!("{REFERENCES}{name}")})
            }
        }
    }

    fn schema(&mut self, of: &Type) -> Value {
        match &of.shape {
            Shape::Object(object) => self.object(of, object),
            Shape::Map { values } => json!({"type": "object", "additionalProperties": self.reference(values)}),
            Shape::List(list) => {
                let mut schema = json!({"type": "array", "items": self.reference(&list.items)});
                match &list.kind {
                    ListKind::Unsaid => {}
                    ListKind::Atomic => schema["x-kubernetes-list-type"] = "atomic".into(),
                    ListKind::Set => schema["x-kubernetes-list-type"] = "set".into(),
                    ListKind::Map { keys } => {
                        schema["x-kubernetes-list-type"] = "map".into();
                        schema["x-kubernetes-list-map-keys"] = json!(keys);
                    }
                }
                schema
            }
            Shape::String { format, one_of } => {
                let mut schema = json!({"type": "string"});
                match format {
                    Some(StringFormat::Time | StringFormat::MicroTime) => schema["format"] = "date-time".into(),
                    Some(StringFormat::Byte) => schema["format"] = "byte".into(),
                    Some(StringFormat::Duration) | None => {}
                }
                if !one_of.is_empty() {
                    schema["enum"] = json!(one_of);
                }
                schema
            }
            Shape::Integer { bits: IntegerBits::I32 } => json!({"type": "integer", "format": "int32"}),
            Shape::Integer { bits: IntegerBits::I64 } => json!({"type": "integer", "format": "int64"}),
            Shape::Number => json!({"type": "number", "format": "double"}),
            Shape::Boolean => json!({"type": "boolean"}),
            Shape::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            Shape::IntOrString => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
            Shape::Any if matches!(of.name.rsplit('.').next(), Some("FieldsV1" | "RawExtension" | "Patch")) => {
                json!({"type": "object"})
            }
            Shape::Any if of.name.is_empty() => json!({"x-kubernetes-preserve-unknown-fields": true}),
            Shape::Any => json!({}),
        }
    }

    fn object(&mut self, of: &Type, object: &Object) -> Value {
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        let properties: Map<String, Value> =
            object.fields.iter().map(|(name, field)| (name.clone(), self.field(&of.name, name, field))).collect();
        if !properties.is_empty() {
            schema.insert("properties".into(), Value::Object(properties));
        }
        let required: BTreeSet<&String> =
            object.fields.iter().filter(|(_, field)| field.required).map(|(name, _)| name).collect();
        if !required.is_empty() {
            schema.insert("required".into(), json!(required));
        }
        if object.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if object.preserve_unknown {
            schema.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
        if let Some(note) = self.notes.get(of.name.as_str()) {
            if !note.kinds.is_empty() {
                schema.insert("x-kubernetes-group-version-kind".into(), note.kinds.iter().map(gvk_value).collect());
            }
            if let Some(unions) = &note.unions {
                schema.insert("x-kubernetes-unions".into(), unions.clone());
            }
        }
        Value::Object(schema)
    }

    fn field(&mut self, of: &str, name: &str, field: &Field) -> Value {
        let mut schema = match &field.of {
            TypeRef::Named(_) => json!({"allOf": [self.reference(&field.of)]}),
            TypeRef::Inline(_) => self.reference(&field.of),
        };
        if let Some(text) = self.descriptions.field(of, name) {
            schema["description"] = text.into();
        }
        if let Some(default) = &field.default {
            schema["default"] = default.clone();
        }
        if field.atomic {
            schema["x-kubernetes-map-type"] = "atomic".into();
        }
        if let Some(key) = &field.patch_merge_key {
            schema["x-kubernetes-patch-merge-key"] = json!(key);
        }
        if !field.patch_strategy.is_empty() {
            schema["x-kubernetes-patch-strategy"] = json!(field.patch_strategy.join(","));
        }
        schema
    }
}

/// `com.example.v1.Widget`.
fn custom_name(gvk: &Gvk) -> String {
    let reversed: Vec<&str> = gvk.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), gvk.version, gvk.kind)
}
