//! NodeRestriction: a node writes its own Node, its own pods, their tokens, its own Lease; nothing else of others.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    call::Call,
    read,
    refusal::{Answered, Refusal},
    server::Server,
};

pub struct NodeRestriction;

#[async_trait::async_trait]
impl Plugin for NodeRestriction {
    async fn validate(&self, _: &Server, call: &mut Call, asked: &Attributes<'_>, object: &Value) -> Answered<()> {
        let Some(node) = call.user.node() else { return Ok(()) };
        let name = tree::text(object, &["metadata", "name"]);
        let refuse = |why: String| Err(Refusal::forbidden(read::about(asked.row, name), &why));
        let runs_here = |pod: &Value| tree::text(pod, &["spec", "nodeName"]) == node;
        match (asked.resource(), asked.operation, asked.subresource) {
            (("", "pods"), Operation::Create, "") => {
                let mirror = tree::map(object, &["metadata", "annotations"])
                    .is_some_and(|a| a.contains_key("kubernetes.io/config.mirror"));
                if !mirror {
                    return refuse(format!(
                        "pod does not have {:?} annotation, node {node:?} can only create mirror pods",
                        "kubernetes.io/config.mirror"
                    ));
                }
                if !runs_here(object) {
                    return refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
                }
                let refers = ["secret", "configMap", "persistentVolumeClaim", "projected"];
                let volumes = tree::items(object, &["spec", "volumes"]);
                if volumes.iter().any(|v| refers.iter().any(|r| v.get(r).is_some()))
                    || !tree::text(object, &["spec", "serviceAccountName"]).is_empty()
                {
                    return refuse(format!(
                        "node {node:?} can not create pods that reference secrets, configmaps, claims or service accounts"
                    ));
                }
                Ok(())
            }
            (("", "pods"), Operation::Delete, _) if !runs_here(object) => {
                refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
            }
            (("", "pods"), Operation::Update, "status") if !asked.old.is_some_and(runs_here) => {
                refuse(format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself"))
            }
            (("", "pods"), Operation::Update, "") => {
                refuse(format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"))
            }
            (("", "nodes"), Operation::Create, _) if name != node => {
                refuse(format!("node {node:?} is not allowed to modify node {name:?}"))
            }
            (("", "nodes"), Operation::Delete, _) => refuse(format!("node {node:?} is not allowed to delete nodes")),
            (("", "nodes"), Operation::Update, _) => {
                if name != node {
                    return refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
                }
                let before = asked.old.unwrap_or(&Value::Null);
                if tree::get(before, &["spec", "taints"]) != tree::get(object, &["spec", "taints"]) {
                    return refuse(format!("node {node:?} is not allowed to modify taints"));
                }
                match changed_labels(before, object).into_iter().find(|label| !may_label(label)) {
                    Some(label) => refuse(format!("is not allowed to modify labels: {label}")),
                    None => Ok(()),
                }
            }
            (("coordination.k8s.io", "leases"), _, _)
                if name != node || tree::text(object, &["metadata", "namespace"]) != "kube-node-lease" =>
            {
                refuse(format!("can only access node lease with the same name as the requesting node {node:?}"))
            }
            (("storage.k8s.io", "csinodes"), _, _) if name != node => {
                refuse("can only access CSINode with the same name as the requesting node".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Labels that were set, changed or removed.
fn changed_labels<'a>(before: &'a Value, after: &'a Value) -> Vec<&'a String> {
    let labels = |object: &'a Value| tree::map(object, &["metadata", "labels"]);
    let get = |object: &'a Value, label: &str| labels(object).and_then(|l| l.get(label));
    let all = labels(before).into_iter().chain(labels(after)).flat_map(|l| l.keys());
    all.filter(|label| get(before, label) != get(after, label)).collect()
}

/// Labels in Kubernetes' own namespaces that a node may say of itself; all others there are the administrators'.
fn may_label(label: &str) -> bool {
    const OWN: [&str; 12] = [
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "node.kubernetes.io/windows-build",
    ];
    let Some((domain, _)) = label.split_once('/') else { return true };
    let of = |parent: &str| domain == parent || domain.ends_with(&format!(".{parent}"));
    if !of("kubernetes.io") && !of("k8s.io") {
        return true;
    }
    OWN.contains(&label) || of("kubelet.kubernetes.io") || (of("node.kubernetes.io") && !of("node-restriction.kubernetes.io"))
}
