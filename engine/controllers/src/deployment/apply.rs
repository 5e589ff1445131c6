//! Carries out what was planned for a Deployment.
use std::sync::Arc;

use irori_client::{ApiError, EventType, Key, ReconcileError, Recorder};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};

use super::{
    fleet::{self, Member},
    plan::Plan,
    status,
};
use crate::{
    owners::{self, Claims},
    replicaset::told,
};

/// The API as this controller uses it, for one deployment.
pub struct Applier<'a> {
    pub client: &'a kube::Client,
    pub recorder: &'a Recorder,
    pub key: &'a Key,
    pub deployment: &'a Deployment,
}

impl Applier<'_> {
    fn sets(&self) -> Api<ReplicaSet> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.key.namespace)
    }

    fn event(&self, r#type: EventType, reason: &str, message: String) {
        self.recorder.event(&self.deployment.object_ref(&()), r#type, reason, message);
    }

    /// Adopts and releases; adopted sets count as owned from now on.
    pub async fn settle_claims(&self, claims: Claims<ReplicaSet>) -> Result<Vec<Arc<ReplicaSet>>, ReconcileError> {
        let mut owned = claims.owned;
        if !claims.adopt.is_empty() && self.may_adopt().await? {
            let owner = owners::controller_ref(self.deployment);
            for set in claims.adopt {
                let patch = owners::adoption_patch(&owner, set.metadata.uid.as_deref());
                if let Some(adopted) = self.patch(&set, patch).await? {
                    owned.push(Arc::new(adopted));
                }
            }
        }
        for set in claims.release {
            let patch = owners::release_patch(self.deployment.metadata.uid.as_deref(), set.metadata.uid.as_deref());
            self.patch(&set, patch).await?;
        }
        Ok(owned)
    }

    async fn may_adopt(&self) -> Result<bool, kube::Error> {
        let live = self.deployments().get_opt(&self.key.name).await?;
        let same =
            |live: Deployment| live.metadata.uid == self.deployment.metadata.uid && live.metadata.deletion_timestamp.is_none();
        Ok(live.is_some_and(same))
    }

    async fn patch(&self, set: &ReplicaSet, patch: serde_json::Value) -> Result<Option<ReplicaSet>, kube::Error> {
        match self.sets().patch(&set.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(patched) => Ok(Some(patched)),
            Err(source) if source.is_not_found() || source.is_conflict() => Ok(None),
            Err(kube::Error::Api(status)) if status.is_invalid() => Ok(None),
            Err(source) => Err(source),
        }
    }

    pub async fn apply(&self, plan: Plan) -> Result<(), ReconcileError> {
        if plan.selects_all {
            let message = "This deployment is selecting all pods. A non-empty selector is required.";
            self.event(EventType::Warning, "SelectingAll", message.to_owned());
        }
        let mut status = plan.status;
        if let Some(set) = plan.create
            && !self.create(set).await?
        {
            status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
        }
        for member in plan.update {
            self.update(member).await?;
        }
        for set in plan.delete {
            self.delete(&set).await?;
        }
        let mut deployment = self.deployment.clone();
        if let Some(revision) = plan.revision {
            fleet::annotate(&mut deployment.metadata, fleet::REVISION, revision);
            deployment = self.deployments().replace(&self.key.name, &PostParams::default(), &deployment).await?;
        }
        if !status::same_status(self.deployment.status.as_ref(), &status) {
            deployment.status = Some(status);
            self.deployments().replace_status(&self.key.name, &PostParams::default(), &deployment).await?;
        }
        Ok(())
    }

    /// Whether the set is there now; `false`: its name is taken by another.
    async fn create(&self, set: ReplicaSet) -> Result<bool, ReconcileError> {
        let name = set.name_any();
        match self.sets().create(&PostParams::default(), &set).await {
            Ok(made) => {
                let replicas = made.spec.and_then(|spec| spec.replicas).unwrap_or(0);
                if replicas > 0 {
                    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
                    self.event(EventType::Normal, "ScalingReplicaSet", message);
                }
                Ok(true)
            }
            Err(source) if source.is_already_exists() => {
                let live = self.sets().get(&name).await?;
                let ours = owners::controller_of(&live.metadata)
                    .is_some_and(|owner| self.deployment.metadata.uid.as_deref() == Some(&owner.uid));
                let template = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.template.clone());
                let same = matches!((template(&live), template(&set)), (Some(a), Some(b)) if fleet::same_template(&a, &b));
                Ok(ours && same)
            }
            Err(source) => {
                if !source.is_namespace_terminating() {
                    let message = format!("Failed to create new replica set {name:?}: {}", told(&source));
                    self.event(EventType::Warning, "ReplicaSetCreateError", message);
                }
                Err(source.into())
            }
        }
    }

    async fn update(&self, member: Member) -> Result<(), ReconcileError> {
        let name = member.set.name_any();
        let replicas = |set: &ReplicaSet| set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let (from, to) = (replicas(&member.stored), replicas(&member.set));
        self.sets().replace(&name, &PostParams::default(), &member.set).await?;
        if from != to {
            let way = if to > from { "up" } else { "down" };
            let message = format!("Scaled {way} replica set {name} from {from} to {to}");
            self.event(EventType::Normal, "ScalingReplicaSet", message);
        }
        Ok(())
    }

    async fn delete(&self, set: &ReplicaSet) -> Result<(), ReconcileError> {
        let preconditions =
            Preconditions { uid: set.metadata.uid.clone(), resource_version: set.metadata.resource_version.clone() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        match self.sets().delete(&set.name_any(), &params).await {
            Err(source) if !source.is_not_found() => Err(source.into()),
            _ => Ok(()),
        }
    }
}
