//! `irori api` under load.
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::json;

use super::{
    control,
    curl::{self, Api},
    ground::Ground,
    proc::{self, Usage},
    record::{Record, mb, shown},
    wants::{self, upstream},
    wrk::Target,
};

pub const TOKEN: &str = "a-token-of-the-benches";
pub const PODS: u64 = 5000;
const START_MAX: Duration = Duration::from_secs(60);
const END_MAX: Duration = Duration::from_secs(30);
const FILL_MAX: Duration = Duration::from_secs(120);
const FILL_ROUND: Duration = Duration::from_secs(2);
pub const CONFIG_MAPS: &str = "/api/v1/namespaces/bench/configmaps";

/// A running `irori api`.
pub struct Process {
    child: Child,
    /// Open as long as the process may want to print.
    _out: BufReader<ChildStdout>,
    /// Of irori itself, whatever it is wrapped in.
    pub pid: u32,
    pub url: String,
    /// From the start to /readyz.
    pub ready_after: Duration,
    log: PathBuf,
}

impl Process {
    /// Starts it on a data folder, inside another program where `wrapped` names one.
    pub fn start(ground: &Ground, data: &Path, wrapped: &[&str]) -> Result<Self> {
        let token = ground.scratch().join("token");
        fs::write(&token, TOKEN).context("write the token")?;
        let log = ground.scratch().join("api.log");
        let mut words: Vec<&str> = wrapped.to_vec();
        let irori = ground.irori.to_str().context("the scratch folder's name is UTF-8")?;
        words.push(irori);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["api", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        command.arg("--admin-token-file").arg(&token);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(fs::File::create(&log).context("make the log")?);
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("start `{}`", words[0]))?;
        let mut out = BufReader::new(child.stdout.take().context("irori's output")?);
        let mut line = String::new();
        out.read_line(&mut line).context("read irori's output")?;
        let url = line.trim().strip_prefix("irori api: ").unwrap_or_default().to_owned();
        let pid = match wrapped {
            [] => child.id(),
            _ => proc::descendants(child.id(), &proc::processes()).first().map_or(child.id(), |process| process.pid),
        };
        let mut process = Self { child, _out: out, pid, url, ready_after: Duration::ZERO, log };
        anyhow::ensure!(!process.url.is_empty(), "irori api did not start: {}", process.said());
        let readyz = format!("{}/readyz", process.url);
        control::until("irori api is ready", START_MAX, || Ok(curl::answers(None, &[], &readyz)?.then_some(())))?;
        process.ready_after = started.elapsed();
        Ok(process)
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it by a signal and waits.
    pub fn end(mut self, signal: Signal) -> Result<()> {
        control::signal(self.pid, signal)?;
        let deadline = Instant::now() + END_MAX;
        while self.child.try_wait().context("wait for irori")?.is_none() {
            anyhow::ensure!(Instant::now() < deadline, "irori api did not end in {} s", END_MAX.as_secs());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = control::signal(self.pid, Signal::SIGKILL);
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
    }
}

/// The namespace of the load, and the service account that pods need.
pub fn make_namespace(api: &Api) -> Result<()> {
    api.post("/api/v1/namespaces", &[json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})])?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    api.post("/api/v1/namespaces/bench/serviceaccounts", &[account]).map(drop)
}

/// How many objects a list has.
pub fn count(api: &Api, path: &str) -> Result<u64> {
    let list = api.get(&format!("{path}?limit=1"))?;
    let first = list["items"].as_array().map_or(0, Vec::len) as u64;
    Ok(first + list["metadata"]["remainingItemCount"].as_u64().unwrap_or(0))
}

pub fn run(ground: &Ground, time: Duration) -> Result<()> {
    let mut record = Record::start("api", ground)?;
    let outcome = load(ground, time, &mut record).and_then(|()| recorded_load(ground, &mut record));
    record.finish(outcome)
}

fn load(ground: &Ground, time: Duration, record: &mut Record) -> Result<()> {
    record.judge(&wants::BINARY, mb(fs::metadata(&ground.irori).context("look at the binary")?.len()));
    let data = ground.folder("api")?;
    let process = Process::start(ground, &data, &[])?;
    let api = Api::with_token(&process.url, TOKEN);
    make_namespace(&api)?;
    let idle = Usage::sum(&[process.pid]);
    record.note("idle", &memory(idle));

    let target = Target { ground, url: &process.url, token: TOKEN, pid: process.pid, namespace: None };
    creates(&target, time, record)?;
    let objects = count(&api, CONFIG_MAPS)?;
    let full = Usage::sum(&[process.pid]);
    let slope = (full.rss_kb.saturating_sub(idle.rss_kb) * 1024) as f64 / (objects as f64).max(1.0);
    let ratio = upstream::BYTES_PER_OBJECT / slope.max(1.0);
    record.note(
        "objects",
        &format!("{objects}, {}, {slope:.0} bytes of memory an object of 1 KB ({ratio:.1} × less than upstream)", memory(full)),
    );

    updates(&target, &api, &data, time.mul_f64(0.5), record)?;
    for clients in [1, 16] {
        let answer = target.run("apply.lua", clients, time.mul_f64(0.5), &[])?;
        record.note(&format!("server-side apply of 1 KB, {clients} clients"), &answer.shown());
    }
    gets(&target, &api, time.mul_f64(0.625), record)?;
    lists(&target, &api, time.mul_f64(0.75), record)?;
    record.note("end", &memory(Usage::sum(&[process.pid])));
    record.note("data folder", &format!("{:.1} MB", mb(proc::folder_bytes(&data))));
    process.end(Signal::SIGTERM)
}

fn memory(usage: Usage) -> String {
    format!(
        "RSS {:.1} MB (anonymous {:.1} MB), PSS {:.1} MB",
        mb(usage.rss_kb * 1024),
        mb(usage.anonymous_kb * 1024),
        mb(usage.pss_kb * 1024)
    )
}

fn creates(target: &Target, time: Duration, record: &mut Record) -> Result<()> {
    for (clients, upstream) in upstream::CREATES_PER_SECOND {
        let run = format!("c{clients}");
        let answer = target.run("create.lua", clients, time, &[("KIND", "configmaps"), ("LIMIT", "0"), ("RUN", &run)])?;
        let ratio = answer.per_second() / upstream;
        record.note(&format!("creates of 1 KB, {clients} clients"), &format!("{}; {ratio:.2} × upstream", answer.shown()));
        if clients == 64 {
            record.judge(&wants::CREATES, ratio);
            // What a client sends is a little less than what is stored.
            let sent = answer.requests as f64 * 1000.0;
            record.judge(&wants::BLOCKS_AT_64, answer.server.written_bytes as f64 / sent.max(1.0));
        }
    }
    Ok(())
}

fn updates(target: &Target, api: &Api, data: &Path, time: Duration, record: &mut Record) -> Result<()> {
    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "changing"}, "data": {"a": "y".repeat(1908)}});
    api.post(CONFIG_MAPS, &[body])?;
    let size = api.get_as(&format!("{CONFIG_MAPS}/changing"), "application/json")?.len() as f64;
    let before = proc::folder_bytes(&data.join("store"));
    let answer = target.run("update.lua", 1, time, &[])?;
    let grown = proc::folder_bytes(&data.join("store")).saturating_sub(before) as f64;
    record.note("updates of 2 KB, 1 client", &answer.shown());
    record.judge(&wants::LOG_PER_UPDATE, grown / (answer.requests as f64 * size).max(1.0));
    let blocks = answer.server.written_bytes as f64 / (answer.requests as f64 * size).max(1.0);
    record.note("block bytes per 2 KB update, one writer", &format!("{blocks:.2} ×"));
    Ok(())
}

fn gets(target: &Target, api: &Api, time: Duration, record: &mut Record) -> Result<()> {
    api.post(CONFIG_MAPS, &[json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}})])?;
    let path = format!("{CONFIG_MAPS}/one");
    for ((clients, rate), (_, p50_ms)) in upstream::GETS_PER_SECOND.into_iter().zip(upstream::GET_P50_MS) {
        let answer = target.run("get.lua", clients, time, &[("TARGET", &path), ("ACCEPT", "application/json")])?;
        let (faster, sooner) = (answer.per_second() / rate, p50_ms / ms(answer.p50));
        let text = format!("{}; {faster:.2} × upstream, p50 {sooner:.2} × sooner", answer.shown());
        record.note(&format!("GET, {clients} clients"), &text);
        if clients == 1 {
            record.judge(&wants::GET_P50, sooner);
        } else {
            // Upstream's own CPU was not recorded: at most what wrk left of both cores.
            let estimate = upstream::CORES * 1e6 / rate - answer.client_cpu_us_per_request();
            record.note("GET, CPU per request of upstream, estimated", &format!("{estimate:.0} µs at most"));
            record.judge(&wants::GET_CPU, estimate / answer.cpu_us_per_request().max(1e-3));
        }
    }
    Ok(())
}

fn lists(target: &Target, api: &Api, time: Duration, record: &mut Record) -> Result<()> {
    let started = Instant::now();
    fill(target, api, "pods", 8, PODS)?;
    let path = "/api/v1/namespaces/bench/pods";
    let pods = count(api, path)?;
    record.note("pods", &format!("{pods}, made in {}", shown(started.elapsed())));
    for (accept, upstream_ms, want) in [
        ("application/json", upstream::LIST_MS_JSON, &wants::LIST_JSON),
        ("application/vnd.kubernetes.protobuf", upstream::LIST_MS_PROTOBUF, &wants::LIST_PROTOBUF),
    ] {
        let answer = target.run("get.lua", 1, time, &[("TARGET", path), ("ACCEPT", accept)])?;
        let each = answer.bytes as f64 / (answer.requests as f64).max(1.0) / 1e6;
        record.note(&format!("LIST of {pods} pods, {accept}"), &format!("{each:.1} MB each, {}", answer.shown()));
        anyhow::ensure!(answer.bad == 0, "{} lists failed", answer.bad);
        record.judge(want, upstream_ms / ms(answer.p50));
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).max(1e-3)
}

/// The very script that upstream's figures were taken with, on a fresh server, where it lies beside the project.
fn recorded_load(ground: &Ground, record: &mut Record) -> Result<()> {
    let script = ground.root.join("../shared/bench/run.sh");
    if !script.is_file() {
        record.note("run.sh", "not here; the figures above are of this project's own load of the same shape");
        return Ok(());
    }
    control::check()?;
    let data = ground.folder("api")?;
    let process = Process::start(ground, &data, &[])?;
    let pid = process.pid.to_string();
    let started = Instant::now();
    let out = Command::new("bash").arg(&script).args([&process.url, TOKEN, "irori", &pid]).stdin(Stdio::null()).output();
    let out = out.context("start run.sh")?;
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        record.note("run.sh", line);
    }
    record.note("run.sh", &format!("took {}", shown(started.elapsed())));
    process.end(Signal::SIGTERM)
}

/// Makes so many objects of a kind. wrk runs for whole seconds and stops creating at a limit, so it takes some rounds.
pub fn fill(target: &Target, api: &Api, kind: &str, clients: u32, objects: u64) -> Result<()> {
    let deadline = Instant::now() + FILL_MAX;
    let path = format!("/api/v1/namespaces/bench/{kind}");
    let before = count(api, &path)?;
    for round in 0.. {
        let there = count(api, &path)? - before;
        if there >= objects {
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "{there} of {objects} {kind} were made in {} s", FILL_MAX.as_secs());
        let (limit, run) = ((objects - there).to_string(), format!("f{before}-{round}"));
        let answer = target.run("create.lua", clients, FILL_ROUND, &[("KIND", kind), ("LIMIT", &limit), ("RUN", &run)])?;
        anyhow::ensure!(answer.bad == 0, "{} creates of {kind} failed", answer.bad);
    }
    Ok(())
}
