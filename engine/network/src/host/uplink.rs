//! The interfaces through which pods reach the outside.
use crate::{
    Settings,
    netlink::{
        NetlinkError,
        route::{Link, RouteSocket},
    },
};

/// Those named in the settings; else those with a default route and those that carry one of the node's addresses.
pub fn find(socket: &mut RouteSocket, settings: &Settings) -> Result<Vec<Link>, NetlinkError> {
    let links = socket.links()?;
    if !settings.uplinks.is_empty() {
        return Ok(links.into_iter().filter(|link| settings.uplinks.contains(&link.name)).collect());
    }
    let mut indices = Vec::new();
    for v6 in [false, true] {
        indices.extend(socket.routes(v6)?.into_iter().filter(|r| r.to.length() == 0).map(|r| r.link));
    }
    let own = socket.addresses()?.into_iter().filter(|a| settings.node_addresses.contains(&a.address));
    indices.extend(own.map(|a| a.link));
    Ok(links.into_iter().filter(|link| indices.contains(&link.index) && link.name != "lo").collect())
}
