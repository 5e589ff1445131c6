//! What the scheduler writes: bindings, and the condition that says why there is none.
use irori_client::ApiError;
use irori_runtime::Clock;
use k8s_openapi::{
    api::core::v1::{Binding, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::api::{Patch, PatchParams};
use tracing::debug;

use crate::pod::Wants;

#[derive(Clone)]
pub struct Api {
    client: kube::Client,
    clock: Clock,
}

/// Why a pod is not bound.
pub enum BindError {
    /// It is not there any more, or is bound already: nothing to be done.
    Gone,
    Refused(kube::Error),
}

impl Api {
    pub fn new(client: kube::Client, clock: Clock) -> Self {
        Self { client, clock }
    }

    pub async fn bind(&self, wants: &Wants, node: &str) -> Result<(), BindError> {
        let binding = Binding {
            metadata: ObjectMeta {
                name: Some(wants.key.name.clone()),
                namespace: Some(wants.key.namespace.clone()),
                uid: Some(wants.uid.clone()),
                ..Default::default()
            },
            target: ObjectReference { kind: Some("Node".to_owned()), name: Some(node.to_owned()), ..Default::default() },
        };
        let path = format!("/api/v1/namespaces/{}/pods/{}/binding", wants.key.namespace, wants.key.name);
        let refused = |source: kube::Error| {
            if source.is_not_found() || source.is_conflict() { BindError::Gone } else { BindError::Refused(source) }
        };
        let body = serde_json::to_vec(&binding).map_err(|source| refused(kube::Error::SerdeError(source)))?;
        let request = http::Request::post(path).header(http::header::CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|source| refused(kube::Error::HttpError(source)))?;
        self.client.request_text(request).await.map(drop).map_err(refused)
    }

    /// Writes the condition; `turned`: it said nothing or something else than False before. A failure is no loss: the next attempt writes it.
    pub async fn tell_unschedulable(&self, wants: &Wants, message: String, turned: bool) {
        let pods: kube::Api<Pod> = kube::Api::namespaced(self.client.clone(), &wants.key.namespace);
        let mut condition = serde_json::json!({
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        });
        if turned {
            condition["lastTransitionTime"] = serde_json::json!(Time(self.clock.now()));
        }
        let patch = serde_json::json!({ "metadata": { "uid": wants.uid }, "status": { "conditions": [condition] } });
        if let Err(source) = pods.patch_status(&wants.key.name, &PatchParams::default(), &Patch::Strategic(patch)).await {
            debug!(pod = %wants.key, "write condition: {source}");
        }
    }
}
