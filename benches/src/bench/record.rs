//! A run, written down: machine, version, figures.
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{control, ground::Ground, wants::Want};

/// Appends of 4 KiB, each made durable, that tell what the disk is like.
const DISK_PROBES: usize = 100;

pub struct Record {
    name: &'static str,
    path: PathBuf,
    lines: Vec<String>,
}

impl Record {
    /// Starts a record with what the machine is like.
    pub fn start(name: &'static str, ground: &Ground) -> Result<Self> {
        Self::of(name, &format!("cargo xtask bench {name}"), ground)
    }

    /// The same, of another command.
    pub fn of(name: &'static str, command: &str, ground: &Ground) -> Result<Self> {
        let stamp = said(Command::new("date").args(["-u", "+%Y-%m-%d-%H%M"]));
        let mut record = Self { name, path: ground.root.join(format!("benches/runs/{name}-{stamp}.txt")), lines: Vec::new() };
        let size = fs::metadata(&ground.irori).context("look at the binary")?.len();
        record.note("command", command);
        record.note("date", &format!("{stamp} UTC"));
        record.note("machine", &machine());
        record.note("disk", &disk(ground.scratch())?);
        let version = said(Command::new(&ground.irori).arg("--version"));
        // Which commit a given binary is of is for the remark to say.
        let origin = if ground.given {
            "built before, given by --binary".to_owned()
        } else {
            format!("release, {}", commit(&ground.root))
        };
        record.note("irori", &format!("{version}, {origin}, {:.1} MB", mb(size)));
        let busy = control::busy(Duration::from_secs(2))?;
        record.note("before the start", &format!("others used {:.0} % of the machine", busy * 100.0));
        if let Some(remark) = &ground.remark {
            record.note("remark", remark);
        }
        Ok(record)
    }

    /// A line of the record, printed as it comes.
    pub fn note(&mut self, name: &str, text: &str) {
        let line = format!("{name}: {text}");
        println!("{line}");
        self.lines.push(line);
    }

    /// A figure that the design has a number for.
    pub fn judge(&mut self, want: &Want, measured: f64) {
        let text = format!("{} | {} | {} | {}", want.bounds(), want.show(measured), want.verdict(measured), want.what);
        self.note("judged", &text);
    }

    /// Writes the run down, also one that ended early.
    pub fn finish(mut self, outcome: Result<()>) -> Result<()> {
        if let Err(error) = &outcome {
            self.note("ended early", &format!("{error:#}"));
        }
        let mut file = fs::File::create(&self.path).with_context(|| format!("make `{}`", self.path.display()))?;
        file.write_all((self.lines.join("\n") + "\n").as_bytes()).context("write the record")?;
        println!("{}: recorded in {}", self.name, self.path.display());
        outcome
    }
}

/// Standard output of a program in one line; empty where it fails.
fn said(command: &mut Command) -> String {
    command.output().map(|out| String::from_utf8_lossy(&out.stdout).trim().replace('\n', " ")).unwrap_or_default()
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).map(|rest| rest.trim_start_matches(['\t', ' ', ':']));
    let memory = super::proc::field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = said(Command::new("uname").args(["-sr"]));
    format!("{cores} cores ({}), {:.1} GB of memory, {kernel}", model.unwrap_or("model unknown"), memory as f64 / 1e6)
}

fn commit(root: &Path) -> String {
    let git = |words: &[&str]| said(Command::new("git").arg("-C").arg(root).args(words));
    // What is written below benches/ does not change the binary.
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches"]);
    format!("commit {}{}", git(&["rev-parse", "--short", "HEAD"]), if changed.is_empty() { "" } else { " with changes" })
}

/// How long the disk takes to make a small append durable.
fn disk(folder: &Path) -> Result<String> {
    let path = folder.join("probe");
    let mut file = fs::File::create(&path).context("make a file in the scratch folder")?;
    let mut times = Vec::with_capacity(DISK_PROBES);
    for _ in 0..DISK_PROBES {
        let started = Instant::now();
        file.write_all(&[7; 4096]).context("write to the scratch folder")?;
        file.sync_data().context("sync the scratch folder")?;
        times.push(started.elapsed());
    }
    fs::remove_file(&path).context("remove the file in the scratch folder")?;
    Ok(format!("append of 4 KiB with fdatasync: {}", spread(&times)))
}

pub fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// Median and 99th hundredth of some times, by nearest rank.
pub fn spread(times: &[Duration]) -> String {
    format!("p50 {}, p99 {}", shown(percentile(times, 50)), shown(percentile(times, 99)))
}

/// Zero where there are no times.
pub fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (sorted.len() * hundredths).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

pub fn shown(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 10.0 => format!("{s:.1} s"),
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.01 => format!("{:.0} ms", s * 1e3),
        s => format!("{:.2} ms", s * 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let times: Vec<Duration> = (1..=50).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(25));
        assert_eq!(percentile(&times, 99), Duration::from_millis(50));
        assert_eq!(percentile(&times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
