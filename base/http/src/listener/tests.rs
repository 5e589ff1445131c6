//! Clients that say nothing, or nothing more.
use hyper_util::rt::TokioExecutor;
use irori_runtime::{Clock, SignedDuration};
use irori_trust::{CaTree, Lifetime, Rotating, tls};

use super::*;
use crate::{empty, full};

const SOON: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

/// Says its path; `/hold` only after a permit.
struct Echo(Arc<Semaphore>);

impl Handler for Echo {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let hold = self.0.clone();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            if path == "/hold" {
                hold.acquire().await.expect("never closed").forget();
            }
            Response::new(full(path))
        })
    }
}

struct Server {
    ca: CaTree,
    clock: Clock,
    address: SocketAddr,
    tasks: Tasks,
    hold: Arc<Semaphore>,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.shutdown().start();
    }
}

async fn server() -> Server {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = Clock::system("2026-01-01T00:00:00Z".parse().expect("a time"), SignedDuration::ZERO);
    let ca = CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).expect("a CA");
    let identity = ca.issue_server(&["localhost".into()], Lifetime::default()).expect("a certificate");
    let certificate = Rotating::new(&identity).expect("a certificate");
    let config = tls::server(certificate, tls::ClientCertificates::Ignore, &["h2", "http/1.1"], &clock).expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tasks = Tasks::new(Shutdown::new());
    let limits = Limits { headers_max: SOON, idle_max: SOON, drain_max: SOON, ..Limits::default() };
    let hold = Arc::new(Semaphore::new(0));
    tasks.spawn("server", OnEnd::Contained, serve(listener, Some(config), Arc::new(Echo(hold.clone())), limits, tasks.clone()));
    Server { ca, clock, address, tasks, hold, _dir: dir }
}

impl Server {
    async fn connect(&self, alpn: &[&str]) -> tokio_rustls::client::TlsStream<TcpStream> {
        let config = tls::client(self.ca.root_pem(), None, alpn, &self.clock).expect("TLS");
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let name = "localhost".try_into().expect("a name");
        tokio_rustls::TlsConnector::from(config).connect(name, stream).await.expect("a handshake")
    }
}

#[tokio::test]
async fn a_client_that_never_speaks_is_not_waited_for() {
    let server = server().await;
    for (alpn, said) in [
        (&["http/1.1"][..], ""),
        (&[][..], ""),
        (&["http/1.1"][..], "PRI * HTTP"),
        (&["h2"][..], ""),
        (&["h2"][..], "PRI * HTTP"),
        (&["h2"][..], "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ] {
        let mut stream = server.connect(alpn).await;
        stream.write_all(said.as_bytes()).await.expect("sent");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LONG, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{alpn:?} {said:?} stays open");
    }
}

#[tokio::test]
async fn an_h2_connection_stays_for_as_long_as_a_request_does() {
    let server = server().await;
    let stream = server.connect(&["h2"]).await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("h2");
    let client = tokio::spawn(connection);
    let request = http::Request::get("https://localhost/hold").body(empty()).expect("a request");
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    assert!(tokio::time::timeout(SOON * 4, answer.as_mut()).await.is_err(), "it is held");
    server.hold.add_permits(1);
    let answer = tokio::time::timeout(LONG, answer).await.expect("in time").expect("the connection is still there");
    assert_eq!(answer.headers()[http::header::CONTENT_LENGTH], "5");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "/hold");
    // Now nobody needs it.
    assert!(tokio::time::timeout(LONG, client).await.is_ok(), "it is closed when it is idle");
}

/// RFC 9112, 9.6: an answer is not taken back by what the client still sends.
#[tokio::test]
async fn a_client_that_sends_too_much_hears_why_it_is_refused() {
    let server = server().await;
    for _ in 0..20 {
        let mut stream = server.connect(&["http/1.1"]).await;
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(4 << 20));
        // It listens only when it has said everything, as simple clients do.
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut heard = Vec::new();
        let reading = tokio::time::timeout(LONG, stream.read_to_end(&mut heard)).await;
        reading.expect("in time").expect("an end in order");
        assert!(heard.starts_with(b"HTTP/1.1 431 "), "{}", String::from_utf8_lossy(&heard));
    }
}

/// Hands the connection over, closes its side of it at once, and keeps what comes then.
struct Tunnel(tokio::sync::mpsc::Sender<Vec<u8>>);

impl Handler for Tunnel {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let heard = self.0.clone();
        Box::pin(async move {
            tokio::spawn(async move {
                let mut stream = TokioIo::new(hyper::upgrade::on(request).await.expect("an upgrade"));
                stream.write_all(b"that is all").await.expect("sent");
                stream.shutdown().await.expect("closed");
                let mut said = Vec::new();
                stream.read_to_end(&mut said).await.expect("an end in order");
                heard.send(said).await.expect("it is waited for");
            });
            let answer = http::Response::builder().status(101).header("connection", "upgrade").header("upgrade", "tunnel");
            answer.body(empty()).expect("an answer")
        })
    }
}

#[tokio::test]
async fn a_connection_that_was_handed_over_hears_its_client_to_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let tasks = Tasks::new(Shutdown::new());
    let (heard, mut hears) = tokio::sync::mpsc::channel(1);
    tasks.spawn("server", OnEnd::Contained, serve(listener, None, Arc::new(Tunnel(heard)), Limits::default(), tasks.clone()));
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: tunnel\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an end in order");
    assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer.ends_with(b"that is all"), "{}", String::from_utf8_lossy(&answer));
    // Longer than a client that is refused is listened to.
    for part in [&b"a"[..], b"b", b"c"] {
        stream.write_all(part).await.expect("sent");
        tokio::time::sleep(SOON).await;
    }
    stream.shutdown().await.expect("closed");
    let said = tokio::time::timeout(LONG, hears.recv()).await.expect("in time").expect("said");
    assert_eq!(said, b"abc");
    tasks.shutdown().start();
}
