//! Start times: the API alone, and a home.
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::{
    api::{Process, TOKEN, count, fill, make_namespace},
    curl::Api,
    ground::Ground,
    home::{Home, Size, Times},
    record::{Record, percentile, shown},
    wants::{self, Want},
    wrk::Target,
};
use xtask::setup;

const OBJECTS: u64 = 10_000;
/// Every fsync and fdatasync ends 20 ms later.
const SLOW_DISK: [&str; 8] = [
    "strace",
    "-f",
    "-qq",
    "--seccomp-bpf",
    "--output=/dev/null",
    "--trace=fsync,fdatasync",
    "--inject=fsync,fdatasync:delay_exit=20000",
    "--",
];

pub fn run(ground: &Ground, times: usize) -> Result<()> {
    let mut record = Record::start("start", ground)?;
    let outcome = api(ground, times, &[], &mut record)
        .and_then(|()| slow_disk(ground, times, &mut record))
        .and_then(|()| home(ground, times, &mut record));
    record.finish(outcome)
}

/// All times and their median.
fn tell(record: &mut Record, what: &str, times: &[Duration], want: Option<&Want>) {
    let all: Vec<String> = times.iter().map(|time| shown(*time)).collect();
    let median = percentile(times, 50);
    record.note(what, &format!("median {} of {}", shown(median), all.join(", ")));
    if let Some(want) = want {
        record.judge(want, median.as_secs_f64());
    }
}

fn api(ground: &Ground, times: usize, wrapped: &[&str], record: &mut Record) -> Result<()> {
    let slow = !wrapped.is_empty();
    let suffix = if slow { ", fsync of 20 ms" } else { "" };
    let mut first = Vec::new();
    for _ in 0..times {
        let data = ground.folder("start")?;
        let process = Process::start(ground, &data, wrapped)?;
        first.push(process.ready_after);
        process.end(Signal::SIGTERM)?;
    }
    let want = if slow { &wants::FIRST_START_SLOW_DISK } else { &wants::FIRST_START };
    tell(record, &format!("irori api, first start to /readyz{suffix}"), &first, Some(want));

    let data = ground.folder("start")?;
    let process = Process::start(ground, &data, &[])?;
    let server = Api::with_token(&process.url, TOKEN);
    make_namespace(&server)?;
    let target = Target { ground, url: &process.url, token: TOKEN, pid: process.pid, namespace: None };
    fill(&target, &server, "configmaps", 16, OBJECTS)?;
    let objects = count(&server, "/api/v1/namespaces/bench/configmaps")?;
    anyhow::ensure!(objects >= OBJECTS, "{objects} of {OBJECTS} objects were made");
    process.end(Signal::SIGTERM)?;
    let ends = if slow { &[Signal::SIGTERM][..] } else { &[Signal::SIGTERM, Signal::SIGKILL][..] };
    for signal in ends {
        let mut again = Vec::new();
        // The first of them finds what the fill left; the others what the restart before left.
        for _ in 0..times {
            let process = Process::start(ground, &data, wrapped)?;
            again.push(process.ready_after);
            process.end(*signal)?;
        }
        let want = match (slow, signal) {
            (true, _) => Some(&wants::RESTART_SLOW_DISK),
            (false, Signal::SIGTERM) => Some(&wants::RESTART),
            (false, _) => None,
        };
        tell(record, &format!("irori api, restart after {signal} with {objects} objects to /readyz{suffix}"), &again, want);
    }
    Ok(())
}

/// The same where every sync takes 20 ms longer, by strace's fault injection.
fn slow_disk(ground: &Ground, times: usize, record: &mut Record) -> Result<()> {
    if setup::find("strace").is_none() {
        record.note("fsync of 20 ms", "not measured: this machine has no strace");
        return Ok(());
    }
    api(ground, times, &SLOW_DISK, record)
}

fn home(ground: &Ground, times: usize, record: &mut Record) -> Result<()> {
    let mut home = Home::new(ground, Size { whoami: 2, page: 1 })?;
    let mut first = Vec::new();
    for n in 0..times {
        home.start(None)?;
        first.push(home.wait_up()?);
        home.wait_replicas()?;
        if n + 1 < times {
            home.down()?;
        }
    }
    let column = |of: fn(&Times) -> Duration, rows: &[Times]| rows.iter().map(of).collect::<Vec<_>>();
    tell(record, "home, first start to /readyz", &column(|t| t.readyz, &first), Some(&wants::HOME_FIRST_START));
    tell(record, "home, first start to node Ready", &column(|t| t.node_ready, &first), Some(&wants::NODE_READY));
    tell(record, "home, first start to both apps answering over https", &column(|t| t.apps, &first), None);
    let stages: Vec<String> = home.said().lines().filter(|line| line.starts_with("ok ")).map(str::to_owned).collect();
    let last = stages.iter().rposition(|line| line.starts_with("ok   server")).unwrap_or(0);
    stages[last..].iter().for_each(|line| record.note("stage of the last first start", line));

    let mut again = Vec::new();
    for _ in 0..times {
        home.interrupt().context("end irori, pods stay")?;
        home.start(None)?;
        again.push(home.wait_up()?);
    }
    tell(record, "home, restart beside its living pods to /readyz", &column(|t| t.readyz, &again), None);
    tell(record, "home, restart beside its living pods to both apps answering over https", &column(|t| t.apps, &again), None);
    home.down()
}
