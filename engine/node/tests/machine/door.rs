//! The node's own HTTPS port, with real containers behind it.
use std::{sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use irori_trust::{Identity, Lifetime};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest},
};

use super::{
    fixture::LONG,
    pods::{Home, STAY, at_home, gone, shell},
};

fn api_server(home: &Home) -> Identity {
    home.trust.issue_client("kube-apiserver-kubelet-client", Some("system:masters"), Lifetime::default()).expect("a certificate")
}

async fn connect(home: &Home, identity: Option<&Identity>) -> TlsStream<TcpStream> {
    let clock = irori_runtime::Clock::system(irori_runtime::Timestamp::UNIX_EPOCH, irori_runtime::SignedDuration::ZERO);
    let config = irori_trust::tls::client(home.trust.root_pem(), identity, &["http/1.1"], &clock).expect("TLS");
    let stream = TcpStream::connect(("127.0.0.1", home.port)).await.expect("it listens");
    let name = ServerName::try_from("n1.home.arpa").expect("a name");
    TlsConnector::from(config).connect(name, stream).await.expect("a handshake")
}

/// Status line and body of one request.
async fn get(home: &Home, identity: Option<&Identity>, path: &str) -> (String, String) {
    let mut stream = connect(home, identity).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut bytes = Vec::new();
    tokio::time::timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("in time").expect("read");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

async fn exec(home: &Home, query: &str) -> WebSocketStream<TlsStream<TcpStream>> {
    let stream = connect(home, Some(&api_server(home))).await;
    let mut request = format!("wss://n1.home.arpa/exec/shop/web/main?{query}").into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io, v4.channel.k8s.io".parse().expect("a header"));
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.expect("an upgrade");
    assert_eq!(response.headers()["sec-websocket-protocol"], "v5.channel.k8s.io");
    socket
}

/// Everything until the end: stdout, and the Status.
async fn finish(
    mut socket: impl futures::Stream<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin,
) -> (Vec<u8>, Value) {
    let (mut out, mut status) = (Vec::new(), Value::Null);
    let read = async {
        while let Some(Ok(received)) = socket.next().await {
            let Message::Binary(bytes) = received else { continue };
            match bytes[0] {
                1 => out.extend_from_slice(&bytes[1..]),
                3 => status = serde_json::from_slice(&bytes[1..]).expect("a Status"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(LONG, read).await.expect("in time");
    (out, status)
}

fn with_channel(channel: u8, bytes: &[u8]) -> Message {
    Message::Binary([&[channel], bytes].concat().into())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_api_server_comes_in_and_it_reads_logs_pods_and_figures() {
    at_home(async |home: Home| {
        let path = home.pod("web", json!({ "containers": [shell(&format!("echo one; echo two; {STAY}"))] }));
        home.until_ready(&path).await;
        let friend = api_server(&home);
        let stranger =
            home.trust.issue_client("system:node:n2", Some("system:nodes"), Lifetime::default()).expect("a certificate");
        let logs = "/containerLogs/shop/web/main";
        assert_eq!(get(&home, None, logs).await.0, "HTTP/1.1 401 Unauthorized");
        assert_eq!(get(&home, Some(&stranger), logs).await.0, "HTTP/1.1 403 Forbidden");
        let log = async {
            loop {
                let (status, body) = get(&home, Some(&friend), &format!("{logs}?tailLines=1")).await;
                assert_eq!(status, "HTTP/1.1 200 OK");
                if body.contains("two\n") {
                    return body;
                }
            }
        };
        assert!(!tokio::time::timeout(LONG, log).await.expect("the log").contains("one"));
        let (status, body) = get(&home, Some(&friend), &format!("{logs}?previous=true")).await;
        assert!(
            status.ends_with("400 Bad Request")
                && body.contains("previous terminated container \"main\" in pod \"web\" not found"),
            "{body}"
        );
        assert_eq!(get(&home, Some(&friend), "/containerLogs/shop/none/main").await.0, "HTTP/1.1 404 Not Found");
        assert!(get(&home, Some(&friend), "/pods").await.1.contains("\"name\":\"web\""));
        assert!(get(&home, Some(&friend), "/stats/summary").await.1.contains("\"usageCoreNanoSeconds\""));
        assert_eq!(get(&home, Some(&friend), "/portForward/shop/web").await.0, "HTTP/1.1 501 Not Implemented");
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_passes_input_its_end_output_and_exit_code() {
    at_home(async |home: Home| {
        let path = home.pod("web", json!({ "containers": [shell(STAY)] }));
        home.until_ready(&path).await;
        let command =
            |words: &[&str]| words.iter().map(|word| format!("command={}", word.replace(' ', "+"))).collect::<Vec<_>>().join("&");
        let fail = command(&["/bin/busybox", "sh", "-c", "echo out; exit 9"]);
        let (out, status) = finish(exec(&home, &format!("{fail}&output=1&error=1")).await).await;
        assert_eq!((out.as_slice(), &status["details"]["causes"][0]["message"]), (&b"out\n"[..], &json!("9")));
        // The end of stdin ends `cat`, and 20 MB come back as they were.
        let cat = command(&["/bin/busybox", "cat"]);
        let data: Arc<Vec<u8>> = Arc::new((0..20_u32 * 1024 * 1024).map(|n| (n % 253) as u8).collect());
        let (mut sink, stream) = exec(&home, &format!("{cat}&input=1&output=1&error=1")).await.split();
        let sending = {
            let data = data.clone();
            tokio::spawn(async move {
                for part in data.chunks(30_000) {
                    sink.send(with_channel(0, part)).await.expect("sent");
                }
                sink.send(with_channel(255, &[0])).await.expect("sent");
                sink
            })
        };
        let (out, status) = finish(stream).await;
        let _sink = tokio::time::timeout(Duration::from_secs(5), sending).await.expect("all sent").expect("no panic");
        assert!(out == *data, "{} bytes came back", out.len());
        assert_eq!(status["status"], "Success");
        // A terminal has a size.
        let stty = command(&["/bin/busybox", "sh", "-c", "read x; stty size"]);
        let mut socket = exec(&home, &format!("{stty}&input=1&output=1&tty=1")).await;
        socket.send(with_channel(4, br#"{"Width":101,"Height":33}"#)).await.expect("sent");
        socket.send(with_channel(0, b"\n")).await.expect("sent");
        let (out, _status) = finish(socket).await;
        assert!(String::from_utf8_lossy(&out).contains("33 101"), "{}", String::from_utf8_lossy(&out));
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}
