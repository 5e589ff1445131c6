//! The kernel's memory of connections.
//!
//! Numbers: linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::{errno::Errno, sys::socket::SockProtocol};

use super::{NetlinkError, Socket};

const CONNTRACK: u16 = 1 << 8;
const GET: u16 = CONNTRACK | 1;
const DELETE: u16 = CONNTRACK | 2;
const FAMILY_HEADER_LEN: usize = 4;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IPV4_SOURCE: u16 = 1;
const IPV4_DESTINATION: u16 = 2;
const IPV6_SOURCE: u16 = 3;
const IPV6_DESTINATION: u16 = 4;
const PROTOCOL_NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
/// Flags in an attribute's type: nested, network byte order.
const TYPE_MASK: u16 = 0x3fff;
const UDP: u8 = 17;

/// A connection that the kernel remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub udp: bool,
    /// Whom the client addressed.
    pub to: Option<SocketAddr>,
    /// Who answers: the endpoint after translation.
    pub answers: Option<SocketAddr>,
    family: u8,
    /// The attributes that name the connection, as the kernel wrote them.
    name: Vec<u8>,
}

impl Connection {
    /// A connection for tests of decisions about connections.
    #[cfg(test)]
    pub fn udp_for_test(to: &str, answers: &str) -> Self {
        let address = |text: &str| Some(text.parse().expect("an address"));
        Self { udp: true, to: address(to), answers: address(answers), family: 0, name: Vec::new() }
    }
}

/// Access to the connections of one network namespace.
pub struct ConntrackSocket(Socket);

impl ConntrackSocket {
    /// Opens a socket on the calling thread's namespace.
    pub fn open() -> Result<Self, NetlinkError> {
        Socket::open(SockProtocol::NetlinkNetFilter).map(Self)
    }

    /// All connections of both families. What cannot be understood is left out.
    pub fn connections(&mut self) -> Result<Vec<Connection>, NetlinkError> {
        let mut connections = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            let family = u8::try_from(family).expect("2 and 10");
            let answers = self.0.dump(GET, &[family, 0, 0, 0], "list connections")?;
            connections.extend(answers.iter().filter_map(|answer| parse(family, &answer.payload)));
        }
        Ok(connections)
    }

    /// Makes the kernel forget a connection; one that ended meanwhile is no error.
    pub fn forget(&mut self, connection: &Connection) -> Result<(), NetlinkError> {
        let mut payload = vec![connection.family, 0, 0, 0];
        payload.extend_from_slice(&connection.name);
        match self.0.request(DELETE, 0, &payload, "forget a connection") {
            Err(e) if e.errno() == Some(Errno::ENOENT) => Ok(()),
            other => other.map(drop),
        }
    }
}

fn parse(family: u8, payload: &[u8]) -> Option<Connection> {
    let (mut name, mut original, mut reply) = (Vec::new(), None, None);
    for attribute in attributes(payload.get(FAMILY_HEADER_LEN..)?) {
        match attribute.kind {
            TUPLE_ORIGINAL => original = Tuple::parse(attribute.value),
            TUPLE_REPLY => reply = Tuple::parse(attribute.value),
            _ => {}
        }
        if matches!(attribute.kind, TUPLE_ORIGINAL | ZONE) {
            name.extend_from_slice(attribute.whole);
            name.resize(name.len().next_multiple_of(4), 0);
        }
    }
    let (original, reply) = (original?, reply?);
    Some(Connection { udp: original.protocol == UDP, to: original.destination(), answers: reply.source(), family, name })
}

#[derive(Default)]
struct Tuple {
    protocol: u8,
    from: (Option<IpAddr>, Option<u16>),
    to: (Option<IpAddr>, Option<u16>),
}

impl Tuple {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut tuple = Self::default();
        for part in attributes(value) {
            for attribute in attributes(part.value) {
                let number = attribute.value.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
                match (part.kind, attribute.kind) {
                    (TUPLE_IP, IPV4_SOURCE | IPV6_SOURCE) => tuple.from.0 = ip(attribute.value),
                    (TUPLE_IP, IPV4_DESTINATION | IPV6_DESTINATION) => tuple.to.0 = ip(attribute.value),
                    (TUPLE_PROTOCOL, PROTOCOL_NUMBER) => tuple.protocol = *attribute.value.first()?,
                    (TUPLE_PROTOCOL, SOURCE_PORT) => tuple.from.1 = number,
                    (TUPLE_PROTOCOL, DESTINATION_PORT) => tuple.to.1 = number,
                    _ => {}
                }
            }
        }
        Some(tuple)
    }

    fn source(&self) -> Option<SocketAddr> {
        self.from.0.zip(self.from.1).map(SocketAddr::from)
    }

    fn destination(&self) -> Option<SocketAddr> {
        self.to.0.zip(self.to.1).map(SocketAddr::from)
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => value.first_chunk::<4>().map(|bytes| IpAddr::V4(Ipv4Addr::from(*bytes))),
        16 => value.first_chunk::<16>().map(|bytes| IpAddr::V6(Ipv6Addr::from(*bytes))),
        _ => None,
    }
}

struct Attribute<'a> {
    kind: u16,
    value: &'a [u8],
    /// With its header, without padding.
    whole: &'a [u8],
}

/// The attributes in `bytes`, up to the first that does not fit.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Attribute<'_>> {
    std::iter::from_fn(move || {
        let header = bytes.first_chunk::<4>()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & TYPE_MASK;
        let whole = bytes.get(..length)?;
        let value = whole.get(4..)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Attribute { kind, value, whole })
    })
}
