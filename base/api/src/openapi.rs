//! OpenAPI v3 from rows and types: an index, and a document per group and version.
//!
//! Enough for `kubectl explain`, validation by clients, and code generators that go by `x-kubernetes-…`. Descriptions are not in the
//! tables. Documents are made when asked for and kept by nobody; the `hash` in the index is that of the document's text.
mod paths;
mod schemas;

use serde_json::{Map, Value, json};

use self::{
    paths::{paths_of, resources_path},
    schemas::Schemas,
};
use crate::{
    discovery::etag,
    row::{Gvk, Row, Tables},
    schema::{META, TypeRef},
};

/// `GET /openapi/v3`: where the document of each group and version is.
pub fn index(tables: &Tables) -> Value {
    let mut paths = Map::new();
    for group in tables.all_groups() {
        for version in &group.versions {
            let path = if group.name.is_empty() { format!("api/{version}") } else { format!("apis/{}/{version}", group.name) };
            if let Some(document) = document(tables, &group.name, version) {
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
    let rows: Vec<&Row> = tables.of_group_version(group, version).map(AsRef::as_ref).collect();
    if rows.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    let mut schemas = Schemas::new(tables);
    let base = if group.is_empty() { format!("/api/{version}/") } else { format!("/apis/{group}/{version}/") };
    schemas.reference(&meta("WatchEvent"));
    paths.insert(base.clone(), resources_path(group, version, &mut schemas));
    for row in rows {
        for (path, item) in paths_of(&base, row, &mut schemas) {
            paths.insert(path, item);
        }
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

fn meta(kind: &str) -> TypeRef {
    TypeRef::Named(format!("{META}.v1.{kind}").into())
}

fn gvk_value(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

#[cfg(test)]
mod tests;
