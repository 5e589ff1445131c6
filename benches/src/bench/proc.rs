//! What the kernel knows about processes and the machine.
use std::{collections::BTreeMap, fs, path::Path, time::Duration};

/// Linux tells processor time to programs in hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// What a process, or several, used so far and hold now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    pub cpu: Duration,
    pub rss_kb: u64,
    pub pss_kb: u64,
    /// The part of RSS that is no file's: heap and stacks, not the program.
    pub anonymous_kb: u64,
    pub major_faults: u64,
    /// Bytes that went through the block layer for it.
    pub read_bytes: u64,
    pub written_bytes: u64,
    /// Times that one of its threads went to sleep and was woken.
    pub wakeups: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Option<Self> {
        let folder = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        let stat = after_name(&stat)?;
        let ticks = number(stat.get(11)?) + number(stat.get(12)?);
        let io = fs::read_to_string(folder.join("io")).unwrap_or_default();
        let memory = fs::read_to_string(folder.join("smaps_rollup")).unwrap_or_default();
        Some(Self {
            cpu: TICK * u32::try_from(ticks).unwrap_or(u32::MAX),
            rss_kb: field(&memory, "Rss:"),
            pss_kb: field(&memory, "Pss:"),
            anonymous_kb: field(&memory, "Anonymous:"),
            major_faults: number(stat.get(9)?),
            read_bytes: field(&io, "read_bytes:"),
            written_bytes: field(&io, "write_bytes:"),
            wakeups: threads(pid).values().map(|thread| thread.wakeups).sum(),
        })
    }

    /// Of all of them together; one that has ended counts as nothing.
    pub fn sum(pids: &[u32]) -> Self {
        pids.iter().filter_map(|pid| Self::of(*pid)).fold(Self::default(), |a, b| Self {
            cpu: a.cpu + b.cpu,
            rss_kb: a.rss_kb + b.rss_kb,
            pss_kb: a.pss_kb + b.pss_kb,
            anonymous_kb: a.anonymous_kb + b.anonymous_kb,
            major_faults: a.major_faults + b.major_faults,
            read_bytes: a.read_bytes + b.read_bytes,
            written_bytes: a.written_bytes + b.written_bytes,
            wakeups: a.wakeups + b.wakeups,
        })
    }

    /// What was used since an earlier look; what is held is as it is now.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
            wakeups: self.wakeups.saturating_sub(earlier.wakeups),
            ..self
        }
    }
}

#[derive(Clone, Debug)]
pub struct Thread {
    pub name: String,
    pub wakeups: u64,
}

pub fn threads(pid: u32) -> BTreeMap<u32, Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let thread = |folder: &Path| {
        let status = fs::read_to_string(folder.join("status")).ok()?;
        let name = fs::read_to_string(folder.join("comm")).ok()?.trim().to_owned();
        Some(Thread { name, wakeups: field(&status, "voluntary_ctxt_switches:") })
    };
    tasks.filter_map(|task| Some((task.file_name().to_str()?.parse().ok()?, thread(&task.path())?))).collect()
}

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    pub parent: u32,
    /// Words of the command line; empty for the kernel's own.
    pub command: Vec<String>,
}

pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = command.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        let command = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Some(Process { pid, parent: u32::try_from(number(after_name(&stat)?.get(1)?)).ok()?, command })
    })
    .collect()
}

/// All that descend from a process.
pub fn descendants(of: u32, all: &[Process]) -> Vec<Process> {
    let mut found: Vec<Process> = all.iter().filter(|process| process.parent == of).cloned().collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next].pid;
        found.extend(all.iter().filter(|process| process.parent == parent).cloned());
        next += 1;
    }
    found
}

/// Busy time of all cores together since the machine's start.
pub fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat.lines().next().unwrap_or_default().split_whitespace().skip(1).map(number).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user time.
    let busy = fields.iter().take(8).enumerate().filter(|(i, _)| ![3, 4].contains(i)).map(|(_, ticks)| ticks).sum::<u64>();
    Duration::from_millis(busy * 10)
}

/// Processor time of the programs that this process started and waited for.
pub fn children_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = after_name(&stat).unwrap_or_default();
    let ticks = |at: usize| fields.get(at).map_or(0, |field| number(field));
    Duration::from_millis((ticks(13) + ticks(14)) * 10)
}

/// Bytes read and written by all disks of the machine since its start.
pub fn disks() -> (u64, u64) {
    let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let real = disks.filter(|disk| disk.path().join("device").exists());
    let stats = real.filter_map(|found| disk(&found.file_name().to_string_lossy()));
    stats.fold((0, 0), |(read, written), stat| (read + stat.0, written + stat.1))
}

/// Bytes read and written by one disk since it was there.
pub fn disk(name: &str) -> Option<(u64, u64)> {
    let stat = fs::read_to_string(format!("/sys/block/{name}/stat")).ok()?;
    // Fields 3 and 7 count sectors of 512 bytes, whatever the disk's own are.
    let field = |at: usize| stat.split_whitespace().nth(at).map_or(0, number) * 512;
    Some((field(2), field(6)))
}

/// Bytes of all files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => folder_bytes(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

/// The value after a name in `name value` lines, such as `Rss:   12 kB`.
pub fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).map_or(0, number)
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

/// The fields of a stat line from the state on; the name before them may hold spaces and brackets.
fn after_name(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_stat_line_are_found_behind_any_name() {
        let fields = after_name("7 (a) b (c) S 1 2 3").unwrap();
        assert_eq!(fields, ["S", "1", "2", "3"]);
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let process = |pid, parent| Process { pid, parent, command: Vec::new() };
        let all = [process(5, 4), process(3, 2), process(4, 3), process(9, 1)];
        let found: Vec<u32> = descendants(2, &all).iter().map(|p| p.pid).collect();
        assert_eq!(found, [3, 4, 5]);
    }

    #[test]
    fn this_very_process_uses_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_kb > 100 && usage.pss_kb > 0 && usage.pss_kb <= usage.rss_kb, "{usage:?}");
        assert!(processes().iter().any(|p| p.pid == std::process::id()));
    }
}
