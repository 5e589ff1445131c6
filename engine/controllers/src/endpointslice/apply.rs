//! Carries out what was planned for a Service's slices.
use irori_client::{ApiError, Key, OwnWrites, ReconcileError};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams, Preconditions},
};

use super::plan::Plan;

pub async fn apply(plan: Plan, client: &kube::Client, key: &Key, writes: &OwnWrites) -> Result<(), ReconcileError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &key.namespace);
    // New places before old ones go: an address is never missing in between.
    for slice in plan.create {
        match slices.create(&PostParams::default(), &slice).await {
            Ok(made) => writes.wrote(key, &made),
            Err(source) if source.is_namespace_terminating() => return Ok(()),
            Err(source) => return Err(source.into()),
        }
    }
    for slice in plan.update {
        writes.wrote(key, &slices.replace(&slice.name_any(), &PostParams::default(), &slice).await?);
    }
    for slice in plan.delete {
        let preconditions = Preconditions { uid: slice.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match slices.delete(&slice.name_any(), &params).await {
            Err(source) if !source.is_not_found() => return Err(source.into()),
            _ => {}
        }
    }
    Ok(())
}
