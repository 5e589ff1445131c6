use super::*;

#[test]
fn every_reference_of_every_type_resolves() {
    let tables = Tables::builtin();
    fn walk(schemas: &Schemas, of: &TypeRef, from: &str) {
        let found = schemas.resolve(of).unwrap_or_else(|| panic!("{from} refers to {of:?}"));
        match (&found.shape, of) {
            (Shape::Map { values }, _) => walk(schemas, values, from),
            (Shape::List(list), _) => walk(schemas, &list.items, from),
            _ => {}
        }
    }
    for (name, of) in &tables.schemas.types {
        if let Shape::Object(object) = &of.shape {
            for (field, found) in &object.fields {
                walk(&tables.schemas, &found.of, &format!("{name}.{field}"));
            }
        }
    }
    for row in tables.rows.values() {
        walk(&tables.schemas, &row.of, &row.gvr.resource);
        if row.supports("list") {
            assert!(tables.schemas.list_of(row).is_some(), "{} has no list type", row.gvk.kind);
        }
    }
    assert_eq!(tables.rows.len(), 68);
    assert!(tables.schemas.types.len() >= 570, "{}", tables.schemas.types.len());
}

#[test]
fn a_pod_has_its_names_subresources_columns_and_fields() {
    let tables = Tables::builtin();
    let pods = tables.resource("", "v1", "pods").unwrap();
    assert_eq!(pods.gvk.api_version(), "v1");
    assert_eq!(pods.list_kind, "PodList");
    assert_eq!(pods.short_names, ["po"]);
    assert_eq!(pods.subresources["eviction"].gvk, Gvk::new("policy", "v1", "Eviction"));
    assert_eq!(pods.columns[8].name, "Readiness Gates");
    assert_eq!(pods.storage.as_ref().unwrap().prefix, "core/pods");
    let spec = tables.schemas.object_at(&pods.of, &["spec"]).unwrap();
    let containers = &spec.fields["containers"];
    assert!(containers.required);
    assert_eq!(containers.patch_merge_key.as_deref(), Some("name"));
    let proto = containers.protobuf.as_ref().unwrap();
    assert_eq!((proto.number, proto.kind.as_str(), proto.repeated), (2, "k8s.io.api.core.v1.Container", true));
    let volume = tables.schemas.object_at(&pods.of, &["spec", "volumes"]).unwrap();
    assert_eq!(volume.fields["emptyDir"].protobuf.as_ref().unwrap().within, [2]);
    let port = tables.schemas.object_at(&pods.of, &["spec", "containers", "ports"]).unwrap();
    assert_eq!(port.fields["protocol"].default, Some("TCP".into()));
}

#[test]
fn kinds_with_two_faces_share_one_place_in_the_store() {
    let tables = Tables::builtin();
    let stored = |group, version, resource| tables.resource(group, version, resource).unwrap().storage.clone().unwrap();
    assert_eq!(stored("", "v1", "events"), stored("events.k8s.io", "v1", "events"));
    let hpa = stored("autoscaling", "v1", "horizontalpodautoscalers");
    assert_eq!(hpa, stored("autoscaling", "v2", "horizontalpodautoscalers"));
    assert_eq!(hpa.version.version, "v2");
    assert!(tables.resource("authentication.k8s.io", "v1", "tokenreviews").unwrap().storage.is_none());
    assert!(tables.resource("", "v1", "componentstatuses").unwrap().storage.is_none());
    assert_eq!(tables.stored_at("core/events").unwrap().gvk, Gvk::new("", "v1", "Event"));
}

#[test]
fn kinds_are_found_by_group_version_and_kind() {
    let tables = Tables::builtin();
    assert_eq!(tables.kind(&Gvk::new("apps", "v1", "Deployment")).unwrap().gvr.resource, "deployments");
    assert!(tables.kind(&Gvk::new("apps", "v1beta1", "Deployment")).is_none());
    assert!(tables.kind(&Gvk::new("autoscaling", "v1", "Scale")).is_none());
    assert!(tables.schemas.of_kind(&Gvk::new("autoscaling", "v1", "Scale")).is_some());
    assert!(tables.schemas.of_kind(&Gvk::new("policy", "v1", "Eviction")).is_some());
    assert!(tables.schemas.of_kind(&Gvk::new("", "v1", "DeleteOptions")).is_some());
    assert!(tables.schemas.of_kind(&Gvk::new("", "v1", "Status")).is_some());
}
