//! Controllers: each brings the world to what its objects say.
//!
//! What it is: one folder per controller; `plan.rs` decides (pure), `apply.rs` acts, the file beside the folder wires both to the loop.
//! What it is not: it opens no socket and reads no disk; it knows the API only through a client and informers.
//!
//! Flow: informers -> changes -> keys -> the one reconcile loop -> plan -> apply, written under the controller's stock identity.
//! Invariant: plans hold neither clock nor I/O. Invariant: a controller never acts on a copy that misses its own writes.
//! Invariant: security or deletion questions are asked live (adoption, absence of an owner), never of a copy alone.
//! Failure modes: what the API refuses is tried again with backoff, per object; one object never holds up another.
#[cfg(test)]
mod builders;
mod clusterrole;
mod deployment;
mod endpoints;
mod endpointslice;
mod garbage;
mod kinds;
mod namespace;
mod nodeipam;
mod nodelife;
mod owners;
mod percent;
mod podgc;
mod pods;
mod quota;
mod replicaset;
mod resources;
mod rootca;
mod selector;
mod serviceaccount;

use std::time::Duration;

use irori_client::{Informers, Recorder};
use irori_runtime::{Clock, Tasks, Timestamp};

pub use kinds::without_controller;
pub use nodeipam::{Cidr, Pool};

/// What differs between homes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The CA that pods verify the API's certificate with.
    pub root_ca_pem: String,
    /// Where nodes get the addresses of their pods from, the primary family first. Empty: not from here.
    pub pod_pools: Vec<Pool>,
    /// Without a sign of life for so long, a node's state is unknown.
    pub node_grace: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        let cidr = "10.42.0.0/16".parse().expect("a range");
        Self { root_ca_pem: String::new(), pod_pools: vec![Pool { cidr, node_bits: 24 }], node_grace: Duration::from_secs(40) }
    }
}

/// What every controller stands on.
pub(crate) struct Context {
    informers: Informers,
    clock: Clock,
    tasks: Tasks,
}

impl Context {
    fn recorder(&self, client: &kube::Client, component: &str) -> Recorder {
        Recorder::new(client.clone(), component, None, self.clock.clone(), &self.tasks)
    }
}

/// Starts all controllers. `clients` gives the client of a service account of kube-system, by its name.
pub fn start(settings: Settings, clients: impl Fn(&str) -> kube::Client, informers: &Informers, clock: &Clock, tasks: &Tasks) {
    let context = Context { informers: informers.clone(), clock: clock.clone(), tasks: tasks.clone() };
    deployment::start(&context, clients("deployment-controller"));
    endpointslice::start(&context, clients("endpointslice-controller"));
    clusterrole::start(&context, clients("clusterrole-aggregation-controller"));
    endpoints::start(&context, clients("endpoint-controller"));
    garbage::start(&context, clients("generic-garbage-collector"));
    namespace::start(&context, clients("namespace-controller"));
    nodeipam::start(&context, clients("node-controller"), settings.pod_pools);
    nodelife::start(&context, clients("node-controller"), settings.node_grace);
    podgc::start(&context, clients("pod-garbage-collector"));
    quota::start(&context, clients("resourcequota-controller"));
    replicaset::start(&context, clients("replicaset-controller"));
    rootca::start(&context, clients("root-ca-cert-publisher"), settings.root_ca_pem);
    serviceaccount::start(&context, clients("service-account-controller"));
}

/// How long from now to `then`, rounded up to the next whole second, which is what timestamps in objects count in.
pub(crate) fn until(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or_default() + Duration::from_millis(50)
}
