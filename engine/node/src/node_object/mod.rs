//! The Node object and the lease: that this node is there, what it has, and that it lives.
//!
//! Flow: every 10 s a look at pressure and runtime -> status, written only when it says something new; the lease, when it is due.
//! Limits: those of `LeaseTerms`; a failed write is tried again with the next look, the first ones after 200 ms and more.
mod capacity;
mod object;

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use irori_client::{ApiError, Informer, Informers, Key};
use irori_runtime::{Backoff, Clock, Shutdown};
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::Node,
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

pub use capacity::{Capacity, capacity};

use crate::{
    runtime::{Runtime, RuntimeEvent},
    settings::Settings,
};
use object::Facts;

/// Pressure and what else no event tells of is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const LEASE_NAMESPACE: &str = "kube-node-lease";
const RETRY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };
/// A runtime that does not answer in this time is not ready.
const RUNTIME_MAX: Duration = Duration::from_secs(5);

/// A node that starts is looked at often, so that pods need not wait for the next look; one that stays unready is not.
#[derive(Default)]
struct Unready {
    looks: u32,
    is_ready: bool,
}

impl Unready {
    const EVERY: Duration = Duration::from_millis(100);
    /// Looks in a row; after them the usual ones are enough.
    const LOOKS_MAX: u32 = 100;

    fn seen(&mut self, ready: bool) {
        self.is_ready = ready;
        self.looks = if ready { 0 } else { self.looks.saturating_add(1) };
    }

    async fn look_again(&self) {
        if self.is_ready || self.looks >= Self::LOOKS_MAX {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Self::EVERY).await;
    }
}

/// Keeps the Node object and its lease until the process stops.
pub struct Keeper {
    settings: Settings,
    client: Client,
    runtime: Arc<dyn Runtime>,
    clock: Clock,
    informer: Informer<Node>,
    capacity: Capacity,
    machine: capacity::Machine,
}

impl Keeper {
    pub fn new(
        settings: Settings,
        client: Client,
        informers: &Informers,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        capacity: Capacity,
    ) -> Self {
        let informer = informers.of_selected(&format!("metadata.name={}", settings.name), "");
        Self { settings, client, runtime, clock, informer, capacity, machine: capacity::machine() }
    }

    pub async fn run(self, shutdown: Shutdown) {
        let mut fails = 0;
        while let Err(source) = self.register().await {
            tracing::warn!("register node: {source}");
            if !shutdown.sleep(RETRY.wait(fails)).await {
                return;
            }
            fails += 1;
        }
        if shutdown.guard(self.informer.synced()).await.is_none() {
            return;
        }
        let mut changes = self.informer.changes();
        let mut events = self.runtime.events();
        let mut fails = 0;
        let mut renew_at = tokio::time::Instant::now();
        let mut look_at = renew_at;
        let mut unready = Unready::default();
        loop {
            let due = tokio::time::sleep_until(renew_at.min(look_at));
            let look_again = unready.look_again();
            tokio::select! {
                () = shutdown.wait() => return,
                () = due => {
                    let now = tokio::time::Instant::now();
                    look_at = now + LOOK_EVERY;
                    if renew_at <= now {
                        match self.renew().await {
                            Ok(()) => (fails, renew_at) = (0, now + self.settings.lease.every),
                            Err(source) => {
                                tracing::warn!("renew lease: {source}");
                                (renew_at, fails) = (now + RETRY.wait(fails).min(self.settings.lease.every), fails + 1);
                            }
                        }
                    }
                }
                Some(_) = changes.next() => {}
                () = look_again => {}
                event = events.next() => match event {
                    Some(RuntimeEvent::Relist) => {}
                    Some(_) => continue,
                    None => {
                        events = self.runtime.events();
                        continue;
                    }
                },
            }
            match self.write_status().await {
                Ok(ready) => unready.seen(ready),
                Err(source) => tracing::warn!("write node status: {source}"),
            }
        }
    }

    async fn facts(&self) -> Facts {
        let asked = tokio::time::timeout(RUNTIME_MAX, async {
            let status = self.runtime.status().await?;
            Ok::<_, crate::runtime::RuntimeError>((self.runtime.version().await?, status))
        });
        let (runtime, not_ready) = match asked.await {
            Err(_) => (None, Some(format!("container runtime does not answer within {RUNTIME_MAX:?}"))),
            Ok(Err(source)) => (None, Some(source.to_string())),
            Ok(Ok((version, status))) => {
                let why = match (status.runtime_ready, status.network_ready) {
                    (true, true) => None,
                    (false, _) => Some(format!("container runtime is not ready: {}", status.message)),
                    (true, false) => Some(format!("container runtime network not ready: {}", status.message)),
                };
                (Some(version), why)
            }
        };
        Facts {
            capacity: self.capacity,
            machine: self.machine.clone(),
            pressure: capacity::pressure(&self.settings.folder),
            runtime,
            not_ready,
            now: self.clock.now(),
        }
    }

    fn nodes(&self) -> Api<Node> {
        Api::all(self.client.clone())
    }

    async fn register(&self) -> Result<(), kube::Error> {
        let fresh = object::fresh(&self.settings, &self.facts().await);
        match self.nodes().create(&PostParams::default(), &fresh).await {
            Ok(_) => tracing::info!(node = %self.settings.name, "node registered"),
            Err(source) if source.is_already_exists() => {
                // It is ours from before: labels of ours are brought up to date, others stay.
                let patch = json!({ "metadata": { "labels": fresh.metadata.labels } });
                self.nodes().patch(&self.settings.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            Err(source) => return Err(source),
        }
        Ok(())
    }

    /// Whether the node is ready.
    async fn write_status(&self) -> Result<bool, kube::Error> {
        let Some(node) = self.informer.get(&Key::cluster(&self.settings.name)) else {
            return self.register().await.map(|()| false);
        };
        let written = node.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        let mut facts = self.facts().await;
        if facts.runtime.is_none() {
            // A runtime that is away for a moment has not changed its version.
            let known = node.status.as_ref().and_then(|s| s.node_info.as_ref()).map(|i| i.container_runtime_version.clone());
            let known = known.and_then(|v| v.split_once("://").map(|(n, v)| (n.to_owned(), v.to_owned())));
            facts.runtime =
                known.map(|(name, version)| crate::runtime::RuntimeVersion { name, version, api_version: String::new() });
        }
        let wanted = object::status(&self.settings, &facts, &written);
        let ready = facts.not_ready.is_none();
        if object::is_written(&node, &wanted) {
            return Ok(ready);
        }
        let patch = object::patch(&wanted);
        self.nodes().patch_status(&self.settings.name, &PatchParams::default(), &Patch::Strategic(patch)).await.map(|_| ready)
    }

    async fn renew(&self) -> Result<(), kube::Error> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), LEASE_NAMESPACE);
        let patch = json!({ "spec": { "renewTime": MicroTime(self.clock.now()), "holderIdentity": self.settings.name,
            "leaseDurationSeconds": self.settings.lease.lasts.as_secs() } });
        match leases.patch(&self.settings.name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => Ok(()),
            Err(source) if source.is_not_found() => leases.create(&PostParams::default(), &self.lease()).await.map(|_| ()),
            Err(source) => Err(source),
        }
    }

    fn lease(&self) -> Lease {
        let node = self.informer.get(&Key::cluster(&self.settings.name));
        let owner = node.and_then(|node| node.metadata.uid.clone()).map(|uid| OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Node".to_owned(),
            name: self.settings.name.clone(),
            uid,
            ..OwnerReference::default()
        });
        Lease {
            metadata: ObjectMeta {
                name: Some(self.settings.name.clone()),
                namespace: Some(LEASE_NAMESPACE.to_owned()),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.settings.name.clone()),
                lease_duration_seconds: i32::try_from(self.settings.lease.lasts.as_secs()).ok(),
                renew_time: Some(MicroTime(self.clock.now())),
                ..LeaseSpec::default()
            }),
        }
    }
}
