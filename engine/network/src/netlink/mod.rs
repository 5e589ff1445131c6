//! The kernel's netlink sockets, spoken without an event loop: a request, its answers, an acknowledgement.
//!
//! What it is: one blocking socket that carries bytes; `route` (links, addresses, routes) and `conntrack` give them meaning.
//! Why not asynchronous: the kernel answers within the system call's own time, and the CNI plugin must start in a millisecond.
//! Invariant: a socket belongs to the network namespace in which it was opened, whatever thread uses it later.
//! Limits: 5 s for an answer, 3 tries of a listing that changed while it was read.
pub mod conntrack;
pub mod events;
pub mod route;

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::{
        socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt},
        time::{TimeVal, TimeValLike},
    },
};

const HEADER_LEN: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const FLAG_REQUEST: u16 = 0x1;
const FLAG_ACK: u16 = 0x4;
const FLAG_DUMP_INTERRUPTED: u16 = 0x10;
const FLAG_DUMP: u16 = 0x300;
/// Create it if it is not there.
pub const FLAG_CREATE: u16 = 0x400;
/// Refuse if it is there.
pub const FLAG_EXCLUSIVE: u16 = 0x200;
/// Replace it if it is there.
pub const FLAG_REPLACE: u16 = 0x100;
/// Answers are read in pieces of this many bytes; the kernel fits its messages into what is offered.
const ANSWER_BYTES: usize = 64 << 10;
const ANSWER_SECONDS: i64 = 5;
const DUMP_TRIES: u32 = 3;

/// Why a request to the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    #[error("open a netlink socket")]
    Open(#[source] io::Error),
    #[error("talk to the kernel by netlink")]
    Talk(#[source] io::Error),
    #[error("understand the kernel's answer: {0}")]
    Answer(String),
    /// The kernel's own refusal.
    #[error("{doing}: {}", errno.desc())]
    Refused { doing: String, errno: Errno },
}

impl NetlinkError {
    /// The kernel's errno, where it was a refusal.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// One message of an answer.
pub struct Answer {
    pub kind: u16,
    pub payload: Vec<u8>,
}

/// A netlink socket.
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    pub fn open(protocol: SockProtocol) -> Result<Self, NetlinkError> {
        let opened = (|| {
            let fd = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
            socket::bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
            socket::setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(ANSWER_SECONDS))?;
            Ok::<_, Errno>(fd)
        })();
        opened.map(|fd| Self { fd, sequence: 0 }).map_err(|e| NetlinkError::Open(e.into()))
    }

    /// Asks for a change or for one object; returns what came before the acknowledgement.
    pub fn request(&mut self, kind: u16, flags: u16, payload: &[u8], doing: &str) -> Result<Vec<Answer>, NetlinkError> {
        self.send(kind, FLAG_REQUEST | FLAG_ACK | flags, payload)?;
        self.receive(doing).map(|(answers, _)| answers)
    }

    /// Lists all objects, again if they changed meanwhile; the last reading is returned even if it was disturbed.
    pub fn dump(&mut self, kind: u16, payload: &[u8], doing: &str) -> Result<Vec<Answer>, NetlinkError> {
        let mut tries = 1;
        loop {
            self.send(kind, FLAG_REQUEST | FLAG_DUMP, payload)?;
            let (answers, interrupted) = self.receive(doing)?;
            if !interrupted || tries == DUMP_TRIES {
                return Ok(answers);
            }
            tries += 1;
        }
    }

    fn send(&mut self, kind: u16, flags: u16, payload: &[u8]) -> Result<(), NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = u32::try_from(HEADER_LEN + payload.len()).expect("a request is a few hundred bytes");
        let mut message = Vec::with_capacity(HEADER_LEN + payload.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0_u32.to_ne_bytes());
        message.extend_from_slice(payload);
        socket::send(self.fd.as_raw_fd(), &message, MsgFlags::empty()).map_err(|e| NetlinkError::Talk(e.into()))?;
        Ok(())
    }

    fn receive(&mut self, doing: &str) -> Result<(Vec<Answer>, bool), NetlinkError> {
        let mut buffer = vec![0; ANSWER_BYTES];
        let (mut answers, mut interrupted) = (Vec::new(), false);
        loop {
            let read = match socket::recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                other => other.map_err(|e| NetlinkError::Talk(e.into()))?,
            };
            let mut rest = &buffer[..read];
            while let Some((message, behind)) = split(rest) {
                rest = behind;
                if message.sequence != self.sequence {
                    continue; // what is left of a reading that was given up
                }
                interrupted |= message.flags & FLAG_DUMP_INTERRUPTED != 0;
                match message.kind {
                    DONE => return Ok((answers, interrupted)),
                    ERROR => {
                        let code = message.payload.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
                        if code == 0 {
                            return Ok((answers, interrupted));
                        }
                        return Err(NetlinkError::Refused { doing: doing.to_owned(), errno: Errno::from_raw(-code) });
                    }
                    kind => answers.push(Answer { kind, payload: message.payload.to_vec() }),
                }
            }
        }
    }
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// Takes the first message off `bytes`; `None` at the end or at nonsense.
fn split(bytes: &[u8]) -> Option<(Message<'_>, &[u8])> {
    let header = bytes.get(..HEADER_LEN)?;
    let u16_at = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
    let u32_at = |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let length = usize::try_from(u32_at(0)).ok()?;
    let payload = bytes.get(HEADER_LEN..length)?;
    let behind = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((Message { kind: u16_at(4), flags: u16_at(6), sequence: u32_at(8), payload }, behind))
}
