//! Who controls what: owner references, adoption, release.
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde_json::{Value, json};

/// The one reference whose owner manages the object.
pub fn controller_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// The name of the controller, if it is of this kind and group.
pub fn controller_name<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> Option<&str> {
    controller_of(meta).filter(|owner| is_kind::<K>(owner)).map(|owner| owner.name.as_str())
}

fn is_kind<K: Resource<DynamicType = ()>>(owner: &OwnerReference) -> bool {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    owner.kind == K::kind(&()) && group == K::group(&())
}

/// The reference that what `owner` makes carries: managed by it, and gone before it in a foreground deletion.
pub fn controller_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// What becomes of the objects that an owner could own.
#[derive(Debug)]
pub struct Claims<T> {
    /// Controlled by it and matching.
    pub owned: Vec<Arc<T>>,
    /// Matching orphans: to be adopted, if the owner is still there and not being deleted.
    pub adopt: Vec<Arc<T>>,
    /// Controlled by it but matching no longer: to be let go.
    pub release: Vec<Arc<T>>,
}

/// Sorts `candidates` of the owner's namespace. An owner that is being deleted neither adopts nor releases.
pub fn claim<T: Resource>(owner: &ObjectMeta, matches: impl Fn(&T) -> bool, candidates: Vec<Arc<T>>) -> Claims<T> {
    let mut claims = Claims { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    let leaving = owner.deletion_timestamp.is_some();
    for object in candidates {
        let meta = object.meta();
        match controller_of(meta) {
            Some(controller) if owner.uid.as_deref() == Some(&controller.uid) => {
                if matches(&object) {
                    claims.owned.push(object);
                } else if !leaving {
                    claims.release.push(object);
                }
            }
            Some(_) => {}
            None if leaving || meta.deletion_timestamp.is_some() => {}
            None if matches(&object) => claims.adopt.push(object),
            None => {}
        }
    }
    claims
}

/// A strategic merge patch that makes `owner` the controller of the object with `uid`.
pub fn adoption_patch(owner: &OwnerReference, uid: Option<&str>) -> Value {
    json!({ "metadata": { "ownerReferences": [owner], "uid": uid } })
}

/// A strategic merge patch that takes the reference to `owner_uid` off the object with `uid`.
pub fn release_patch(owner_uid: Option<&str>, uid: Option<&str>) -> Value {
    json!({ "metadata": { "ownerReferences": [{ "$patch": "delete", "uid": owner_uid }], "uid": uid } })
}
