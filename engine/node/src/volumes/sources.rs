//! The ConfigMaps, Secrets and tokens of one pod: watched as long as the pod is here, renewed before they end.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, stream::BoxStream};
use irori_client::{Informer, Informers, Key, Watched};
use irori_runtime::{Clock, SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{ConfigMap, Pod, Secret, ServiceAccount},
};
use kube::{Api, Client, api::PostParams};
use tokio::sync::mpsc;

use super::payload::{Found, TokenKey};
use crate::{pods::effect::Failure, runtime::PodRef};

/// How long a reference may take to be looked up before the pod is told that it waits.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);

/// Which objects a pod refers to by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    pub config_maps: BTreeSet<String>,
    pub secrets: BTreeSet<String>,
    pub tokens: BTreeSet<TokenKey>,
}

/// What the volumes of a pod refer to.
pub fn of_volumes(pod: &Pod) -> References {
    let mut all = References::default();
    for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
        all.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
        all.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            all.config_maps.extend(source.config_map.iter().map(|s| s.name.clone()));
            all.secrets.extend(source.secret.iter().map(|s| s.name.clone()));
            all.tokens.extend(source.service_account_token.iter().map(TokenKey::of));
        }
    }
    all
}

/// What a container's environment refers to.
pub fn of_environment(container: &k8s_openapi::api::core::v1::Container) -> References {
    let mut all = References::default();
    for source in container.env_from.iter().flatten() {
        all.config_maps.extend(source.config_map_ref.iter().map(|r| r.name.clone()));
        all.secrets.extend(source.secret_ref.iter().map(|r| r.name.clone()));
    }
    for source in container.env.iter().flatten().filter_map(|var| var.value_from.as_ref()) {
        all.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
        all.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
    }
    all
}

/// Tells a worker that something its pod refers to is there, new or gone.
pub type Changes = BoxStream<'static, ()>;

/// What one pod refers to, kept current.
pub struct PodSources {
    pod: PodRef,
    client: Client,
    informers: Informers,
    clock: Clock,
    held: Mutex<Held>,
    streams: mpsc::UnboundedSender<Changes>,
}

#[derive(Default)]
struct Held {
    config_maps: BTreeMap<String, Informer<ConfigMap>>,
    secrets: BTreeMap<String, Informer<Secret>>,
    tokens: BTreeMap<TokenKey, Token>,
}

struct Token {
    text: String,
    renew_at: Timestamp,
}

impl PodSources {
    /// New streams of changes go to `streams`, one for each object the pod refers to.
    pub fn new(
        pod: PodRef,
        client: Client,
        informers: Informers,
        clock: Clock,
        streams: mpsc::UnboundedSender<Changes>,
    ) -> Arc<Self> {
        Arc::new(Self { pod, client, informers, clock, held: Mutex::default(), streams })
    }

    /// Looks everything up. What the API does not have is `None` in the answer; what cannot be asked for is a failure.
    pub async fn find(&self, pod: &Pod, references: &References) -> Result<Found, Failure> {
        let mut found = Found::default();
        for name in &references.config_maps {
            let informer = self.config_map(name);
            synced(&informer, "configmap", name).await?;
            found.config_maps.insert(name.clone(), informer.get(&Key::new(&self.pod.namespace, name)));
        }
        for name in &references.secrets {
            let informer = self.secret(name);
            synced(&informer, "secret", name).await?;
            found.secrets.insert(name.clone(), informer.get(&Key::new(&self.pod.namespace, name)));
        }
        for key in &references.tokens {
            found.tokens.insert(key.clone(), self.token(pod, key).await?);
        }
        Ok(found)
    }

    fn config_map(&self, name: &str) -> Informer<ConfigMap> {
        let mut held = self.held.lock().expect("no holder of this lock panics");
        let start = || self.watch(name);
        held.config_maps.entry(name.to_owned()).or_insert_with(start).clone()
    }

    fn secret(&self, name: &str) -> Informer<Secret> {
        let mut held = self.held.lock().expect("no holder of this lock panics");
        let start = || self.watch(name);
        held.secrets.entry(name.to_owned()).or_insert_with(start).clone()
    }

    /// One object, by its name: all that a node may read of ConfigMaps and Secrets.
    fn watch<K: Watched>(&self, name: &str) -> Informer<K> {
        let informer = self.informers.of_namespace::<K>(&self.pod.namespace, &format!("metadata.name={name}"), "");
        // The worker may be ending; then nobody waits for changes any more.
        let _worker_gone = self.streams.send(informer.changes().map(|_| ()).boxed());
        informer
    }

    async fn token(&self, pod: &Pod, key: &TokenKey) -> Result<String, Failure> {
        let now = self.clock.now();
        if let Some(token) = self.held.lock().expect("no holder of this lock panics").tokens.get(key)
            && token.renew_at > now
        {
            return Ok(token.text.clone());
        }
        let token = self
            .request(pod, key, now)
            .await
            .map_err(|source| Failure::new("FailedMount", format!("failed to fetch token: {source}")))?;
        let text = token.text.clone();
        self.held.lock().expect("no holder of this lock panics").tokens.insert(key.clone(), token);
        Ok(text)
    }

    async fn request(&self, pod: &Pod, key: &TokenKey, now: Timestamp) -> Result<Token, kube::Error> {
        let account = pod.spec.as_ref().and_then(|s| s.service_account_name.as_deref()).unwrap_or("default");
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(self.pod.name.clone()),
            uid: Some(self.pod.uid.clone()),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: (!key.audience.is_empty()).then(|| vec![key.audience.clone()]),
                bound_object_ref: Some(bound),
                expiration_seconds: Some(key.expiration_s),
            }),
            ..TokenRequest::default()
        };
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.pod.namespace);
        let answer = api.create_token_request(account, &PostParams::default(), &request).await?;
        let status = answer.status.unwrap_or_default();
        let expires = status.expiration_timestamp.map_or(now, |at| at.0);
        Ok(Token { renew_at: renew_at(now, expires), text: status.token.unwrap_or_default() })
    }

    /// When the first token has to be renewed.
    pub fn renew_at(&self) -> Option<Timestamp> {
        let held = self.held.lock().expect("no holder of this lock panics");
        held.tokens.values().map(|token| token.renew_at).min()
    }
}

/// At 80 % of a token's life, and after a day in any case.
fn renew_at(now: Timestamp, expires: Timestamp) -> Timestamp {
    let life = expires.duration_since(now);
    now + SignedDuration::from_secs(life.as_secs() * 4 / 5).min(SignedDuration::from_hours(24))
}

async fn synced<K: Watched>(informer: &Informer<K>, what: &str, name: &str) -> Result<(), Failure> {
    match tokio::time::timeout(LOOK_UP_MAX, informer.synced()).await {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::new("FailedMount", format!("{what} \"{name}\" could not be read in {LOOK_UP_MAX:?}"))),
    }
}
