//! The CA that pods verify the API's certificate with, as ConfigMap `kube-root-ca.crt` in every namespace.
use std::collections::BTreeMap;

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{ApiError, Informer, Key, Loop, Outcome, ReconcileError, Reconciler};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Api, api::PostParams};

use crate::{Context, serviceaccount::is_open};

const NAME: &str = "kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal \
     service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.",
);

pub(crate) fn start(context: &Context, client: kube::Client, ca_pem: String) {
    let namespaces = context.informers.of::<Namespace>();
    let maps = context.informers.of_selected::<ConfigMap>(&format!("metadata.name={NAME}"), "");
    let triggers = stream::select(
        namespaces.changes().map(|change| change.key),
        maps.changes().map(|change| Key::cluster(change.key.namespace)),
    );
    Loop::default().run(RootCa { client, namespaces, maps, ca_pem }, triggers, &context.tasks);
}

struct RootCa {
    client: kube::Client,
    namespaces: Informer<Namespace>,
    maps: Informer<ConfigMap>,
    ca_pem: String,
}

/// What to write, given what is there.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    Create(ConfigMap),
    Replace(ConfigMap),
}

fn plan(namespace: &str, present: Option<&ConfigMap>, ca_pem: &str) -> Plan {
    let data = BTreeMap::from([(FILE.to_owned(), ca_pem.to_owned())]);
    match present {
        Some(map) if map.data.as_ref() == Some(&data) => Plan::Nothing,
        Some(map) => {
            let mut map = map.clone();
            map.data = Some(data);
            map.binary_data = None;
            map.metadata.annotations.get_or_insert_default().insert(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned());
            Plan::Replace(map)
        }
        None => Plan::Create(ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: Some(namespace.to_owned()),
                annotations: Some(BTreeMap::from([(DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned())])),
                ..Default::default()
            },
            data: Some(data),
            ..Default::default()
        }),
    }
}

impl Reconciler for RootCa {
    fn name(&self) -> &'static str {
        "rootca"
    }

    /// `key` is the namespace's.
    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async move {
            tokio::join!(self.namespaces.synced(), self.maps.synced());
            let Some(namespace) = self.namespaces.get(&key) else { return Ok(Outcome::Gone) };
            if !is_open(&namespace) {
                return Ok(Outcome::Done);
            }
            let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
            let present = self.maps.get(&Key::new(&key.name, NAME));
            match plan(&key.name, present.as_deref(), &self.ca_pem) {
                Plan::Nothing => {}
                Plan::Create(map) => match maps.create(&PostParams::default(), &map).await {
                    Err(source) if source.is_already_exists() || source.is_namespace_terminating() || source.is_not_found() => {}
                    done => drop(done?),
                },
                Plan::Replace(map) => drop(maps.replace(NAME, &PostParams::default(), &map).await?),
            }
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_made_kept_and_set_right() {
        let Plan::Create(made) = plan("ns", None, "PEM") else { panic!("made where there is none") };
        assert_eq!(made.data.as_ref().unwrap()[FILE], "PEM");
        assert_eq!(plan("ns", Some(&made), "PEM"), Plan::Nothing);
        let Plan::Replace(renewed) = plan("ns", Some(&made), "NEW") else { panic!("set right") };
        assert_eq!(renewed.data.as_ref().unwrap()[FILE], "NEW");
        let mut spoilt = made.clone();
        spoilt.data.as_mut().unwrap().insert("more".to_owned(), "x".to_owned());
        assert_eq!(plan("ns", Some(&spoilt), "PEM"), Plan::Replace(made));
    }
}
