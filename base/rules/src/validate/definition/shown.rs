//! How a stock server shows parts of a definition in its messages: its own unversioned structs, as Go writes them in JSON.
//!
//! Limits: 4 MiB of text, cut off there.
use serde_json::Value;

use crate::tree::{flag, get, items, map, text};

/// Bytes of one shown value.
const SHOWN_BYTES_MAX: usize = 4 << 20;

/// A JSON value as Go writes it: keys in order, `<`, `>` and `&` escaped.
pub fn json(value: &Value) -> String {
    let mut out = Text::default();
    out.json(value);
    out.0
}

pub fn schema(value: &Value) -> String {
    let mut out = Text::default();
    out.schema(value);
    out.0
}

/// One of `x-kubernetes-validations`.
pub fn rule(value: &Value) -> String {
    let mut out = Text::default();
    out.rule(value);
    out.0
}

/// The list of versions; what all of them share stands elsewhere and is not shown.
pub fn versions(list: &[super::Version<'_>]) -> String {
    let mut out = Text::default();
    if list.is_empty() {
        return "null".into();
    }
    out.list(list, |out, version| {
        out.raw("{\"Name\":");
        out.string(version.name());
        for (name, field) in [("Served", "served"), ("Storage", "storage"), ("Deprecated", "deprecated")] {
            out.flag(name, version.own, field);
        }
        out.field("DeprecationWarning", get(version.own, &["deprecationWarning"]), Text::json);
        out.field("Schema", version.schema, |out, schema| {
            out.raw("{\"OpenAPIV3Schema\":");
            out.optional(get(schema, &["openAPIV3Schema"]), Text::schema);
            out.raw("}");
        });
        out.field("Subresources", version.subresources, Text::subresources);
        out.field("AdditionalPrinterColumns", version.columns, |out, columns| {
            out.list(columns.as_array().map_or(&[][..], Vec::as_slice), Text::column);
        });
        out.field("SelectableFields", version.selectable, |out, fields| {
            out.list(fields.as_array().map_or(&[][..], Vec::as_slice), |out, field| {
                out.raw("{\"JSONPath\":");
                out.string(text(field, &["jsonPath"]));
                out.raw("}");
            });
        });
        out.raw("}");
    });
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn full(&self) -> bool {
        self.0.len() >= SHOWN_BYTES_MAX
    }

    fn raw(&mut self, text: &str) {
        if !self.full() {
            self.0.push_str(text);
        }
    }

    fn string(&mut self, text: &str) {
        if self.full() {
            return;
        }
        let written = Value::from(text).to_string();
        for c in written.chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self.0.push_str(&format!("\\u{:04x}", c as u32)),
                c => self.0.push(c),
            }
        }
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.raw("[");
        for (i, item) in items.iter().enumerate() {
            if self.full() {
                return;
            }
            if i > 0 {
                self.raw(",");
            }
            write(self, item);
        }
        self.raw("]");
    }

    fn entries(&mut self, value: &Value, mut write: impl FnMut(&mut Self, &Value)) {
        self.raw("{");
        for (i, (key, entry)) in value.as_object().into_iter().flatten().enumerate() {
            if self.full() {
                return;
            }
            if i > 0 {
                self.raw(",");
            }
            self.string(key);
            self.raw(":");
            write(self, entry);
        }
        self.raw("}");
    }

    fn json(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) => self.list(items, Text::json),
            Value::Object(_) => self.entries(value, Text::json),
            other => self.raw(&other.to_string()),
        }
    }

    fn optional(&mut self, value: Option<&Value>, write: impl FnOnce(&mut Self, &Value)) {
        match value {
            Some(value) => write(self, value),
            None => self.raw("null"),
        }
    }

    /// `,"Name":` and the value, or null.
    fn field(&mut self, name: &str, value: Option<&Value>, write: impl FnOnce(&mut Self, &Value)) {
        self.raw(",\"");
        self.raw(name);
        self.raw("\":");
        self.optional(value, write);
    }

    fn flag(&mut self, name: &str, of: &Value, field: &str) {
        self.raw(&format!(",\"{name}\":{}", flag(of, &[field])));
    }

    fn text(&mut self, name: &str, of: &Value, field: &str) {
        self.raw(&format!(",\"{name}\":"));
        self.string(text(of, &[field]));
    }

    fn subresources(&mut self, of: &Value) {
        self.raw("{\"Status\":");
        self.optional(get(of, &["status"]), |out, _| out.raw("{}"));
        self.field("Scale", get(of, &["scale"]), |out, scale| {
            out.raw("{\"SpecReplicasPath\":");
            out.string(text(scale, &["specReplicasPath"]));
            out.text("StatusReplicasPath", scale, "statusReplicasPath");
            out.field("LabelSelectorPath", get(scale, &["labelSelectorPath"]), Text::json);
            out.raw("}");
        });
        self.raw("}");
    }

    fn column(&mut self, of: &Value) {
        self.raw("{\"Name\":");
        self.string(text(of, &["name"]));
        self.text("Type", of, "type");
        self.text("Format", of, "format");
        self.text("Description", of, "description");
        self.raw(",\"Priority\":");
        self.raw(&crate::tree::int(of, &["priority"]).unwrap_or(0).to_string());
        self.text("JSONPath", of, "jsonPath");
        self.raw("}");
    }

    fn rule(&mut self, of: &Value) {
        self.raw("{\"Rule\":");
        self.string(text(of, &["rule"]));
        self.text("Message", of, "message");
        self.text("MessageExpression", of, "messageExpression");
        self.field("Reason", get(of, &["reason"]), Text::json);
        self.text("FieldPath", of, "fieldPath");
        self.field("OptionalOldSelf", get(of, &["optionalOldSelf"]), Text::json);
        self.raw("}");
    }

    fn schema(&mut self, of: &Value) {
        self.raw("{\"ID\":");
        self.string(text(of, &["id"]));
        let any = |out: &mut Self, name: &str, field: &str| out.field(name, get(of, &[field]), Text::json);
        self.text("Schema", of, "$schema");
        any(self, "Ref", "$ref");
        self.text("Description", of, "description");
        self.text("Type", of, "type");
        self.flag("Nullable", of, "nullable");
        self.text("Format", of, "format");
        self.text("Title", of, "title");
        any(self, "Default", "default");
        any(self, "Maximum", "maximum");
        self.flag("ExclusiveMaximum", of, "exclusiveMaximum");
        any(self, "Minimum", "minimum");
        self.flag("ExclusiveMinimum", of, "exclusiveMinimum");
        any(self, "MaxLength", "maxLength");
        any(self, "MinLength", "minLength");
        self.text("Pattern", of, "pattern");
        any(self, "MaxItems", "maxItems");
        any(self, "MinItems", "minItems");
        self.flag("UniqueItems", of, "uniqueItems");
        for (name, field) in [
            ("MultipleOf", "multipleOf"),
            ("Enum", "enum"),
            ("MaxProperties", "maxProperties"),
            ("MinProperties", "minProperties"),
            ("Required", "required"),
        ] {
            any(self, name, field);
        }
        self.field("Items", get(of, &["items"]), |out, items| {
            out.raw("{\"Schema\":");
            out.optional(Some(items).filter(|i| i.is_object()), Text::schema);
            out.field("JSONSchemas", Some(items).filter(|i| i.is_array()), Text::schemas);
            out.raw("}");
        });
        for (name, field) in [("AllOf", "allOf"), ("OneOf", "oneOf"), ("AnyOf", "anyOf")] {
            self.field(name, get(of, &[field]), Text::schemas);
        }
        self.field("Not", get(of, &["not"]), Text::schema);
        self.field("Properties", get(of, &["properties"]), |out, all| out.entries(all, Text::schema));
        self.field("AdditionalProperties", get(of, &["additionalProperties"]), Text::schema_or_bool);
        self.field("PatternProperties", get(of, &["patternProperties"]), |out, all| out.entries(all, Text::schema));
        self.field("Dependencies", get(of, &["dependencies"]), |out, all| {
            out.entries(all, |out, one| {
                out.raw("{\"Schema\":");
                out.optional(Some(one).filter(|o| o.is_object()), Text::schema);
                out.field("Property", Some(one).filter(|o| o.is_array()), Text::json);
                out.raw("}");
            });
        });
        self.field("AdditionalItems", get(of, &["additionalItems"]), Text::schema_or_bool);
        self.field("Definitions", get(of, &["definitions"]), |out, all| out.entries(all, Text::schema));
        self.field("ExternalDocs", map(of, &["externalDocs"]).and(get(of, &["externalDocs"])), |out, docs| {
            out.raw("{\"Description\":");
            out.string(text(docs, &["description"]));
            out.text("URL", docs, "url");
            out.raw("}");
        });
        let any = |out: &mut Self, name: &str, field: &str| out.field(name, get(of, &[field]), Text::json);
        any(self, "Example", "example");
        any(self, "XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields");
        self.flag("XEmbeddedResource", of, "x-kubernetes-embedded-resource");
        self.flag("XIntOrString", of, "x-kubernetes-int-or-string");
        any(self, "XListMapKeys", "x-kubernetes-list-map-keys");
        any(self, "XListType", "x-kubernetes-list-type");
        any(self, "XMapType", "x-kubernetes-map-type");
        let rules = "x-kubernetes-validations";
        self.field("XValidations", get(of, &[rules]), |out, _| out.list(items(of, &[rules]), Text::rule));
        self.raw("}");
    }

    fn schemas(&mut self, list: &Value) {
        self.list(list.as_array().map_or(&[][..], Vec::as_slice), Text::schema);
    }

    fn schema_or_bool(&mut self, of: &Value) {
        self.raw(&format!("{{\"Allows\":{}", of.as_bool().unwrap_or(true)));
        self.field("Schema", Some(of).filter(|o| o.is_object()), Text::schema);
        self.raw("}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_shown_as_go_writes_them() {
        assert_eq!(json(&json!({"b": ["<&>"], "a": null})), r#"{"a":null,"b":["\u003c\u0026\u003e"]}"#);
        assert_eq!(
            rule(&json!({"rule": "self > 1", "reason": "FieldValueInvalid"})),
            r#"{"Rule":"self \u003e 1","Message":"","MessageExpression":"","Reason":"FieldValueInvalid","FieldPath":"","OptionalOldSelf":null}"#
        );
    }

    #[test]
    fn what_is_shown_of_a_schema_has_an_end() {
        let many: serde_json::Map<String, Value> = (0..100_000).map(|i| (i.to_string(), json!({}))).collect();
        let shown = schema(&json!({ "properties": many }));
        assert!((SHOWN_BYTES_MAX..SHOWN_BYTES_MAX + 1_000).contains(&shown.len()));
    }
}
