//! OpenAPI v2 (Swagger): one document of all groups, made from what v3 says.
use serde_json::{Map, Value, json};

use super::{
    operations,
    schemas::{REFERENCES, Schemas},
};
use crate::{descriptions::Descriptions, row::Tables};

/// `GET /openapi/v2` as JSON.
pub fn document(tables: &Tables) -> Value {
    let descriptions = Descriptions::read();
    let mut schemas = Schemas::new(tables, &descriptions);
    let mut paths = Map::new();
    for group in tables.all_groups() {
        for version in &group.versions {
            let of_version = operations(tables, &group.name, version, &mut schemas);
            paths.extend(of_version.into_iter().map(|(path, item)| (path, path_item(item))));
        }
    }
    let definitions: Map<String, Value> = schemas.into_map().into_iter().map(|(name, of)| (name, schema(of))).collect();
    json!({
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "definitions": definitions,
        "securityDefinitions": {
            "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"},
        },
        "security": [{"BearerToken": []}],
    })
}

/// A schema of v3 in the words of v2.
fn schema(of: Value) -> Value {
    let Value::Object(fields) = of else { return of };
    if fields.contains_key("oneOf") {
        // A quantity, or a number or text.
        let mut out = json!({"type": "string"});
        for name in ["format", "description"] {
            if let Some(value) = fields.get(name) {
                out[name] = value.clone();
            }
        }
        return out;
    }
    let mut out = Map::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("$ref", value) => drop(out.insert(name, reference(&value))),
            // v2 lets a reference stand beside a description.
            ("allOf", Value::Array(all)) => {
                for one in all.into_iter().map(schema) {
                    out.extend(one.as_object().cloned().unwrap_or_default());
                }
            }
            ("properties", Value::Object(fields)) => {
                let fields: Map<String, Value> = fields.into_iter().map(|(name, of)| (name, schema(of))).collect();
                out.insert(name, Value::Object(fields));
            }
            ("items" | "additionalProperties", value) => drop(out.insert(name, schema(value))),
            ("default", value) if value.as_object().is_some_and(Map::is_empty) => {}
            (_, value) => drop(out.insert(name, value)),
        }
    }
    Value::Object(out)
}

fn reference(of: &Value) -> Value {
    of.as_str()
        .and_then(|of| of.strip_prefix(REFERENCES))
        .map_or_else(|| of.clone(), |name| format!("#/definitions/{name}").into())
}

fn path_item(item: Value) -> Value {
    let Value::Object(item) = item else { return item };
    let convert = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("parameters", Value::Array(all)) => (name, all.into_iter().map(parameter).collect()),
        (_, value) => (name, operation(value)),
    };
    item.into_iter().map(convert).collect::<Map<_, _>>().into()
}

fn operation(mut of: Value) -> Value {
    let Some(fields) = of.as_object_mut() else { return of };
    let mut parameters: Vec<Value> = match fields.remove("parameters") {
        Some(Value::Array(all)) => all.into_iter().map(parameter).collect(),
        _ => Vec::new(),
    };
    let mut consumes: Value = json!(["*/*"]);
    if let Some(body) = fields.remove("requestBody") {
        let (media, of) = content(&body);
        let mut parameter = json!({"name": "body", "in": "body", "schema": schema(of)});
        if body["required"] == true {
            parameter["required"] = true.into();
        }
        parameters.insert(0, parameter);
        consumes = json!(media);
    }
    if !parameters.is_empty() {
        fields.insert("parameters".to_owned(), parameters.into());
    }
    let mut produces = Vec::new();
    for (_, response) in fields.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
        let (media, of) = content(response);
        let mut out = json!({"description": response["description"]});
        if !media.is_empty() {
            out["schema"] = schema(of);
            produces = media;
        }
        *response = out;
    }
    fields.insert("consumes".to_owned(), consumes);
    fields.insert("produces".to_owned(), json!(produces));
    fields.insert("schemes".to_owned(), json!(["https"]));
    of
}

/// The media types of a body, and its schema.
fn content(of: &Value) -> (Vec<String>, Value) {
    let media = of["content"].as_object();
    let names = media.into_iter().flatten().map(|(name, _)| name.clone()).collect();
    (names, media.and_then(|media| media.values().next()).map(|of| of["schema"].clone()).unwrap_or_default())
}

/// The type of a parameter stands beside its name.
fn parameter(mut of: Value) -> Value {
    if let Some(fields) = of.as_object_mut()
        && let Some(Value::Object(schema)) = fields.remove("schema")
    {
        fields.extend(schema);
    }
    of
}
