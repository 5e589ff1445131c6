//! Attaching a pod to its node, detaching it, looking whether it is attached.
use std::{
    fs::File,
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::AsRawFd,
    path::Path,
};

use super::{
    answer::{self, CniError, Code},
    config::{Call, Command, NetworkConfig, PodNetwork},
};
use crate::{
    Cidr,
    leases::{self, Holder, LeaseError, Leases},
    namespace,
    netlink::{
        NetlinkError,
        route::{Link, Route, RouteSocket},
    },
    sysctl,
};

/// The host's address on every pod link; pods route IPv6 through it.
pub(crate) const HOST_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// Serves ADD, DEL or CHECK of a pod's network.
pub(super) fn serve(call: &Call, config: &NetworkConfig) -> Result<Option<String>, CniError> {
    let network = config.network.as_ref().ok_or_else(|| CniError::new(Code::Config, "find the pod network"))?;
    match call.command {
        Command::Add => add(call, config, network).map(Some),
        Command::Del => delete(call, network).map(|()| None),
        Command::Check | Command::Version => check(call, network).map(|()| None),
    }
}

/// Serves the calls of the loopback plugin.
pub(super) fn serve_loopback(call: &Call, config: &NetworkConfig) -> Result<Option<String>, CniError> {
    let (Some(path), Command::Add | Command::Check) = (&call.namespace, call.command) else { return Ok(None) };
    enter(path, || {
        let mut socket = RouteSocket::open()?;
        match socket.link("lo")? {
            Some(link) if !link.up => socket.set_up(link.index),
            _ => Ok(()),
        }
    })?
    .map_err(kernel("set lo up"))?;
    Ok((call.command == Command::Add).then(|| answer::loopback_result(&config.cni_version, "lo", path)))
}

fn add(call: &Call, config: &NetworkConfig, network: &PodNetwork) -> Result<String, CniError> {
    let path = call.namespace.clone().unwrap_or_default();
    let holder = Holder { container: call.container.clone(), interface: call.interface.clone(), namespace: path.clone() };
    let index = open_leases(network)?.give(&holder, &network.pod_cidrs).map_err(lease_error)?;
    let addresses = leases::addresses(index, &network.pod_cidrs);
    match attach(call, network, &path, index, &addresses) {
        Ok((host, pod)) => Ok(answer::result(&config.cni_version, &host, &pod, &path, &addresses, &network.pod_cidrs)),
        Err(error) => {
            // The runtime calls DEL after a failed ADD, but need not; what DEL would find is removed here.
            let _the_first_error_counts = delete(call, network);
            Err(error)
        }
    }
}

fn attach(call: &Call, network: &PodNetwork, path: &str, index: u32, addresses: &[IpAddr]) -> Result<(Link, Link), CniError> {
    let namespace = File::open(path).map_err(|e| no_namespace(path, e))?;
    let name = network.instance.pod_link(index);
    let mut socket = RouteSocket::open().map_err(kernel("open netlink"))?;
    if let Some(stale) = socket.link(&name).map_err(kernel("look for an old link"))? {
        socket.delete_link(stale.index).map_err(kernel("remove an old link"))?;
    }
    socket.add_veth(&name, &call.interface, Some(namespace.as_raw_fd()), network.mtu).map_err(kernel("make the pod's link"))?;
    let host = socket
        .link(&name)
        .map_err(kernel("find the pod's link"))?
        .ok_or_else(|| CniError::new(Code::Kernel, format!("find link {name} that was just made")))?;
    set_up_host_side(&mut socket, &host, network, addresses)?;
    let pod = enter(path, || set_up_pod_side(&call.interface, network, addresses))??;
    Ok((host, pod))
}

/// The host's end: the gateway's address, the route to the pod, forwarding for what comes in here.
fn set_up_host_side(socket: &mut RouteSocket, host: &Link, network: &PodNetwork, addresses: &[IpAddr]) -> Result<(), CniError> {
    sysctl::pod_link(&host.name).map_err(|e| CniError::new(Code::Io, format!("set up {}", host.name)).because(e))?;
    let failed = kernel("set up the host's end of the pod's link");
    socket.set_up(host.index).map_err(&failed)?;
    for (address, range) in addresses.iter().zip(&network.pod_cidrs) {
        let gateway = range.gateway();
        socket.add_address(host.index, gateway, Cidr::host(gateway).length()).map_err(&failed)?;
        if address.is_ipv6() {
            socket.add_address(host.index, IpAddr::V6(HOST_LINK_LOCAL), 64).map_err(&failed)?;
        }
        let to = Cidr::host(*address);
        let route = Route { to, via: None, link: host.index, source: Some(gateway), onlink: false, ours: true };
        socket.set_route(&route).map_err(&failed)?;
    }
    Ok(())
}

/// The pod's end: its addresses and one way out of each family.
fn set_up_pod_side(interface: &str, network: &PodNetwork, addresses: &[IpAddr]) -> Result<Link, CniError> {
    let failed = kernel("set up the pod's end of its link");
    let v6 = addresses.iter().any(IpAddr::is_ipv6);
    sysctl::pod_interface(interface, v6)
        .map_err(|e| CniError::new(Code::Io, format!("set up {interface} in the pod")).because(e))?;
    let mut socket = RouteSocket::open().map_err(&failed)?;
    let link = socket
        .link(interface)
        .map_err(&failed)?
        .ok_or_else(|| CniError::new(Code::Kernel, format!("find {interface} in the pod")))?;
    for address in addresses {
        socket.add_address(link.index, *address, Cidr::host(*address).length()).map_err(&failed)?;
    }
    socket.set_up(link.index).map_err(&failed)?;
    for range in &network.pod_cidrs {
        let via = if range.is_v6() { IpAddr::V6(HOST_LINK_LOCAL) } else { range.gateway() };
        let to = Cidr::everything(range.is_v6());
        let route = Route { to, via: Some(via), link: link.index, source: None, onlink: !range.is_v6(), ours: true };
        socket.set_route(&route).map_err(&failed)?;
    }
    Ok(link)
}

/// Removes what ADD made. What is gone already, the namespace included, is as it should be.
fn delete(call: &Call, network: &PodNetwork) -> Result<(), CniError> {
    let leases = open_leases(network)?;
    let Some(index) = leases.find(&call.container, &call.interface).map_err(lease_error)? else { return Ok(()) };
    let mut socket = RouteSocket::open().map_err(kernel("open netlink"))?;
    if let Some(link) = socket.link(&network.instance.pod_link(index)).map_err(kernel("find the pod's link"))? {
        socket.delete_link(link.index).map_err(kernel("remove the pod's link"))?;
    }
    leases.remove(index).map_err(lease_error)
}

/// Looks whether the pod is attached as ADD left it.
fn check(call: &Call, network: &PodNetwork) -> Result<(), CniError> {
    let changed = |what: String| CniError::new(Code::Changed, what);
    let index = open_leases(network)?.find(&call.container, &call.interface).map_err(lease_error)?;
    let index = index.ok_or_else(|| CniError::new(Code::UnknownContainer, "find the container's address lease"))?;
    let name = network.instance.pod_link(index);
    let mut socket = RouteSocket::open().map_err(kernel("open netlink"))?;
    let host = socket.link(&name).map_err(kernel("find the pod's link"))?;
    if !host.is_some_and(|link| link.up) {
        return Err(changed(format!("find link {name} up on the host")));
    }
    let path = call.namespace.clone().unwrap_or_default();
    let seen = enter(&path, || {
        let mut socket = RouteSocket::open()?;
        let Some(link) = socket.link(&call.interface)?.filter(|link| link.up) else { return Ok(None) };
        let addresses: Vec<IpAddr> =
            socket.addresses()?.into_iter().filter(|a| a.link == link.index).map(|a| a.address).collect();
        let mut routes = socket.routes(false)?;
        routes.extend(socket.routes(true)?);
        let ways_out: Vec<Cidr> = routes.into_iter().filter(|r| r.link == link.index).map(|r| r.to).collect();
        Ok(Some((addresses, ways_out)))
    })?
    .map_err(kernel("look into the pod"))?;
    let (addresses, ways_out) = seen.ok_or_else(|| changed(format!("find {} up in the pod", call.interface)))?;
    for address in leases::addresses(index, &network.pod_cidrs) {
        if !addresses.contains(&address) {
            return Err(changed(format!("find address {address} in the pod")));
        }
        let way_out = Cidr::everything(address.is_ipv6());
        if !ways_out.contains(&way_out) {
            return Err(changed(format!("find the route to {way_out} in the pod")));
        }
    }
    Ok(())
}

fn enter<T: Send>(path: &str, work: impl FnOnce() -> T + Send) -> Result<T, CniError> {
    namespace::inside(Path::new(path), work).map_err(|e| no_namespace(path, e))
}

fn no_namespace(path: &str, error: io::Error) -> CniError {
    CniError::new(Code::UnknownContainer, format!("enter the network namespace {path}")).because(error)
}

fn open_leases(network: &PodNetwork) -> Result<Leases, CniError> {
    leases::boot_id().and_then(|boot| Leases::open(&network.leases, &boot)).map_err(lease_error)
}

fn lease_error(error: LeaseError) -> CniError {
    let code = match &error {
        LeaseError::Files { .. } => Code::Io,
        LeaseError::Exhausted { .. } => Code::Exhausted,
    };
    CniError::new(code, "lease the pod an address").because(error)
}

fn kernel(doing: &'static str) -> impl Fn(NetlinkError) -> CniError {
    move |error| CniError::new(Code::Kernel, doing).because(error)
}
