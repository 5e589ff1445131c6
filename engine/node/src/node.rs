//! The node: registration, pods, its own HTTPS port, put together.
use std::{convert::Infallible, sync::Arc};

use irori_client::{Informers, Recorder};
use irori_runtime::{Clock, OnEnd, Tasks};
use kube::Client;
use tokio::net::TcpListener;

use crate::{
    node_object::{Keeper, capacity},
    pods::{manager, site::Site},
    runtime::Runtime,
    settings::Settings,
};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("make the node's folder {path}")]
    Folder {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// What a node is made of.
pub struct Parts {
    pub settings: Settings,
    /// Speaks as `system:node:<name>`.
    pub client: Client,
    /// Of the same identity: they read Secrets and ConfigMaps by name.
    pub informers: Informers,
    pub runtime: Arc<dyn Runtime>,
    /// Of the node's own HTTPS port.
    pub listener: TcpListener,
    pub clock: Clock,
    pub tasks: Tasks,
}

/// A node that runs. Its tasks end with the process's shutdown; what runs in containers goes on.
pub struct Node {
    site: Arc<Site>,
}

impl Node {
    pub fn start(parts: Parts) -> Result<Self, StartError> {
        let Parts { settings, client, informers, runtime, listener, clock, tasks } = parts;
        let folder = settings.folder.join("pods");
        std::fs::create_dir_all(&folder).map_err(|source| StartError::Folder { path: folder, source })?;
        let capacity = capacity(&settings.folder);
        let machine = settings.machine(&capacity);
        let recorder = Recorder::new(client.clone(), "kubelet", Some(&settings.name), clock.clone(), &tasks);
        let keeper = Keeper::new(settings.clone(), client.clone(), &informers, runtime.clone(), clock.clone(), capacity);
        let site = Site::new(settings, machine, runtime, client, informers, recorder, clock, tasks.clone());
        let shutdown = tasks.shutdown().clone();
        tasks.spawn("node-object", OnEnd::Fatal, async move {
            keeper.run(shutdown).await;
            Ok::<(), Infallible>(())
        });
        tasks.spawn("pods", OnEnd::Fatal, {
            let site = site.clone();
            async move {
                manager::run(site).await;
                Ok::<(), Infallible>(())
            }
        });
        tasks.spawn("node-server", OnEnd::Fatal, crate::server::serve(site.clone(), listener));
        Ok(Self { site })
    }

    /// Names of the pods that are here now, as `namespace/name`.
    pub fn pods(&self) -> Vec<String> {
        let name = |m: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            format!("{}/{}", m.namespace.as_deref().unwrap_or_default(), m.name.as_deref().unwrap_or_default())
        };
        self.site.board.list().iter().map(|view| name(&view.pod.metadata)).collect()
    }
}
