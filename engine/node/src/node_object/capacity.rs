//! What this machine has and what it is, read from the kernel.
use std::{fs, path::Path};

/// What the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    pub cpu_millis: u64,
    pub memory_bytes: u64,
    /// Of the file system that holds the data folder.
    pub disk_bytes: u64,
}

/// How much is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    pub memory: bool,
    pub disk: bool,
    pub pids: bool,
}

/// Below this the machine is short of memory.
const MEMORY_LEFT_MIN: u64 = 100 * 1024 * 1024;
/// Below this share of bytes or inodes the machine is short of disk.
const DISK_LEFT_MIN_PERCENT: u64 = 10;
/// Below this share of process ids the machine is short of them.
const PIDS_LEFT_MIN_PERCENT: u64 = 5;

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Number of processors in a list such as `0-3,8`.
fn count_list(list: &str) -> u64 {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u64, u64) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
        Some(to.saturating_sub(from) + 1)
    };
    list.split(',').filter_map(range).sum()
}

fn meminfo(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Reads the machine. What cannot be read is 0.
pub fn capacity(folder: &Path) -> Capacity {
    let disk = nix::sys::statvfs::statvfs(folder).map(|s| s.blocks() * s.fragment_size());
    Capacity {
        cpu_millis: count_list(&text("/sys/devices/system/cpu/online")) * 1000,
        memory_bytes: meminfo(&text("/proc/meminfo"), "MemTotal").unwrap_or(0),
        disk_bytes: disk.unwrap_or(0),
    }
}

/// What is short now. What cannot be read is not short.
pub fn pressure(folder: &Path) -> Pressure {
    let memory = meminfo(&text("/proc/meminfo"), "MemAvailable").is_some_and(|left| left < MEMORY_LEFT_MIN);
    let disk = nix::sys::statvfs::statvfs(folder).is_ok_and(|s| {
        let low = |left: u64, all: u64| all > 0 && left * 100 < all * DISK_LEFT_MIN_PERCENT;
        low(s.blocks_available(), s.blocks()) || low(s.files_available(), s.files())
    });
    let tasks: Option<u64> = text("/proc/loadavg").split(['/', ' ']).nth(4).and_then(|n| n.parse().ok());
    let pids_max: Option<u64> = text("/proc/sys/kernel/pid_max").parse().ok();
    let pids = tasks.zip(pids_max).is_some_and(|(used, max)| max.saturating_sub(used) * 100 < max * PIDS_LEFT_MIN_PERCENT);
    Pressure { memory, disk, pids }
}

/// What the machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    pub machine_id: String,
    pub system_uuid: String,
    pub boot_id: String,
    pub kernel: String,
    pub os_image: String,
    /// `amd64`, `arm64`.
    pub architecture: &'static str,
}

pub fn machine() -> Machine {
    let machine_id = text("/etc/machine-id");
    let uuid = text("/sys/class/dmi/id/product_uuid");
    let release = text("/etc/os-release");
    let pretty = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux");
    Machine {
        system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
        machine_id,
        boot_id: text("/proc/sys/kernel/random/boot_id"),
        kernel: text("/proc/sys/kernel/osrelease"),
        os_image: pretty.trim_matches('"').to_owned(),
        architecture: architecture(),
    }
}

pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_from_ranges() {
        assert_eq!((count_list("0-3,8"), count_list("0"), count_list("")), (5, 1, 0));
    }

    #[test]
    fn this_machine_has_processors_memory_and_a_disk() {
        let all = capacity(Path::new("/"));
        assert!(all.cpu_millis >= 1000 && all.memory_bytes > 0 && all.disk_bytes > 0, "{all:?}");
        assert!(!machine().boot_id.is_empty());
    }
}
