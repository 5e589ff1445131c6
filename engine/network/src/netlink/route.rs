//! Links, addresses and routes.
use std::{net::IpAddr, os::fd::RawFd};

use netlink_packet_core::{Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope},
    link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use nix::{errno::Errno, sys::socket::SockProtocol};

use super::{Answer, FLAG_CREATE, FLAG_EXCLUSIVE, FLAG_REPLACE, NetlinkError, Socket};
use crate::Cidr;

/// The mark by which routes of ours are known among others (`proto` in `ip route`).
const PROTOCOL: RouteProtocol = RouteProtocol::Other(0x69);

/// A link as the kernel tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    pub mtu: u32,
    pub mac: Vec<u8>,
    pub up: bool,
}

impl Link {
    /// The hardware address as `02:00:…`.
    pub fn mac_text(&self) -> String {
        self.mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
    }
}

/// An address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    pub link: u32,
    pub address: IpAddr,
    pub length: u8,
    pub global: bool,
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub to: Cidr,
    /// Next hop; without one the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The link's index; 0 makes a destination that is answered as unreachable.
    pub link: u32,
    /// Source address that the machine itself prefers on this route.
    pub source: Option<IpAddr>,
    /// The next hop is on the link although no address says so.
    pub onlink: bool,
    /// Whether Irori made it. Ignored when a route is added: then it is ours.
    pub ours: bool,
}

/// Links, addresses and routes of one network namespace.
pub struct RouteSocket(Socket);

impl RouteSocket {
    /// Opens a socket on the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Socket::open(SockProtocol::NetlinkRoute).map(Self)
    }

    /// The link of that name.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let doing = format!("look up link {name}");
        match self.ask(RouteNetlinkMessage::GetLink(message), 0, &doing) {
            Ok(answers) => Ok(parse(answers)?.into_iter().find_map(link_of)),
            Err(e) if e.errno() == Some(Errno::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let answers = self.list(RouteNetlinkMessage::GetLink(LinkMessage::default()), "list links")?;
        Ok(answers.into_iter().filter_map(link_of).collect())
    }

    /// Makes a dummy link. `Ok(false)` where the kernel knows no such kind.
    pub fn add_dummy(&mut self, name: &str) -> Result<bool, NetlinkError> {
        let message = new_link(name, vec![LinkInfo::Kind(InfoKind::Dummy)]);
        match self.create(RouteNetlinkMessage::NewLink(message), &format!("make dummy link {name}")) {
            Ok(()) => Ok(true),
            Err(e) if e.errno() == Some(Errno::EOPNOTSUPP) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// Makes a veth pair; the peer is born in the namespace `peer_namespace` if one is given.
    pub fn add_veth(&mut self, name: &str, peer: &str, peer_namespace: Option<RawFd>, mtu: u32) -> Result<(), NetlinkError> {
        let mut other = LinkMessage::default();
        other.attributes.push(LinkAttribute::IfName(peer.to_owned()));
        other.attributes.push(LinkAttribute::Mtu(mtu));
        other.attributes.extend(peer_namespace.map(LinkAttribute::NetNsFd));
        let info = vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other)))];
        let mut message = new_link(name, info);
        message.attributes.push(LinkAttribute::Mtu(mtu));
        self.create(RouteNetlinkMessage::NewLink(message), &format!("make veth pair {name}"))
    }

    /// Sets a link up.
    pub fn set_up(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        self.ask(RouteNetlinkMessage::SetLink(message), 0, "set a link up").map(drop)
    }

    /// Removes a link; one that is gone already is no error.
    pub fn delete_link(&mut self, index: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        absent_is_fine(self.ask(RouteNetlinkMessage::DelLink(message), 0, "delete a link"))
    }

    /// All addresses.
    pub fn addresses(&mut self) -> Result<Vec<LinkAddress>, NetlinkError> {
        let answers = self.list(RouteNetlinkMessage::GetAddress(AddressMessage::default()), "list addresses")?;
        Ok(answers.into_iter().filter_map(address_of).collect())
    }

    /// Puts an address on a link, usable at once (no duplicate detection); one that is there already is no error.
    pub fn add_address(&mut self, link: u32, address: IpAddr, length: u8) -> Result<(), NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.family = family(address.is_ipv6());
        message.header.prefix_len = length;
        message.header.index = link;
        if address.is_ipv6() {
            message.header.flags = AddressHeaderFlags::Nodad;
        }
        if is_link_local(address) {
            message.header.scope = AddressScope::Link;
        }
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        match self.create(RouteNetlinkMessage::NewAddress(message), &format!("add address {address}/{length}")) {
            Err(e) if e.errno() == Some(Errno::EEXIST) => Ok(()),
            other => other,
        }
    }

    /// Routes of the main table.
    pub fn routes(&mut self, v6: bool) -> Result<Vec<Route>, NetlinkError> {
        let mut message = RouteMessage::default();
        message.header.address_family = family(v6);
        let answers = self.list(RouteNetlinkMessage::GetRoute(message), "list routes")?;
        Ok(answers.into_iter().filter_map(route_of).collect())
    }

    /// Adds a route, or puts it in the place of the one to the same destination.
    pub fn set_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::NewRoute(route_message(route));
        self.ask(message, FLAG_CREATE | FLAG_REPLACE, &format!("set the route to {}", route.to)).map(drop)
    }

    /// Removes a route; one that is gone already is no error.
    pub fn delete_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelRoute(route_message(route));
        absent_is_fine(self.ask(message, 0, &format!("delete the route to {}", route.to)))
    }

    fn create(&mut self, message: RouteNetlinkMessage, doing: &str) -> Result<(), NetlinkError> {
        self.ask(message, FLAG_CREATE | FLAG_EXCLUSIVE, doing).map(drop)
    }

    fn ask(&mut self, message: RouteNetlinkMessage, flags: u16, doing: &str) -> Result<Vec<Answer>, NetlinkError> {
        let (kind, payload) = bytes(&message);
        self.0.request(kind, flags, &payload, doing)
    }

    fn list(&mut self, message: RouteNetlinkMessage, doing: &str) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let (kind, payload) = bytes(&message);
        parse(self.0.dump(kind, &payload, doing)?)
    }
}

fn bytes(message: &RouteNetlinkMessage) -> (u16, Vec<u8>) {
    let mut payload = vec![0; NetlinkSerializable::buffer_len(message)];
    NetlinkSerializable::serialize(message, &mut payload);
    (NetlinkSerializable::message_type(message), payload)
}

fn parse(answers: Vec<Answer>) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
    let read = |answer: Answer| {
        let mut header = NetlinkHeader::default();
        header.message_type = answer.kind;
        header.length = u32::try_from(header.buffer_len() + answer.payload.len()).expect("shorter than the read buffer");
        RouteNetlinkMessage::deserialize(&header, &answer.payload).map_err(|e| NetlinkError::Answer(e.to_string()))
    };
    answers.into_iter().map(read).collect()
}

fn absent_is_fine(result: Result<Vec<Answer>, NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(e) if matches!(e.errno(), Some(Errno::ENODEV | Errno::ESRCH | Errno::ENOENT | Errno::EADDRNOTAVAIL)) => Ok(()),
        other => other.map(drop),
    }
}

fn new_link(name: &str, info: Vec<LinkInfo>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(info)];
    message
}

fn link_of(message: RouteNetlinkMessage) -> Option<Link> {
    let RouteNetlinkMessage::NewLink(message) = message else { return None };
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, name: String::new(), mtu: 0, mac: Vec::new(), up };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            _ => {}
        }
    }
    Some(link)
}

fn address_of(message: RouteNetlinkMessage) -> Option<LinkAddress> {
    let RouteNetlinkMessage::NewAddress(message) = message else { return None };
    let (mut local, mut any) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => any = Some(*address),
            _ => {}
        }
    }
    let global = message.header.scope == AddressScope::Universe;
    local.or(any).map(|address| LinkAddress { link: message.header.index, address, length: message.header.prefix_len, global })
}

fn route_message(route: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(route.to.is_v6());
    message.header.destination_prefix_length = route.to.length();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = PROTOCOL;
    message.header.kind = if route.link == 0 { RouteType::Unreachable } else { RouteType::Unicast };
    let on_this_link = route.link != 0 && route.via.is_none() && !route.to.is_v6();
    message.header.scope = if on_this_link { RouteScope::Link } else { RouteScope::Universe };
    if route.onlink {
        message.header.flags |= RouteFlags::Onlink;
    }
    if route.to.length() > 0 {
        message.attributes.push(RouteAttribute::Destination(route.to.network().into()));
    }
    message.attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
    message.attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    if route.link != 0 {
        message.attributes.push(RouteAttribute::Oif(route.link));
    }
    message
}

fn route_of(message: RouteNetlinkMessage) -> Option<Route> {
    let RouteNetlinkMessage::NewRoute(message) = message else { return None };
    let unreachable = message.header.kind == RouteType::Unreachable;
    let known = unreachable || message.header.kind == RouteType::Unicast;
    if !known || message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let v6 = message.header.address_family == AddressFamily::Inet6;
    let mut route = Route {
        to: Cidr::everything(v6),
        via: None,
        link: 0,
        source: None,
        onlink: message.header.flags.contains(RouteFlags::Onlink),
        ours: message.header.protocol == PROTOCOL,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => route.to = Cidr::new(ip_of(to)?, message.header.destination_prefix_length)?,
            RouteAttribute::Gateway(via) => route.via = ip_of(via),
            RouteAttribute::PrefSource(source) => route.source = ip_of(source),
            RouteAttribute::Oif(link) if !unreachable => route.link = *link,
            _ => {}
        }
    }
    Some(route)
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn family(v6: bool) -> AddressFamily {
    if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet }
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
