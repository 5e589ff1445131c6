//! NodeRestriction: a node writes its own Node, its own pods, their tokens, its own Lease; nothing else of others.
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Operation, Plugin};
use crate::{
    authz::nodes,
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
                if !nodes::is_mirror(object) {
                    let mirror = nodes::MIRROR;
                    return refuse(format!("pod does not have {mirror:?} annotation, node {node:?} can only create mirror pods"));
                }
                if !runs_here(object) {
                    return refuse(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
                }
                let projects = tree::items(object, &["spec", "volumes"]).iter().any(|v| v.get("projected").is_some());
                // The first is the pod itself.
                if projects || nodes::references(object).len() > 1 {
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
            (("", "pods"), Operation::Update, "status")
                if asked.old.is_some_and(|old| !changed_labels(old, object).is_empty()) =>
            {
                refuse(format!("node {node:?} cannot update labels through pod status"))
            }
            (("", "pods"), Operation::Update, "") => {
                refuse(format!("unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"))
            }
            (("", "nodes"), Operation::Create, _) if name != node => {
                refuse(format!("node {node:?} is not allowed to modify node {name:?}"))
            }
            (("", "nodes"), Operation::Create, _) => {
                match changed_labels(&Value::Null, object).into_iter().find(|label| !may_label(label)) {
                    Some(label) => refuse(format!("is not allowed to set the following labels: {label}")),
                    None => Ok(()),
                }
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
