//! Asks for owners live, deletes, and takes references and finalizers off: metadata only, for any kind.
use http::{Request, header};
use irori_client::ApiError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    graph::{Entry, FOREGROUND},
    plan::{Owner, Policy},
};
use crate::resources::ResourceKind;

/// The API as this controller uses it.
pub struct Objects {
    pub client: kube::Client,
    pub kinds: Vec<ResourceKind>,
}

#[derive(Deserialize)]
struct Partial {
    metadata: ObjectMeta,
}

impl Objects {
    fn path(&self, entry: &Entry) -> String {
        format!("{}/{}", self.kinds[entry.kind].path(&entry.namespace), entry.name)
    }

    /// The object as it is, if it is still the same one.
    pub async fn live(&self, entry: &Entry, uid: &str) -> Result<Option<ObjectMeta>, kube::Error> {
        let found = self.meta(&self.path(entry)).await?;
        Ok(found.filter(|meta| meta.uid.as_deref() == Some(uid)))
    }

    async fn meta(&self, path: &str) -> Result<Option<ObjectMeta>, kube::Error> {
        let request = Request::get(path)
            .header(header::ACCEPT, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
            .body(Vec::new())
            .map_err(kube::Error::HttpError)?;
        match self.client.request::<Partial>(request).await {
            Ok(object) => Ok(Some(object.metadata)),
            Err(source) if source.is_not_found() => Ok(None),
            Err(source) => Err(source),
        }
    }

    /// An owner as a dependent in `namespace` may have it: of its own namespace, or of none.
    pub async fn owner(&self, owner: &OwnerReference, namespace: &str) -> Result<Owner, kube::Error> {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        let Some(kind) = self.kinds.iter().find(|kind| kind.group == group && kind.kind == owner.kind) else {
            return Ok(Owner::Unknown);
        };
        if kind.namespaced && namespace.is_empty() {
            return Ok(Owner::Unknown);
        }
        let found = self.meta(&format!("{}/{}", kind.path(namespace), owner.name)).await?;
        Ok(match found.filter(|meta| meta.uid.as_deref() == Some(&owner.uid)) {
            None => Owner::Absent,
            Some(meta) => {
                let waits = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
                if meta.deletion_timestamp.is_some() && waits { Owner::Waiting } else { Owner::Solid }
            }
        })
    }

    /// Deletes exactly the object that was judged: another state of it has to be judged again.
    pub async fn delete(&self, entry: &Entry, judged: &ObjectMeta, policy: Policy) -> Result<(), kube::Error> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy.name(),
            "preconditions": { "uid": judged.uid, "resourceVersion": judged.resource_version },
        });
        let request = Request::delete(self.path(entry))
            .header(header::CONTENT_TYPE, "application/json")
            .body(options.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        match self.client.request_text(request).await {
            Err(source) if source.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }

    pub async fn set_owners(&self, entry: &Entry, judged: &ObjectMeta, owners: &[OwnerReference]) -> Result<(), kube::Error> {
        self.patch(entry, judged, "ownerReferences", json!(owners)).await
    }

    pub async fn drop_finalizer(&self, entry: &Entry, judged: &ObjectMeta, name: &str) -> Result<(), kube::Error> {
        let left: Vec<_> = judged.finalizers.iter().flatten().filter(|finalizer| *finalizer != name).collect();
        self.patch(entry, judged, "finalizers", json!(left)).await
    }

    async fn patch(&self, entry: &Entry, judged: &ObjectMeta, field: &str, value: Value) -> Result<(), kube::Error> {
        let patch = json!({ "metadata": { "uid": judged.uid, "resourceVersion": judged.resource_version, field: value } });
        let request = Request::patch(self.path(entry))
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .map_err(kube::Error::HttpError)?;
        match self.client.request_text(request).await {
            Err(source) if source.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }
}
