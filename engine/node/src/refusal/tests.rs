use irori_api::{
    row::Tables,
    schema::{Schemas, Shape, TypeRef},
};
use serde_json::json;

use super::*;

fn pod(spec: serde_json::Value) -> Pod {
    serde_json::from_value(json!({ "metadata": { "name": "a" }, "spec": spec })).expect("a pod")
}

fn paths(spec: serde_json::Value) -> Vec<String> {
    check(&pod(spec)).into_iter().map(|refusal| refusal.path).collect()
}

/// Walks the schema as `check` walks an object, and gathers the keys that the table does not have.
fn unlisted(schemas: &Schemas, of: &TypeRef, key: &str, seen: &mut Vec<String>, missing: &mut Vec<String>) {
    let Shape::Object(object) = &schemas.resolve(of).expect("a known type").shape else { panic!("{key} is no object") };
    for (name, field) in &object.fields {
        let mut key = joined(key, name);
        let mut of = &field.of;
        if let Shape::List(list) = &schemas.resolve(of).expect("a known type").shape {
            key.push_str("[]");
            of = &list.items;
        }
        match verdict(&key) {
            None => missing.push(key.clone()),
            Some(Fields) if below(&key) != key && seen.contains(&below(&key).to_owned()) => {}
            Some(Fields) => {
                seen.push(below(&key).to_owned());
                unlisted(schemas, of, below(&key), seen, missing);
            }
            Some(_) => {}
        }
        seen.push(key);
    }
}

#[test]
fn every_field_of_the_schema_stands_in_the_table_and_the_table_names_no_other() {
    let tables = Tables::builtin();
    let of = TypeRef::Named("io.k8s.api.core.v1.PodSpec".into());
    let (mut seen, mut missing) = (Vec::new(), Vec::new());
    unlisted(&tables.schemas, &of, "", &mut seen, &mut missing);
    assert_eq!(missing, Vec::<String>::new());
    let invented: Vec<&str> = TABLE.iter().map(|(path, _)| *path).filter(|path| !seen.iter().any(|s| s == path)).collect();
    assert_eq!(invented, Vec::<&str>::new());
}

#[test]
fn a_usual_pod_is_not_refused() {
    let spec = json!({
        "containers": [{ "name": "web", "image": "x", "ports": [{ "containerPort": 80, "protocol": "TCP" }],
            "resources": { "limits": { "cpu": "1", "memory": "64Mi" } },
            "securityContext": { "capabilities": { "drop": ["ALL"] }, "seccompProfile": { "type": "RuntimeDefault" } },
            "volumeMounts": [{ "name": "t", "mountPath": "/t", "readOnly": true }] }],
        "volumes": [{ "name": "t", "projected": { "defaultMode": 420, "sources": [{ "serviceAccountToken": { "path": "token" } }] } }],
        "securityContext": {}, "restartPolicy": "Always", "schedulerName": "default-scheduler", "priority": 0,
    });
    assert_eq!(paths(spec), Vec::<String>::new());
}

#[test]
fn what_is_not_done_is_named_with_its_path() {
    let spec = json!({
        "containers": [{ "name": "a", "image": "x" }, { "name": "b", "image": "x", "restartPolicy": "Never", "ports": [{ "containerPort": 1, "hostPort": 80 }] }],
        "volumes": [{ "name": "n", "nfs": { "server": "s", "path": "/" } }, { "name": "e", "emptyDir": { "sizeLimit": "1Mi" } }],
        "runtimeClassName": "gvisor",
        "securityContext": { "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] },
    });
    let mut found = paths(spec);
    found.sort();
    found.dedup();
    let expected = [
        "spec.containers[1].ports[0].hostPort",
        "spec.containers[1].restartPolicy",
        "spec.runtimeClassName",
        "spec.securityContext.sysctls[0]",
        "spec.volumes[0].nfs",
        "spec.volumes[1].emptyDir",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_host_port_is_fine_on_the_host_network() {
    let container = json!({ "name": "a", "image": "x", "ports": [{ "containerPort": 80, "hostPort": 80 }] });
    assert_eq!(paths(json!({ "hostNetwork": true, "containers": [container] })), Vec::<String>::new());
}
