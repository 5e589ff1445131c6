//! The embedded store beside etcd, through the same trait: writes, bytes, syncs, memory, and how long it takes to open.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use irori_testkit::Etcd;
use serde_json::Value;

use super::{control, ground::Ground, record::Record, wants};
use xtask::setup::{self, cargo};

const CLIENTS: [u64; 3] = [1, 16, 64];
const SIZES: [usize; 2] = [1_000, 10_000];
const OBJECTS: [u64; 2] = [10_000, 100_000];
const UPDATE_BYTES: usize = 2_000;
/// Each load is repeated in turns, since the machine is not the same from second to second; the one with the median rate counts.
const ROUNDS: usize = 3;
/// etcd's quota: the load stays far below it.
const QUOTA: &str = "--quota-backend-bytes=8589934592";

/// Builds the load.
pub fn build(root: &Path) -> Result<PathBuf> {
    setup::run(cargo(root).args(["build", "--release", "--package", "irori-store", "--example", "load"]))?;
    Ok(setup::built(root, "release/examples/load"))
}

pub fn run(ground: &Ground, time: Duration) -> Result<()> {
    let mut record = Record::start("store", ground)?;
    record.note("load average", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    let outcome = side_by_side(ground, time, &mut record)
        .and_then(|()| large(ground, time, &mut record))
        .and_then(|()| slow_disk(ground, &mut record))
        .and_then(|()| sealed(ground, &mut record));
    record.note("load average", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    record.finish(outcome)
}

/// A store under load.
enum Under {
    Irori(PathBuf),
    Etcd(Box<Etcd>),
}

impl Under {
    fn both(ground: &Ground) -> Result<[Self; 2]> {
        Ok([Self::Irori(ground.folder("store")?), Self::Etcd(Box::new(Etcd::measured(ground.scratch(), &[QUOTA])))])
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Irori(_) => "irori",
            Self::Etcd(_) => "etcd",
        }
    }

    fn words(&self) -> Vec<String> {
        match self {
            Self::Irori(folder) => vec!["--data".into(), folder.display().to_string()],
            Self::Etcd(etcd) => {
                let at = etcd.endpoints().remove(0);
                let pid = etcd.pid(0).to_string();
                ["--etcd", &at, "--metrics", &at, "--pid", &pid].map(str::to_owned).into()
            }
        }
    }
}

/// What the load said.
struct Said(Value);

impl Said {
    fn number(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap_or_default()
    }

    fn rate(&self) -> f64 {
        self.number("writes") / self.number("seconds").max(1e-9)
    }

    fn each(&self, name: &str) -> f64 {
        self.number(name) / self.number("all").max(1.0)
    }

    fn line(&self) -> String {
        format!(
            "{:.0} writes/s, p50 {:.2} ms, p99 {:.2} ms; per write {:.0} bytes of log, {:.0} bytes of blocks, {:.2} syncs; RSS {:.1} MB",
            self.rate(),
            self.number("p50_us") / 1e3,
            self.number("p99_us") / 1e3,
            self.each("log_bytes"),
            self.each("block_bytes"),
            self.each("syncs"),
            self.number("rss_kb") / 1e3,
        )
    }
}

fn load(ground: &Ground, under: &[String], words: &[&str]) -> Result<Said> {
    control::check()?;
    let out = Command::new(&ground.irori).args(under).args(words).output().context("start the load")?;
    ensure!(out.status.success(), "the load failed: {}", String::from_utf8_lossy(&out.stderr));
    Ok(Said(serde_json::from_slice(&out.stdout).context("read what the load said")?))
}

fn side_by_side(ground: &Ground, time: Duration, record: &mut Record) -> Result<()> {
    let seconds = time.as_secs().to_string();
    for bytes in SIZES {
        let stores = Under::both(ground)?;
        for clients in CLIENTS {
            let mut rounds = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                for (under, rounds) in stores.iter().zip(&mut rounds) {
                    let words = ["--clients", &clients.to_string(), "--bytes", &bytes.to_string(), "--seconds", &seconds];
                    rounds.push(load(ground, &under.words(), &words)?);
                }
            }
            for (under, rounds) in stores.iter().zip(&mut rounds) {
                rounds.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
                let all: Vec<String> = rounds.iter().map(|said| format!("{:.0}", said.rate())).collect();
                let text = format!("{} (of {} writes/s)", rounds[ROUNDS / 2].line(), all.join(", "));
                record.note(&format!("{}, {clients} clients, {bytes} bytes", under.name()), &text);
            }
            let [irori, etcd] = rounds.each_ref().map(|rounds| &rounds[ROUNDS / 2]);
            let (rate, p99) = (irori.rate() / etcd.rate().max(1e-9), irori.number("p99_us") / etcd.number("p99_us").max(1.0));
            record.note(
                &format!("ratio, {clients} clients, {bytes} bytes"),
                &format!("{rate:.2} × the writes, {p99:.2} × the p99"),
            );
            if clients == 64 && bytes == SIZES[0] {
                record.judge(&wants::STORE_WRITES, rate);
                record.judge(&wants::STORE_P99, p99);
            }
        }
    }
    Ok(())
}

/// Many objects: what an update costs, memory, opening.
fn large(ground: &Ground, time: Duration, record: &mut Record) -> Result<()> {
    let (bytes, seconds) = (UPDATE_BYTES.to_string(), time.as_secs().to_string());
    for objects in OBJECTS {
        for mut under in Under::both(ground)? {
            let words = ["--fill", &objects.to_string(), "--bytes", &bytes, "--clients", "1", "--seconds", &seconds];
            let said = load(ground, &under.words(), &words)?;
            let what = format!("{}, {objects} objects of {UPDATE_BYTES} bytes, 1 client", under.name());
            record.note(&what, &said.line());
            let opened = match &mut under {
                Under::Irori(_) => load(ground, &under.words(), &["--seconds", "0"])?.number("open_ms"),
                Under::Etcd(etcd) => {
                    etcd.kill(0);
                    let since = Instant::now();
                    etcd.restart(0);
                    since.elapsed().as_secs_f64() * 1e3
                }
            };
            record.note(&format!("{what}, opened again"), &format!("{opened:.0} ms"));
            if objects == OBJECTS[1] && matches!(under, Under::Irori(_)) {
                backup(ground, &under, record)?;
                record.judge(&wants::STORE_LOG, said.each("log_bytes") / UPDATE_BYTES as f64);
            }
        }
    }
    Ok(())
}

/// A backup of what is there, while 16 clients write.
fn backup(ground: &Ground, under: &Under, record: &mut Record) -> Result<()> {
    let file = ground.folder("backup")?.join("backup");
    let words = ["--clients", "16", "--bytes", "2000", "--seconds", "4", "--backup", &file.display().to_string()];
    let said = load(ground, &under.words(), &words)?;
    let bytes = fs::metadata(&file).context("look at the backup")?.len();
    let text = format!(
        "{:.1} MB in {:.0} ms; memory at its highest {:.1} MB more than before; meanwhile {:.0} writes/s, p99 {:.2} ms",
        bytes as f64 / 1e6,
        said.number("backup_ms"),
        (said.number("peak_kb") - said.number("rss_before_kb")) / 1e3,
        said.rate(),
        said.number("p99_us") / 1e3,
    );
    record.note("irori, backup while 16 clients write", &text);
    Ok(())
}

fn slow_disk(ground: &Ground, record: &mut Record) -> Result<()> {
    let under = Under::Irori(ground.folder("slow")?);
    let said = load(ground, &under.words(), &["--sync-ms", "20", "--clients", "100", "--bytes", "1000", "--seconds", "10"])?;
    record.note("irori, 100 clients, 1000 bytes, each sync takes 20 ms longer", &said.line());
    record.judge(&wants::STORE_SLOW_RATE, said.rate());
    record.judge(&wants::STORE_SLOW_P99, said.number("p99_us") / 1e3);
    Ok(())
}

/// What sealing costs a read: of one value, and of a page of 500.
fn sealed(ground: &Ground, record: &mut Record) -> Result<()> {
    let key = ground.folder("key")?.join("sealing.key").display().to_string();
    for (what, bytes) in [("get", 1_000), ("get", 10_000), ("list", 1_000)] {
        let (mut said, size) = (Vec::new(), bytes.to_string());
        for seal in [&[][..], &["--seal-with", &key]] {
            let under = Under::Irori(ground.folder("sealed")?);
            let words = [&["--fill", "500", "--bytes", &size, "--seconds", "2", "--read", what], seal].concat();
            said.push(load(ground, &under.words(), &words)?.number("p50_us"));
        }
        let name = if what == "get" { "GET of one value" } else { "LIST of 500 values" };
        record.note(
            &format!("{name} of {bytes} bytes from the store, p50"),
            &format!("open {:.1} µs, sealed {:.1} µs", said[0], said[1]),
        );
    }
    Ok(())
}
