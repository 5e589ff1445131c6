//! The sockets.
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use hickory_proto::op::{Message, ResponseCode};
use irori_runtime::{OnEnd, Tasks};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};
use tracing::{debug, warn};

use super::{
    DnsSettings,
    answer::encode,
    directory::Directory,
    forward::Forwarder,
    question::{Question, Read, read, respond, udp_bytes},
    zone::{Zone, ZoneAnswer},
};

/// Questions that wait for upstream servers. Above this the answer is SERVFAIL.
const FORWARDED_MAX: usize = 512;
/// TCP connections. Above this new ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 128;
/// A TCP connection without a question for so long is closed.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// After a socket error that is not one client's, before the next try.
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(100);

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("serve the cluster domain `{domain}`: {problem}")]
    Domain { domain: String, problem: String },
    #[error("bind the DNS server on {address}")]
    Listen { address: SocketAddr, source: io::Error },
}

/// A running server.
#[derive(Clone, Debug)]
pub struct DnsServer {
    /// Where it listens, UDP and TCP.
    pub addresses: Vec<SocketAddr>,
}

/// Binds all sockets, then serves until shutdown.
pub async fn run(settings: DnsSettings, directory: impl Directory, tasks: &Tasks) -> Result<DnsServer, DnsError> {
    let (domain, listen) = (settings.domain.clone(), settings.listen.clone());
    let own: Vec<IpAddr> = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback()).collect();
    let own = own.into_iter().chain(settings.service_addresses.iter().copied()).collect();
    let forwarder = Arc::new(Forwarder::new(settings.upstreams.clone(), own));
    let zone = Zone::new(settings).map_err(|problem| DnsError::Domain { domain, problem })?;
    let serving = Arc::new(Serving { zone, directory: Box::new(directory), forwarder, slots: Semaphore::new(FORWARDED_MAX) });
    let mut sockets = Vec::new();
    for address in listen {
        sockets.push(bind(address).await.map_err(|source| DnsError::Listen { address, source })?);
    }
    let mut addresses = Vec::new();
    for (udp, tcp, address) in sockets {
        addresses.push(address);
        let (serving_udp, serving_tcp, tasks_udp, tasks_tcp) = (serving.clone(), serving.clone(), tasks.clone(), tasks.clone());
        tasks.spawn("dns-udp", OnEnd::Fatal, async move {
            let shutdown = tasks_udp.shutdown().clone();
            let _stopped = shutdown.guard(serve_udp(Arc::new(udp), serving_udp, tasks_udp)).await;
            Ok::<(), io::Error>(())
        });
        tasks.spawn("dns-tcp", OnEnd::Fatal, async move {
            let shutdown = tasks_tcp.shutdown().clone();
            let _stopped = shutdown.guard(serve_tcp(tcp, serving_tcp, tasks_tcp)).await;
            Ok::<(), io::Error>(())
        });
    }
    Ok(DnsServer { addresses })
}

/// UDP and TCP on the same port, also where the port is 0.
async fn bind(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener, SocketAddr)> {
    let tcp = TcpListener::bind(address).await?;
    let address = tcp.local_addr()?;
    Ok((UdpSocket::bind(address).await?, tcp, address))
}

struct Serving {
    zone: Zone,
    directory: Box<dyn Directory>,
    forwarder: Arc<Forwarder>,
    slots: Semaphore,
}

/// How far a question came without waiting for anybody.
enum Step {
    Done(Box<Message>),
    /// It has to be asked upstream; the zone's part of the answer, if it began with an alias.
    Forward(Option<Box<ZoneAnswer>>),
}

impl Serving {
    fn at_once(&self, question: &Question) -> Step {
        let (name, kind) = (question.query.name(), question.query.query_type());
        match self.zone.answer(&*self.directory, name, kind) {
            // To deny a name because it is not known yet would be a lie that clients remember.
            Some(_) if !self.directory.is_complete() => Step::Done(Box::new(respond(&question.request, ResponseCode::ServFail))),
            Some(answer) if answer.elsewhere.is_some() => Step::Forward(Some(Box::new(answer))),
            Some(answer) => Step::Done(Box::new(from_zone(question, answer))),
            None => Step::Forward(None),
        }
    }

    async fn forward(&self, question: &Question, begun: Option<Box<ZoneAnswer>>) -> Message {
        let Ok(_slot) = self.slots.try_acquire() else {
            return respond(&question.request, ResponseCode::ServFail);
        };
        let elsewhere = begun.as_ref().and_then(|answer| answer.elsewhere.clone());
        let name = elsewhere.unwrap_or_else(|| question.query.name().clone());
        let reply = self.forwarder.ask(&name, question.query.query_type()).await;
        let mut response = respond(&question.request, reply.code);
        let aliases = begun.map(|answer| answer.answers).unwrap_or_default();
        if !aliases.is_empty() {
            // The alias itself is known, whatever is behind it.
            response.metadata.authoritative = true;
            if reply.code == ResponseCode::ServFail {
                response.metadata.response_code = ResponseCode::NoError;
            }
        }
        response.answers = aliases;
        response.answers.extend(reply.answers);
        response.authorities = reply.authorities;
        response
    }

    /// The answer, however long it takes.
    async fn answer(&self, question: &Question) -> Message {
        match self.at_once(question) {
            Step::Done(message) => *message,
            Step::Forward(begun) => self.forward(question, begun).await,
        }
    }
}

fn from_zone(question: &Question, answer: ZoneAnswer) -> Message {
    let code = if answer.exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
    let mut response = respond(&question.request, code);
    response.metadata.authoritative = true;
    response.answers = answer.answers;
    response.additionals = answer.additionals;
    response.authorities.extend(answer.soa);
    response
}

async fn serve_udp(socket: Arc<UdpSocket>, serving: Arc<Serving>, tasks: Tasks) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (read_bytes, peer) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(source) => {
                // An ICMP error about an earlier answer, or the machine is out of memory.
                debug!("receive a DNS question: {source}");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        match read(&buffer[..read_bytes]) {
            Read::Ignore => {}
            Read::Refuse(message) => send(&socket, *message, usize::from(u16::MAX), peer).await,
            Read::Ask(question) => match serving.at_once(&question) {
                Step::Done(message) => send(&socket, *message, udp_bytes(&question.request), peer).await,
                Step::Forward(begun) => {
                    let (socket, serving) = (socket.clone(), serving.clone());
                    tasks.spawn("dns-forward", OnEnd::Contained, async move {
                        let message = serving.forward(&question, begun).await;
                        send(&socket, message, udp_bytes(&question.request), peer).await;
                        Ok::<(), io::Error>(())
                    });
                }
            },
        }
    }
}

async fn send(socket: &UdpSocket, message: Message, bytes_max: usize, peer: SocketAddr) {
    let Some(bytes) = encode(message, bytes_max) else {
        warn!("write a DNS answer: it cannot be encoded");
        return;
    };
    if let Err(source) = socket.send_to(&bytes, peer).await {
        debug!(%peer, "send a DNS answer: {source}");
    }
}

async fn serve_tcp(listener: TcpListener, serving: Arc<Serving>, tasks: Tasks) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(source) => {
                debug!("accept a DNS connection: {source}");
                tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                continue;
            }
        };
        let (serving, shutdown) = (serving.clone(), tasks.shutdown().clone());
        tasks.spawn("dns-connection", OnEnd::Contained, async move {
            let _slot = slot;
            // How a client ends its connection is its own business.
            let _ended = shutdown.guard(serve_connection(stream, &serving)).await;
            Ok::<(), io::Error>(())
        });
    }
}

/// Questions in a row, each answered before the next is read.
async fn serve_connection(mut stream: TcpStream, serving: &Serving) -> io::Result<()> {
    loop {
        let packet = timeout(IDLE_TIME, read_framed(&mut stream)).await??;
        let message = match read(&packet) {
            Read::Ignore => return Ok(()),
            Read::Refuse(message) => *message,
            Read::Ask(question) => serving.answer(&question).await,
        };
        let Some(bytes) = encode(message, usize::from(u16::MAX)) else { return Ok(()) };
        let mut framed = u16::try_from(bytes.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        timeout(IDLE_TIME, stream.write_all(&framed)).await??;
    }
}

async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut packet = vec![0; usize::from(length)];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}
