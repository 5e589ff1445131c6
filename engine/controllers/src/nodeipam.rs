//! Pod address ranges for nodes: `spec.podCIDRs`, given once, kept for the node's life.
//!
//! The node objects are the record; a range is given by compare-and-swap on its node, one node at a time.
mod plan;

use std::{collections::HashMap, sync::Mutex};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use irori_client::{EventType, Informer, Key, Loop, Outcome, ReconcileError, Reconciler, Recorder};
use irori_runtime::Backoff;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, Resource,
    api::{Patch, PatchParams},
};
use serde_json::json;

pub use self::plan::{Cidr, Pool};
use crate::Context;

pub(crate) fn start(context: &Context, client: kube::Client, pools: Vec<Pool>) {
    if pools.is_empty() {
        return;
    }
    let nodes = context.informers.of::<Node>();
    let triggers = nodes.changes().map(|change| change.key);
    let recorder = context.recorder(&client, "node-ipam-controller");
    let reconciler = Ranges { client, nodes, pools, recorder, given: Mutex::default() };
    // One at a time: each needs to see what the one before took.
    let one = Loop {
        workers: 1,
        backoff: Backoff { first: std::time::Duration::from_millis(10), max: std::time::Duration::from_secs(60) },
    };
    one.run(reconciler, triggers, &context.tasks);
}

struct Ranges {
    client: kube::Client,
    nodes: Informer<Node>,
    pools: Vec<Pool>,
    recorder: Recorder,
    /// What was given, until the copy shows it.
    given: Mutex<HashMap<String, Vec<Cidr>>>,
}

impl Reconciler for Ranges {
    fn name(&self) -> &'static str {
        "nodeipam"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.nodes.synced().await;
            let Some(node) = self.nodes.get(&key) else {
                self.lock().remove(&key.name);
                return Ok(Outcome::Gone);
            };
            if !ranges(&node).is_empty() {
                self.lock().remove(&key.name);
                return Ok(Outcome::Done);
            }
            if self.lock().contains_key(&key.name) {
                return Ok(Outcome::Done);
            }
            let Some(cidrs) = plan::plan(&self.pools, &self.taken(&key.name)) else {
                let message = "Node has no pod address range: none is left".to_owned();
                self.recorder.event(&node.object_ref(&()), EventType::Warning, "CIDRNotAvailable", message.clone());
                return Err(ReconcileError::other("give a pod address range", message));
            };
            let texts: Vec<String> = cidrs.iter().map(Cidr::to_string).collect();
            let patch = json!({
                "metadata": { "resourceVersion": node.metadata.resource_version, "uid": node.metadata.uid },
                "spec": { "podCIDR": texts.first(), "podCIDRs": texts },
            });
            let nodes: Api<Node> = Api::all(self.client.clone());
            nodes.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            self.lock().insert(key.name, cidrs);
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

impl Ranges {
    fn taken(&self, by_others_than: &str) -> Vec<Cidr> {
        let others = self.nodes.list().into_iter().filter(|node| node.metadata.name.as_deref() != Some(by_others_than));
        let mut taken: Vec<Cidr> = others.flat_map(|node| ranges(&node)).collect();
        taken.extend(self.lock().values().flatten());
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Cidr>>> {
        self.given.lock().expect("no holder of this lock panics")
    }
}

fn ranges(node: &Node) -> Vec<Cidr> {
    let spec = node.spec.iter();
    let texts = spec.flat_map(|spec| spec.pod_cidrs.iter().flatten().chain(&spec.pod_cidr));
    let mut cidrs: Vec<Cidr> = texts.filter_map(|text| text.parse().ok()).collect();
    cidrs.dedup();
    cidrs
}
