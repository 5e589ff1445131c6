use super::*;

#[test]
fn every_group_and_version_has_a_document_whose_references_resolve() {
    fn walk(value: &Value, schemas: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(name) =
                    fields.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/components/schemas/"))
                {
                    assert!(schemas[name].is_object(), "{name}");
                }
                fields.values().for_each(|value| walk(value, schemas));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, schemas)),
            _ => {}
        }
    }
    let tables = Tables::builtin();
    let index = index(&tables);
    let paths = index["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 22);
    for (path, at) in paths {
        let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ => panic!("{path}"),
        };
        let document = document(&tables, group, version).unwrap();
        walk(&document, &document["components"]["schemas"]);
        let hash = etag(document.to_string().as_bytes());
        assert_eq!(at["serverRelativeURL"], format!("/openapi/v3/{path}?hash={hash}"));
    }
    assert!(document(&tables, "apps", "v2").is_none());
}

#[test]
fn operations_are_named_as_clients_expect() {
    let tables = Tables::builtin();
    let apps = document(&tables, "apps", "v1").unwrap();
    let operation = |path: &str, method: &str| {
        let found = &apps["paths"][path][method];
        (found["operationId"].as_str().unwrap_or("").to_owned(), found["x-kubernetes-action"].as_str().unwrap_or("").to_owned())
    };
    let named = |id: &str, action: &str| (id.to_owned(), action.to_owned());
    let at = "/apis/apps/v1/namespaces/{namespace}/deployments";
    assert_eq!(operation(at, "post"), named("createAppsV1NamespacedDeployment", "post"));
    assert_eq!(operation(at, "delete"), named("deleteAppsV1CollectionNamespacedDeployment", "deletecollection"));
    assert_eq!(operation("/apis/apps/v1/deployments", "get"), named("listAppsV1DeploymentForAllNamespaces", "list"));
    assert_eq!(operation(&format!("{at}/{{name}}"), "put"), named("replaceAppsV1NamespacedDeployment", "put"));
    assert_eq!(operation(&format!("{at}/{{name}}/scale"), "get"), named("readAppsV1NamespacedDeploymentScale", "get"));
    let core = document(&tables, "", "v1").unwrap();
    let exec = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}/exec"]["post"];
    assert_eq!(exec["operationId"], "connectCoreV1PostNamespacedPodExec");
    assert_eq!(
        apps["paths"][format!("{at}/{{name}}/scale")]["get"]["x-kubernetes-group-version-kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
}

#[test]
fn schemas_keep_what_clients_read_of_them() {
    let core = document(&Tables::builtin(), "", "v1").unwrap();
    let schemas = &core["components"]["schemas"];
    let containers = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    let mut containers = containers.clone();
    assert!(containers["description"].take().as_str().unwrap().contains("containers belonging to the pod"));
    assert_eq!(
        containers,
        json!({"description": null, "type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-patch-merge-key": "name", "x-kubernetes-patch-strategy": "merge"})
    );
    assert_eq!(
        schemas["io.k8s.api.core.v1.Pod"]["x-kubernetes-group-version-kind"],
        json!([{"group": "", "version": "v1", "kind": "Pod"}])
    );
    let time = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.Time"];
    assert_eq!((&time["type"], &time["format"]), (&json!("string"), &json!("date-time")));
    assert_eq!(schemas["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"][0]["discriminator"], "type");
    assert!(schemas["io.k8s.api.apps.v1.Deployment"].is_null());
}

#[test]
fn the_document_of_v2_says_the_same_in_json_and_protobuf_and_its_references_resolve() {
    fn walk(value: &Value, definitions: &Value) {
        match value {
            Value::Object(fields) => {
                assert!(!fields.contains_key("oneOf") && !fields.contains_key("allOf"));
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    let name = name.strip_prefix("#/definitions/").unwrap_or_else(|| panic!("{name}"));
                    assert!(definitions[name].is_object(), "{name}");
                }
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        // Names of fields may be words of schemas.
                        ("properties" | "definitions", Value::Object(named)) => {
                            named.values().for_each(|value| walk(value, definitions));
                        }
                        (_, value) => walk(value, definitions),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, definitions)),
            _ => {}
        }
    }
    use crate::codec::protobuf::wire::{Content, Fields};
    let document = v2_document(&Tables::builtin());
    walk(&document, &document["definitions"]);
    let replicas = &document["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"];
    assert_eq!(replicas["$ref"], "#/definitions/io.k8s.api.core.v1.PodTemplateSpec");
    assert!(replicas["description"].as_str().unwrap().contains("pods that will be created"));

    let bytes = v2_protobuf(&document);
    let mut fields = Fields(&bytes);
    let (mut paths, mut definitions) = (0, 0);
    while let Some((number, content)) = fields.next().unwrap() {
        let Content::Bytes(inner) = content else { panic!("field {number}") };
        if !matches!(number, 8 | 9) {
            continue;
        }
        let (mut inner, mut count) = (Fields(inner), 0);
        while inner.next().unwrap().is_some() {
            count += 1;
        }
        let counted = if number == 8 { &mut paths } else { &mut definitions };
        *counted = count;
    }
    assert_eq!(paths, document["paths"].as_object().unwrap().len());
    assert_eq!(definitions, document["definitions"].as_object().unwrap().len());
}
