//! Writes what was planned for a node and its pods.
use irori_client::{ApiError, ReconcileError};
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod, Taint};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;

use k8s_openapi::jiff::Timestamp;

use crate::pods::stamp;

pub async fn write_conditions(client: &kube::Client, node: &Node, conditions: &[NodeCondition]) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    // Only if the node has not spoken meanwhile.
    let patch =
        json!({ "metadata": { "resourceVersion": node.metadata.resource_version }, "status": { "conditions": conditions } });
    nodes.patch_status(&node.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await.map(drop)
}

pub async fn write_taints(client: &kube::Client, node: &Node, taints: &[Taint]) -> Result<(), kube::Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let patch = json!({ "metadata": { "resourceVersion": node.metadata.resource_version }, "spec": { "taints": taints } });
    nodes.patch(&node.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

/// A pod on a silent node serves nobody that we know of.
pub async fn mark_not_ready(client: &kube::Client, pod: &Pod, now: Timestamp) -> Result<(), ReconcileError> {
    let condition = json!({ "type": "Ready", "status": "False", "reason": "NodeNotReady", "message": "Node is not ready",
        "lastTransitionTime": stamp(now) });
    patch_condition(client, pod, condition).await
}

/// Says why the pod goes, then deletes it, and no other of its name.
pub async fn evict(client: &kube::Client, pod: &Pod, now: Timestamp) -> Result<(), ReconcileError> {
    let condition = json!({ "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "lastTransitionTime": stamp(now) });
    patch_condition(client, pod, condition).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let preconditions = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match pods.delete(&pod.name_any(), &params).await {
        Err(source) if !source.is_not_found() && !source.is_conflict() => Err(source.into()),
        _ => Ok(()),
    }
}

async fn patch_condition(client: &kube::Client, pod: &Pod, condition: serde_json::Value) -> Result<(), ReconcileError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": { "conditions": [condition] } });
    match pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Strategic(patch)).await {
        Err(source) if !source.is_not_found() && !source.is_conflict() => Err(source.into()),
        _ => Ok(()),
    }
}
