//! Commands in running containers.
use std::time::Duration;

use irori_node::runtime::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::fixture::*;

fn shell(text: &str) -> ExecRequest {
    let command = ["/bin/busybox", "sh", "-c", text].map(str::to_owned).to_vec();
    ExecRequest { command, stdin: true, stdout: true, stderr: true, ..Default::default() }
}

async fn text(stream: Option<Box<dyn tokio::io::AsyncRead + Send + Unpin>>) -> String {
    let mut all = String::new();
    stream.expect("asked for").read_to_string(&mut all).await.expect("readable");
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_stdin_ends_cat_and_streams_and_exit_codes_are_kept_apart() {
    on_a_machine(async |host: Host| {
        let (_, _, id) = host.start_script("exec sleep 1000").await;
        let mut session = host.machine.exec(&id, shell("cat; echo gone >&2; exit 42")).await.expect("exec");
        let mut stdin = session.stdin.take().expect("asked for");
        stdin.write_all(b"through and back").await.expect("write");
        drop(stdin);
        let (out, err) = tokio::join!(text(session.stdout), text(session.stderr));
        assert_eq!((out.as_str(), err.as_str()), ("through and back", "gone\n"));
        assert_eq!(session.process.wait().await.expect("exit"), 42);
        assert_eq!(session.process.wait().await.expect("asked again"), 42);

        let output = host.exec(&id, "echo $GREETING; echo no >&2; exit 3").await;
        assert_eq!((output.exit_code, &output.stdout[..], &output.stderr[..]), (3, &b"hello\n"[..], &b"no\n"[..]));
        for (stdout, stderr) in [(true, false), (false, true), (false, false)] {
            let request = ExecRequest { stdin: false, stdout, stderr, ..shell("echo out; echo err >&2; exit 8") };
            let session = host.machine.exec(&id, request).await.expect("exec");
            assert_eq!((session.stdout.is_some(), session.stderr.is_some()), (stdout, stderr));
            if let Some(stream) = session.stdout.or(session.stderr) {
                assert_eq!(text(Some(stream)).await, if stdout { "out\n" } else { "err\n" });
            }
            assert_eq!(session.process.wait().await.expect("exit"), 8);
        }
        let missing = host.machine.exec_sync(&id, &["/no/such".to_owned()], LONG).await;
        assert!(matches!(&missing, Err(RuntimeError::Invalid { message }) if message.contains("no such file")), "{missing:?}");
        let gone = host.machine.exec_sync(&"0".repeat(64).into(), &["true".to_owned()], LONG).await;
        assert!(gone.is_err_and(|error| error.is_not_found()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_pass_intact_both_ways_at_once() {
    const TOTAL: usize = 100_000_000;
    on_a_machine(async |host: Host| {
        let (_, _, id) = host.start_script("exec sleep 1000").await;
        let session = host.machine.exec(&id, shell("cat")).await.expect("exec");
        let (mut stdin, mut stdout) = (session.stdin.expect("asked for"), session.stdout.expect("asked for"));
        // Every position has its own value, so that nothing can be lost, doubled or swapped unseen.
        let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        let writer = tokio::spawn(async move {
            let mut at = 0;
            while at < TOTAL {
                let size = (64 * 1024).min(TOTAL - at);
                let part: Vec<u8> = (at..at + size).map(byte).collect();
                stdin.write_all(&part).await.expect("write");
                at += size;
            }
        });
        let begin = std::time::Instant::now();
        let (mut at, mut buffer) = (0, vec![0; 64 * 1024]);
        loop {
            let read = stdout.read(&mut buffer).await.expect("read");
            if read == 0 {
                break;
            }
            for (offset, value) in buffer[..read].iter().enumerate() {
                assert_eq!(*value, byte(at + offset), "at {}", at + offset);
            }
            at += read;
        }
        assert_eq!(at, TOTAL);
        writer.await.expect("all was written");
        assert_eq!(session.process.wait().await.expect("exit"), 0);
        eprintln!("100 MB both ways took {:?}", begin.elapsed());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_pauses_holds_the_writer_back() {
    on_a_machine(async |host: Host| {
        let (_, _, id) = host.start_script("exec sleep 1000").await;
        let session = host.machine.exec(&id, shell("yes | head -c 20000000; echo end > /tmp/end")).await.expect("exec");
        // Nobody reads: the command cannot have come to its end.
        let early = tokio::time::timeout(Duration::from_millis(500), session.process.wait()).await;
        assert!(early.is_err());
        assert_eq!(host.exec(&id, "test -e /tmp/end").await.exit_code, 1);
        assert_eq!(text(session.stdout).await.len(), 20_000_000);
        assert_eq!(session.process.wait().await.expect("exit"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_the_size_it_is_given() {
    on_a_machine(async |host: Host| {
        let (_, _, id) = host.start_script("exec sleep 1000").await;
        let size = Some(TerminalSize { columns: 91, rows: 17 });
        let script = "stty size; echo $TERM; read line; stty size; echo $line";
        let session = host.machine.exec(&id, ExecRequest { tty: true, size, ..shell(script) }).await.expect("exec");
        assert!(session.stderr.is_none());
        let (mut stdin, mut stdout) = (session.stdin.expect("asked for"), session.stdout.expect("asked for"));
        let mut seen = String::new();
        let mut buffer = [0; 1024];
        while !seen.contains("xterm") {
            let read = stdout.read(&mut buffer).await.expect("read");
            seen.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        }
        session.process.resize(TerminalSize { columns: 120, rows: 40 }).await.expect("resize");
        stdin.write_all(b"typed\n").await.expect("write");
        loop {
            let read = stdout.read(&mut buffer).await.expect("read");
            if read == 0 {
                break;
            }
            seen.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
        }
        assert!(seen.contains("40 120\r\ntyped\r\n"), "{seen:?}");
        assert_eq!(session.process.wait().await.expect("exit"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_takes_too_long_is_killed_and_so_is_one_whose_caller_went_away() {
    on_a_machine(async |host: Host| {
        let (_, _, id) = host.start_script("exec sleep 1000").await;
        let command = ["/bin/busybox", "sh", "-c", "exec sleep 777"].map(str::to_owned);
        let late = host.machine.exec_sync(&id, &command, Duration::from_millis(300)).await;
        assert!(matches!(late, Err(RuntimeError::Timeout { .. })), "{late:?}");
        drop(host.machine.exec(&id, shell("exec sleep 778")).await.expect("exec"));
        let gone = async {
            while host.exec(&id, "ps | grep -q 'sleep 77[78]'").await.exit_code == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, gone).await.expect("both are killed");
        let pipes = host.settings.dir.join("pipes");
        let empty = async {
            while std::fs::read_dir(&pipes).expect("read").next().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, empty).await.expect("no pipes are left");
    })
    .await;
}
