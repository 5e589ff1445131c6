//! Addresses of the pods behind each Service, in slices of at most 100.
//!
//! Flow: Services, pods, slices and nodes change -> key of the Service -> `plan` -> create, update, delete.
mod apply;
mod plan;

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream};
use irori_client::{Change, Informer, Key, Loop, Outcome, OwnWrites, ReconcileError, Reconciler};
use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt;

pub(crate) use self::plan::{hostname, is_selecting, selects, target_port};
use crate::Context;

/// A lost change must not keep a Service waiting for its own writes for ever.
const WRITES_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn start(context: &Context, client: kube::Client) {
    let services = context.informers.of::<Service>();
    let pods = context.informers.of::<Pod>();
    let slices = context.informers.of::<EndpointSlice>();
    let nodes = context.informers.of::<Node>();
    let of_slices = slices.changes().filter_map(|change| {
        let named = change.any().filter(|slice| is_ours(slice)).and_then(|slice| slice.labels().get(plan::SERVICE_NAME));
        std::future::ready(named.map(|name| Key::new(&change.key.namespace, name)))
    });
    let triggers = stream::select(
        services.changes().map(|change| change.key),
        stream::select(of_pods(pods.changes(), services.clone()), of_slices),
    );
    let reconciler = Slices { client, services, pods, slices, nodes, writes: OwnWrites::default() };
    Loop::default().run(reconciler, triggers, &context.tasks);
}

/// The Services whose selection a pod's change concerns, before or after it.
pub(crate) fn of_pods(
    changes: impl Stream<Item = Change<Pod>> + Send,
    services: Informer<Service>,
) -> impl Stream<Item = Key> + Send {
    changes.flat_map(move |change| {
        let nearby = services.in_namespace(&change.key.namespace);
        let concerned = |service: &Arc<Service>| change.states().any(|pod| plan::selects(service, pod));
        let keys: Vec<_> = nearby.into_iter().filter(concerned).map(|service| Key::of(&*service)).collect();
        stream::iter(keys)
    })
}

fn is_ours(slice: &EndpointSlice) -> bool {
    slice.labels().get(plan::MANAGED_BY).map(String::as_str) == Some(plan::MANAGER)
}

struct Slices {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    slices: Informer<EndpointSlice>,
    nodes: Informer<Node>,
    writes: OwnWrites,
}

impl Reconciler for Slices {
    fn name(&self) -> &'static str {
        "endpointslice"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.services.synced(), self.pods.synced(), self.slices.synced(), self.nodes.synced());
            // The slices of a Service that is gone are the garbage collector's.
            let Some(service) = self.services.get(&key).filter(|service| service.metadata.deletion_timestamp.is_none()) else {
                self.writes.forget(&key);
                return Ok(Outcome::Gone);
            };
            if !self.writes.seen_by(&key, &self.slices) {
                return Ok(Outcome::After(WRITES_WAIT));
            }
            let pods = self.pods.in_namespace(&key.namespace);
            let of_service =
                |slice: &Arc<EndpointSlice>| is_ours(slice) && slice.labels().get(plan::SERVICE_NAME) == Some(&key.name);
            let slices: Vec<_> = self.slices.in_namespace(&key.namespace).into_iter().filter(of_service).collect();
            let plan = plan::plan(&service, &pods, &slices, |name| self.nodes.get(&Key::cluster(name)));
            apply::apply(plan, &self.client, &key, &self.writes).await?;
            Ok(Outcome::Done)
        }
        .boxed()
    }
}
