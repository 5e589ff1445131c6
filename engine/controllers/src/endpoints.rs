//! One Endpoints object per selecting Service, beside its slices.
mod plan;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{ApiError, Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use k8s_openapi::api::core::v1::{Endpoints, Pod, Service};
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};

use self::plan::Plan;
use crate::{Context, endpointslice::of_pods};

pub(crate) fn start(context: &Context, client: kube::Client) {
    let services = context.informers.of::<Service>();
    let pods = context.informers.of::<Pod>();
    let endpoints = context.informers.of::<Endpoints>();
    let triggers = stream::select(
        services.changes().map(|change| change.key),
        stream::select(of_pods(pods.changes(), services.clone()), endpoints.changes().map(|change| change.key)),
    );
    Loop::default().run(Addresses { client, services, pods, endpoints }, triggers, &context.tasks);
}

struct Addresses {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
}

impl Reconciler for Addresses {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.services.synced(), self.pods.synced(), self.endpoints.synced());
            let service = self.services.get(&key);
            let present = self.endpoints.get(&key);
            let pods = self.pods.in_namespace(&key.namespace);
            let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
            match plan::plan(service.as_deref(), &pods, present.as_deref()) {
                Plan::Nothing => {}
                Plan::Create(made) => match api.create(&PostParams::default(), &made).await {
                    // Somebody was faster: what the copy will show is looked at again.
                    Err(source) if source.is_already_exists() || source.is_namespace_terminating() => {}
                    done => drop(done?),
                },
                Plan::Replace(changed) => drop(api.replace(&key.name, &PostParams::default(), &changed).await?),
                Plan::Delete => match api.delete(&key.name, &DeleteParams::default()).await {
                    Err(source) if !source.is_not_found() => return Err(source.into()),
                    _ => {}
                },
            }
            Ok(if service.is_some() { Outcome::Done } else { Outcome::Gone })
        }
        .boxed()
    }
}
