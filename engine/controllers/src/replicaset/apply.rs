//! Carries out what was planned for a ReplicaSet.
use std::sync::Arc;

use futures::{StreamExt, stream};
use irori_client::{ApiError, EventType, Key, OwnWrites, ReconcileError, Recorder};
use k8s_openapi::api::{
    apps::v1::{ReplicaSet, ReplicaSetStatus},
    core::v1::Pod,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};

use super::plan;
use crate::owners::{self, Claims};

/// Writes at once to the API for one set.
const PARALLEL: usize = 16;

/// The API as this controller uses it, for one namespace.
pub struct Applier<'a> {
    pub client: &'a kube::Client,
    pub recorder: &'a Recorder,
    pub writes: &'a OwnWrites,
    pub key: &'a Key,
}

/// What stopped pods from being made or deleted.
pub struct Failure {
    pub reason: &'static str,
    pub source: kube::Error,
    /// Uids of the pods that were to be deleted and are not.
    pub left: Vec<String>,
}

impl Applier<'_> {
    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    fn sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    /// Adopts and releases; adopted pods count as owned from now on. An owner that is gone or going (asked again, live) adopts nothing.
    pub async fn settle_claims(&self, set: &ReplicaSet, claims: Claims<Pod>) -> Result<Vec<Arc<Pod>>, ReconcileError> {
        let mut owned = claims.owned;
        if !claims.adopt.is_empty() && self.may_adopt(set).await? {
            let owner = owners::controller_ref(set);
            for pod in claims.adopt {
                let patch = owners::adoption_patch(&owner, pod.metadata.uid.as_deref());
                if let Some(adopted) = self.patch(&pod, patch).await? {
                    owned.push(Arc::new(adopted));
                }
            }
        }
        for pod in claims.release {
            self.patch(&pod, owners::release_patch(set.metadata.uid.as_deref(), pod.metadata.uid.as_deref())).await?;
        }
        Ok(owned)
    }

    async fn may_adopt(&self, set: &ReplicaSet) -> Result<bool, kube::Error> {
        let live = self.sets().get_opt(&self.key.name).await?;
        Ok(live.is_some_and(|live| live.metadata.uid == set.metadata.uid && live.metadata.deletion_timestamp.is_none()))
    }

    /// `None`: the pod is gone, or another one now.
    async fn patch(&self, pod: &Pod, patch: serde_json::Value) -> Result<Option<Pod>, kube::Error> {
        match self.pods().patch(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(patched) => {
                self.writes.wrote(self.key, &patched);
                Ok(Some(patched))
            }
            Err(source) if source.is_not_found() || source.is_conflict() => Ok(None),
            Err(kube::Error::Api(status)) if status.is_invalid() => Ok(None),
            Err(source) => Err(source),
        }
    }

    /// Makes `count` pods, in batches of 1, 2, 4, …: when something is wrong, one refusal is enough to know.
    pub async fn create(&self, set: &ReplicaSet, count: usize) -> Result<usize, Failure> {
        let Some(pod) = plan::new_pod(set) else { return Ok(0) };
        let (about, pods) = (set.object_ref(&()), self.pods());
        let (mut made, mut batch) = (0, 1);
        while made < count {
            let size = batch.min(count - made);
            let answers: Vec<_> =
                stream::iter(0..size).map(|_| pods.create(&CREATE, &pod)).buffer_unordered(PARALLEL).collect().await;
            let mut refused = None;
            for answer in answers {
                match answer {
                    Ok(pod) => {
                        made += 1;
                        self.writes.wrote(self.key, &pod);
                        let message = format!("Created pod: {}", pod.name_any());
                        self.recorder.event(&about, EventType::Normal, "SuccessfulCreate", message);
                    }
                    Err(source) => refused = Some(source),
                }
            }
            if let Some(source) = refused {
                // The set goes with its namespace; nothing is missing and nobody has to be told.
                if source.is_namespace_terminating() {
                    return Ok(made);
                }
                let message = format!("Error creating: {}", told(&source));
                self.recorder.event(&about, EventType::Warning, "FailedCreate", message);
                return Err(Failure { reason: "FailedCreate", source, left: Vec::new() });
            }
            batch *= 2;
        }
        Ok(made)
    }

    /// Deletes these pods, and no others that took their names.
    pub async fn delete(&self, set: &ReplicaSet, pods: &[Arc<Pod>]) -> Result<(), Failure> {
        let (about, api) = (set.object_ref(&()), self.pods());
        let answers: Vec<_> = stream::iter(pods.to_vec())
            .map(move |pod| {
                let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
                let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
                let (api, name) = (api.clone(), pod.name_any());
                async move { (api.delete(&name, &params).await, name, pod.metadata.uid.clone()) }
            })
            .buffer_unordered(PARALLEL)
            .collect()
            .await;
        let mut left = Vec::new();
        let mut failure = None;
        for (answer, name, uid) in answers {
            match answer {
                Ok(_) => {
                    self.recorder.event(&about, EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                }
                Err(source) if source.is_not_found() || source.is_conflict() => {}
                Err(source) => {
                    let message = format!("Error deleting: {}", told(&source));
                    self.recorder.event(&about, EventType::Warning, "FailedDelete", message);
                    left.extend(uid);
                    failure = Some(source);
                }
            }
        }
        failure.map_or(Ok(()), |source| Err(Failure { reason: "FailedDelete", source, left }))
    }

    pub async fn write_status(&self, set: &ReplicaSet, status: ReplicaSetStatus) -> Result<(), kube::Error> {
        if plan::same_status(set.status.as_ref(), &status) {
            return Ok(());
        }
        let changed = ReplicaSet { metadata: set.metadata.clone(), spec: set.spec.clone(), status: Some(status) };
        match self.sets().replace_status(&self.key.name, &CREATE, &changed).await {
            Err(source) if source.is_not_found() => Ok(()),
            done => done.map(drop),
        }
    }
}

const CREATE: PostParams = PostParams { dry_run: false, field_manager: None };

/// The server's own words.
pub fn told(source: &kube::Error) -> String {
    match source {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
