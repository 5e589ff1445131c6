//! Logs and exec: a node that is a small HTTPS server, reached through the API.
use std::{net::SocketAddr, sync::Arc};

use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use irori_http::{Handler, Limits, Peer, Request, Response};
use irori_trust::{CaTree, Lifetime, Rotating, tls};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::*;

/// Says its path as the log; echoes what comes over an upgraded connection, after the path.
struct Node {
    trust: Arc<CaTree>,
}

impl Handler for Node {
    fn call(&self, mut request: Request) -> BoxFuture<'static, Response> {
        let peer = request.extensions().get::<Peer>().cloned().unwrap();
        let known = self.trust.verify_client(&peer.certificates).map(|v| v.common_name);
        Box::pin(async move {
            assert_eq!(known.unwrap(), "kube-apiserver-kubelet-client");
            let path = request.uri().path_and_query().unwrap().to_string();
            if path.starts_with("/containerLogs/") || path == "/healthz" {
                return Response::new(irori_http::full(path));
            }
            let protocol = request.headers()["sec-websocket-protocol"].clone();
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                io.write_all(format!("{path}\n").as_bytes()).await.unwrap();
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(n) = io.read(&mut buffer).await {
                    if n == 0 || io.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
                let _gone = io.shutdown().await;
            });
            let mut response = Response::new(irori_http::empty());
            *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response.headers_mut().insert("connection", "Upgrade".parse().unwrap());
            response.headers_mut().insert("sec-websocket-protocol", protocol);
            response
        })
    }
}

/// An API with a node that listens, and a pod on it.
async fn home() -> Api {
    let api = Api::start().await;
    let identity = api.trust.issue_server(&["127.0.0.1".into()], Lifetime::default()).unwrap();
    let tls = tls::server(Rotating::new(&identity).unwrap(), tls::ClientCertificates::Ask, &["http/1.1"], &api.clock).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let node = Arc::new(Node { trust: api.trust.clone() });
    tokio::spawn(irori_http::serve(listener, Some(tls), node, Limits::default(), api.tasks.clone()));
    api.namespace("n").await;
    let admin = api.admin();
    admin.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await.expect(201);
    let status = json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    admin.merge("/api/v1/nodes/n1/status", status).await.expect(200);
    let mut two = pod("p");
    two["spec"]["containers"] = json!([{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]);
    admin.post("/api/v1/namespaces/n/pods", two).await.expect(201);
    admin.post("/api/v1/namespaces/n/pods", pod("unbound")).await.expect(201);
    let target = json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}});
    admin.post("/api/v1/namespaces/n/pods/p/binding", target).await.expect(201);
    api
}

#[tokio::test]
async fn a_log_comes_from_the_node_with_its_options() {
    let api = home().await;
    let log = api.admin().get("/api/v1/namespaces/n/pods/p/log?container=c&tailLines=5&follow=true").await;
    assert_eq!((log.code, &log.bytes[..]), (200, &b"/containerLogs/n/p/c?follow=true&tailLines=5"[..]));
    let pods = "/api/v1/namespaces/n/pods";
    api.admin().get(&format!("{pods}/p/log")).await.refuses(
        400,
        "BadRequest",
        "a container name must be specified for pod p, choose one of: [c d]",
    );
    api.admin().get(&format!("{pods}/p/log?container=z")).await.refuses(400, "BadRequest", "container z is not valid for pod p");
    let unbound = api.admin().get(&format!("{pods}/unbound/log")).await;
    assert_eq!((unbound.code, unbound.bytes.len()), (204, 0), "what has not run has said nothing");
    api.user("bob", &[]).get(&format!("{pods}/p/log")).await.refuses(403, "Forbidden", "cannot get resource \"pods/log\"");
}

/// The kind PodLogOptions of the API reference.
#[tokio::test]
async fn a_log_is_not_asked_for_less_than_nothing() {
    let api = home().await;
    let asked = |options: &str| {
        let path = format!("/api/v1/namespaces/n/pods/p/log?container=c&{options}");
        let admin = api.admin();
        async move { admin.get(&path).await }
    };
    for (options, why) in [
        ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
        (
            "sinceSeconds=1&sinceTime=2026-11-21T10:00:00Z",
            ": Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified",
        ),
    ] {
        let status = asked(options).await.refuses(422, "Invalid", why);
        assert_eq!(status["message"], format!("PodLogOptions \"p\" is invalid: {why}"));
    }
    asked("tailLines=a").await.refuses(400, "BadRequest", "invalid syntax");
    assert_eq!(asked("tailLines=0&limitBytes=1&sinceSeconds=1").await.code, 200);
}

async fn dial(api: &Api) -> hyper::client::conn::http1::SendRequest<irori_http::Body> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(irori_http::serve(listener, None, api.server.clone(), Limits::default(), api.tasks.clone()));
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

fn exec(upgrade: &str, token: &str) -> Request {
    let path = "/api/v1/namespaces/n/pods/p/exec?container=c&command=sh&command=-c&command=a%20b&stdin=true&stdout=true";
    let headers = [
        ("host", "x"),
        ("authorization", token),
        ("connection", "Upgrade"),
        ("upgrade", upgrade),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "v5.channel.k8s.io"),
    ];
    request("GET", path, &headers, String::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exec_is_a_tunnel_to_the_node_byte_for_byte() {
    let api = home().await;
    let mut sender = dial(&api).await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let mut answer = sender.send_request(exec("websocket", &bearer)).await.unwrap();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    let mut io = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    let wanted = b"/exec/n/p/c?input=1&output=1&command=sh&command=-c&command=a%20b\n";
    let mut first = vec![0; wanted.len()];
    io.read_exact(&mut first).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&first), String::from_utf8_lossy(wanted));
    let sent: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reading, mut writing) = tokio::io::split(io);
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        writing.write_all(&copy).await.unwrap();
        writing
    });
    let mut got = vec![0; sent.len()];
    reading.read_exact(&mut got).await.unwrap();
    assert!(got == sent, "every byte in order");
    drop(writer.await.unwrap());
}

#[tokio::test]
async fn exec_over_spdy_and_without_permission_is_refused() {
    let api = home().await;
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    // kubectl shows this answer alone, so it first tells why a WebSocket was refused.
    let running = json!({"name": "c", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "state": {"running": {}}});
    for (statuses, told) in [(json!([]), "container not found"), (json!([running]), "WebSockets")] {
        let status = json!({"status": {"containerStatuses": statuses}});
        api.admin().merge("/api/v1/namespaces/n/pods/p/status", status).await.expect(200);
        let answer = dial(&api).await.send_request(exec("SPDY/3.1", &bearer)).await.unwrap();
        assert_eq!(answer.status(), 400);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains(told), "{body:?}");
    }
    let rules = json!([{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]);
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/n";
    let admin = api.admin();
    admin.post(&format!("{rbac}/roles"), json!({"metadata": {"name": "r"}, "rules": rules})).await.expect(201);
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"});
    let subject = json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"});
    admin
        .post(&format!("{rbac}/rolebindings"), json!({"metadata": {"name": "r"}, "roleRef": role, "subjects": [subject]}))
        .await
        .expect(201);
    let answer = api.user("bob", &[]).open(exec("websocket", "")).await;
    Answer::of(answer).await.refuses(403, "Forbidden", "User \"bob\" cannot create resource \"pods/exec\"");
}

#[tokio::test]
async fn the_pod_of_an_exec_is_looked_at_before_the_upgrade() {
    let api = home().await;
    let admin = api.admin();
    let pods = "/api/v1/namespaces/n/pods";
    for (path, code, text) in [
        ("nope/exec", 404, "pods \"nope\" not found"),
        ("unbound/exec", 400, "pod unbound does not have a host assigned"),
        ("p/exec", 400, "a container name must be specified for pod p, choose one of: [c d]"),
        ("p/exec?container=z", 400, "container z is not valid for pod p"),
        ("p/exec?container=c", 400, "Upgrade request required"),
    ] {
        for method in ["GET", "POST"] {
            let answer = admin.raw(method, &format!("{pods}/{path}"), &[], String::new()).await.expect(code);
            assert!(answer["message"].as_str().unwrap().contains(text), "{answer}");
        }
    }
}
