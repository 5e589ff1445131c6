use std::{fs, io::Write};

use futures::StreamExt;
use irori_runtime::Shutdown;

use super::*;

struct Case {
    _dir: tempfile::TempDir,
    log: PathBuf,
    tasks: Tasks,
    watch: FileWatch,
}

fn line(second: u32, source: &str, tag: &str, text: &str) -> String {
    format!("2026-01-01T00:00:{second:02}.000000000Z {source} {tag} {text}\n")
}

fn case() -> Case {
    let dir = tempfile::tempdir().expect("temp dir");
    let log = dir.path().join("0.log");
    let put = |name: &str, text: String| fs::write(dir.path().join(name), text).expect("write");
    put("0.log.9", line(1, "stdout", "F", "one") + &line(2, "stdout", "F", "two"));
    put("0.log.10", line(3, "stderr", "F", "three"));
    put("0.log", line(4, "stdout", "P", "fo") + &line(4, "stdout", "F", "ur") + &line(5, "stdout", "F", "five"));
    let tasks = Tasks::new(Shutdown::new());
    let watch = FileWatch::new(&tasks).expect("inotify");
    Case { _dir: dir, log, tasks, watch }
}

async fn read(case: &Case, options: LogOptions) -> String {
    let chunks: Vec<_> =
        stream(case.log.clone(), options, case.watch.clone(), std::future::pending(), &case.tasks).collect().await;
    chunks.into_iter().map(|chunk| String::from_utf8(chunk.expect("readable").to_vec()).expect("text")).collect()
}

#[tokio::test]
async fn rotated_files_are_read_before_the_newest_in_the_order_of_their_numbers() {
    assert_eq!(read(&case(), LogOptions::default()).await, "one\ntwo\nthree\nfour\nfive\n");
}

#[tokio::test]
async fn a_tail_reaches_back_into_rotated_files() {
    let case = case();
    let tail = async |lines| read(&case, LogOptions { tail_lines: Some(lines), ..Default::default() }).await;
    assert_eq!(tail(0).await, "");
    assert_eq!(tail(1).await, "five\n");
    assert_eq!(tail(4).await, "three\nfour\nfive\n");
    assert_eq!(tail(5).await, "two\nthree\nfour\nfive\n");
    assert_eq!(tail(100).await, "one\ntwo\nthree\nfour\nfive\n");
}

#[tokio::test]
async fn since_stream_timestamps_and_limit_choose_and_shape_lines() {
    let case = case();
    let since = Some("2026-01-01T00:00:03Z".parse().expect("a time"));
    assert_eq!(read(&case, LogOptions { since, ..Default::default() }).await, "three\nfour\nfive\n");
    assert_eq!(read(&case, LogOptions { stream: Some(LogSource::Stderr), ..Default::default() }).await, "three\n");
    assert_eq!(read(&case, LogOptions { limit_bytes: Some(6), ..Default::default() }).await, "one\ntw");
    let stamped = read(&case, LogOptions { timestamps: true, tail_lines: Some(3), ..Default::default() }).await;
    assert_eq!(stamped, "2026-01-01T00:00:04.000000000Z four\n2026-01-01T00:00:05.000000000Z five\n");
}

#[tokio::test]
async fn a_follower_sees_new_lines_over_a_rotation_and_stops_when_the_container_ended() {
    let case = case();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let options = LogOptions { follow: true, tail_lines: Some(1), ..Default::default() };
    let ended = async move { drop(ended.await) };
    let mut lines = stream(case.log.clone(), options, case.watch.clone(), ended, &case.tasks);
    let mut seen = String::new();
    let mut until = async |wanted: &str| {
        while !seen.ends_with(wanted) {
            let next = tokio::time::timeout(Duration::from_secs(10), lines.next()).await.expect("in time");
            let Some(chunk) = next else { break };
            seen.push_str(std::str::from_utf8(&chunk.expect("readable")).expect("text"));
        }
        seen.clone()
    };
    until("five\n").await;
    let mut file = fs::OpenOptions::new().append(true).open(&case.log).expect("open");
    let whole = line(6, "stdout", "F", "six");
    file.write_all(&whole.as_bytes()[..20]).expect("write");
    file.write_all(&whole.as_bytes()[20..]).expect("write");
    until("six\n").await;
    fs::rename(&case.log, case.log.with_file_name("0.log.11")).expect("rename");
    file.write_all(line(7, "stdout", "F", "seven").as_bytes()).expect("write");
    fs::write(&case.log, line(8, "stdout", "F", "eight")).expect("write");
    until("eight\n").await;
    end.send(()).expect("the reader waits");
    assert_eq!(until("never").await, "five\nsix\nseven\neight\n");
}
