//! Asking others.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use hickory_proto::{
    op::{Edns, Message, MessageType, Query, ResponseCode},
    rr::{Name, RecordType},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout},
};
use tracing::debug;

use super::{
    Upstreams,
    cache::{Asked, Cache, Reply},
    question::UDP_BYTES_MAX,
    resolv::ResolvConf,
};

/// For one server's answer.
const TRY_TIME: Duration = Duration::from_secs(2);
/// For the whole question; a C library asks again after 5 s.
const WHOLE_TIME: Duration = Duration::from_millis(4_800);
/// Each server is asked this often.
const ROUNDS: usize = 2;
/// Packets that are not the answer, before a try is given up.
const STRAY_PACKETS_MAX: usize = 16;

/// The forwarder of one server process.
pub struct Forwarder {
    upstreams: Upstreams,
    /// Addresses at which we are asked: never asked by us.
    own: Vec<IpAddr>,
    file: Mutex<ResolvConf>,
    /// The server that answered last is asked first.
    preferred: AtomicUsize,
    cache: Mutex<Cache>,
    asking: Mutex<HashMap<Asked, Shared<BoxFuture<'static, Arc<Reply>>>>>,
}

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error("talk to the server")]
    Io(#[from] std::io::Error),
    #[error("no answer in time")]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("the answer is none to the question")]
    Stray,
    #[error("write the question: {0}")]
    Question(String),
}

impl Forwarder {
    pub fn new(upstreams: Upstreams, own: Vec<IpAddr>) -> Self {
        Self {
            upstreams,
            own,
            file: Mutex::default(),
            preferred: AtomicUsize::new(0),
            cache: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// The answer, from memory or from a server. Everybody who asks the same at the same time waits for one answer.
    pub async fn ask(self: &Arc<Self>, name: &Name, kind: RecordType) -> Reply {
        let asked = (name.to_lowercase(), kind);
        if let Some(reply) = lock(&self.cache).get(&asked, Instant::now()) {
            return reply;
        }
        let waiting = {
            let mut asking = lock(&self.asking);
            let begin = || {
                let (this, asked) = (self.clone(), asked.clone());
                async move { Arc::new(this.ask_servers(asked).await) }.boxed().shared()
            };
            asking.entry(asked.clone()).or_insert_with(begin).clone()
        };
        let reply = waiting.clone().await;
        let mut asking = lock(&self.asking);
        if asking.get(&asked).is_some_and(|other| other.ptr_eq(&waiting)) {
            asking.remove(&asked);
        }
        drop(asking);
        Reply::clone(&reply)
    }

    async fn ask_servers(&self, asked: Asked) -> Reply {
        let reply = timeout(WHOLE_TIME, self.ask_in_turn(&asked)).await.unwrap_or_else(|_| Reply::failure());
        lock(&self.cache).put(asked, &reply, Instant::now());
        reply
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let mut servers = match &self.upstreams {
            Upstreams::Fixed(servers) => servers.clone(),
            Upstreams::ResolvConf(path) => lock(&self.file).servers(path),
        };
        servers.retain(|server| !self.own.contains(&server.ip()));
        servers
    }

    async fn ask_in_turn(&self, asked: &Asked) -> Reply {
        let servers = self.servers();
        if servers.is_empty() {
            debug!("no name server is known to ask about {}", asked.0);
        }
        let mut last = Reply::failure();
        let first = self.preferred.load(Ordering::Relaxed);
        for n in 0..servers.len() * ROUNDS {
            let at = (first + n) % servers.len();
            match ask_server(servers[at], asked).await {
                Ok(reply) if matches!(reply.code, ResponseCode::NoError | ResponseCode::NXDomain) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return reply;
                }
                Ok(reply) => last = reply,
                Err(source) => debug!(server = %servers[at], "ask about {}: {source}", asked.0),
            }
        }
        last
    }
}

async fn ask_server(server: SocketAddr, asked: &Asked) -> Result<Reply, TryError> {
    let mut reply = ask_udp(server, asked, true).await?;
    if matches!(reply.metadata.response_code, ResponseCode::FormErr | ResponseCode::NotImp) {
        reply = ask_udp(server, asked, false).await?; // a server from before EDNS (RFC 6891, section 7)
    }
    if reply.metadata.truncation {
        reply = timeout(TRY_TIME, ask_tcp(server, asked)).await??;
    }
    let Message { metadata, answers, authorities, .. } = reply;
    Ok(Reply { code: metadata.response_code, answers, authorities })
}

fn question(asked: &Asked, edns: bool) -> Result<(Message, Vec<u8>), TryError> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(asked.0.clone(), asked.1));
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        message.set_edns(edns);
    }
    let bytes = message.to_vec().map_err(|e| TryError::Question(e.to_string()))?;
    Ok((message, bytes))
}

/// Whether `reply` is the answer to `question`: nobody else knows the number, and the question comes back.
fn is_answer(question: &Message, reply: &Message) -> bool {
    reply.metadata.id == question.metadata.id
        && reply.metadata.message_type == MessageType::Response
        && match (question.queries.as_slice(), reply.queries.as_slice()) {
            ([asked], [told]) => asked == told,
            // Some servers leave the question out of an error.
            (_, told) => told.is_empty() && reply.metadata.response_code != ResponseCode::NoError,
        }
}

async fn ask_udp(server: SocketAddr, asked: &Asked, edns: bool) -> Result<Message, TryError> {
    let (question, bytes) = question(asked, edns)?;
    // A socket for each question: its port is as unknown to others as the number is.
    let any: SocketAddr = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" }.parse().expect("an address");
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let receive = async {
        for _ in 0..STRAY_PACKETS_MAX {
            let read = socket.recv(&mut buffer).await?;
            match Message::from_vec(&buffer[..read]) {
                Ok(reply) if is_answer(&question, &reply) => return Ok(reply),
                _ => {}
            }
        }
        Err(TryError::Stray)
    };
    timeout(TRY_TIME, receive).await?
}

async fn ask_tcp(server: SocketAddr, asked: &Asked) -> Result<Message, TryError> {
    let (question, bytes) = question(asked, true)?;
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| TryError::Question("it is too long".to_owned()))?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Message::from_vec(&buffer).ok().filter(|reply| is_answer(&question, reply)).ok_or(TryError::Stray)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
