//! A home of ten pods while nothing happens.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use irori_store::{Written, disk::RealDisk, written_after};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::{
    control, curl,
    ground::Ground,
    home::{Home, Size, pids},
    own_disk::OwnDisk,
    proc::{self, Usage},
    record::{Record, mb},
    wants,
};

const SIZE: Size = Size { whoami: 5, page: 5 };
/// After the questions, before the measurement begins.
const SETTLE: Duration = Duration::from_secs(60);
/// Between looks at the memory; each look makes the kernel walk the page tables.
const LOOK: Duration = Duration::from_secs(60);
const HOUR: f64 = 3600.0;
const CAP: f64 = 1.2;

pub fn run(ground: &Ground, kubectl: &Path, time: Duration, capped: Duration) -> Result<()> {
    let mut record = Record::start("idle", ground)?;
    record.note("asked for", &format!("{} minutes, then {} with capped memory", time.as_secs() / 60, capped.as_secs() / 60));
    let outcome = measure(ground, kubectl, time, capped, &mut record);
    record.finish(outcome)
}

fn measure(ground: &Ground, kubectl: &Path, time: Duration, capped: Duration, record: &mut Record) -> Result<()> {
    let group = Group::make()?;
    forget_pages(&ground.irori)?;
    let folder = ground.folder("home")?;
    let disk = OwnDisk::mount(&ground.scratch().join("disk.img"), &folder)?;
    let mut home = Home::at(ground, folder, SIZE)?;
    home.start(Some(&group.folder))?;
    home.wait_up()?;
    home.wait_replicas()?;
    questions(&home, kubectl)?;
    control::pause(SETTLE)?;

    let irori = home.pid()?;
    let tasks = task_wakeups(&home)?;
    let logged = last_written(&home)?;
    let before = Look::take(&home, irori, &disk)?;
    record.note("processes", &before.counts());
    let mut peak_kb = 0;
    let started = Instant::now();
    while started.elapsed() < time {
        control::pause(LOOK.min(time.saturating_sub(started.elapsed())))?;
        peak_kb = peak_kb.max(Usage::sum(&[irori]).rss_kb);
    }
    let after = Look::take(&home, irori, &disk)?;
    report(record, &before, &after, started.elapsed());
    writes(record, &home, logged)?;
    for (task, count) in task_wakeups(&home)? {
        let woken = count - tasks.get(&task).copied().unwrap_or_default();
        if woken > 0 {
            let a_minute = woken as f64 * 60.0 / started.elapsed().as_secs_f64();
            record.note("wakeups of a task of irori", &format!("{task}: {woken}, {a_minute:.2} a minute"));
        }
    }
    record.note("irori, highest RSS seen", &format!("{:.1} MB", mb(peak_kb * 1024)));
    if !capped.is_zero() {
        under_cap(record, &group, irori, capped)?;
    }
    home.down()
}

/// What clients ask once: discovery, OpenAPI, explain.
fn questions(home: &Home, kubectl: &Path) -> Result<()> {
    let api = home.api()?;
    api.get("/api")?;
    api.get("/apis")?;
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    for path in ["/api", "/apis"] {
        api.get_as(path, aggregated)?;
    }
    let documents = api.get("/openapi/v3")?;
    for document in documents["paths"].as_object().context("paths of /openapi/v3")?.values() {
        api.get(document["serverRelativeURL"].as_str().context("address of an OpenAPI document")?)?;
    }
    for words in [
        &["explain", "pods", "--recursive"][..],
        &["explain", "deployments.spec.template.spec"],
        &["api-resources"],
        &["get", "nodes,pods,deployments,services,ingresses", "-A"],
    ] {
        let mut kubectl = curl::inside(Some(home.namespace()), kubectl);
        kubectl.arg("--kubeconfig").arg(home.kubeconfig()).arg("--cache-dir").arg(home.folder().join("kube-cache")).args(words);
        let out = kubectl.output().context("start kubectl")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        anyhow::ensure!(out.status.success(), "kubectl {}: {}", words.join(" "), said.trim());
    }
    Ok(())
}

fn written(home: &Home, after: u64) -> Result<Vec<Written>> {
    let disk = RealDisk::at(&home.data().join("store")).context("open the store's folder")?;
    written_after(&disk, after).context("read the log")
}

/// The newest revision in the log.
fn last_written(home: &Home) -> Result<u64> {
    Ok(written(home, 0)?.last().map_or(0, |frame| frame.revisions.1))
}

/// Every append to the log since, and which objects it was for.
fn writes(record: &mut Record, home: &Home, after: u64) -> Result<()> {
    let frames = written(home, after)?;
    let bytes: u64 = frames.iter().map(|frame| frame.bytes).sum();
    record.note("appends to the log", &format!("{}, {bytes} bytes in all", frames.len()));
    let mut by_key: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for frame in &frames {
        frame.keys.iter().for_each(|key| by_key.entry(key).or_default().0 += 1);
        frame.keys.iter().collect::<BTreeSet<_>>().into_iter().for_each(|key| by_key.entry(key).or_default().1 += 1);
    }
    for (key, (writes, frames)) in by_key {
        record.note("written", &format!("{key}: {writes} times in {frames} appends"));
    }
    Ok(())
}

/// How often each task of irori was woken so far: its own metrics say. Timers and watches that nobody named would show as wakeups of a
/// thread that no task explains.
fn task_wakeups(home: &Home) -> Result<BTreeMap<String, u64>> {
    let metrics = String::from_utf8(home.api()?.get_as("/metrics", "text/plain")?).context("read the metrics")?;
    let of_tasks = metrics.lines().filter_map(|line| line.strip_prefix("irori_task_wakeups_total{task=\"")?.split_once("\"} "));
    Ok(of_tasks.filter_map(|(task, count)| Some((task.to_owned(), count.parse().ok()?))).collect())
}

/// Everything at one moment.
struct Look {
    irori: Usage,
    pauses: Usage,
    containerd: Usage,
    shims: Usage,
    apps: Usage,
    counts: [usize; 4],
    threads: BTreeMap<u32, proc::Thread>,
    disk: (u64, u64),
    disks: (u64, u64),
    machine_busy: Duration,
}

impl Look {
    fn take(home: &Home, irori: u32, disk: &OwnDisk) -> Result<Self> {
        let engine = home.engine();
        let sum = |processes: &[proc::Process]| Usage::sum(&pids(processes));
        Ok(Self {
            irori: Usage::sum(&[irori]),
            pauses: sum(&engine.pauses),
            containerd: sum(&engine.containerd),
            shims: sum(&engine.shims),
            apps: sum(&engine.apps),
            counts: [engine.pauses.len(), engine.containerd.len(), engine.shims.len(), engine.apps.len()],
            threads: proc::threads(irori),
            disk: disk.settled()?,
            disks: proc::disks(),
            machine_busy: proc::machine_busy(),
        })
    }

    fn counts(&self) -> String {
        let [pauses, containerd, shims, apps] = self.counts;
        format!(
            "1 irori with {} threads, {pauses} pauses, {containerd} containerd, {shims} shims, {apps} of the apps",
            self.threads.len()
        )
    }
}

fn report(record: &mut Record, before: &Look, after: &Look, time: Duration) {
    let seconds = time.as_secs_f64();
    record.note("measured", &format!("{:.0} s; figures an hour are this scaled", seconds));
    record.note("processes at the end", &after.counts());
    let used = |now: Usage, then: Usage| now.since(then);
    let irori = used(after.irori, before.irori);
    for (name, usage) in [
        ("irori", irori),
        ("pauses", used(after.pauses, before.pauses)),
        ("containerd", used(after.containerd, before.containerd)),
        ("shims", used(after.shims, before.shims)),
        ("apps", used(after.apps, before.apps)),
    ] {
        record.note(name, &line(usage, seconds));
    }
    let (read, written) = (after.disks.0 - before.disks.0, after.disks.1 - before.disks.1);
    record.note("disks of the whole machine", &format!("read {:.2} MB, written {:.2} MB", mb(read), mb(written)));
    let (read, written) = (after.disk.0 - before.disk.0, after.disk.1 - before.disk.1);
    let own = format!("read {:.3} MB, written {:.3} MB, the file system's own included", mb(read), mb(written));
    record.note("the home's own disk", &own);
    let others = after.machine_busy.saturating_sub(before.machine_busy).as_secs_f64() / seconds * 100.0;
    record.note("the whole machine", &format!("{others:.1} % of a core busy, this home's part included"));
    threads(record, before, after, seconds);

    record.judge(&wants::IDLE_RSS, mb((after.irori.rss_kb + after.pauses.rss_kb) * 1024));
    record.judge(&wants::IDLE_PSS, mb((after.irori.pss_kb + after.pauses.pss_kb) * 1024));
    record.judge(&wants::IDLE_CPU, irori.cpu.as_secs_f64() / seconds * 100.0);
    record.judge(&wants::IDLE_WRITTEN, mb(written) * HOUR / seconds);
}

fn line(usage: Usage, seconds: f64) -> String {
    format!(
        "RSS {:.1} MB (anonymous {:.1} MB), PSS {:.1} MB, {:.3} % of a core, {:.1} wakeups a second, read {:.3} MB, written {:.3} MB, {} major faults",
        mb(usage.rss_kb * 1024),
        mb(usage.anonymous_kb * 1024),
        mb(usage.pss_kb * 1024),
        usage.cpu.as_secs_f64() / seconds * 100.0,
        usage.wakeups as f64 / seconds,
        mb(usage.read_bytes),
        mb(usage.written_bytes),
        usage.major_faults,
    )
}

/// Threads of irori that were woken, those woken most first.
fn threads(record: &mut Record, before: &Look, after: &Look, seconds: f64) {
    let mut woken: Vec<(u64, String)> = Vec::new();
    for (id, thread) in &after.threads {
        let earlier = before.threads.get(id).map_or(0, |thread| thread.wakeups);
        woken.push((thread.wakeups.saturating_sub(earlier), format!("{} ({id})", thread.name)));
    }
    woken.sort_by(|a, b| b.cmp(a));
    for (wakeups, name) in woken.iter().filter(|(wakeups, _)| *wakeups > 0) {
        record.note(
            "wakeups of a thread of irori",
            &format!("{name}: {wakeups}, {:.2} a minute", *wakeups as f64 * 60.0 / seconds),
        );
    }
}

fn under_cap(record: &mut Record, group: &Group, irori: u32, time: Duration) -> Result<()> {
    let used = Usage::sum(&[irori]);
    let cap = (used.rss_kb as f64 * 1024.0 * CAP) as u64;
    group.limit(cap)?;
    anyhow::ensure!(group.holds(irori), "irori has left its memory group: the cap would cap nothing");
    // What the cap itself pushes out comes back at once where it is needed.
    control::pause(SETTLE.min(time))?;
    let before = Usage::sum(&[irori]);
    let started = Instant::now();
    control::pause(time)?;
    let (usage, seconds) = (Usage::sum(&[irori]).since(before), started.elapsed().as_secs_f64());
    record.note(&format!("irori, memory capped at {:.1} MB, {seconds:.0} s", mb(cap)), &line(usage, seconds));
    record.judge(&wants::IDLE_READ_CAPPED, mb(usage.read_bytes) * HOUR / seconds);
    record.judge(&wants::IDLE_FAULTS_CAPPED, usage.major_faults as f64 * HOUR / seconds);
    Ok(())
}

/// Pages of the binary that are in memory already belong to whoever copied it; those read anew belong to irori.
fn forget_pages(binary: &Path) -> Result<()> {
    let file = fs::File::open(binary).context("open the binary")?;
    file.sync_all().context("sync the binary")?;
    posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).context("drop the binary's pages")
}

/// A control group of its own, for memory alone.
struct Group {
    folder: PathBuf,
    limit: &'static str,
}

impl Group {
    fn make() -> Result<Self> {
        let name = format!("irori-bench-{}", std::process::id());
        let (top, limit) = match Path::new("/sys/fs/cgroup/memory").is_dir() {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let folder = Path::new(top).join(name);
        fs::create_dir(&folder).with_context(|| format!("make control group `{}`", folder.display()))?;
        let group = Self { folder, limit };
        anyhow::ensure!(group.folder.join(limit).exists(), "control groups on this machine do not limit memory");
        Ok(group)
    }

    fn limit(&self, bytes: u64) -> Result<()> {
        fs::write(self.folder.join(self.limit), bytes.to_string()).context("cap the memory")
    }

    fn holds(&self, pid: u32) -> bool {
        let procs = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        procs.lines().any(|line| line.parse() == Ok(pid))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Whatever is still in it would keep it alive; the home has ended before.
        if let Err(source) = fs::remove_dir(&self.folder) {
            eprintln!("remove control group `{}`: {source}", self.folder.display());
        }
    }
}
