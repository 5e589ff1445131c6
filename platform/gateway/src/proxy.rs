//! A request from outside becomes a request to a pod, and its answer an answer.
use std::{net::SocketAddr, time::Duration};

use futures::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, Uri, Version, header, uri::PathAndQuery};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use irori_http::{Body, BoxError, Handler, Peer, Request, Response, empty, full};
use irori_runtime::{OnEnd, Tasks};
use tracing::debug;

use crate::{
    gateway::Tables,
    headers::{set_forwarded, strip_hop_by_hop, upgrade_of},
    replay::{Lent, Slot},
    table::{Backend, Decision},
};

const CONNECT_MAX: Duration = Duration::from_secs(2);
const ANSWER_MAX: Duration = Duration::from_secs(60);
const IDLE_MAX: Duration = Duration::from_secs(60);
const IDLE_PER_POD_MAX: usize = 64;
const ENDPOINTS_TRIED_MAX: usize = 3;
const BODY_BYTES_MAX: usize = 16 << 30;

/// The HTTPS side: routes and forwards. Clones share the connections to pods.
#[derive(Clone)]
pub struct Proxy {
    tables: Tables,
    client: Client<HttpConnector, Lent>,
    https_port: u16,
    tasks: Tasks,
}

/// The HTTP side: sends everybody to HTTPS.
pub struct Redirect {
    pub tables: Tables,
    pub https_port: u16,
}

impl Proxy {
    pub fn new(tables: Tables, https_port: u16, tasks: Tasks) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_PER_POD_MAX)
            .build(connector);
        Self { tables, client, https_port, tasks }
    }
}

impl Handler for Proxy {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let proxy = self.clone();
        Box::pin(async move { proxy.forward(request).await })
    }
}

impl Proxy {
    async fn forward(&self, request: Request) -> Response {
        let Some(peer) = request.extensions().get::<Peer>().cloned() else {
            return page(StatusCode::INTERNAL_SERVER_ERROR, "no peer");
        };
        if request.method() == Method::CONNECT {
            return page(StatusCode::METHOD_NOT_ALLOWED, "this is no proxy for tunnels");
        }
        let Some(host) = host_of(&request) else { return page(StatusCode::BAD_REQUEST, "the request names no host") };
        let table = self.tables.present();
        // A connection made for one certificate may not be used for a name that it does not speak for (RFC 9110, 7.4).
        let speaks = |name: &str| table.secret_for(name).cloned();
        if peer.server_name.as_deref().and_then(speaks) != speaks(&host) {
            return page(StatusCode::MISDIRECTED_REQUEST, "this connection was made for another host");
        }
        match table.route(&host, request.uri().path()) {
            Decision::To(backend) if backend.endpoints.is_empty() => {
                let mut answer = page(StatusCode::SERVICE_UNAVAILABLE, "nobody is ready to answer");
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
                answer
            }
            Decision::To(backend) => self.send(request, &backend, peer.address, &host).await,
            Decision::NoRoute => page(StatusCode::NOT_FOUND, "nothing lives at this address"),
        }
    }

    async fn send(&self, mut request: Request, backend: &Backend, client: SocketAddr, host: &str) -> Response {
        let upgrade = upgrade_of(request.headers());
        let from_client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        // The app is told the host by which it was chosen, whatever else the request says (RFC 9112, 3.2.2).
        let named = parts.uri.authority().and_then(|a| a.as_str().parse().ok());
        let authority = named.or_else(|| parts.headers.get(header::HOST).cloned());
        strip_hop_by_hop(&mut parts.headers);
        set_forwarded(&mut parts.headers, client, host, self.https_port);
        if let Some(authority) = authority {
            parts.headers.insert(header::HOST, authority);
        }
        if let Some(protocol) = &upgrade {
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, protocol.clone());
        }
        let slot = Slot::holding(Limited::new(body, BODY_BYTES_MAX).boxed_unsync());
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        for endpoint in backend.in_turn().into_iter().take(ENDPOINTS_TRIED_MAX) {
            let Some(body) = slot.lend() else { break };
            let mut to_pod = http::Request::new(body);
            *to_pod.method_mut() = parts.method.clone();
            *to_pod.headers_mut() = parts.headers.clone();
            *to_pod.version_mut() = Version::HTTP_11;
            *to_pod.uri_mut() = pod_uri(endpoint, &path);
            match tokio::time::timeout(ANSWER_MAX, self.client.request(to_pod)).await {
                Ok(Ok(answer)) => return self.answer(answer, from_client),
                Ok(Err(source)) if source.is_connect() => {
                    debug!(%endpoint, service = ?backend.service, "connect to pod: {source}")
                }
                Ok(Err(source)) => {
                    debug!(%endpoint, service = ?backend.service, "ask pod: {source}");
                    return page(StatusCode::BAD_GATEWAY, "the app broke off");
                }
                Err(_) => return page(StatusCode::GATEWAY_TIMEOUT, "the app did not answer in time"),
            }
        }
        page(StatusCode::BAD_GATEWAY, "the app could not be reached")
    }

    fn answer(&self, answer: http::Response<hyper::body::Incoming>, from_client: Option<hyper::upgrade::OnUpgrade>) -> Response {
        let (mut parts, body) = answer.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(from_client), Some(protocol)) = (from_client, upgrade_of(&parts.headers)) else {
                return page(StatusCode::BAD_GATEWAY, "the app changed the protocol without being asked");
            };
            strip_hop_by_hop(&mut parts.headers);
            parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            parts.headers.insert(header::UPGRADE, protocol);
            let to_pod = hyper::upgrade::on(http::Response::from_parts(parts.clone(), body));
            let shutdown = self.tasks.shutdown().clone();
            self.tasks.spawn("gateway-upgrade", OnEnd::Contained, async move {
                shutdown.guard(tunnel(from_client, to_pod)).await;
                Ok::<(), std::convert::Infallible>(())
            });
            return http::Response::from_parts(without_version(parts), empty());
        }
        strip_hop_by_hop(&mut parts.headers);
        let body: Body = body.map_err(|source| -> BoxError { source.into() }).boxed_unsync();
        http::Response::from_parts(without_version(parts), body)
    }
}

/// The client's connection has a version of its own.
fn without_version(mut parts: http::response::Parts) -> http::response::Parts {
    parts.version = Version::default();
    parts.extensions = http::Extensions::new();
    parts
}

async fn tunnel(client: hyper::upgrade::OnUpgrade, pod: hyper::upgrade::OnUpgrade) {
    match futures::future::try_join(client, pod).await {
        Ok((client, pod)) => {
            let (mut client, mut pod) = (TokioIo::new(client), TokioIo::new(pod));
            if let Err(source) = tokio::io::copy_bidirectional(&mut client, &mut pod).await {
                debug!("tunnel: {source}");
            }
        }
        Err(source) => debug!("upgrade: {source}"),
    }
}

fn pod_uri(endpoint: SocketAddr, path: &PathAndQuery) -> Uri {
    let whole = Uri::builder().scheme("http").authority(endpoint.to_string()).path_and_query(path.clone());
    whole.build().expect("an address and a parsed path make a URI")
}

/// The host that a request asks for: lowercase, without port and final dot.
fn host_of<B>(request: &http::Request<B>) -> Option<String> {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str).or(named)?;
    let authority: http::uri::Authority = authority.parse().ok()?;
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

impl Handler for Redirect {
    fn call(&self, request: Request) -> BoxFuture<'static, Response> {
        let answer = self.answer(&request);
        Box::pin(async move { answer })
    }
}

impl Redirect {
    fn answer(&self, request: &Request) -> Response {
        let Some(host) = host_of(request) else { return page(StatusCode::BAD_REQUEST, "the request names no host") };
        if !self.tables.present().knows(&host) {
            return page(StatusCode::NOT_FOUND, "nothing lives at this address");
        }
        let port = if self.https_port == 443 { String::new() } else { format!(":{}", self.https_port) };
        let path = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        let Ok(location) = HeaderValue::try_from(format!("https://{host}{port}{path}")) else {
            return page(StatusCode::BAD_REQUEST, "the path cannot be sent on");
        };
        let mut answer = page(StatusCode::PERMANENT_REDIRECT, "this home speaks https");
        answer.headers_mut().insert(header::LOCATION, location);
        answer
    }
}

fn page(status: StatusCode, text: &str) -> Response {
    let mut answer = http::Response::new(full(format!("{} {}\n", status.as_u16(), text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}
