//! The scale subresource: one small object for everything that has replicas.
use irori_api::row::Row;
use serde_json::{Map, Value, json};

use crate::tree::{get, int, items, map, set, text};

/// The autoscaling/v1 Scale of an object; `None` if the kind has none.
pub fn read_scale(row: &Row, object: &Value) -> Option<Value> {
    row.subresources.get("scale")?;
    let mut metadata = Map::new();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = get(object, &["metadata", name]) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    let mut spec = Map::new();
    if let Some(replicas) = int(object, &["spec", "replicas"]).filter(|n| *n != 0) {
        spec.insert("replicas".into(), replicas.into());
    }
    let mut status = json!({"replicas": int(object, &["status", "replicas"]).unwrap_or(0)});
    let selector = match row.gvk.kind.as_str() {
        "ReplicationController" => map(object, &["spec", "selector"]).map(equalities).unwrap_or_default(),
        _ => selector_text(get(object, &["spec", "selector"])?),
    };
    if !selector.is_empty() {
        set(&mut status, &["selector"], selector);
    }
    Some(json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": spec, "status": status}))
}

/// Sets the replicas of an object from a decoded Scale; a resourceVersion in the Scale is taken over.
pub fn write_scale(_row: &Row, object: &mut Value, scale: &Value) {
    set(object, &["spec", "replicas"], int(scale, &["spec", "replicas"]).unwrap_or(0));
    let version = text(scale, &["metadata", "resourceVersion"]);
    if !version.is_empty() {
        set(object, &["metadata", "resourceVersion"], version);
    }
}

fn equalities(labels: &Map<String, Value>) -> String {
    let mut parts: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or(""))).collect();
    parts.sort();
    parts.join(",")
}

/// A label selector object as query text: `a=b,c in (d,e),!f`.
pub fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in map(selector, &["matchLabels"]).into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or(""))));
    }
    for expression in items(selector, &["matchExpressions"]) {
        let key = text(expression, &["key"]);
        let mut values: Vec<&str> = items(expression, &["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let part = match text(expression, &["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            _ => continue,
        };
        parts.push((key.to_owned(), part));
    }
    parts.sort();
    parts.into_iter().map(|(_, part)| part).collect::<Vec<_>>().join(",")
}
