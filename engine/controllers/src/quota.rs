//! Resource quotas: what is allowed is written where admission reads it, and what was there before is counted.
//!
//! From then on the API counts with every change. A count is taken again until it finds nothing to set right, so that what changed while
//! it was taken is not missed; after that it rests until the quota itself asks for something else.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use futures::{FutureExt, StreamExt, future::BoxFuture};
use irori_client::{Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_rules::quota;
use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaStatus},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
};
use serde_json::Value;

use crate::{Context, resources::discover};

pub(crate) fn start(context: &Context, client: kube::Client) {
    let quotas = context.informers.of::<ResourceQuota>();
    let triggers = quotas.changes().map(|change| change.key);
    Loop::default().run(Quotas { client, quotas, counted: Mutex::default() }, triggers, &context.tasks);
}

type Amounts = BTreeMap<String, Quantity>;

struct Quotas {
    client: kube::Client,
    quotas: Informer<ResourceQuota>,
    /// Quotas whose last count found everything right.
    counted: Mutex<BTreeSet<Key>>,
}

/// The status that a quota should have; `None`: it has it.
fn plan(quota: &ResourceQuota, used: Amounts) -> Option<ResourceQuotaStatus> {
    let wanted = ResourceQuotaStatus { hard: quota.spec.as_ref().and_then(|spec| spec.hard.clone()), used: Some(used) };
    let same = quota.status.as_ref().is_some_and(|status| {
        status.hard.clone().unwrap_or_default() == wanted.hard.clone().unwrap_or_default() && status.used == wanted.used
    });
    (!same).then_some(wanted)
}

/// Whether what is allowed is what was asked for.
fn is_current(quota: &ResourceQuota) -> bool {
    let asked = quota.spec.as_ref().and_then(|spec| spec.hard.clone()).unwrap_or_default();
    quota.status.as_ref().and_then(|status| status.hard.clone()).unwrap_or_default() == asked
}

impl Quotas {
    async fn count(&self, quota: &ResourceQuota, namespace: &str) -> Result<Amounts, ReconcileError> {
        let tree = serde_json::to_value(quota).unwrap_or(Value::Null);
        let hard = quota.spec.iter().flat_map(|spec| spec.hard.iter().flatten());
        let wanted: BTreeSet<(&str, &str)> = hard.map(|(name, _)| quota::counted_under(name)).collect();
        let (kinds, _) = discover(&self.client).await?;
        let mut found: Vec<((&str, &str), Value)> = Vec::new();
        for kind in kinds.iter().filter(|k| k.namespaced && k.can("list")) {
            let resource = (kind.group.as_str(), kind.plural.as_str());
            if !wanted.contains(&resource) {
                continue;
            }
            let api = ApiResource {
                group: kind.group.clone(),
                version: kind.version.clone(),
                api_version: kind.api_version(),
                kind: kind.kind.clone(),
                plural: kind.plural.clone(),
            };
            let all: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &api);
            let objects = all.list(&ListParams::default()).await?;
            found.extend(objects.items.iter().filter_map(|object| Some((resource, serde_json::to_value(object).ok()?))));
        }
        let used = quota::recount(&tree, found.iter().map(|(resource, object)| (*resource, object)));
        Ok(used.into_iter().map(|(name, amount)| (name, Quantity(amount.to_string()))).collect())
    }

    fn set_counted(&self, key: &Key, done: bool) {
        let mut counted = self.counted.lock().expect("no holder of this lock panics");
        if done {
            counted.insert(key.clone())
        } else {
            counted.remove(key)
        };
    }
}

impl Reconciler for Quotas {
    fn name(&self) -> &'static str {
        "resourcequota"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.quotas.synced().await;
            let Some(quota) = self.quotas.get(&key) else {
                self.set_counted(&key, false);
                return Ok(Outcome::Gone);
            };
            if is_current(&quota) && self.counted.lock().expect("no holder of this lock panics").contains(&key) {
                return Ok(Outcome::Done);
            }
            self.set_counted(&key, false);
            let used = self.count(&quota, &key.namespace).await?;
            let Some(status) = plan(&quota, used) else {
                self.set_counted(&key, true);
                return Ok(Outcome::Done);
            };
            let mut new = ResourceQuota::clone(&quota);
            new.status = Some(status);
            // The version that was counted for: a change in between is a conflict, and counted anew.
            new.meta_mut().managed_fields = None;
            let quotas: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
            quotas.replace_status(&key.name, &PostParams::default(), &new).await?;
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn quota(hard: &str, status: Value) -> ResourceQuota {
        serde_json::from_value(json!({"spec": {"hard": {"pods": hard}}, "status": status})).unwrap()
    }

    fn used(pods: &str) -> Amounts {
        Amounts::from([("pods".to_owned(), Quantity(pods.to_owned()))])
    }

    #[test]
    fn a_quota_shows_what_it_allows_and_what_is_used() {
        let wanted = plan(&quota("5", json!({})), used("2")).unwrap();
        assert_eq!((wanted.hard.unwrap()["pods"].0.as_str(), wanted.used.unwrap()["pods"].0.as_str()), ("5", "2"));
        assert_eq!(plan(&quota("5", json!({"hard": {"pods": "5"}, "used": {"pods": "2"}})), used("2")), None);
        assert!(plan(&quota("5", json!({"hard": {"pods": "5"}, "used": {"pods": "3"}})), used("2")).is_some());
        assert!(!is_current(&quota("5", json!({"hard": {"pods": "4"}}))));
    }
}
