//! One load by wrk, and what the server spent on it.
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{
    control, curl,
    ground::Ground,
    proc::{self, Usage},
    record::shown,
};

/// The server under load, on this machine's loopback.
pub struct Target<'a> {
    pub ground: &'a Ground,
    pub url: &'a str,
    pub token: &'a str,
    pub pid: u32,
    /// The network namespace that it is in, if not in ours.
    pub namespace: Option<&'a str>,
}

pub struct Answer {
    pub requests: u64,
    pub time: Duration,
    /// Of all answers, heads included.
    pub bytes: u64,
    pub p50: Duration,
    pub p99: Duration,
    /// Answers that refused, and requests without an answer.
    pub bad: u64,
    /// What the server used meanwhile.
    pub server: Usage,
    /// Processor time of wrk.
    pub client_cpu: Duration,
    /// Part of the machine's cores that neither server nor wrk used.
    pub others: f64,
}

impl Target<'_> {
    /// Runs a script of `benches/load`; `time` bounds it.
    pub fn run(&self, script: &str, clients: u32, time: Duration, environment: &[(&str, &str)]) -> Result<Answer> {
        control::check()?;
        let load = |name: &str| self.ground.load(name);
        let mut wrk = curl::inside(self.namespace, "wrk");
        wrk.args([
            "-t1",
            &format!("-c{clients}"),
            &format!("-d{}s", time.as_secs().max(1)),
            "--timeout",
            "30s",
            "--latency",
            "-s",
        ]);
        wrk.arg(load(script)).arg(self.url).env("TOKEN", self.token).env("SUMMARY", load("summary.lua"));
        wrk.envs(environment.iter().copied());
        let (before, machine, children) = (Usage::sum(&[self.pid]), proc::machine_busy(), proc::children_cpu());
        let started = Instant::now();
        let out = wrk.output().context("start wrk")?;
        let elapsed = started.elapsed();
        let server = Usage::sum(&[self.pid]).since(before);
        let client_cpu = proc::children_cpu().saturating_sub(children);
        let busy = proc::machine_busy().saturating_sub(machine);
        let said = String::from_utf8_lossy(&out.stdout);
        let Some(line) = said.lines().find_map(|line| line.strip_prefix("irori-bench ")) else {
            bail!("wrk said no figures: {said}{}", String::from_utf8_lossy(&out.stderr));
        };
        let value = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            word.and_then(|value| value.parse::<u64>().ok()).with_context(|| format!("wrk said no {name}: {line}"))
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let others = busy.saturating_sub(server.cpu + client_cpu).as_secs_f64() / (elapsed.as_secs_f64() * cores);
        Ok(Answer {
            requests: value("requests")?,
            time: Duration::from_micros(value("duration_us")?),
            bytes: value("bytes")?,
            p50: Duration::from_micros(value("p50_us")?),
            p99: Duration::from_micros(value("p99_us")?),
            bad: value("refused")? + value("broken")?,
            server,
            client_cpu,
            others,
        })
    }
}

impl Answer {
    pub fn per_second(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64().max(1e-9)
    }

    pub fn cpu_us_per_request(&self) -> f64 {
        self.server.cpu.as_secs_f64() * 1e6 / (self.requests as f64).max(1.0)
    }

    pub fn client_cpu_us_per_request(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / (self.requests as f64).max(1.0)
    }

    pub fn shown(&self) -> String {
        format!(
            "{:.0}/s, p50 {}, p99 {}, bad {}, server {:.0} µs of CPU a request, wrk {:.0} µs, others used {:.0} % of the machine",
            self.per_second(),
            shown(self.p50),
            shown(self.p99),
            self.bad,
            self.cpu_us_per_request(),
            self.client_cpu_us_per_request(),
            self.others * 100.0,
        )
    }
}
