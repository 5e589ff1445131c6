//! Discovery: what the server has, told from the rows; the legacy documents and the aggregated one (apidiscovery.k8s.io/v2).
//!
//! Documents are made when asked for and kept by nobody. Custom kinds appear as soon as their rows are in the tables.
use serde_json::{Map, Value, json};

use crate::row::{Group, Gvk, Row, Tables};

/// `GET /api`. `server_address` is host and port that clients in the network reach.
pub fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `GET /apis`.
pub fn groups(tables: &Tables) -> Value {
    let groups: Vec<Value> = tables.all_groups().iter().filter(|group| !group.name.is_empty()).map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `GET /apis/GROUP`; `None` if there is no such group.
pub fn group(tables: &Tables, name: &str) -> Option<Value> {
    let groups = tables.all_groups();
    let mut body = group_body(groups.iter().find(|group| group.name == name && !name.is_empty())?);
    body["kind"] = "APIGroup".into();
    body["apiVersion"] = "v1".into();
    Some(body)
}

fn group_body(group: &Group) -> Value {
    let version = |version: &String| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    json!({"name": group.name, "versions": versions, "preferredVersion": versions.first()})
}

/// `GET /api/v1` (the empty group) and `GET /apis/GROUP/VERSION`; `None` if there is no such version.
pub fn resources(tables: &Tables, group: &str, version: &str) -> Option<Value> {
    tables.all_groups().iter().find(|known| known.name == group && known.versions.iter().any(|known| known == version))?;
    let mut resources = Vec::new();
    for row in tables.of_group_version(group, version) {
        let mut resource = Map::new();
        resource.insert("name".into(), json!(row.gvr.resource));
        resource.insert("singularName".into(), json!(row.singular));
        resource.insert("namespaced".into(), json!(row.namespaced));
        resource.insert("kind".into(), json!(row.gvk.kind));
        resource.insert("verbs".into(), json!(row.verbs));
        for (key, names) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
            if !names.is_empty() {
                resource.insert(key.into(), json!(names));
            }
        }
        if !row.storage_version_hash.is_empty() {
            resource.insert("storageVersionHash".into(), json!(row.storage_version_hash));
        }
        resources.push(Value::Object(resource));
        for sub in row.subresources.values() {
            let mut resource = Map::new();
            resource.insert("name".into(), json!(format!("{}/{}", row.gvr.resource, sub.name)));
            resource.insert("singularName".into(), json!(""));
            resource.insert("namespaced".into(), json!(row.namespaced));
            if is_foreign(row, &sub.gvk) {
                resource.insert("group".into(), json!(sub.gvk.group));
                resource.insert("version".into(), json!(sub.gvk.version));
            }
            resource.insert("kind".into(), json!(sub.gvk.kind));
            resource.insert("verbs".into(), json!(sub.verbs));
            resources.push(Value::Object(resource));
        }
    }
    let mut list =
        json!({"kind": "APIResourceList", "groupVersion": crate::row::group_version(group, version), "resources": resources});
    // The core group's list has carried no apiVersion since its first day.
    if !group.is_empty() {
        list["apiVersion"] = "v1".into();
    }
    Some(list)
}

fn is_foreign(row: &Row, gvk: &Gvk) -> bool {
    gvk.group != row.gvk.group || gvk.version != row.gvk.version
}

/// `GET /api` with `Accept: …g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`.
pub fn aggregated_core(tables: &Tables) -> Value {
    aggregated(tables, |group| group.name.is_empty())
}

/// `GET /apis`, likewise.
pub fn aggregated_groups(tables: &Tables) -> Value {
    aggregated(tables, |group| !group.name.is_empty())
}

fn aggregated(tables: &Tables, wanted: impl Fn(&Group) -> bool) -> Value {
    let groups = tables.all_groups();
    let items: Vec<Value> = groups.iter().filter(|group| wanted(group)).map(|group| aggregated_group(tables, group)).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(tables: &Tables, group: &Group) -> Value {
    let version = |version: &String| {
        let resources: Vec<Value> = tables.of_group_version(&group.name, version).map(|row| aggregated_resource(row)).collect();
        json!({"version": version, "freshness": "Current", "resources": resources})
    };
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(row: &Row) -> Value {
    // Group and version are left empty where they are the row's own.
    let response = |gvk: &Gvk| {
        let foreign = is_foreign(row, gvk);
        let own = |text: &str| if foreign { text.to_owned() } else { String::new() };
        json!({"group": own(&gvk.group), "version": own(&gvk.version), "kind": gvk.kind})
    };
    let mut resource = Map::new();
    resource.insert("resource".into(), json!(row.gvr.resource));
    resource.insert("responseKind".into(), response(&row.gvk));
    resource.insert("scope".into(), json!(if row.namespaced { "Namespaced" } else { "Cluster" }));
    resource.insert("singularResource".into(), json!(row.singular));
    resource.insert("verbs".into(), json!(row.verbs));
    for (key, names) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !names.is_empty() {
            resource.insert(key.into(), json!(names));
        }
    }
    let sub =
        |sub: &crate::row::Subresource| json!({"subresource": sub.name, "responseKind": response(&sub.gvk), "verbs": sub.verbs});
    let subs: Vec<Value> = row.subresources.values().map(sub).collect();
    if !subs.is_empty() {
        resource.insert("subresources".into(), Value::Array(subs));
    }
    Value::Object(resource)
}

/// A stable tag of a document, for `ETag` and the `hash` of OpenAPI: the same text gives the same tag on every machine.
pub fn etag(document: &[u8]) -> String {
    // FNV-1a, 128 bits.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in document {
        hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032X}")
}

#[cfg(test)]
mod tests;
