use super::*;
use irori_http::{Handler, Limits, Peer};
use irori_runtime::{OnEnd, Shutdown, SignedDuration, Tasks};
use irori_trust::{CaTree, Lifetime, Rotating, tls::ClientCertificates};

const EVENTS: usize = 2_000;
const EVENT: &str = "a small event\n";

/// Answers with who asked, how, and for what; below `/base/events` with many small pieces.
struct Mirror;

impl Handler for Mirror {
    fn call(&self, request: irori_http::Request) -> BoxFuture<'static, irori_http::Response> {
        if request.uri().path() == "/base/events" {
            let pieces = futures::stream::iter((0..EVENTS).map(|_| Ok(EVENT.into())));
            return Box::pin(async move { Response::new(irori_http::stream(pieces)) });
        }
        let certificates = request.extensions().get::<Peer>().map_or(0, |peer| peer.certificates.len());
        let token = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let text = serde_json::json!({
            "certificates": certificates, "token": token, "version": format!("{:?}", request.version()), "path": request.uri().path(),
        });
        Box::pin(async move { Response::new(irori_http::full(text.to_string())) })
    }
}

struct Server {
    tree: CaTree,
    url: String,
    clock: Clock,
    _tasks: Tasks,
    _folder: tempfile::TempDir,
}

async fn server(clock: Clock) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let tree = CaTree::open(&folder.path().join("trust"), "home.arpa", &clock).unwrap();
    let identity = tree.issue_server(&["127.0.0.1".into()], Lifetime::default()).unwrap();
    let tls = tls::server(Rotating::new(&identity).unwrap(), ClientCertificates::Ask, &["h2", "http/1.1"], &clock).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let tasks = Tasks::new(Shutdown::new());
    let serving = irori_http::serve(listener, Some(tls), Arc::new(Mirror), Limits::default(), tasks.clone());
    tasks.spawn("serve", OnEnd::Contained, serving);
    Server { tree, url, clock, _tasks: tasks, _folder: folder }
}

impl Server {
    fn client(&self, identity: Identity, ca_pem: &str) -> kube::Client {
        let remote = Remote {
            url: format!("{}/base/", self.url),
            ca_pem: ca_pem.to_owned(),
            identity,
            agent: "test",
            clock: self.clock.clone(),
        };
        connect(&remote).unwrap()
    }

    async fn ask(&self, identity: Identity, ca_pem: &str, path: &str) -> Result<serde_json::Value, kube::Error> {
        self.client(identity, ca_pem).request(Request::get(path).body(Vec::new()).unwrap()).await
    }
}

fn now() -> Clock {
    Clock::system(irori_runtime::Timestamp::UNIX_EPOCH, SignedDuration::ZERO)
}

#[tokio::test]
async fn a_certificate_is_shown_over_h2_below_the_given_path() {
    let server = server(now()).await;
    let own = server.tree.issue_client("me", None, Lifetime::default()).unwrap();
    let identity = Identity::Certificate { cert_pem: own.certificate_pem, key_pem: own.key_pem };
    let seen = server.ask(identity, server.tree.root_pem(), "/api/v1/pods").await.unwrap();
    assert_eq!(seen["version"], "HTTP/2.0");
    assert_eq!(seen["path"], "/base/api/v1/pods");
    assert!(seen["certificates"].as_u64().unwrap() >= 1);
    assert!(seen["token"].is_null());
}

#[tokio::test]
async fn a_token_is_sent_as_bearer() {
    let server = server(now()).await;
    let seen = server.ask(Identity::Token("abc\n".into()), server.tree.root_pem(), "/").await.unwrap();
    assert_eq!(seen["token"], "Bearer abc");
    assert_eq!(seen["certificates"], 0);
}

/// Small pieces that wait to be read take more of what HTTP/2 allows than their bytes.
#[tokio::test]
async fn small_events_wait_until_somebody_reads_them() {
    let server = server(now()).await;
    let client = server.client(Identity::Token("abc".into()), server.tree.root_pem());
    let answer = client.send(Request::get("/events").body(kube::client::Body::empty()).unwrap()).await.unwrap();
    // Over the same connection, so all that was sent before has come.
    for _ in 0..20 {
        server_answers(&client).await;
    }
    let read = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read.len(), EVENTS * EVENT.len());
}

async fn server_answers(client: &kube::Client) {
    let seen: serde_json::Value = client.request(Request::get("/").body(Vec::new()).unwrap()).await.unwrap();
    assert_eq!(seen["version"], "HTTP/2.0");
}

#[tokio::test]
async fn a_server_of_another_ca_is_refused() {
    let (server, other) = (server(now()).await, server(now()).await);
    assert!(server.ask(Identity::None, other.tree.root_pem(), "/").await.is_err());
}

#[tokio::test]
async fn certificates_are_judged_by_our_clock() {
    let years = |n: i64| Clock::system(irori_runtime::Timestamp::UNIX_EPOCH, SignedDuration::from_hours(24 * 365 * n));
    let mut server = server(years(11)).await;
    server.ask(Identity::None, server.tree.root_pem(), "/").await.unwrap();
    server.clock = now();
    assert!(server.ask(Identity::None, server.tree.root_pem(), "/").await.is_err(), "not valid yet by another clock");
}

#[tokio::test]
async fn an_address_without_https_is_refused_by_name() {
    for url in ["http://127.0.0.1:1", "127.0.0.1:6443", "https:///x", "::"] {
        let remote = Remote { url: url.to_owned(), ca_pem: String::new(), identity: Identity::None, agent: "test", clock: now() };
        let refused = connect(&remote).err().unwrap();
        assert!(refused.to_string().contains(url), "{refused}");
    }
}
