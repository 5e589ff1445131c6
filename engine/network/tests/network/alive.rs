//! The running parts, against an API of a few lines: a list, a watch, a place for what is written.
use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::stream;
use irori_client::{Informers, Recorder, in_process};
use irori_network::{Links, Network, dns::ensure_dns_objects};
use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::world::{DEADLINE, Host, connect, default_route};

type Request = http::Request<irori_http::Body>;
type Response = http::Response<irori_http::Body>;

/// Objects by path of their collection, and what was written.
#[derive(Clone)]
struct Api {
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    revision: u64,
    /// Collection path and name -> object.
    objects: BTreeMap<(String, String), Value>,
    /// Revision -> collection path and watch line.
    log: Vec<(u64, String, String)>,
    /// Method, path and body of each write.
    written: Vec<(String, String, Value)>,
}

impl Api {
    fn new() -> Self {
        Self { state: Arc::default(), changed: watch::Sender::new(0) }
    }

    fn put(&self, collection: &str, name: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        let revision = state.revision;
        object["metadata"]["resourceVersion"] = revision.to_string().into();
        object["metadata"]["name"] = name.into();
        let key = (collection.to_owned(), name.to_owned());
        let verb = if state.objects.insert(key, object.clone()).is_some() { "MODIFIED" } else { "ADDED" };
        let line = json!({ "type": verb, "object": object }).to_string() + "\n";
        state.log.push((revision, collection.to_owned(), line));
        drop(state);
        self.changed.send_replace(revision);
    }

    async fn answer(self, request: Request) -> Response {
        let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        if method != "GET" {
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let answer = body.to_string();
            self.state.lock().unwrap().written.push((method, path, body));
            self.changed.send_modify(|_| {});
            return response(answer);
        }
        if query.contains("watch=true") {
            let from = query.split('&').find_map(|part| part.strip_prefix("resourceVersion=")).unwrap().parse().unwrap();
            return self.watch(path, from);
        }
        let state = self.state.lock().unwrap();
        let one = path.rsplit_once('/').and_then(|(of, name)| state.objects.get(&(of.to_owned(), name.to_owned())));
        if let Some(object) = one {
            return response(object.to_string());
        }
        if path.ends_with("/kube-dns") {
            let mut absent =
                response(json!({ "kind": "Status", "code": 404, "reason": "NotFound", "status": "Failure" }).to_string());
            *absent.status_mut() = http::StatusCode::NOT_FOUND;
            return absent;
        }
        let items: Vec<&Value> = state.objects.iter().filter(|((of, _), _)| *of == path).map(|(_, object)| object).collect();
        response(json!({ "metadata": { "resourceVersion": state.revision.to_string() }, "items": items }).to_string())
    }

    fn watch(self, path: String, from: u64) -> Response {
        let changes =
            stream::unfold((self.clone(), path, from, self.changed.subscribe()), |(api, path, from, mut changed)| async move {
                loop {
                    let (revision, lines) = {
                        let state = api.state.lock().unwrap();
                        let new = state.log.iter().filter(|(at, of, _)| *at > from && *of == path);
                        (state.revision, new.map(|(_, _, line)| line.as_str()).collect::<String>())
                    };
                    if !lines.is_empty() {
                        let frame = http_body::Frame::data(bytes::Bytes::from(lines));
                        return Some((Ok::<_, irori_http::BoxError>(frame), (api, path, revision, changed)));
                    }
                    changed.changed().await.ok()?;
                }
            });
        let body = http_body_util::BodyExt::boxed_unsync(http_body_util::StreamBody::new(changes));
        http::Response::builder().header("content-type", "application/json").body(body).unwrap()
    }

    /// What was written to a path that contains `part`, once something was.
    async fn written(&self, part: &str) -> Value {
        let find =
            || self.state.lock().unwrap().written.iter().find(|(_, path, _)| path.contains(part)).map(|(_, _, b)| b.clone());
        let mut changed = self.changed.subscribe();
        tokio::time::timeout(DEADLINE, async {
            loop {
                if let Some(body) = find() {
                    return body;
                }
                changed.changed().await.unwrap();
            }
        })
        .await
        .unwrap()
    }
}

fn response(text: String) -> Response {
    let body = http_body_util::BodyExt::map_err(http_body_util::Full::from(text), |never: Infallible| match never {});
    let body = http_body_util::BodyExt::boxed_unsync(body);
    http::Response::builder().header("content-type", "application/json").body(body).unwrap()
}

impl tower::Service<Request> for Api {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { Ok(api.answer(request).await) })
    }
}

const SERVICES: &str = "/api/v1/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const NODES: &str = "/api/v1/nodes";

fn service(ip: &str, ports: Value) -> Value {
    json!({ "metadata": { "namespace": "ns" }, "spec": { "clusterIP": ip, "clusterIPs": [ip], "ports": ports } })
}

fn slice(service: &str, ip: &str) -> Value {
    json!({
        "metadata": { "namespace": "ns", "labels": { "kubernetes.io/service-name": service } },
        "addressType": "IPv4", "endpoints": [{ "addresses": [ip] }], "ports": [{ "port": 80 }],
    })
}

/// Asks until the answer is right, without sleeping longer than it takes to ask.
fn until(right: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !right() {
        assert!(start.elapsed() < DEADLINE, "in time");
        std::thread::yield_now();
    }
}

/// Runs all parts of the network on the host while `work` is done on this thread.
fn while_serving(host: &Host, network: Network, api: &Api, work: impl FnOnce()) {
    let (started, is_started) = std::sync::mpsc::channel();
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        let serving = scope.spawn(move || {
            host.block_on(async move {
                let tasks = Tasks::new(Shutdown::new());
                let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
                let client = in_process(api.clone());
                let informers = Informers::new(client.clone(), tasks.clone());
                let recorder = Recorder::new(client.clone(), "test", None, clock.clone(), &tasks);
                network.serve(Links { client, informers: &informers, recorder, clock }, &tasks).unwrap();
                started.send(()).unwrap();
                let _done_or_the_test_failed = is_done.await;
                tasks.shutdown().start();
                assert_eq!(tasks.drain(Duration::from_secs(5)).await, Vec::<&str>::new());
            });
        });
        is_started.recv_timeout(DEADLINE).unwrap();
        work();
        done.send(()).unwrap();
        serving.join().unwrap();
    });
}

#[test]
fn services_are_served_as_they_come_and_what_is_not_is_told_by_an_event() {
    let host = Host::new();
    let irori = host.irori("f00001", &["10.42.0.0/24"]);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("0.0.0.0:80", "server");
    let api = Api::new();
    api.put(SERVICES, "web", service("10.96.0.7", json!([{ "port": 80 }])));
    while_serving(&host, Network::new(irori.settings.clone()), &api, || {
        assert!(client.namespace.ask_tcp("10.96.0.7:80").is_err());
        api.put(SLICES, "web-1", slice("web", server.v4()));
        until(|| client.namespace.ask_tcp("10.96.0.7:80").is_ok());
        api.put(SERVICES, "odd", service("10.96.0.8", json!([{ "port": 9, "protocol": "SCTP" }])));
        let event = host.block_on(api.written("/events"));
        assert_eq!((&event["reason"], &event["involvedObject"]["name"]), (&json!("ProtocolUnsupported"), &json!("odd")));
        assert_eq!(event["type"], "Warning");
    });
}

#[test]
fn a_firewall_that_flushes_all_rules_does_not_keep_services_away() {
    let host = Host::new();
    let irori = host.irori("f00002", &["10.42.0.0/24"]);
    irori.prepare();
    let (client, server) = (irori.pod(), irori.pod());
    server.namespace.serve_tcp("0.0.0.0:80", "server");
    let api = Api::new();
    api.put(SERVICES, "web", service("10.96.0.7", json!([{ "port": 80 }])));
    api.put(SLICES, "web-1", slice("web", server.v4()));
    while_serving(&host, Network::new(irori.settings.clone()), &api, || {
        until(|| client.namespace.ask_tcp("10.96.0.7:80").is_ok());
        for _ in 0..3 {
            host.nft(&["flush", "ruleset"]);
            until(|| client.namespace.ask_tcp("10.96.0.7:80").is_ok());
        }
    });
}

#[test]
fn an_uplink_and_a_node_that_come_later_are_used() {
    let (host, other) = (Host::new(), Host::new());
    let irori = host.irori("f00003", &["10.42.0.0/24"]);
    irori.prepare();
    let pod = irori.pod();
    let api = Api::new();
    let node = |name: &str, ip: &str| {
        json!({
            "metadata": {}, "spec": { "podCIDRs": [if name == "n1" { "10.42.0.0/24" } else { "10.42.1.0/24" }] },
            "status": { "addresses": [{ "type": "InternalIP", "address": ip }] },
        })
    };
    api.put(NODES, "n1", node("n1", "192.0.2.1"));
    api.put(NODES, "n2", node("n2", "192.0.2.9"));
    while_serving(&host, Network::new(irori.settings.clone()), &api, || {
        let told = host.block_on(api.written("/nodes/n1/status"));
        let condition = &told["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["status"]), (&json!("PodRoutesIncomplete"), &json!("True")));
        connect(&host.namespace, "up0", &["192.0.2.1/24"], &other.namespace, "up0", &["192.0.2.9/24"]);
        default_route(&host.namespace, "up0", &["192.0.2.9"]);
        other.namespace.serve_tcp("0.0.0.0:80", "outside");
        until(|| host.switch("ipv4/conf/up0/forwarding") == "1");
        assert_eq!(pod.namespace.ask_tcp("192.0.2.9:80").unwrap(), "outside 192.0.2.1");
        let routes = || host.namespace.run(|| std::process::Command::new("ip").args(["route"]).output().unwrap().stdout);
        until(|| String::from_utf8(routes()).unwrap().contains("10.42.1.0/24 via 192.0.2.9 dev up0"));
        host.namespace.run(|| {
            let removed = std::process::Command::new("ip").args(["route", "del", "10.42.1.0/24"]).status().unwrap();
            assert!(removed.success());
        });
        until(|| String::from_utf8(routes()).unwrap().contains("10.42.1.0/24 via 192.0.2.9 dev up0"));
    });
}

#[test]
fn the_dns_server_is_made_known_as_service_kube_dns_with_this_nodes_slices() {
    let host = Host::new();
    let api = Api::new();
    api.put(NODES, "n1", json!({ "metadata": { "uid": "u-1" } }));
    let listening = ["10.42.0.1:53".parse().unwrap(), "[fd42::1]:53".parse().unwrap()];
    let addresses = ["10.96.0.10".parse().unwrap(), "fd96::a".parse().unwrap()];
    host.block_on(async {
        let client = in_process(api.clone());
        ensure_dns_objects(&client, "n1", &addresses, &listening).await.unwrap();
        let service = api.written("/namespaces/kube-system/services").await;
        assert_eq!(service["metadata"]["name"], "kube-dns");
        assert_eq!(service["spec"]["clusterIPs"], json!(["10.96.0.10", "fd96::a"]));
        assert_eq!(service["spec"]["selector"], Value::Null, "so that no controller makes endpoints of its own");
    });
    let state = api.state.lock().unwrap();
    let slices: Vec<&Value> =
        state.written.iter().filter(|(_, path, _)| path.ends_with("/endpointslices")).map(|(_, _, s)| s).collect();
    assert_eq!(slices.len(), 2);
    assert_eq!((&slices[0]["addressType"], &slices[0]["endpoints"][0]["addresses"]), (&json!("IPv4"), &json!(["10.42.0.1"])));
    assert_eq!((&slices[1]["addressType"], &slices[1]["endpoints"][0]["addresses"]), (&json!("IPv6"), &json!(["fd42::1"])));
    for slice in slices {
        assert_eq!(slice["metadata"]["ownerReferences"][0]["uid"], "u-1", "it goes with its node");
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "kube-dns");
    }
}
