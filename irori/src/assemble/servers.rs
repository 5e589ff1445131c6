//! Which servers of a home live: each holds a Lease of its own, and whoever leads takes away what a dead one left behind.
use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::Result;
use futures::{StreamExt, future::BoxFuture};
use irori_client::{ApiError, Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::Tasks;
use k8s_openapi::api::{coordination::v1::Lease, discovery::v1::EndpointSlice};
use kube::{Api, api::DeleteParams};

const NAMESPACE: &str = "kube-system";
const PREFIX: &str = "irori-server-";

/// The Lease of a server.
pub fn lease_of(instance: &str) -> String {
    format!("{PREFIX}{instance}")
}

/// The slice of Service default/kubernetes with the addresses of a server among others.
pub fn slice_of(instance: &str) -> String {
    format!("kubernetes-{instance}")
}

/// Takes the slices of servers away whose Lease stands still. A server that was only slow finds its Lease gone, and makes both anew.
pub fn sweep(admin: kube::Client, informers: &Informers, tasks: &Tasks) {
    let leases: Informer<Lease> = informers.of_namespace(NAMESPACE, "", "");
    let changes = leases.changes().map(|change| change.key);
    Loop::default().run(Sweep { admin, leases, seen: Mutex::default() }, changes, tasks);
}

struct Sweep {
    admin: kube::Client,
    leases: Informer<Lease>,
    /// Each server's Lease as we saw it last, and since when it is so.
    seen: Mutex<HashMap<Key, (Option<String>, Instant)>>,
}

impl Sweep {
    /// In what time the server of a Lease counts as dead, if nothing changes.
    fn left(&self, key: &Key, lease: &Lease) -> Duration {
        let version = lease.metadata.resource_version.clone();
        let mut seen = self.seen.lock().expect("no holder of this lock panics");
        let known = seen.entry(key.clone()).or_insert_with(|| (version.clone(), Instant::now()));
        if known.0 != version {
            *known = (version, Instant::now());
        }
        let spec = lease.spec.as_ref();
        let seconds = spec.and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok()).unwrap_or(0);
        Duration::from_secs(seconds).saturating_sub(known.1.elapsed())
    }

    async fn remove(&self, key: &Key, lease: &Lease, instance: &str) -> Result<(), kube::Error> {
        tracing::info!(instance, "a server of this home is gone");
        let slices: Api<EndpointSlice> = Api::namespaced(self.admin.clone(), "default");
        let leases: Api<Lease> = Api::namespaced(self.admin.clone(), NAMESPACE);
        // Only the Lease that stood still: a server that is back has renewed it.
        let same = DeleteParams::default().preconditions(kube::api::Preconditions {
            uid: lease.metadata.uid.clone(),
            resource_version: lease.metadata.resource_version.clone(),
        });
        leases.delete(&key.name, &same).await?;
        match slices.delete(&slice_of(instance), &DeleteParams::default()).await {
            Err(source) if !source.is_not_found() => Err(source),
            _ => Ok(()),
        }
    }
}

impl Reconciler for Sweep {
    fn name(&self) -> &'static str {
        "dead-servers"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            let (Some(lease), Some(instance)) = (self.leases.get(&key), key.name.strip_prefix(PREFIX)) else {
                self.seen.lock().expect("no holder of this lock panics").remove(&key);
                return Ok(Outcome::Gone);
            };
            match self.left(&key, &lease) {
                Duration::ZERO => match self.remove(&key, &lease, instance).await {
                    Err(source) if !source.is_not_found() && !source.is_conflict() => Err(source.into()),
                    _ => Ok(Outcome::Done),
                },
                left => Ok(Outcome::After(left)),
            }
        })
    }
}
