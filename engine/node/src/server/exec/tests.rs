//! The channel protocol against a process made of pipes.
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::DuplexStream;

use super::*;
use crate::runtime::ExecProcess;

const LONG: Duration = Duration::from_secs(20);

/// A process that ends when its test says so.
struct Fake {
    code: tokio::sync::watch::Receiver<Option<i32>>,
    sizes: mpsc::UnboundedSender<TerminalSize>,
    killed: mpsc::UnboundedSender<()>,
}

#[async_trait]
impl ExecProcess for Fake {
    async fn resize(&self, size: TerminalSize) -> Result<(), RuntimeError> {
        let _test_over = self.sizes.send(size);
        Ok(())
    }

    async fn kill(&self) -> Result<(), RuntimeError> {
        let _test_over = self.killed.send(());
        Ok(())
    }

    async fn wait(&self) -> Result<i32, RuntimeError> {
        let mut code = self.code.clone();
        let code = code.wait_for(Option::is_some).await.map_err(|_| RuntimeError::NotFound { what: "process".to_owned() })?;
        Ok(code.expect("waited for"))
    }
}

struct Room {
    client: WebSocketStream<DuplexStream>,
    stdin: DuplexStream,
    stdout: DuplexStream,
    stderr: DuplexStream,
    exit: tokio::sync::watch::Sender<Option<i32>>,
    sizes: mpsc::UnboundedReceiver<TerminalSize>,
    killed: mpsc::UnboundedReceiver<()>,
}

async fn room(protocol: Protocol) -> Room {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (stdin, stdin_far) = tokio::io::duplex(8 * 1024);
    let (stdout, stdout_far) = tokio::io::duplex(8 * 1024);
    let (stderr, stderr_far) = tokio::io::duplex(8 * 1024);
    let (exit, code) = tokio::sync::watch::channel(None);
    let (sizes_in, sizes) = mpsc::unbounded_channel();
    let (killed_in, killed) = mpsc::unbounded_channel();
    let session = ExecSession {
        stdin: Some(Box::new(stdin_far)),
        stdout: Some(Box::new(stdout_far)),
        stderr: Some(Box::new(stderr_far)),
        process: Arc::new(Fake { code, sizes: sizes_in, killed: killed_in }),
    };
    let server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    tokio::spawn(serve_socket(server, protocol, async { Ok(session) }));
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    assert_eq!(next(&mut client).await, Some((STDOUT, Vec::new())), "an empty message says that the session stands");
    Room { client, stdin, stdout, stderr, exit, sizes, killed }
}

/// The next binary message, or `None` at the end.
async fn next(client: &mut WebSocketStream<DuplexStream>) -> Option<(u8, Vec<u8>)> {
    let received = tokio::time::timeout(LONG, client.next()).await.expect("in time");
    match received {
        Some(Ok(Message::Binary(bytes))) => Some((bytes[0], bytes[1..].to_vec())),
        Some(Ok(Message::Close(_))) | None => None,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn output_comes_on_its_channels_and_the_exit_code_at_the_end() {
    let mut room = room(Protocol::V4).await;
    room.stdout.write_all(b"out").await.expect("written");
    assert_eq!(next(&mut room.client).await, Some((STDOUT, b"out".to_vec())));
    room.stderr.write_all(b"err").await.expect("written");
    assert_eq!(next(&mut room.client).await, Some((STDERR, b"err".to_vec())));
    drop((room.stdout, room.stderr));
    room.exit.send(Some(3)).expect("waited for");
    let (channel, bytes) = next(&mut room.client).await.expect("a status");
    let status: Value = serde_json::from_slice(&bytes).expect("json");
    assert_eq!(
        (channel, &status["details"]["causes"][0]["message"], &status["reason"]),
        (ERROR, &json!("3"), &json!("NonZeroExitCode"))
    );
    assert_eq!(next(&mut room.client).await, None);
}

#[tokio::test]
async fn closing_stdin_is_end_of_file_for_the_process_in_v5() {
    let mut room = room(Protocol::V5).await;
    room.client.send(message(STDIN, b"hello")).await.expect("sent");
    room.client.send(message(CLOSE, &[STDIN])).await.expect("sent");
    let mut text = String::new();
    tokio::time::timeout(LONG, room.stdin.read_to_string(&mut text)).await.expect("in time").expect("read");
    assert_eq!(text, "hello");
    drop((room.stdout, room.stderr));
    room.exit.send(Some(0)).expect("waited for");
    let (channel, bytes) = next(&mut room.client).await.expect("a status");
    assert_eq!((channel, serde_json::from_slice::<Value>(&bytes).expect("json")["status"].clone()), (ERROR, json!("Success")));
}

#[tokio::test]
async fn a_terminal_size_reaches_the_process() {
    let mut room = room(Protocol::V5).await;
    room.client.send(message(RESIZE, br#"{"Width":120,"Height":40}"#)).await.expect("sent");
    let size = tokio::time::timeout(LONG, room.sizes.recv()).await.expect("in time");
    assert_eq!(size, Some(TerminalSize { columns: 120, rows: 40 }));
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_the_process() {
    let mut room = room(Protocol::V5).await;
    drop(room.client);
    assert_eq!(tokio::time::timeout(LONG, room.killed.recv()).await.expect("in time"), Some(()));
}

#[tokio::test]
async fn eight_megabytes_pass_both_ways_intact_while_neither_side_hurries() {
    let room = room(Protocol::V5).await;
    let data: Vec<u8> = (0..8_u32 * 1024 * 1024).map(|n| (n % 251) as u8).collect();
    let Room { client, mut stdin, mut stdout, stderr, exit, .. } = room;
    let (mut to_server, mut from_server) = client.split();
    let echo = async {
        let mut buffer = vec![0; 5000];
        loop {
            let length = stdin.read(&mut buffer).await.expect("read");
            if length == 0 {
                break;
            }
            stdout.write_all(&buffer[..length]).await.expect("written");
        }
        drop((stdout, stderr));
        exit.send(Some(0)).expect("waited for");
    };
    let send = async {
        for part in data.chunks(30_000) {
            to_server.send(message(STDIN, part)).await.expect("sent");
        }
        to_server.send(message(CLOSE, &[STDIN])).await.expect("sent");
    };
    let receive = async {
        let mut all = Vec::new();
        while let Some(Ok(Message::Binary(bytes))) = from_server.next().await {
            if bytes[0] == STDOUT {
                all.extend_from_slice(&bytes[1..]);
            }
        }
        all
    };
    let ((), (), all) = tokio::time::timeout(LONG, async { tokio::join!(echo, send, receive) }).await.expect("in time");
    assert!(all == data, "{} of {} bytes", all.len(), data.len());
}

#[tokio::test]
async fn a_command_that_cannot_start_is_said_on_the_error_channel() {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    let failure = RuntimeError::Invalid { message: "no such file: nope".to_owned() };
    tokio::spawn(serve_socket(server, Protocol::V5, async { Err(failure) }));
    let mut client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    let (channel, bytes) = next(&mut client).await.expect("a status");
    let status: Value = serde_json::from_slice(&bytes).expect("json");
    assert_eq!((channel, &status["message"]), (ERROR, &json!("no such file: nope")));
}

/// Over a real connection: one that is closed before all that came in was read takes back what it carries outwards.
#[tokio::test]
async fn a_process_that_reads_none_of_its_input_is_still_heard_to_its_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let client = tokio::net::TcpStream::connect(listener.local_addr().expect("bound")).await.expect("connect");
    let (far, _) = listener.accept().await.expect("accept");
    let (exit, code) = tokio::sync::watch::channel(None);
    let session = ExecSession {
        stdin: None,
        stdout: Some(Box::new(std::io::Cursor::new(vec![b'o'; 100_000]))),
        stderr: None,
        process: Arc::new(Fake { code, sizes: mpsc::unbounded_channel().0, killed: mpsc::unbounded_channel().0 }),
    };
    let server = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
    let served = tokio::spawn(serve_socket(server, Protocol::V5, async {
        // Input that nobody has read by the time the process has ended.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(session)
    }));
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    for _ in 0..20 {
        client.send(message(STDIN, &[0; 10_000])).await.expect("sent");
    }
    exit.send(Some(0)).expect("waited for");
    tokio::time::sleep(Duration::from_millis(400)).await;
    let (mut out, mut status) = (0, None);
    loop {
        match tokio::time::timeout(LONG, client.next()).await.expect("in time") {
            Some(Ok(Message::Binary(bytes))) if bytes[0] == STDOUT => out += bytes.len() - 1,
            Some(Ok(Message::Binary(bytes))) => status = serde_json::from_slice::<Value>(&bytes[1..]).ok(),
            Some(Ok(Message::Close(Some(frame)))) => break assert_eq!(frame.code, CloseCode::Normal),
            other => panic!("{other:?} after {out} bytes"),
        }
    }
    assert_eq!((out, &status.expect("a status")["status"]), (100_000, &json!("Success")));
    drop(client);
    tokio::time::timeout(LONG, served).await.expect("it ends with its client").expect("and well");
}
