//! What the kernel tells unasked.
use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use futures::{Stream, stream};
use nix::{
    errno::Errno,
    sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType},
};
use tokio::io::unix::AsyncFd;
use tracing::warn;

use super::{NetlinkError, split};

/// Links, addresses and routes of both families (linux/rtnetlink.h, RTMGRP_*).
const ROUTE_GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;
/// nftables (linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES).
const NFTABLES_GROUP: u32 = 1 << 6;
/// NFT_MSG_DELTABLE of the nftables subsystem (linux/netfilter/nf_tables.h).
const TABLE_DELETED: u16 = 10 << 8 | 2;
const EVENT_BYTES: usize = 32 << 10;

/// Something changed. Missed events count as a change.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed;

/// Tells whenever a link, an address or a route of the calling thread's namespace changes.
pub fn links_and_routes() -> Result<impl Stream<Item = Changed> + Send + use<>, NetlinkError> {
    follow(SockProtocol::NetlinkRoute, ROUTE_GROUPS, |_, _| true)
}

/// Tells whenever the nft table of that name is deleted, by anybody.
pub fn table_deleted(table: &str) -> Result<impl Stream<Item = Changed> + Send + use<>, NetlinkError> {
    // The name stands in an attribute, ended by a zero.
    let name = [table.as_bytes(), b"\0"].concat();
    follow(SockProtocol::NetlinkNetFilter, NFTABLES_GROUP, move |kind, payload| {
        kind == TABLE_DELETED && payload.windows(name.len()).any(|part| part == name)
    })
}

fn follow<F: Fn(u16, &[u8]) -> bool + Send + Sync + 'static>(
    protocol: SockProtocol,
    groups: u32,
    interesting: F,
) -> Result<impl Stream<Item = Changed> + Send + use<F>, NetlinkError> {
    let open = || -> io::Result<AsyncFd<OwnedFd>> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        socket::bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        watched(fd)
    };
    let fd = open().map_err(NetlinkError::Open)?;
    Ok(stream::unfold((fd, interesting), |(fd, interesting)| async move {
        loop {
            match read(&fd, &interesting).await {
                Ok(true) => return Some((Changed, (fd, interesting))),
                Ok(false) => {}
                Err(source) => {
                    warn!("hear of changes from the kernel: {source}");
                    return None;
                }
            }
        }
    }))
}

#[allow(unsafe_code)]
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned, so it stays open and the same for as long as it is registered, and is given to nobody.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

/// Waits for one datagram; whether anything in it is interesting.
async fn read(fd: &AsyncFd<OwnedFd>, interesting: &impl Fn(u16, &[u8]) -> bool) -> io::Result<bool> {
    let mut buffer = vec![0; EVENT_BYTES];
    loop {
        let mut guard = fd.readable().await?;
        let received = guard.try_io(|fd| Ok(socket::recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?));
        match received {
            Err(_would_block) => {}
            Ok(Err(source)) if source.raw_os_error() == Some(Errno::ENOBUFS as i32) => return Ok(true),
            Ok(Err(source)) if source.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(source)) => return Err(source),
            Ok(Ok(read)) => {
                let (mut rest, mut found) = (&buffer[..read], false);
                while let Some((message, behind)) = split(rest) {
                    found |= interesting(message.kind, message.payload);
                    rest = behind;
                }
                return Ok(found);
            }
        }
    }
}
