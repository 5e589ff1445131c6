//! ClusterRoles that are the sum of others (`aggregationRule`).
use std::sync::Arc;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{Context, selector};

pub(crate) fn start(context: &Context, client: kube::Client) {
    let roles = context.informers.of::<ClusterRole>();
    let known = roles.clone();
    // A role concerns itself and all sums, whichever it may be part of.
    let triggers = roles.changes().flat_map(move |change| {
        let sums = known.list().into_iter().filter(|role| role.aggregation_rule.is_some()).map(|role| Key::of(&*role));
        stream::iter(std::iter::once(change.key).chain(sums).collect::<Vec<_>>())
    });
    Loop::default().run(Sums { client, roles }, triggers, &context.tasks);
}

struct Sums {
    client: kube::Client,
    roles: Informer<ClusterRole>,
}

/// The rules that a sum has to have; `None`: it has them, or is no sum.
fn plan(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.as_ref()?;
    let part = |other: &&Arc<ClusterRole>| {
        other.metadata.name != role.metadata.name
            && selectors.iter().any(|wanted| selector::matches(wanted, other.metadata.labels.as_ref()))
    };
    let mut rules: Vec<PolicyRule> = Vec::new();
    for rule in all.iter().filter(part).flat_map(|other| other.rules.iter().flatten()) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    (role.rules.as_deref().unwrap_or_default() != rules).then_some(rules)
}

impl Reconciler for Sums {
    fn name(&self) -> &'static str {
        "clusterrole"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            self.roles.synced().await;
            let Some(role) = self.roles.get(&key) else { return Ok(Outcome::Gone) };
            if let Some(rules) = plan(&role, &self.roles.list()) {
                let patch = json!({ "metadata": { "resourceVersion": role.metadata.resource_version }, "rules": rules });
                let roles: Api<ClusterRole> = Api::all(self.client.clone());
                roles.patch(&key.name, &PatchParams::default(), &Patch::Merge(patch)).await?;
            }
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, verb: &str) -> Arc<ClusterRole> {
        let role =
            json!({"metadata": {"name": name, "labels": {"to": "view"}}, "rules": [{"verbs": [verb], "resources": ["x"]}]});
        Arc::new(serde_json::from_value(role).unwrap())
    }

    #[test]
    fn a_sum_has_the_rules_of_its_parts_once_each() {
        let sum = json!({"metadata": {"name": "view", "labels": {"to": "view"}}, "rules": [{"verbs": ["old"]}],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}});
        let mut sum: ClusterRole = serde_json::from_value(sum).unwrap();
        let all = [role("a", "get"), role("b", "list"), role("c", "get"), Arc::new(sum.clone())];
        let rules = plan(&sum, &all).unwrap();
        assert_eq!(rules.iter().map(|rule| rule.verbs[0].as_str()).collect::<Vec<_>>(), ["get", "list"]);
        sum.rules = Some(rules);
        assert_eq!(plan(&sum, &all), None);
        assert_eq!(plan(&all[0], &all), None);
    }
}
