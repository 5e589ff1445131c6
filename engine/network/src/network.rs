//! One node's network, from its settings to its end.
use std::path::Path;

use irori_client::{Informers, Recorder};
use irori_runtime::{Clock, Tasks};

use crate::{
    Settings,
    cni::{self, InstallError},
    dns::{self, DnsError, DnsServer, DnsSettings, Informed},
    host::{self, HostError, Prepared},
    netlink::NetlinkError,
    nodes, services,
};

/// What a node does for its pods' network.
#[derive(Clone, Debug)]
pub struct Network {
    settings: Settings,
}

/// Whom the network's parts talk to.
pub struct Links<'a> {
    /// May patch this Node's status.
    pub client: kube::Client,
    pub informers: &'a Informers,
    pub recorder: Recorder,
    pub clock: Clock,
}

impl Network {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Makes the host ready for pods. Comes first; safe to repeat while pods run.
    pub async fn prepare(&self) -> Result<Prepared, HostError> {
        host::prepare(&self.settings).await
    }

    /// Puts the CNI plugin where the container runtime looks for it. `program` is irori itself.
    pub fn install(&self, prepared: &Prepared, program: &Path) -> Result<(), InstallError> {
        cni::install(&self.settings, prepared.mtu, program)
    }

    /// Serves Services, routes to other nodes and uplinks that come later, until shutdown.
    pub fn serve(&self, links: Links<'_>, tasks: &Tasks) -> Result<(), NetlinkError> {
        services::run(self.settings.clone(), links.informers, links.recorder, tasks)?;
        nodes::run(self.settings.clone(), links.client, links.informers, links.clock, tasks)?;
        host::follow(self.settings.clone(), tasks)
    }

    /// Serves the cluster's DNS until shutdown. [`dns::ensure_dns_objects`] makes it known to the cluster.
    pub async fn serve_dns(&self, settings: DnsSettings, informers: &Informers, tasks: &Tasks) -> Result<DnsServer, DnsError> {
        dns::run(settings, Informed::new(informers), tasks).await
    }

    /// Removes everything that `prepare` and the plugin made on the host. Pods lose their network.
    pub async fn remove(&self) -> Result<(), HostError> {
        host::remove(&self.settings).await
    }
}
