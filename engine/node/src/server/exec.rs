//! Exec over a WebSocket: the channel protocols v4 and v5 of Kubernetes ("remotecommand" subprotocols).
//!
//! A binary message is a channel number and bytes: 0 stdin, 1 stdout, 2 stderr, 3 the Status at the end, 4 a terminal's size, and in v5
//! 255 with the number of a channel that is closed. A slow process holds up its client and a slow client its process; nothing is kept.
use std::{sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{HeaderValue, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use irori_http::{Request, Response, empty};
use irori_runtime::OnEnd;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, frame::coding::CloseCode},
        protocol::{Role, WebSocketConfig},
    },
};

use super::{Answer, DONE, Refused, logs::find, query::Query};
use crate::{
    pods::site::Site,
    runtime::{ExecRequest, ExecSession, RuntimeError, TerminalSize},
};

/// Sessions at once; others get 429.
pub const SESSIONS_MAX: usize = 64;
/// A message from the client, in bytes; a longer one ends the session.
pub const MESSAGE_MAX: usize = 4 * 1024 * 1024;
/// What is read of a process at once, in bytes.
const CHUNK: usize = 32 * 1024;
/// How long a client may take to read what is left once the process has ended, and to hang up.
const CLOSE_WAIT: Duration = Duration::from_secs(120);
/// Messages between the process and its client's socket.
const WAITING_MAX: usize = 4;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    V4,
    V5,
}

impl Protocol {
    const fn name(self) -> &'static str {
        match self {
            Self::V4 => "v4.channel.k8s.io",
            Self::V5 => "v5.channel.k8s.io",
        }
    }
}

pub fn exec(
    site: &Arc<Site>,
    sessions: Arc<Semaphore>,
    namespace: &str,
    pod: &str,
    container: &str,
    mut request: Request,
) -> Answer {
    let query = Query::of(&request);
    let wanted = ExecRequest {
        command: query.all("command"),
        stdin: query.flag(["input", "stdin"]),
        stdout: query.flag(["output", "stdout"]),
        stderr: query.flag(["error", "stderr"]) && !query.flag(["tty", "tty"]),
        tty: query.flag(["tty", "tty"]),
        size: None,
    };
    if wanted.command.is_empty() {
        return Err(Refused::bad("you must specify at least one command for the container"));
    }
    if !(wanted.stdin || wanted.stdout || wanted.stderr) {
        return Err(Refused::bad("you must specify at least 1 of stdin, stdout, stderr"));
    }
    let view = find(site, namespace, pod, container)?;
    let id = view.present.filter(|_| view.running);
    let id = id.ok_or_else(|| Refused::bad(format!("container {container} in pod {pod} is not running")))?;
    let (protocol, key) = handshake(&request)?;
    let place = sessions.try_acquire_owned();
    let place = place.map_err(|_| Refused(StatusCode::TOO_MANY_REQUESTS, format!("{SESSIONS_MAX} exec sessions are open")))?;
    let upgrade = hyper::upgrade::on(&mut request);
    let runtime = site.runtime.clone();
    let session = async move { runtime.exec(&id, wanted).await };
    site.tasks.spawn("exec", OnEnd::Contained, async move {
        run(upgrade, protocol, session, place).await;
        DONE
    });
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name()));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    Ok(response)
}

fn handshake(request: &Request) -> Result<(Protocol, HeaderValue), Refused> {
    let lists = |name: &header::HeaderName, wanted: &str| {
        let values = request.headers().get_all(name).into_iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
    };
    if !lists(&header::UPGRADE, "websocket") || !lists(&header::CONNECTION, "upgrade") {
        return Err(Refused::bad("exec is spoken over a WebSocket here; SPDY is not implemented"));
    }
    if request.headers().get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refused(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 is needed".to_owned()));
    }
    let protocol = [Protocol::V5, Protocol::V4].into_iter().find(|p| lists(&header::SEC_WEBSOCKET_PROTOCOL, p.name()));
    let protocol =
        protocol.ok_or_else(|| Refused::bad("none of the subprotocols v5.channel.k8s.io, v4.channel.k8s.io is offered"))?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
    Ok((protocol, key.ok_or_else(|| Refused::bad("Sec-WebSocket-Key is missing"))?))
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn run(
    upgrade: OnUpgrade,
    protocol: Protocol,
    session: impl Future<Output = Result<ExecSession, RuntimeError>>,
    _place: OwnedSemaphorePermit,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(source) => return tracing::debug!("upgrade for exec: {source}"),
    };
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let socket: Socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    serve_socket(socket, protocol, session).await;
}

/// Speaks for one session until the process has ended and all was said, or the client is gone.
async fn serve_socket<S>(
    socket: WebSocketStream<S>,
    protocol: Protocol,
    session: impl Future<Output = Result<ExecSession, RuntimeError>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sink, mut incoming) = socket.split();
    let session = match session.await {
        Ok(session) => session,
        Err(source) => {
            let message = source.to_string();
            let status =
                json!({ "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": message });
            return finish(&mut sink, &mut incoming, &status).await;
        }
    };
    let ExecSession { stdin, stdout, stderr, process } = session;
    let (sender, mut waiting) = mpsc::channel::<Message>(WAITING_MAX);
    // An empty message says that the session stands.
    let first = if stdout.is_some() { STDOUT } else { ERROR };
    if sink.send(message(first, &[])).await.is_err() {
        return;
    }
    let reading = {
        let (out, err) = (sender.clone(), sender);
        async move {
            tokio::join!(pump(stdout, STDOUT, out), pump(stderr, STDERR, err));
        }
    };
    let writing = async {
        while let Some(message) = waiting.recv().await {
            sink.send(message).await?;
        }
        Ok::<(), tungstenite::Error>(())
    };
    let output = async {
        let ((), written) = tokio::join!(reading, writing);
        written.map(|()| process.clone())
    };
    let result = {
        let input = take_input(&mut incoming, stdin, &process, protocol);
        let ended = async {
            let process = output.await?;
            Ok::<_, tungstenite::Error>(process.wait().await)
        };
        tokio::pin!(input);
        tokio::pin!(ended);
        tokio::select! {
            result = &mut ended => Some(result),
            Gone = &mut input => None,
        }
    };
    match result {
        Some(Ok(code)) => return finish(&mut sink, &mut incoming, &status_of(code)).await,
        Some(Err(source)) => tracing::debug!("exec client: {source}"),
        None => {}
    }
    // The client is gone: nobody is left to work for.
    let _ended_already = process.kill().await;
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut all = BytesMut::with_capacity(bytes.len() + 1);
    all.put_u8(channel);
    all.put_slice(bytes);
    Message::Binary(all.freeze())
}

/// Reads a stream of the process to its end. A receiver that is gone ends it too.
async fn pump(stream: Option<Box<dyn AsyncRead + Send + Unpin>>, channel: u8, to: mpsc::Sender<Message>) {
    let Some(mut stream) = stream else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return,
            Ok(length) => {
                if to.send(message(channel, &buffer[..length])).await.is_err() {
                    return;
                }
            }
            Err(source) => return tracing::debug!("read output of exec: {source}"),
        }
    }
}

/// The client hung up.
struct Gone;

#[derive(Deserialize)]
struct Size {
    #[serde(rename = "Width")]
    width: u16,
    #[serde(rename = "Height")]
    height: u16,
}

/// Feeds the process from the client until the client is gone.
async fn take_input<S>(
    incoming: &mut SplitStream<WebSocketStream<S>>,
    mut stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    process: &Arc<dyn crate::runtime::ExecProcess>,
    protocol: Protocol,
) -> Gone
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(received)) = incoming.next().await {
        let bytes = match received {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            Message::Close(_) => return Gone,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
        };
        match bytes.split_first() {
            Some((&STDIN, data)) => {
                if let Some(writer) = &mut stdin {
                    let written = async {
                        writer.write_all(data).await?;
                        writer.flush().await
                    };
                    // A process that closed its stdin takes no more; that is its right.
                    if written.await.is_err() {
                        stdin = None;
                    }
                }
            }
            Some((&RESIZE, data)) => {
                if let Ok(Size { width, height }) = serde_json::from_slice(data)
                    && let Err(source) = process.resize(TerminalSize { columns: width, rows: height }).await
                {
                    tracing::debug!("resize terminal: {source}");
                }
            }
            Some((&CLOSE, [STDIN])) if protocol == Protocol::V5 => {
                if let Some(mut writer) = stdin.take() {
                    let _closed_already = writer.shutdown().await;
                }
            }
            _ => {}
        }
    }
    Gone
}

/// What the error channel says at the end.
fn status_of(code: Result<i32, RuntimeError>) -> Value {
    match code {
        Ok(0) => json!({ "metadata": {}, "status": "Success" }),
        Ok(code) => json!({
            "metadata": {},
            "status": "Failure",
            "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        }),
        Err(source) => json!({
            "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
            "message": format!("error executing command in container: {source}"),
        }),
    }
}

async fn finish<S>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    incoming: &mut SplitStream<WebSocketStream<S>>,
    status: &Value,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let text = status.to_string();
    let telling = async {
        sink.send(message(ERROR, text.as_bytes())).await?;
        // Without the code of a normal end (RFC 6455, 7.4.1) clients take the close for a failure.
        let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        sink.send(Message::Close(Some(normal))).await
    };
    // Whoever closes a connection while the other side still sends takes back what it has not read yet (RFC 1122, 4.2.2.13). So the client
    // is heard to its end: its own close, which comes when it has read all.
    let hearing = async { while let Some(Ok(_)) = incoming.next().await {} };
    // A client that is gone by now has missed nothing that it waited for.
    let _told_or_gone = tokio::time::timeout(CLOSE_WAIT, async { tokio::join!(telling, hearing) }).await;
}

#[cfg(test)]
mod tests;
