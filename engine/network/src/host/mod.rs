//! The node's own side: its links, its forwarding, its table; and their removal.
//!
//! Flow: `prepare` -> node link with the pod-side addresses -> forwarding -> base of the table -> what was found.
//! Invariants: safe to repeat while pods run; only things that carry the instance id are made or removed, and the switches that
//! were changed are remembered in `DATA/cni/switches.json` and set back, unless another Irori on the host still needs them.
//! On forwarding policies of others (Docker sets one when it is the first to switch forwarding on; firewalls do): a packet that
//! another table drops cannot be saved by ours, and foreign tables are not touched. `prepare` reports the chain instead.
mod follow;
mod switches;
mod uplink;

pub use follow::follow;

use std::net::IpAddr;

use nix::errno::Errno;

use crate::{
    Cidr, InstanceId, Settings,
    netlink::{
        NetlinkError,
        route::{Link, Route, RouteSocket},
    },
    nft::{Nft, NftError, base},
    sysctl::{self, SysctlError},
};

/// Used where no uplink says otherwise.
const MTU_DEFAULT: u32 = 1_500;

/// A node that is ready for pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// What pod links get: the uplink's.
    pub mtu: u32,
    /// What will hinder pods and is not ours to change.
    pub findings: Vec<Finding>,
}

/// Something on the host that a person should know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Another table drops packets unless it knows them.
    DropPolicy { hook: String, table: String, chain: String },
    /// No default route: pods reach only this machine.
    NoUplink,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DropPolicy { hook, table, chain } if hook == "input" => write!(
                f,
                "chain {chain} of packet table {table} drops what is not expressly allowed into this machine: pods reach its \
                 cluster DNS and API only if it accepts packets from links named ir*"
            ),
            Self::DropPolicy { table, chain, .. } => write!(
                f,
                "chain {chain} of packet table {table} drops forwarded packets (Docker and some firewalls set this): \
                 traffic of pods will not pass until it accepts links named ir*"
            ),
            Self::NoUplink => write!(f, "this machine has no default route: pods will reach only this machine"),
        }
    }
}

/// Why the node's network could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    #[error("set up the pod network: it needs one pod range of each family at most and one at least, not {0:?}")]
    Ranges(Vec<String>),
    #[error("set up the pod network: {address} is already an address of {link}; is another Irori here? Choose another pod range")]
    AddressTaken { address: IpAddr, link: String },
    #[error("set up the pod network: this kernel has no IPv6, but {0} was given")]
    NoIpv6(Cidr),
    #[error("set up the pod network's links")]
    Links(#[from] NetlinkError),
    #[error("set up forwarding")]
    Switch(#[from] SysctlError),
    #[error("remember the switches of before in {}", path.display())]
    Remember { path: std::path::PathBuf, source: std::io::Error },
    #[error("set up packet rules")]
    Rules(#[from] NftError),
}

/// Makes the host ready for pods, or finds that it is.
pub async fn prepare(settings: &Settings) -> Result<Prepared, HostError> {
    check_ranges(settings)?;
    let mut socket = RouteSocket::open()?;
    check_addresses(&mut socket, settings)?;
    let uplinks = uplink::find(&mut socket, settings)?;
    let mtu = uplinks.iter().map(|link| link.mtu).min().unwrap_or(MTU_DEFAULT);
    node_link(&mut socket, settings, mtu)?;
    drop(socket);
    switches::set(settings, &uplinks)?;
    let nft = Nft::new(settings.nft.clone());
    nft.apply(base::commands(settings)).await?;
    let mut findings = drop_policies(&nft, settings).await?;
    if uplinks.is_empty() {
        findings.push(Finding::NoUplink);
    }
    Ok(Prepared { mtu, findings })
}

/// Removes everything that carries the instance's id and sets switches back. Safe to repeat.
pub async fn remove(settings: &Settings) -> Result<(), HostError> {
    Nft::new(settings.nft.clone()).remove_table(&settings.instance.table()).await?;
    let mut socket = RouteSocket::open()?;
    let gateways = settings.gateways();
    for v6 in [false, true] {
        for route in socket.routes(v6)? {
            let own_range = route.link == 0 && settings.pod_cidrs.iter().any(|range| range.contains(route.to.network()));
            if route.ours && (own_range || route.source.is_some_and(|source| gateways.contains(&source))) {
                socket.delete_route(&route)?;
            }
        }
    }
    let (node, peer) = (settings.instance.node_link(), settings.instance.node_link_peer());
    let pods = settings.instance.pod_link_prefix();
    let ours = |link: &Link| link.name == node || link.name == peer || link.name.starts_with(&pods);
    let links = socket.links()?;
    for link in links.iter().filter(|link| ours(link)) {
        socket.delete_link(link.index)?;
    }
    drop(socket);
    let others = links.iter().any(|link| !ours(link) && is_node_link(&link.name));
    switches::restore(settings, others)
}

/// Whether this is the node link of some Irori.
fn is_node_link(name: &str) -> bool {
    name.strip_prefix("ir").is_some_and(|id| id.parse::<InstanceId>().is_ok())
}

fn check_ranges(settings: &Settings) -> Result<(), HostError> {
    let count = |v6| settings.pod_cidrs.iter().filter(|c| c.is_v6() == v6).count();
    if settings.pod_cidrs.is_empty() || count(false) > 1 || count(true) > 1 {
        return Err(HostError::Ranges(settings.pod_cidrs.iter().map(Cidr::to_string).collect()));
    }
    match settings.pod_cidrs.iter().find(|c| c.is_v6()) {
        Some(range) if !sysctl::exists("ipv6") => Err(HostError::NoIpv6(*range)),
        _ => Ok(()),
    }
}

/// Two homes with the same pod range on one host would take each other's packets.
fn check_addresses(socket: &mut RouteSocket, settings: &Settings) -> Result<(), HostError> {
    let own = format!("ir{}", settings.instance);
    let (links, gateways) = (socket.links()?, settings.gateways());
    for taken in socket.addresses()?.into_iter().filter(|a| gateways.contains(&a.address)) {
        let foreign = links.iter().find(|link| link.index == taken.link && !link.name.starts_with(&own));
        if let Some(link) = foreign {
            return Err(HostError::AddressTaken { address: taken.address, link: link.name.clone() });
        }
    }
    Ok(())
}

/// The link that carries the pod-side addresses; the machine's own way and source address to Services; and the answer for pod
/// addresses that no pod has.
fn node_link(socket: &mut RouteSocket, settings: &Settings, mtu: u32) -> Result<(), HostError> {
    let link = match socket.link(&settings.instance.node_link())? {
        Some(link) => link,
        None => make_node_link(socket, settings, mtu)?,
    };
    socket.set_up(link.index)?;
    for range in &settings.pod_cidrs {
        let gateway = range.gateway();
        socket.add_address(link.index, gateway, Cidr::host(gateway).length())?;
        for to in settings.service_cidrs.iter().filter(|c| c.is_v6() == range.is_v6()) {
            let route = Route { to: *to, via: None, link: link.index, source: Some(gateway), onlink: false, ours: true };
            socket.set_route(&route)?;
        }
        socket.set_route(&Route { to: *range, via: None, link: 0, source: None, onlink: false, ours: true })?;
    }
    Ok(())
}

/// A dummy link, or a veth pair with both ends here where the kernel has no dummy links.
fn make_node_link(socket: &mut RouteSocket, settings: &Settings, mtu: u32) -> Result<Link, HostError> {
    let (name, peer) = (settings.instance.node_link(), settings.instance.node_link_peer());
    if !socket.add_dummy(&name)? {
        socket.add_veth(&name, &peer, None, mtu)?;
        for end in [&name, &peer] {
            sysctl::write_if_there(&format!("ipv6/conf/{end}/accept_ra"), "0")?;
        }
        if let Some(other) = socket.link(&peer)? {
            socket.set_up(other.index)?;
        }
    }
    let gone = || NetlinkError::Refused { doing: format!("find link {name} that was just made"), errno: Errno::ENODEV };
    Ok(socket.link(&name)?.ok_or_else(gone)?)
}

async fn drop_policies(nft: &Nft, settings: &Settings) -> Result<Vec<Finding>, HostError> {
    let own = settings.instance.table();
    let text = |chain: &serde_json::Value, field: &str| chain[field].as_str().unwrap_or_default().to_owned();
    let chains = nft.chains().await?;
    let matters = |chain: &&serde_json::Value| chain["hook"] == "forward" || chain["hook"] == "input";
    let dropping =
        chains.iter().filter(matters).filter(|chain| chain["policy"] == "drop" && chain["table"].as_str() != Some(&own));
    let finding = |chain| Finding::DropPolicy {
        hook: text(chain, "hook"),
        table: format!("{} {}", text(chain, "family"), text(chain, "table")),
        chain: text(chain, "name"),
    };
    Ok(dropping.map(finding).collect())
}
