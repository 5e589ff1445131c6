//! The protobuf form of an OpenAPI v2 document, as gnostic's `openapi.v2.Document` numbers its fields: what `kubectl` and Argo CD read.
//!
//! What protobuf has no field for in a schema (`x-kubernetes-…`) goes along as text in YAML, of which JSON is a part.
use std::convert::Infallible;

use serde_json::{Map, Value};

use crate::codec::protobuf::wire::{VARINT, put_bytes, put_nested, put_tag, put_varint};

/// A document as bytes.
pub fn encode(document: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    text(&mut out, 1, &document["swagger"]);
    nested(&mut out, 2, |out| {
        text(out, 1, &document["info"]["title"]);
        text(out, 2, &document["info"]["version"]);
    });
    nested(&mut out, 8, |out| named(out, 2, &document["paths"], path_item));
    nested(&mut out, 9, |out| named(out, 1, &document["definitions"], schema));
    for requirement in items(&document["security"]) {
        nested(&mut out, 12, |out| {
            named(out, 1, requirement, |out, scopes| items(scopes).iter().for_each(|scope| text(out, 1, scope)));
        });
    }
    nested(&mut out, 13, |out| {
        named(out, 1, &document["securityDefinitions"], |out, of| {
            nested(out, 2, |out| {
                for (number, name) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
                    text(out, number, &of[name]);
                }
            });
        });
    });
    out
}

fn nested(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let Ok(()) = put_nested(out, number, |out| {
        write(out);
        Ok::<(), Infallible>(())
    });
}

fn text(out: &mut Vec<u8>, number: u32, value: &Value) {
    if let Some(text) = value.as_str() {
        put_bytes(out, number, text.as_bytes());
    }
}

fn flag(out: &mut Vec<u8>, number: u32, value: &Value) {
    if value == true {
        put_tag(out, number, VARINT);
        put_varint(out, 1);
    }
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The entries of a map as messages of a name (1) and a value (2).
fn named(out: &mut Vec<u8>, number: u32, map: &Value, write: impl Fn(&mut Vec<u8>, &Value)) {
    for (name, value) in map.as_object().into_iter().flatten() {
        nested(out, number, |out| {
            put_bytes(out, 1, name.as_bytes());
            nested(out, 2, |out| write(out, value));
        });
    }
}

/// Any value, as YAML.
fn any(out: &mut Vec<u8>, number: u32, value: &Value) {
    nested(out, number, |out| put_bytes(out, 2, value.to_string().as_bytes()));
}

fn extensions(out: &mut Vec<u8>, number: u32, fields: &Map<String, Value>) {
    for (name, value) in fields.iter().filter(|(name, _)| name.starts_with("x-")) {
        nested(out, number, |out| {
            put_bytes(out, 1, name.as_bytes());
            any(out, 2, value);
        });
    }
}

fn path_item(out: &mut Vec<u8>, item: &Value) {
    for (number, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(Value::Object(of)) = item.get(method) {
            nested(out, number, |out| operation(out, of));
        }
    }
    parameters(out, 9, &item["parameters"]);
}

fn operation(out: &mut Vec<u8>, of: &Map<String, Value>) {
    let list = |name: &str| of.get(name).map_or(&[][..], items);
    let each = |out: &mut Vec<u8>, number, name: &str| list(name).iter().for_each(|one| text(out, number, one));
    each(out, 1, "tags");
    text(out, 5, of.get("operationId").unwrap_or(&Value::Null));
    each(out, 6, "produces");
    each(out, 7, "consumes");
    parameters(out, 8, of.get("parameters").unwrap_or(&Value::Null));
    nested(out, 9, |out| {
        named(out, 1, of.get("responses").unwrap_or(&Value::Null), |out, response| {
            nested(out, 1, |out| {
                text(out, 1, &response["description"]);
                if response["schema"].is_object() {
                    nested(out, 2, |out| nested(out, 1, |out| schema(out, &response["schema"])));
                }
            });
        });
    });
    each(out, 10, "schemes");
    extensions(out, 13, of);
}

fn parameters(out: &mut Vec<u8>, number: u32, all: &Value) {
    for of in items(all) {
        nested(out, number, |out| nested(out, 1, |out| parameter(out, of)));
    }
}

fn parameter(out: &mut Vec<u8>, of: &Value) {
    if of["in"] == "body" {
        return nested(out, 1, |out| {
            text(out, 2, &of["name"]);
            text(out, 3, &of["in"]);
            flag(out, 4, &of["required"]);
            nested(out, 5, |out| schema(out, &of["schema"]));
        });
    }
    let in_query = of["in"] == "query";
    // Of a query and of a path: they differ by one field before the type.
    let (message, kind) = if in_query { (3, 6) } else { (4, 5) };
    nested(out, 2, |out| {
        nested(out, message, |out| {
            flag(out, 1, &of["required"]);
            text(out, 2, &of["in"]);
            text(out, 4, &of["name"]);
            text(out, kind, &of["type"]);
            flag(out, kind + 14, &of["uniqueItems"]);
        });
    });
}

fn schema(out: &mut Vec<u8>, of: &Value) {
    let Some(fields) = of.as_object() else { return };
    text(out, 1, &of["$ref"]);
    text(out, 2, &of["format"]);
    text(out, 4, &of["description"]);
    if let Some(default) = fields.get("default") {
        any(out, 5, default);
    }
    items(&of["required"]).iter().for_each(|name| text(out, 19, name));
    items(&of["enum"]).iter().for_each(|value| any(out, 20, value));
    if fields.contains_key("additionalProperties") {
        nested(out, 21, |out| nested(out, 1, |out| schema(out, &of["additionalProperties"])));
    }
    if fields.contains_key("type") {
        nested(out, 22, |out| text(out, 1, &of["type"]));
    }
    if fields.contains_key("items") {
        nested(out, 23, |out| nested(out, 1, |out| schema(out, &of["items"])));
    }
    if fields.contains_key("properties") {
        nested(out, 25, |out| named(out, 1, &of["properties"], schema));
    }
    extensions(out, 31, fields);
}
