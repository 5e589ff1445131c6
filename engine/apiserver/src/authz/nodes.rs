//! What a node may read: its own objects, and what the pods on it refer to (Kubernetes: Using Node Authorization).
use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

use irori_api::selector::FieldSelector;
use irori_rules::tree;
use irori_runtime::Tasks;
use irori_store::{Revision, Store, StoreError};
use serde_json::Value;

use super::{Attributes, Decision};
use crate::follow::{Change, Progress, follow};
use crate::{server::Server, stored};

/// Below this lie all pods.
pub const PODS_PREFIX: &str = "core/pods/";

/// Resource, namespace, name.
type Target = (&'static str, String, String);

/// Which objects the pods of each node refer to.
#[derive(Default)]
struct Graph {
    /// By pod key: its node and what it refers to.
    pods: HashMap<Arc<str>, (String, Vec<Target>)>,
    /// By node: how many of its pods refer to an object.
    nodes: HashMap<String, HashMap<Target, usize>>,
}

/// The graph, kept up to date by a watch on pods.
pub struct NodeGraph {
    graph: Arc<RwLock<Graph>>,
    progress: Progress,
}

impl NodeGraph {
    pub async fn follow(store: &Arc<dyn Store>, tasks: &Tasks) -> Result<Self, StoreError> {
        let graph = Arc::new(RwLock::new(Graph::default()));
        let target = graph.clone();
        let progress = follow(store, tasks, "node-graph", PODS_PREFIX, move |anew, changes| {
            let mut graph = target.write().expect("no holder of this lock panics");
            if anew {
                *graph = Graph::default();
            }
            changes.into_iter().for_each(|change| graph.apply(change));
        })
        .await?;
        Ok(Self { graph, progress })
    }

    pub async fn reached(&self, revision: Revision) {
        self.progress.reached(revision).await;
    }

    /// Whether a pod on the node refers to the object (or is it).
    pub fn refers(&self, node: &str, resource: &'static str, namespace: &str, name: &str) -> bool {
        let graph = self.graph.read().expect("no holder of this lock panics");
        graph.nodes.get(node).is_some_and(|n| n.contains_key(&(resource, namespace.to_owned(), name.to_owned())))
    }
}

impl Graph {
    fn apply(&mut self, change: Change) {
        let now = change.entry.as_ref().and_then(|entry| stored::tree(entry).ok()).and_then(|pod| {
            let node = tree::text(&pod, &["spec", "nodeName"]);
            (!node.is_empty()).then(|| (node.to_owned(), granted(&pod)))
        });
        if self.pods.get(&change.key) == now.as_ref() {
            return;
        }
        if let Some((node, targets)) = self.pods.remove(&change.key)
            && let Some(counts) = self.nodes.get_mut(&node)
        {
            for target in targets {
                if let Some(count) = counts.get_mut(&target) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(&target);
                    }
                }
            }
            if counts.is_empty() {
                self.nodes.remove(&node);
            }
        }
        if let Some((node, targets)) = now {
            let counts = self.nodes.entry(node.clone()).or_default();
            for target in &targets {
                *counts.entry(target.clone()).or_default() += 1;
            }
            self.pods.insert(change.key, (node, targets));
        }
    }
}

/// Pods that a node writes by itself.
pub const MIRROR: &str = "kubernetes.io/config.mirror";

pub fn is_mirror(pod: &Value) -> bool {
    tree::map(pod, &["metadata", "annotations"]).is_some_and(|a| a.contains_key(MIRROR))
}

/// What a pod lets its node read. A mirror pod is a node's own writing and lets it read nothing more.
fn granted(pod: &Value) -> Vec<Target> {
    let mut targets = references(pod);
    targets.truncate(if is_mirror(pod) { 1 } else { targets.len() });
    targets
}

/// All that a pod refers to by name, each once; itself first.
pub fn references(pod: &Value) -> Vec<Target> {
    let namespace = tree::text(pod, &["metadata", "namespace"]);
    let mut out: Vec<Target> = vec![("pods", namespace.to_owned(), tree::text(pod, &["metadata", "name"]).to_owned())];
    let mut add = |resource: &'static str, name: &str| {
        let target = (resource, namespace.to_owned(), name.to_owned());
        if !name.is_empty() && !out.contains(&target) {
            out.push(target);
        }
    };
    add("serviceaccounts", tree::text(pod, &["spec", "serviceAccountName"]));
    for secret in tree::items(pod, &["spec", "imagePullSecrets"]) {
        add("secrets", tree::text(secret, &["name"]));
    }
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for container in tree::items(pod, &["spec", list]) {
            for env in tree::items(container, &["env"]) {
                add("secrets", tree::text(env, &["valueFrom", "secretKeyRef", "name"]));
                add("configmaps", tree::text(env, &["valueFrom", "configMapKeyRef", "name"]));
            }
            for from in tree::items(container, &["envFrom"]) {
                add("secrets", tree::text(from, &["secretRef", "name"]));
                add("configmaps", tree::text(from, &["configMapRef", "name"]));
            }
        }
    }
    for volume in tree::items(pod, &["spec", "volumes"]) {
        add("secrets", tree::text(volume, &["secret", "secretName"]));
        add("secrets", tree::text(volume, &["csi", "nodePublishSecretRef", "name"]));
        add("configmaps", tree::text(volume, &["configMap", "name"]));
        add("persistentvolumeclaims", tree::text(volume, &["persistentVolumeClaim", "claimName"]));
        for source in tree::items(volume, &["projected", "sources"]) {
            add("secrets", tree::text(source, &["secret", "name"]));
            add("configmaps", tree::text(source, &["configMap", "name"]));
        }
    }
    out
}

/// The node authoriser.
pub fn decide(server: &Server, node: &str, asked: &Attributes<'_>) -> Decision {
    let yes = || Decision { allowed: true, reason: String::new() };
    let no = |reason: String| Decision { allowed: false, reason };
    let by_graph = |resource: &'static str| {
        if !matches!(asked.verb, "get" | "list" | "watch") || !asked.subresource.is_empty() {
            return no("can only read resources of this type".to_owned());
        }
        if asked.name.is_empty() {
            return no("No Object name found".to_owned());
        }
        if server.nodes.refers(node, resource, asked.namespace, asked.name) {
            return yes();
        }
        no(format!("no relationship found between node '{node}' and this object"))
    };
    if !asked.is_resource {
        return by_role(server, asked);
    }
    match (asked.group, asked.resource) {
        ("", "secrets") => by_graph("secrets"),
        ("", "configmaps") => by_graph("configmaps"),
        ("", "persistentvolumeclaims") if asked.subresource.is_empty() => by_graph("persistentvolumeclaims"),
        ("", "persistentvolumeclaims") => by_role(server, asked),
        ("", "persistentvolumes") | ("storage.k8s.io", "volumeattachments") => {
            no(format!("no relationship found between node '{node}' and this object"))
        }
        ("", "serviceaccounts") => match (asked.verb, asked.subresource) {
            ("create", "token") if server.nodes.refers(node, "serviceaccounts", asked.namespace, asked.name) => yes(),
            ("create", "token") => no(format!("no relationship found between node '{node}' and this object")),
            ("get", "") => by_graph("serviceaccounts"),
            _ => no("can only create tokens for individual service accounts".to_owned()),
        },
        ("coordination.k8s.io", "leases") => {
            let own = asked.namespace == "kube-node-lease" && (asked.name == node || asked.verb == "create");
            let verb = matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete");
            if own && verb {
                yes()
            } else {
                no(format!("can only access node lease with the same name as the requesting node '{node}'"))
            }
        }
        ("storage.k8s.io", "csinodes") => {
            let verb = matches!(asked.verb, "get" | "create" | "update" | "patch" | "delete");
            if verb && (asked.name == node || asked.verb == "create") {
                yes()
            } else {
                no("can only access CSINode with the same name as the requesting node".to_owned())
            }
        }
        ("", "nodes") => match asked.verb {
            "get" | "list" | "watch" if asked.name != node => {
                no(format!("node '{node}' cannot read '{}', only its own Node object", asked.name))
            }
            _ => by_role(server, asked),
        },
        ("", "pods") if asked.subresource.is_empty() && matches!(asked.verb, "list" | "watch") => {
            // Read as the list itself reads it: what looks like a term may be a part of another's value.
            let own = FieldSelector::parse(asked.fields).is_ok_and(|selector| {
                selector.requirements.iter().any(|term| term.equals && term.field == "spec.nodeName" && term.value == node)
            });
            if own { yes() } else { no("can only list/watch pods with spec.nodeName field selector".to_owned()) }
        }
        ("", "pods") if asked.subresource.is_empty() && asked.verb == "get" => by_graph("pods"),
        _ => by_role(server, asked),
    }
}

/// The rest is what the stock role for nodes says.
fn by_role(server: &Server, asked: &Attributes<'_>) -> Decision {
    let rules = server.rbac.with(|book| book.rules_of("ClusterRole", "", "system:node")).unwrap_or_default();
    Decision { allowed: rules.iter().any(|rule| rule.covers(asked)), reason: String::new() }
}
