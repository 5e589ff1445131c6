//! A deleted namespace is emptied, then let go.
//!
//! Flow: a namespace with a deletionTimestamp -> delete all content, pods first -> conditions -> look again, or take off the finalizer.
mod apply;
mod plan;

use std::time::Duration;

use futures::{FutureExt, StreamExt, future::BoxFuture};
use irori_client::{Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::{Backoff, Clock};
use k8s_openapi::api::core::v1::Namespace;

use crate::Context;

/// Content that is left goes when somebody finishes (a node, a finalizer's owner); watching all kinds for it would cost more than looking.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN_WITH_FINALIZERS: Duration = Duration::from_secs(5);

pub(crate) fn start(context: &Context, client: kube::Client) {
    let namespaces = context.informers.of::<Namespace>();
    let triggers = namespaces.changes().filter_map(|change| {
        let key = change.new.filter(|namespace| plan::is_to_be_emptied(namespace)).map(|_| change.key);
        std::future::ready(key)
    });
    let reconciler = Namespaces { client, namespaces, clock: context.clock.clone() };
    let backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(60) };
    Loop { workers: 4, backoff }.run(reconciler, triggers, &context.tasks);
}

struct Namespaces {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    clock: Clock,
}

impl Reconciler for Namespaces {
    fn name(&self) -> &'static str {
        "namespace"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.namespaces.synced().await;
            let Some(namespace) = self.namespaces.get(&key) else { return Ok(Outcome::Gone) };
            if !plan::is_to_be_emptied(&namespace) {
                return Ok(Outcome::Done);
            }
            let findings = apply::empty(&self.client, &key.name).await;
            if findings.is_empty() {
                apply::finalize(&self.client, &plan::finalized(&namespace)).await?;
                return Ok(Outcome::Done);
            }
            if let Some(status) = plan::status(&namespace, &findings, self.clock.now()) {
                let mut told = Namespace::clone(&namespace);
                told.status = Some(status);
                apply::write_status(&self.client, &told).await?;
            }
            let held = !findings.finalizers.is_empty();
            Ok(Outcome::After(if held { LOOK_AGAIN_WITH_FINALIZERS } else { LOOK_AGAIN }))
        }
        .boxed()
    }
}
