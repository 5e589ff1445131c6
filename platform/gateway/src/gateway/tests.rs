//! The data plane with real sockets: a client over TLS, the proxy, and apps behind it.
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use irori_http::{Handler, Request, Response, empty, full};
use irori_runtime::Shutdown;
use irori_trust::{CaTree, Lifetime};
use k8s_openapi::ByteString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

/// An app that says what it was asked; `/hold` waits for a permit first.
struct App {
    name: &'static str,
    hold: Arc<tokio::sync::Semaphore>,
    entered: Arc<tokio::sync::Semaphore>,
}

impl Handler for App {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let (name, hold, entered) = (self.name, self.hold.clone(), self.entered.clone());
        Box::pin(async move {
            if request.uri().path() == "/hold" {
                entered.add_permits(1);
                hold.acquire().await.unwrap().forget();
            }
            let header = |name: &str| request.headers().get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
            let said = format!("{name} {} host={} for={}", request.uri(), header("host"), header("x-forwarded-for"));
            http::Response::new(full(said))
        })
    }
}

struct Home {
    tables: Tables,
    certificates: Arc<Certificates>,
    ca: CaTree,
    clock: Clock,
    https: SocketAddr,
    tasks: Tasks,
    hold: Arc<tokio::sync::Semaphore>,
    entered: Arc<tokio::sync::Semaphore>,
    _dir: tempfile::TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        self.tasks.shutdown().start();
    }
}

async fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system("2026-01-01T00:00:00Z".parse().unwrap(), irori_runtime::SignedDuration::ZERO);
    let ca = CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).unwrap();
    let tasks = Tasks::new(Shutdown::new());
    let tables = Tables::default();
    let certificates = Certificates::new(tables.clone());
    let config = tls::server(certificates.clone(), tls::ClientCertificates::Ignore, &["h2", "http/1.1"], &clock).unwrap();
    let (mut listeners, at) = bind(&["127.0.0.1".parse().unwrap()], 0).await.unwrap();
    let proxy = Proxy::new(tables.clone(), at[0].port(), tasks.clone());
    let serving = serve(listeners.remove(0), Some(config), Arc::new(proxy), Limits::default(), tasks.clone());
    tasks.spawn("gateway", OnEnd::Contained, serving);
    let (hold, entered) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    Home { tables, certificates, ca, clock, https: at[0], tasks, hold, entered, _dir: dir }
}

impl Home {
    async fn app(&self, name: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Arc::new(App { name, hold: self.hold.clone(), entered: self.entered.clone() });
        self.tasks.spawn("app", OnEnd::Contained, serve(listener, None, app, Limits::default(), self.tasks.clone()));
        address
    }

    /// Points `a.home.arpa` at these endpoints.
    fn route(&self, endpoints: &[SocketAddr]) {
        let ingress = json!({
            "metadata": {"name": "a", "namespace": "apps"},
            "spec": {
                "tls": [{"hosts": ["a.home.arpa"], "secretName": "a-tls"}],
                "rules": [{"host": "a.home.arpa", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}},
                ]}}],
            },
        });
        let service = |_: &Key| Some(Arc::new(serde_json::from_value(json!({"spec": {"ports": [{"port": 80}]}})).unwrap()));
        let slices = |_: &Key| {
            let slice = |e: &SocketAddr| json!({"metadata": {}, "addressType": "IPv4", "ports": [{"port": e.port()}], "endpoints": [{"addresses": [e.ip().to_string()]}]});
            endpoints.iter().map(|e| Arc::new(serde_json::from_value(slice(e)).unwrap())).collect()
        };
        let table = Arc::new(build(&[Arc::new(serde_json::from_value(ingress).unwrap())], &service, &slices));
        let identity = self.ca.issue_server(&["a.home.arpa".into()], Lifetime::default()).unwrap();
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = [("tls.crt".to_owned(), bytes(&identity.certificate_pem)), ("tls.key".to_owned(), bytes(&identity.key_pem))];
        let secret = Arc::new(Secret { data: Some(data.into()), ..Secret::default() });
        self.certificates.load(&table, &|_| Some(secret.clone()));
        self.tables.swap(table);
    }

    async fn connect(&self, name: &str, alpn: &str) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = tls::client(self.ca.root_pem(), None, &[alpn], &self.clock).unwrap();
        let stream = TcpStream::connect(self.https).await?;
        tokio_rustls::TlsConnector::from(config).connect(name.to_owned().try_into().unwrap(), stream).await
    }

    async fn get(&self, host: &str, path: &str) -> (u16, String) {
        let stream = self.connect("a.home.arpa", "http/1.1").await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tasks.spawn("client", OnEnd::Contained, connection);
        let request = http::Request::get(path).header("host", host).header("x-forwarded-for", "6.6.6.6").body(empty()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }
}

/// An address where nobody listens.
async fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_app_with_its_host_and_the_true_client() {
    let home = home().await;
    home.route(&[home.app("one").await]);
    let (status, said) = home.get("a.home.arpa", "/x?y=1").await;
    assert_eq!((status, said.as_str()), (200, "one /x?y=1 host=a.home.arpa for=127.0.0.1"));
}

/// The answer to bytes that no decent client sends.
async fn raw(home: &Home, request: &str) -> String {
    let mut stream = home.connect("a.home.arpa", "http/1.1").await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // What closes the connection without a farewell has still answered.
    let _cut_off = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn an_app_is_told_the_host_by_which_it_was_chosen() {
    let home = home().await;
    home.route(&[home.app("one").await]);
    let said = raw(&home, "GET http://a.home.arpa/x HTTP/1.1\r\nhost: b.home.arpa\r\nconnection: close\r\n\r\n").await;
    assert!(said.contains("one /x host=a.home.arpa"), "{said}");
}

#[tokio::test]
async fn the_gateway_is_no_tunnel() {
    let home = home().await;
    home.route(&[home.app("one").await]);
    let said = raw(&home, "CONNECT a.home.arpa:443 HTTP/1.1\r\nhost: a.home.arpa\r\nconnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 405"), "{said}");
}

#[tokio::test]
async fn a_length_beside_chunks_does_not_reach_the_app() {
    let home = home().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    home.route(&[listener.local_addr().unwrap()]);
    let app = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = Vec::new();
        while !got.ends_with(b"0\r\n\r\n") {
            got.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        String::from_utf8(got).unwrap().to_ascii_lowercase()
    };
    let client = raw(
        &home,
        "POST / HTTP/1.1\r\nhost: a.home.arpa\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
         8\r\nGET /x x\r\n0\r\n\r\n",
    );
    let both = async { tokio::join!(app, client) };
    let (got, said) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert!(!got.contains("content-length") && got.contains("get /x x") && said.starts_with("HTTP/1.1 204"), "{got}\n{said}");
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_costs_a_retry_not_an_error() {
    let home = home().await;
    home.route(&[dead().await, dead().await, home.app("alive").await]);
    for _ in 0..6 {
        assert_eq!(home.get("a.home.arpa", "/").await.0, 200);
    }
}

#[tokio::test]
async fn failures_have_their_codes() {
    let home = home().await;
    home.route(&[]);
    assert_eq!(home.get("a.home.arpa", "/").await.0, 503);
    home.route(&[dead().await]);
    assert_eq!(home.get("a.home.arpa", "/").await.0, 502);
    // Certified for one host, asked for another (RFC 9110, 7.4).
    assert_eq!(home.get("b.home.arpa", "/").await.0, 421);
}

#[tokio::test]
async fn a_server_name_that_nobody_speaks_for_ends_the_handshake() {
    let home = home().await;
    home.route(&[home.app("one").await]);
    assert!(home.connect("b.home.arpa", "http/1.1").await.is_err());
}

#[tokio::test]
async fn a_changed_table_leaves_the_request_that_is_under_way() {
    let home = home().await;
    home.route(&[home.app("old").await]);
    let new = home.app("new").await;
    let held = home.get("a.home.arpa", "/hold");
    let change = async {
        home.entered.acquire().await.unwrap().forget();
        home.route(&[new]);
        assert!(home.get("a.home.arpa", "/").await.1.starts_with("new"));
        home.hold.add_permits(1);
    };
    let ((status, said), ()) = tokio::join!(held, change);
    assert_eq!(status, 200);
    assert!(said.starts_with("old"), "{said}");
}

#[tokio::test]
async fn h2_is_spoken_and_many_requests_share_a_connection() {
    let home = home().await;
    home.route(&[home.app("one").await]);
    let stream = home.connect("a.home.arpa", "h2").await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    home.tasks.spawn("client", OnEnd::Contained, connection);
    let asked = (0..50).map(|n| {
        let mut sender = sender.clone();
        async move {
            let request = http::Request::get(format!("https://a.home.arpa/{n}")).body(empty()).unwrap();
            sender.send_request(request).await.unwrap().status().as_u16()
        }
    });
    assert!(futures::future::join_all(asked).await.iter().all(|status| *status == 200));
}

#[tokio::test]
async fn an_upgraded_connection_is_passed_through_both_ways() {
    let home = home().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    home.route(&[listener.local_addr().unwrap()]);
    let app = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let n = stream.read(&mut head).await.unwrap();
        assert!(String::from_utf8_lossy(&head[..n]).to_ascii_lowercase().contains("upgrade: echo"));
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        stream.write_all(&word).await.unwrap();
    };
    let client = async {
        let mut stream = home.connect("a.home.arpa", "http/1.1").await.unwrap();
        stream.write_all(b"GET /ws HTTP/1.1\r\nhost: a.home.arpa\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"));
        stream.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
    };
    let both = async { tokio::join!(app, client) };
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
}
