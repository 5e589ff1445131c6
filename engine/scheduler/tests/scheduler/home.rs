//! A real API on a store of its own, with the scheduler.
use std::{fmt::Debug, sync::Arc, time::Duration};

use irori_api::row::Tables;
use irori_apiserver::{ApiServer, UserInfo};
use irori_client::{Informers, in_process};
use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::EmbeddedStore;
use irori_trust::CaTree;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::{Api, api::PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

pub struct Home {
    client: kube::Client,
    _dir: tempfile::TempDir,
}

/// A pod's spec that asks for so much.
pub fn cpu(amount: &str) -> Value {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": amount}}}]})
}

impl Home {
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        let tasks = Tasks::new(Shutdown::new());
        let trust = Arc::new(CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).unwrap());
        let store = EmbeddedStore::open(irori_store::Settings::at(&dir.path().join("store")).unwrap(), &tasks).unwrap();
        let tables = Arc::new(Tables::builtin());
        let settings = irori_apiserver::Settings::default();
        let server = ApiServer::new(settings, store, tables, trust, clock.clone(), tasks.clone()).await.unwrap();
        let as_user = |user: UserInfo| in_process(server.in_process(user));
        let informers = Informers::new(as_user(UserInfo::new("system:irori:informer", &["system:masters"])), tasks.clone());
        irori_scheduler::start(as_user(UserInfo::new("system:kube-scheduler", &[])), &informers, &clock, &tasks);
        let home = Self { client: as_user(UserInfo::new("boss", &["system:masters"])), _dir: dir };
        let account = serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(home.client.clone(), "default");
        accounts.create(&PostParams::default(), &account).await.unwrap();
        home
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "default")
    }

    pub async fn node(&self, name: &str, cpu: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let resources = json!({"cpu": cpu, "memory": "8Gi", "pods": "110"});
        let node = json!({"metadata": {"name": name}, "status": {"allocatable": resources, "capacity": resources}});
        nodes.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.unwrap();
        // Every node starts as not ready; who says otherwise at home does not run here.
        let ready = kube::api::Patch::Merge(json!({"spec": {"taints": null}}));
        nodes.patch(name, &Default::default(), &ready).await.unwrap();
    }

    pub async fn pod(&self, name: &str, spec: Value) {
        let pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap();
    }

    pub async fn get(&self, name: &str) -> Pod {
        self.pods().get(name).await.unwrap()
    }

    pub async fn node_of(&self, pod: &str) -> Option<String> {
        self.get(pod).await.spec?.node_name
    }

    pub async fn all<K>(&self) -> Vec<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        Api::<K>::namespaced(self.client.clone(), "default").list(&Default::default()).await.unwrap().items
    }

    /// The node that a pod is bound to, once it is.
    pub async fn bound(&self, pod: &str) -> String {
        self.until(&format!("node for {pod}"), || self.node_of(pod)).await
    }

    /// Why a pod has no node, once it is said.
    pub async fn waits(&self, pod: &str) -> String {
        self.until(&format!("reason why {pod} waits"), async || {
            let conditions = self.get(pod).await.status?.conditions?;
            conditions.into_iter().find(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("Unschedulable"))?.message
        })
        .await
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
