//! A `default` service account in every namespace that is not going away.
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{ApiError, Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use k8s_openapi::{
    api::core::v1::{Namespace, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::PostParams};

use crate::Context;

const NAME: &str = "default";

pub(crate) fn start(context: &Context, client: kube::Client) {
    let namespaces = context.informers.of::<Namespace>();
    let accounts = context.informers.of_selected::<ServiceAccount>(&format!("metadata.name={NAME}"), "");
    let triggers = stream::select(
        namespaces.changes().map(|change| change.key),
        accounts.changes().map(|change| Key::cluster(change.key.namespace)),
    );
    Loop::default().run(DefaultAccounts { client, namespaces, accounts }, triggers, &context.tasks);
}

/// Whether the namespace takes new objects.
pub(crate) fn is_open(namespace: &Namespace) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
        && namespace.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Terminating")
}

struct DefaultAccounts {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    accounts: Informer<ServiceAccount>,
}

impl Reconciler for DefaultAccounts {
    fn name(&self) -> &'static str {
        "serviceaccount"
    }

    /// `key` is the namespace's.
    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.namespaces.synced(), self.accounts.synced());
            let Some(namespace) = self.namespaces.get(&key) else { return Ok(Outcome::Gone) };
            if !is_open(&namespace) || self.accounts.get(&Key::new(&key.name, NAME)).is_some() {
                return Ok(Outcome::Done);
            }
            let account = ServiceAccount {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), namespace: Some(key.name.clone()), ..Default::default() },
                ..Default::default()
            };
            let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
            match accounts.create(&PostParams::default(), &account).await {
                Err(source) if source.is_already_exists() || source.is_namespace_terminating() || source.is_not_found() => {}
                done => drop(done?),
            }
            Ok(Outcome::Done)
        }
        .boxed()
    }
}
