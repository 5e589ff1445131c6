//! What the server offers: /api, /apis and below.
use irori_api::row::Row;
use irori_http::Response;
use serde_json::{Value, json};

use crate::{
    call::Call,
    paths,
    refusal::{Answered, Refusal},
    server::Server,
};

pub fn answer(server: &Server, call: &Call, path: &str) -> Answered<Response> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let document = match parts.as_slice() {
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": server.settings.advertised}]})),
        ["apis"] => {
            let groups: Vec<Value> = server.tables.groups.iter().filter(|g| !g.name.is_empty()).filter_map(|g| group(server, &g.name)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["api", version] => resources(server, "", version),
        ["apis", name] => group(server, name).map(|mut g| {
            g["kind"] = "APIGroup".into();
            g["apiVersion"] = "v1".into();
            g
        }),
        ["apis", name, version] => resources(server, name, version),
        _ => None,
    };
    document.map(|d| paths::json_answer(call, &d)).ok_or_else(Refusal::no_such_path)
}

fn group(server: &Server, name: &str) -> Option<Value> {
    let group = server.tables.groups.iter().find(|g| g.name == name)?;
    let versions: Vec<Value> =
        group.versions.iter().map(|v| json!({"groupVersion": format!("{name}/{v}"), "version": v})).collect();
    Some(json!({"name": name, "versions": versions, "preferredVersion": versions.first()}))
}

fn resources(server: &Server, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for row in server.tables.of_group_version(group, version) {
        list.push(resource(row));
        for sub in row.subresources.values() {
            let mut value = json!({"name": format!("{}/{}", row.gvr.resource, sub.name), "singularName": "", "namespaced": row.namespaced, "kind": sub.gvk.kind, "verbs": sub.verbs});
            if sub.gvk.group != row.gvk.group || sub.gvk.version != row.gvk.version {
                value["group"] = sub.gvk.group.clone().into();
                value["version"] = sub.gvk.version.clone().into();
            }
            list.push(value);
        }
    }
    let of = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(|| json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": of, "resources": list}))
}

fn resource(row: &Row) -> Value {
    let mut value = json!({"name": row.gvr.resource, "singularName": row.singular, "namespaced": row.namespaced, "kind": row.gvk.kind, "verbs": row.verbs});
    for (key, list) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !list.is_empty() {
            value[key] = list.clone().into();
        }
    }
    if !row.storage_version_hash.is_empty() {
        value["storageVersionHash"] = row.storage_version_hash.clone().into();
    }
    value
}
