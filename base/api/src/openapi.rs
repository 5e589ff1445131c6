//! OpenAPI from rows and types: v3, an index and a document per group and version; v2, one document in JSON and protobuf.
//!
//! Enough for `kubectl explain`, validation by clients, and code generators that go by `x-kubernetes-…`. Documents are made when asked
//! for and kept by nobody; the `hash` in the index is that of the document's text.
mod gnostic;
mod paths;
mod schemas;
mod v2;

pub use gnostic::encode as v2_protobuf;
pub use v2::document as v2_document;

use serde_json::{Map, Value, json};

use self::{
    paths::{paths_of, resources_path},
    schemas::Schemas,
};
use crate::{
    descriptions::Descriptions,
    discovery::etag,
    row::{Gvk, Row, Tables},
    schema::{META, TypeRef},
};

/// `GET /openapi/v3`: where the document of each group and version is.
pub fn index(tables: &Tables) -> Value {
    let descriptions = Descriptions::read();
    let mut paths = Map::new();
    for group in tables.all_groups() {
        for version in &group.versions {
            let path = if group.name.is_empty() { format!("api/{version}") } else { format!("apis/{}/{version}", group.name) };
            if let Some(document) = described(tables, &descriptions, &group.name, version) {
                let hash = etag(document.to_string().as_bytes());
                let url = format!("/openapi/v3/{path}?hash={hash}");
                paths.insert(path, json!({"serverRelativeURL": url}));
            }
        }
    }
    json!({"paths": paths})
}

/// `GET /openapi/v3/api/v1`, `GET /openapi/v3/apis/GROUP/VERSION`; `None` if there is no such version.
pub fn document(tables: &Tables, group: &str, version: &str) -> Option<Value> {
    described(tables, &Descriptions::read(), group, version)
}

fn described(tables: &Tables, descriptions: &Descriptions, group: &str, version: &str) -> Option<Value> {
    let mut schemas = Schemas::new(tables, descriptions);
    let paths = operations(tables, group, version, &mut schemas);
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.2"},
        "paths": paths,
        "components": {
            "schemas": schemas.into_map(),
            "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header", "description": "Bearer Token authentication"}},
        },
        "security": [{"BearerToken": []}],
    }))
}

/// The paths of a version; none if there is no such version.
fn operations(tables: &Tables, group: &str, version: &str, schemas: &mut Schemas<'_>) -> Map<String, Value> {
    let mut paths = Map::new();
    let rows: Vec<&Row> = tables.of_group_version(group, version).map(AsRef::as_ref).collect();
    if rows.is_empty() {
        return paths;
    }
    let base = if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
    schemas.reference(&meta("WatchEvent"));
    paths.insert(base.clone(), resources_path(group, version, schemas));
    for row in rows {
        paths.extend(paths_of(&base, row, schemas));
    }
    paths
}

fn meta(kind: &str) -> TypeRef {
    TypeRef::Named(format!("{META}.v1.{kind}").into())
}

fn gvk_value(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

#[cfg(test)]
mod tests;
