//! A real API on a store of its own, with all controllers under their stock identities, and a stand-in for machines.
use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::{StreamExt, future::BoxFuture};
use irori_api::row::Tables;
use irori_apiserver::{ApiServer, UserInfo};
use irori_client::{Informers, Key, Loop, Outcome, ReconcileError, Reconciler, in_process};
use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::EmbeddedStore;
use irori_trust::CaTree;
use k8s_openapi::{api::core::v1::Pod, jiff};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Home {
    pub client: kube::Client,
    _dir: tempfile::TempDir,
}

impl Home {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut irori_controllers::Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        let tasks = Tasks::new(Shutdown::new());
        let trust = Arc::new(CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).unwrap());
        let store = EmbeddedStore::open(irori_store::Settings::at(&dir.path().join("store")).unwrap(), &tasks).unwrap();
        let tables = Arc::new(Tables::builtin());
        let settings = irori_apiserver::Settings::default();
        let server = ApiServer::new(settings, store, tables, trust.clone(), clock.clone(), tasks.clone()).await.unwrap();
        let as_user = |user: UserInfo| in_process(server.in_process(user));
        let informers = Informers::new(as_user(UserInfo::new("system:irori:informer", &["system:masters"])), tasks.clone());
        let mut settings =
            irori_controllers::Settings { root_ca_pem: trust.root_pem().to_owned(), ..irori_controllers::Settings::default() };
        change(&mut settings);
        let accounts = |name: &str| as_user(UserInfo::service_account("kube-system", name));
        irori_controllers::start(settings, accounts, &informers, &clock, &tasks);
        let client = as_user(UserInfo::new("boss", &["system:masters"]));
        machines(client.clone(), &informers, &tasks);
        let home = Self { client, _dir: dir };
        home.until("a default service account", || {
            home.found::<k8s_openapi::api::core::v1::ServiceAccount>("default", "default")
        })
        .await;
        home
    }

    pub fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    pub async fn make<K>(&self, namespace: &str, object: Value) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        let object = serde_json::from_value(object).unwrap();
        self.api::<K>(namespace).create(&PostParams::default(), &object).await.unwrap()
    }

    pub async fn patch<K>(&self, namespace: &str, name: &str, patch: Value) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Serialize
            + DeserializeOwned
            + Clone
            + Debug,
    {
        self.api::<K>(namespace).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()
    }

    pub async fn found<K>(&self, namespace: &str, name: &str) -> Option<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        self.api::<K>(namespace).get_opt(name).await.unwrap()
    }

    pub async fn all<K>(&self, namespace: &str) -> Vec<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        self.api::<K>(namespace).list(&Default::default()).await.unwrap().items
    }

    /// Waits until `ask` has something to show; asked again at every pass of a short timer, up to a deadline.
    pub async fn until<T, F>(&self, what: &str, mut ask: impl FnMut() -> F) -> T
    where
        F: Future<Output = Option<T>>,
    {
        let asking = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                if let Some(seen) = ask().await {
                    return seen;
                }
            }
        };
        match tokio::time::timeout(DEADLINE, asking).await {
            Ok(seen) => seen,
            Err(_) => panic!("no {what} in time"),
        }
    }
}

/// Every pod whose image is not `broken` runs and is ready as soon as it is there; a deleted one is gone as soon as it is told.
fn machines(client: kube::Client, informers: &Informers, tasks: &Tasks) {
    let pods = informers.of::<Pod>();
    let triggers = pods.changes().map(|change| change.key);
    Loop::default().run(Machines { client, pods }, triggers, tasks);
}

struct Machines {
    client: kube::Client,
    pods: irori_client::Informer<Pod>,
}

impl Reconciler for Machines {
    fn name(&self) -> &'static str {
        "machines"
    }

    fn reconcile(&self, key: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        Box::pin(async move {
            let Some(pod) = self.pods.get(&key) else { return Ok(Outcome::Gone) };
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
            if pod.metadata.deletion_timestamp.is_some() {
                let _gone_already = pods.delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await;
                return Ok(Outcome::Done);
            }
            let broken = pod.spec.as_ref().is_some_and(|spec| spec.containers[0].image.as_deref() == Some("broken"));
            let running = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
            if broken || running {
                return Ok(Outcome::Done);
            }
            let address =
                format!("10.42.0.{}", pod.uid().unwrap_or_default().bytes().fold(2_u8, |sum, byte| sum.wrapping_add(byte)));
            let status = json!({"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": jiff::Timestamp::now().to_string()}]}});
            match pods.patch_status(&pod.name_any(), &PatchParams::default(), &Patch::Merge(status)).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(Outcome::Done),
                done => done.map(|_| Outcome::Done).map_err(Into::into),
            }
        })
    }
}
