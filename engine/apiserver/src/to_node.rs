//! Doors that lead to a node: logs and exec. The API server is a client of the node's own HTTPS port, with a certificate of
//! the `clients` CA; exec is tunnelled byte for byte once both sides have switched protocols.
use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use irori_api::{
    field::{ErrorList, FieldPath},
    row::Row,
};
use irori_http::{Body, BoxError, Response};
use irori_rules::tree;
use irori_runtime::{OnEnd, Timestamp};
use irori_trust::Lifetime;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::{
    authz::{self, Attributes},
    call::Call,
    flow::Place,
    limits, read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
    tunnel,
};

/// How the server shows itself to nodes: a certificate that is made anew before it expires.
#[derive(Default)]
pub struct NodeClient(Mutex<Option<(Arc<rustls::ClientConfig>, Timestamp)>>);

impl NodeClient {
    fn config(&self, server: &Server) -> Answered<Arc<rustls::ClientConfig>> {
        let mut held = self.0.lock().expect("no holder of this lock panics");
        if let Some((config, renew_at)) = held.as_ref()
            && server.clock.now() < *renew_at
        {
            return Ok(config.clone());
        }
        let trust = &server.trust;
        let made = trust.issue_client("kube-apiserver-kubelet-client", Some("system:masters"), Lifetime::default());
        let identity = made.map_err(Refusal::internal)?;
        let renew_at = identity.renew_at().map_err(Refusal::internal)?;
        let config = irori_trust::tls::client(trust.root_pem(), Some(&identity), &["http/1.1"], &server.clock);
        let config = config.map_err(Refusal::internal)?;
        *held = Some((config.clone(), renew_at));
        Ok(config)
    }
}

/// Parameters of a log that are handed on as they are.
const LOG_OPTIONS: [&str; 8] =
    ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];

/// GET of pods/NAME/log.
pub async fn log(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, place: Place) -> Answered<Response> {
    check_log_options(call)?;
    let Some(target) = Target::find(server, call, row).await? else {
        // Nothing has run yet, so nothing was said.
        return Ok(respond::plain(204, "text/plain", irori_http::empty()));
    };
    let mut path = format!("/containerLogs/{}", target.path());
    let mut separator = '?';
    for name in LOG_OPTIONS {
        if let Some(value) = call.query.text(name) {
            path += &format!("{separator}{name}={}", encode(value));
            separator = '&';
        }
    }
    let answer = target.ask(server, Method::GET, &path, HeaderMap::new()).await?;
    if !answer.status().is_success() {
        return Err(said_no(answer).await);
    }
    let body = answer.into_body().map_err(|source| -> BoxError { source.into() });
    Ok(respond::plain(200, "text/plain", holding(body.boxed_unsync(), place)))
}

/// What a log cannot be asked for.
fn check_log_options(call: &Call) -> Answered<()> {
    let mut errors = ErrorList::default();
    let least = |errors: &mut ErrorList, option: &str, least: i64, why: &str| -> Answered<()> {
        if let Some(given) = call.query.number(option)?.filter(|given| *given < least) {
            errors.invalid(FieldPath::new(option), given, why);
        }
        Ok(())
    };
    least(&mut errors, "tailLines", 0, "must be greater than or equal to 0")?;
    least(&mut errors, "limitBytes", 1, "must be greater than 0")?;
    if call.query.number("sinceSeconds")?.is_some() && call.query.text("sinceTime").is_some() {
        errors.forbidden(FieldPath::new(""), "at most one of `sinceTime` or `sinceSeconds` may be specified");
    } else {
        least(&mut errors, "sinceSeconds", 1, "must be greater than 0")?;
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Refusal::invalid(About { group: "", resource: "PodLogOptions", name: &call.asked.name }, &errors))
}

/// A body that gives a place back when it ends.
fn holding(body: Body, place: Place) -> Body {
    let mut place = Some(place);
    body.map_frame(move |frame| {
        let _still_held = &mut place;
        frame
    })
    .boxed_unsync()
}

/// pods/NAME/exec, by WebSocket.
pub async fn exec(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, place: Place) -> Answered<Response> {
    let upgrade = call.header("upgrade").unwrap_or("").to_ascii_lowercase();
    if upgrade.starts_with("spdy/") {
        return Err(spdy(server, call, row).await?);
    }
    // A GET that opens a shell is no reading: it needs the verb of the POST as well.
    authz::require(server, &call.user, &Attributes { verb: "create", ..Attributes::of(call) })?;
    let target = Target::find_placed(server, call, row).await?;
    if upgrade != "websocket" {
        return Err(Refusal::bad_request("Upgrade request required"));
    }
    let Some(client) = call.take_upgrade() else {
        return Err(Refusal::bad_request("exec needs a connection of its own: HTTP/1.1"));
    };
    let mut path = format!("/exec/{}?", target.path());
    for (ours, theirs) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")] {
        if call.query.flag(ours) {
            path += &format!("{theirs}=1&");
        }
    }
    for word in call.query.all("command") {
        path += &format!("command={}&", encode(word));
    }
    let mut headers = HeaderMap::new();
    for name in ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"] {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        for value in call.headers.get_all(&name) {
            headers.append(name.clone(), without_token(value));
        }
    }
    let answer = target.ask(server, Method::GET, path.trim_end_matches('&'), headers).await?;
    if answer.status() != http::StatusCode::SWITCHING_PROTOCOLS {
        return Err(said_no(answer).await);
    }
    let mut response = Response::new(irori_http::empty());
    *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
    for name in ["upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol"] {
        if let Some(value) = answer.headers().get(name) {
            response.headers_mut().insert(HeaderName::from_static(name), value.clone());
        }
    }
    let shutdown = server.tasks.shutdown().clone();
    server.tasks.spawn("exec-tunnel", OnEnd::Contained, async move {
        let tunnel = async {
            let (client, node) = tokio::try_join!(client, hyper::upgrade::on(answer))?;
            tunnel::carry(TokioIo::new(client), TokioIo::new(node), limits::HANG_UP_WAIT).await;
            Ok::<(), hyper::Error>(())
        };
        let done = shutdown.guard(tunnel).await.unwrap_or(Ok(()));
        drop(place);
        done
    });
    Ok(response)
}

/// Why SPDY is refused. kubectl falls back to it whatever became of its WebSocket and shows only this answer, so the other reasons come first.
async fn spdy(server: &Server, call: &Call, row: &Row) -> Answered<Refusal> {
    authz::require(server, &call.user, &Attributes { verb: "create", ..Attributes::of(call) })?;
    let target = Target::find_placed(server, call, row).await?;
    if !target.running {
        return Ok(Refusal::bad_request(format!("container not found (\"{}\"): it is not running", target.container)));
    }
    target.ask(server, Method::GET, "/healthz", HeaderMap::new()).await?;
    Ok(Refusal::bad_request("exec over SPDY is not spoken by this server: use WebSockets (kubectl 1.31 or newer does)"))
}

/// The protocols that a client offers, less the one that carries its token.
fn without_token(value: &HeaderValue) -> HeaderValue {
    let text = value.to_str().unwrap_or("");
    let kept: Vec<&str> =
        text.split(',').map(str::trim).filter(|p| !p.starts_with("base64url.bearer.authorization.k8s.io.")).collect();
    HeaderValue::from_str(&kept.join(", ")).unwrap_or_else(|_| value.clone())
}

/// A container and where it runs.
struct Target {
    namespace: String,
    pod: String,
    container: String,
    /// As its status says.
    running: bool,
    node: String,
    host: String,
    port: u16,
}

impl Target {
    /// `None`: the pod has no node yet.
    async fn find(server: &Server, call: &Call, row: &Row) -> Answered<Option<Self>> {
        let (namespace, name) = (&call.asked.namespace, &call.asked.name);
        let entry = read::find(server, row, namespace, name).await?;
        let pod = respond::tree(server, row, &entry)?;
        let container = container(&pod, call.query.text("container").unwrap_or(""))?;
        let running = is_running(&pod, &container);
        let node = tree::text(&pod, &["spec", "nodeName"]);
        if node.is_empty() {
            return Ok(None);
        }
        let found = server.store.get(&format!("core/nodes/{node}")).await?;
        let nodes = server.tables.resource("", "v1", "nodes").ok_or_else(Refusal::no_such_path)?;
        let entry = found.ok_or_else(|| Refusal::not_found(read::about(nodes, node)))?;
        let object = respond::tree(server, nodes, &entry)?;
        let addresses = tree::items(&object, &["status", "addresses"]);
        let host = ["InternalIP", "Hostname", "InternalDNS", "ExternalIP"]
            .iter()
            .find_map(|kind| addresses.iter().find(|a| tree::text(a, &["type"]) == *kind))
            .map(|a| tree::text(a, &["address"]).to_owned())
            .ok_or_else(|| Refusal::internal(format!("no preferred addresses found; known addresses: {addresses:?}")))?;
        let port = tree::int(&object, &["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
        let port = port.and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0).unwrap_or(10_250);
        let node = node.to_owned();
        Ok(Some(Self { namespace: namespace.clone(), pod: name.clone(), container, running, node, host, port }))
    }

    /// For what needs a node.
    async fn find_placed(server: &Server, call: &Call, row: &Row) -> Answered<Self> {
        let name = &call.asked.name;
        let found = Self::find(server, call, row).await?;
        found.ok_or_else(|| Refusal::bad_request(format!("pod {name} does not have a host assigned")))
    }

    fn path(&self) -> String {
        format!("{}/{}/{}", encode(&self.namespace), encode(&self.pod), encode(&self.container))
    }

    /// One request on a connection of its own.
    async fn ask(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Answered<http::Response<hyper::body::Incoming>> {
        let config = server.to_nodes.config(server)?;
        let dialled = tokio::time::timeout(limits::NODE_ANSWER_WAIT, self.dial(server, config, method, path, headers)).await;
        let answer = dialled.unwrap_or_else(|_| Err("no answer in time".into()));
        answer.map_err(|source| {
            let what = format!("error dialing backend: node {} at {}:{}: {source}", self.node, self.host, self.port);
            tracing::warn!("{what}");
            Refusal::new(502, "BadGateway", what)
        })
    }

    async fn dial(
        &self,
        server: &Server,
        config: Arc<rustls::ClientConfig>,
        method: Method,
        path: &str,
        headers: HeaderMap,
    ) -> Result<http::Response<hyper::body::Incoming>, BoxError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        let name = match self.host.parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(self.host.clone())?,
        };
        let stream = tokio_rustls::TlsConnector::from(config).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
        let shutdown = server.tasks.shutdown().clone();
        server.tasks.spawn("node-connection", OnEnd::Contained, async move {
            if let Some(Err(source)) = shutdown.guard(connection.with_upgrades()).await {
                tracing::debug!("connection to node: {source}");
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let mut request = http::Request::builder().method(method).uri(path);
        request =
            request.header(header::HOST, if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() });
        let mut request = request.body(irori_http::empty())?;
        request.headers_mut().extend(headers);
        Ok(sender.send_request(request).await?)
    }
}

fn is_running(pod: &Value, container: &str) -> bool {
    let statuses = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"]
        .into_iter()
        .flat_map(|list| tree::items(pod, &["status", list]));
    statuses.into_iter().any(|status| tree::text(status, &["name"]) == container && status.pointer("/state/running").is_some())
}

/// The container that is meant: the one named, the only one, or the one that an annotation names.
fn container(pod: &Value, asked: &str) -> Answered<String> {
    let name = tree::text(pod, &["metadata", "name"]);
    let names = |list: &str| -> Vec<String> {
        tree::items(pod, &["spec", list]).iter().map(|c| tree::text(c, &["name"]).to_owned()).collect()
    };
    let (containers, init, ephemeral) = (names("containers"), names("initContainers"), names("ephemeralContainers"));
    if !asked.is_empty() {
        let known = containers.iter().chain(&init).chain(&ephemeral).any(|c| c == asked);
        return if known {
            Ok(asked.to_owned())
        } else {
            Err(Refusal::bad_request(format!("container {asked} is not valid for pod {name}")))
        };
    }
    if let [only] = containers.as_slice() {
        return Ok(only.clone());
    }
    let preferred = tree::text(pod, &["metadata", "annotations", "kubectl.kubernetes.io/default-container"]);
    if containers.iter().any(|c| c == preferred) {
        return Ok(preferred.to_owned());
    }
    let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", containers.join(" "));
    if !init.is_empty() {
        message += &format!(" or one of the init containers: [{}]", init.join(" "));
    }
    if !ephemeral.is_empty() {
        message += &format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" "));
    }
    Err(Refusal::bad_request(message))
}

/// What the node said instead, as a Status.
async fn said_no(answer: http::Response<hyper::body::Incoming>) -> Refusal {
    const TEXT_BYTES_MAX: usize = 64 * 1024;
    let code = answer.status().as_u16();
    let body = answer.into_body().map_err(|source| -> BoxError { source.into() }).boxed_unsync();
    let text = irori_http::read_limited(body, TEXT_BYTES_MAX).await.unwrap_or_default();
    if let Some(status) = serde_json::from_slice::<Value>(&text).ok().as_ref().and_then(irori_api::status::Status::from_value) {
        return status.into();
    }
    let reason = match code {
        400 => "BadRequest",
        404 => "NotFound",
        _ => "InternalError",
    };
    Refusal::new(if code < 400 { 502 } else { code }, reason, String::from_utf8_lossy(&text).trim().to_owned())
}

/// Percent-encodes everything but letters, digits and `-._~`.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}
