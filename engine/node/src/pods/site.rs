//! What all workers share.
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};

use irori_client::{EventType, Informer, Informers, Recorder};
use irori_runtime::{Clock, Tasks};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use kube::Client;
use tokio::{sync::Semaphore, time::Instant};

use super::{amounts::Machine, effect::Tell, life::Now};
use crate::{
    runtime::{ContainerId, PodRef, Runtime},
    settings::Settings,
};

/// Probes that run at once on this node; others wait for their turn.
const PROBES_MAX: usize = 32;
/// Images pulled at once; others wait for their turn. A card or a slow line gains nothing from more.
const PULLS_MAX: usize = 2;

pub struct Site {
    pub settings: Settings,
    pub machine: Machine,
    pub runtime: Arc<dyn Runtime>,
    pub client: Client,
    pub informers: Informers,
    pub services: Informer<Service>,
    pub recorder: Recorder,
    pub clock: Clock,
    pub tasks: Tasks,
    pub probes: Semaphore,
    pub pulls: Semaphore,
    pub owners: Owners,
    pub board: Board,
    epoch: Instant,
}

impl Site {
    #[allow(clippy::too_many_arguments, reason = "the parts of a node, gathered once")]
    pub fn new(
        settings: Settings,
        machine: Machine,
        runtime: Arc<dyn Runtime>,
        client: Client,
        informers: Informers,
        recorder: Recorder,
        clock: Clock,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            services: informers.of::<Service>(),
            settings,
            machine,
            runtime,
            client,
            informers,
            recorder,
            clock,
            tasks,
            probes: Semaphore::new(PROBES_MAX),
            pulls: Semaphore::new(PULLS_MAX),
            owners: Owners::default(),
            board: Board::default(),
            epoch: Instant::now(),
        })
    }

    pub fn now(&self) -> Now {
        Now { mono: self.epoch.elapsed(), wall: self.clock.now() }
    }

    /// When a moment of `Now::mono` comes.
    pub fn instant(&self, mono: Duration) -> Instant {
        self.epoch + mono
    }

    pub fn pods_folder(&self) -> PathBuf {
        self.settings.folder.join("pods")
    }

    pub fn host_ips(&self) -> Vec<String> {
        self.settings.addresses.iter().map(ToString::to_string).collect()
    }

    pub fn tell(&self, pod: &PodRef, version: Option<&str>, tell: &Tell) {
        let about = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(pod.namespace.clone()),
            name: Some(pod.name.clone()),
            uid: Some(pod.uid.clone()),
            resource_version: version.map(str::to_owned),
            field_path: tell.container.as_ref().map(|name| format!("spec.containers{{{name}}}")),
        };
        let kind = if tell.warning { EventType::Warning } else { EventType::Normal };
        self.recorder.event(&about, kind, tell.reason, tell.message.clone());
    }
}

/// Whose a container or sandbox is, by its bare id.
#[derive(Default)]
pub struct Owners(Mutex<HashMap<String, String>>);

impl Owners {
    pub fn add(&self, id: &str, uid: &str) {
        self.0.lock().expect("no holder of this lock panics").insert(id.to_owned(), uid.to_owned());
    }

    pub fn of(&self, id: &str) -> Option<String> {
        self.0.lock().expect("no holder of this lock panics").get(id).cloned()
    }

    pub fn forget(&self, id: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(id);
    }

    pub fn forget_pod(&self, uid: &str) {
        self.0.lock().expect("no holder of this lock panics").retain(|_, of| of != uid);
    }
}

/// A pod as others on this node see it.
#[derive(Clone, Debug)]
pub struct View {
    pub pod: Arc<Pod>,
    pub containers: Vec<ContainerView>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ContainerView {
    pub name: String,
    /// Present instance, running or ended.
    pub present: Option<ContainerId>,
    pub running: bool,
    /// The instance before.
    pub previous: Option<ContainerId>,
    /// Why there is none: `ContainerCreating`, `ImagePullBackOff`, …
    pub waiting: String,
}

/// The pods of this node, for its own server.
#[derive(Default)]
pub struct Board(RwLock<HashMap<String, View>>);

impl Board {
    pub fn set(&self, uid: &str, view: View) {
        self.0.write().expect("no holder of this lock panics").insert(uid.to_owned(), view);
    }

    pub fn remove(&self, uid: &str) {
        self.0.write().expect("no holder of this lock panics").remove(uid);
    }

    /// The pod of that name; of two, the one that is not being deleted.
    pub fn find(&self, namespace: &str, name: &str) -> Option<View> {
        let board = self.0.read().expect("no holder of this lock panics");
        let named = |view: &&View| {
            let meta = &view.pod.metadata;
            meta.name.as_deref() == Some(name) && meta.namespace.as_deref() == Some(namespace)
        };
        board.values().filter(named).min_by_key(|view| view.pod.metadata.deletion_timestamp.is_some()).cloned()
    }

    pub fn list(&self) -> Vec<View> {
        self.0.read().expect("no holder of this lock panics").values().cloned().collect()
    }
}
