//! One change, a thousand watchers: how long until the last of them has it.
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use http_body_util::BodyExt;
use irori_client::{Identity, Remote, connect};
use irori_runtime::{Clock, SignedDuration, Timestamp};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{
    api::{Process, TOKEN, make_namespace},
    curl::Api,
    ground::Ground,
    proc::Usage,
    record::{Record, mb, percentile, shown},
    wants,
};

const WATCHERS: u32 = 1_000;
const EVENTS_PER_SECOND: u32 = 20;
/// How long an event may take to its last watcher before the run is given up.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);
/// Events whose place in the run is told: whether a tail is a matter of warming up.
const SLOWEST_SHOWN: usize = 6;
const OPEN_MAX: Duration = Duration::from_secs(120);
const PATH: &str = "/api/v1/namespaces/bench/configmaps";

/// One event on its way: when it was sent, how many have it, and when the last of them got it.
struct Flight {
    sent: Instant,
    arrived: AtomicU32,
    last_us: AtomicU64,
}

pub fn run(ground: &Ground, time: Duration) -> Result<()> {
    let mut record = Record::start("fanout", ground)?;
    let outcome = [(10, &wants::FANOUT_SHARED), (WATCHERS, &wants::FANOUT_APART)].into_iter().try_for_each(|(connections, want)| {
        let data = ground.folder("fanout")?;
        let process = Process::start(ground, &data, &[])?;
        make_namespace(&Api::with_token(&process.url, TOKEN))?;
        let idle = Usage::sum(&[process.pid]);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start tokio")?;
        let times = runtime.block_on(measure(&process, &data, connections, time, &mut record))?;
        let used = Usage::sum(&[process.pid]).since(idle);
        let what = format!("{WATCHERS} watchers over {connections} connections, {EVENTS_PER_SECOND} events/s");
        let delivered = f64::from(WATCHERS) * times.len() as f64;
        record.note(
            &what,
            &format!(
                "from sending the change to its last watcher p50 {}, p99 {}, worst {}; {:.1} µs of CPU a delivered event; RSS {:.1} MB",
                shown(percentile(&times, 50)),
                shown(percentile(&times, 99)),
                shown(percentile(&times, 100)),
                used.cpu.as_secs_f64() * 1e6 / delivered.max(1.0),
                mb(Usage::sum(&[process.pid]).rss_kb * 1024),
            ),
        );
        record.judge(want, percentile(&times, 99).as_secs_f64() * 1e3);
        runtime.shutdown_background();
        process.end(Signal::SIGTERM)
    });
    record.finish(outcome)
}

async fn measure(process: &Process, data: &Path, connections: u32, time: Duration, record: &mut Record) -> Result<Vec<Duration>> {
    let ca_pem = std::fs::read_to_string(data.join("trust/root.crt")).context("read the root certificate")?;
    let client = || {
        let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        let identity = Identity::Token(TOKEN.to_owned());
        connect(&Remote { url: process.url.clone(), ca_pem: ca_pem.clone(), identity, agent: "bench", clock })
    };
    let writer = client()?;
    send(&writer, "POST", PATH, &object(0)).await.context("make the object that changes")?;
    let events = (time.as_secs_f64() * f64::from(EVENTS_PER_SECOND)) as usize;
    // A place for every event, so that watchers look nothing up.
    let flights: Arc<[std::sync::OnceLock<Flight>]> = (0..=events).map(|_| std::sync::OnceLock::new()).collect();
    let opened = Arc::new(AtomicU32::new(0));
    let started = Instant::now();
    let mut wanted = 0;
    for _ in 0..connections {
        let client = client()?;
        // The first of a connection opens it, the others find it open.
        for watches in [1, WATCHERS / connections - 1] {
            (0..watches).for_each(|_| watch(client.clone(), flights.clone(), opened.clone()));
            wanted += watches;
            while opened.load(Ordering::Relaxed) < wanted {
                anyhow::ensure!(
                    started.elapsed() < OPEN_MAX,
                    "{} of {WATCHERS} watches are open",
                    opened.load(Ordering::Relaxed)
                );
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
    }
    record.note(&format!("{WATCHERS} watches opened over {connections} connections"), &shown(started.elapsed()));

    let mut times = Vec::with_capacity(events);
    let mut tick = tokio::time::interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    for event in 1..=events {
        tick.tick().await;
        let flight = Flight { sent: Instant::now(), arrived: AtomicU32::new(0), last_us: AtomicU64::new(0) };
        anyhow::ensure!(flights[event].set(flight).is_ok(), "each event is sent once");
        send(&writer, "PUT", &format!("{PATH}/changing"), &object(event)).await.context("change the object")?;
    }
    let deadline = Instant::now() + ARRIVAL_MAX;
    for flight in flights[1..].iter().filter_map(|flight| flight.get()) {
        while flight.arrived.load(Ordering::Acquire) < WATCHERS {
            anyhow::ensure!(
                Instant::now() < deadline,
                "an event reached {} of {WATCHERS}",
                flight.arrived.load(Ordering::Acquire)
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        times.push(Duration::from_micros(flight.last_us.load(Ordering::Acquire)));
    }
    let mut slowest: Vec<usize> = (0..times.len()).collect();
    slowest.sort_by_key(|event| std::cmp::Reverse(times[*event]));
    slowest.truncate(SLOWEST_SHOWN);
    let shown_slowest: Vec<String> = slowest.iter().map(|event| format!("#{} {}", event + 1, shown(times[*event]))).collect();
    record.note("the slowest events, of so many", &format!("{} of {}", shown_slowest.join(", "), times.len()));
    times.sort();
    Ok(times)
}

fn object(event: usize) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changing"},
        "data": {"event": format!("<{event}>"), "text": "x".repeat(900)}})
}

async fn send(client: &kube::Client, method: &str, path: &str, body: &serde_json::Value) -> Result<()> {
    let request = http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let answer = client.send(request.body(kube::client::Body::from(body.to_string().into_bytes()))?).await?;
    anyhow::ensure!(answer.status().is_success(), "{method} {path}: {}", answer.status());
    answer.into_body().collect().await.map_err(|source| anyhow::anyhow!("read the answer: {source}"))?;
    Ok(())
}

/// Opens a watch, and notes the arrival of each event.
fn watch(client: kube::Client, flights: Arc<[std::sync::OnceLock<Flight>]>, opened: Arc<AtomicU32>) {
    tokio::spawn(async move {
        let uri = format!("{PATH}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dchanging");
        let request = http::Request::builder().uri(uri).body(kube::client::Body::empty()).expect("a request of constants");
        let Ok(answer) = client.send(request).await else { return };
        let mut body = answer.into_body();
        let mut pending: Vec<u8> = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(bytes) = frame.into_data() else { continue };
            pending.extend_from_slice(&bytes);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                match number(&line) {
                    Some(0) => drop(opened.fetch_add(1, Ordering::Relaxed)),
                    Some(event) => {
                        if let Some(flight) = flights.get(event).and_then(|flight| flight.get()) {
                            let us = u64::try_from(flight.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
                            flight.last_us.fetch_max(us, Ordering::AcqRel);
                            flight.arrived.fetch_add(1, Ordering::AcqRel);
                        }
                    }
                    None => {}
                }
            }
        }
    });
}

/// The number of an event, between the only angle brackets of its line.
fn number(line: &[u8]) -> Option<usize> {
    let start = line.iter().position(|byte| *byte == b'<')? + 1;
    let end = start + line[start..].iter().position(|byte| *byte == b'>')?;
    std::str::from_utf8(&line[start..end]).ok()?.parse().ok()
}
