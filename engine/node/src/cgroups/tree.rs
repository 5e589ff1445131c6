//! Where the hierarchies are mounted, and the files in them.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{CPU_PERIOD_MICROS, CgroupError, quota, shares, weight};
use crate::runtime::Resources;

const TOP: &str = "/sys/fs/cgroup";
/// What limits and accounts need; runc brings its own list.
const NEEDED: [&str; 3] = ["cpu", "memory", "pids"];
/// What a version 2 tree hands down where the kernel has it.
const HANDED_DOWN: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "io", "hugetlb"];

/// The mounted kind. Groups are named by their path below the mount, without a leading slash.
#[derive(Clone, Debug)]
pub(crate) enum Hierarchy {
    /// Controller → mount; every mounted hierarchy is in it, since runc makes groups in all of them.
    V1(BTreeMap<String, PathBuf>),
    V2(PathBuf),
}

impl Hierarchy {
    pub(super) fn find() -> Result<Self, CgroupError> {
        if Path::new(TOP).join("cgroup.controllers").exists() {
            return Ok(Self::V2(TOP.into()));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|_| CgroupError::NotMounted)?;
        let found = v1_mounts(&mounts);
        if found.is_empty() {
            return Err(CgroupError::NotMounted);
        }
        match NEEDED.into_iter().find(|needed| !found.contains_key(*needed)) {
            Some(controller) => Err(CgroupError::Missing { controller }),
            None => Ok(Self::V1(found)),
        }
    }

    pub(super) fn version(&self) -> u8 {
        match self {
            Self::V1(_) => 1,
            Self::V2(_) => 2,
        }
    }

    /// Makes a group with those above it.
    pub(super) fn make(&self, group: &str) -> Result<(), CgroupError> {
        match self {
            Self::V1(mounts) => NEEDED.iter().try_for_each(|controller| {
                let path = mounts[*controller].join(group);
                fs::create_dir_all(&path).map_err(io_error("make", &path))
            }),
            Self::V2(mount) => {
                let mut path = mount.clone();
                hand_down(&path);
                for part in group.split('/') {
                    path.push(part);
                    match fs::create_dir(&path) {
                        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                            return Err(io_error("make", &path)(source));
                        }
                        _ => {}
                    }
                    // A group that holds processes hands nothing down: containerd's own.
                    if part != "containerd" {
                        hand_down(&path);
                    }
                }
                match NEEDED.into_iter().find(|needed| !words(&path.join("cgroup.controllers")).iter().any(|have| have == needed))
                {
                    Some(controller) => Err(CgroupError::Missing { controller }),
                    None => Ok(()),
                }
            }
        }
    }

    pub(super) fn enter(&self, group: &str, pid: u32) -> Result<(), CgroupError> {
        let dirs: Vec<PathBuf> = match self {
            Self::V1(mounts) => NEEDED.iter().map(|controller| mounts[*controller].join(group)).collect(),
            Self::V2(mount) => vec![mount.join(group)],
        };
        dirs.iter().try_for_each(|dir| write(&dir.join("cgroup.procs"), &pid.to_string()))
    }

    pub(super) fn limit(&self, group: &str, limits: &Resources) -> Result<(), CgroupError> {
        self.set_cpu_weight(group, shares(limits.cpu_request_millis))?;
        let quota_now = limits.cpu_limit_millis.map(quota);
        let pids = limits.pids_limit.map_or("max".to_owned(), |max| max.to_string());
        match self {
            Self::V1(mounts) => {
                let cpu = mounts["cpu"].join(group);
                write(&cpu.join("cpu.cfs_period_us"), &CPU_PERIOD_MICROS.to_string())?;
                write(&cpu.join("cpu.cfs_quota_us"), &quota_now.map_or("-1".to_owned(), |quota| quota.to_string()))?;
                let memory = limits.memory_limit_bytes.map_or("-1".to_owned(), |max| max.to_string());
                write(&mounts["memory"].join(group).join("memory.limit_in_bytes"), &memory)?;
                write(&mounts["pids"].join(group).join("pids.max"), &pids)
            }
            Self::V2(mount) => {
                let dir = mount.join(group);
                let quota = quota_now.map_or("max".to_owned(), |quota| quota.to_string());
                write(&dir.join("cpu.max"), &format!("{quota} {CPU_PERIOD_MICROS}"))?;
                write(&dir.join("memory.max"), &limits.memory_limit_bytes.map_or("max".to_owned(), |max| max.to_string()))?;
                write(&dir.join("pids.max"), &pids)
            }
        }
    }

    /// `shares` in the unit of version 1.
    pub(super) fn set_cpu_weight(&self, group: &str, shares: u64) -> Result<(), CgroupError> {
        let shares = shares.clamp(2, 262_144);
        match self {
            Self::V1(mounts) => write(&mounts["cpu"].join(group).join("cpu.shares"), &shares.to_string()),
            Self::V2(mount) => write(&mount.join(group).join("cpu.weight"), &weight(shares).to_string()),
        }
    }

    /// Weight of a group in shares of version 1; 0 if it is gone.
    pub(super) fn cpu_shares(&self, group: &str) -> u64 {
        match self {
            Self::V1(mounts) => number(&mounts["cpu"].join(group).join("cpu.shares")).unwrap_or(0),
            Self::V2(mount) => {
                number(&mount.join(group).join("cpu.weight")).map_or(0, |weight| 2 + (weight.max(1) - 1) * 262_142 / 9_999)
            }
        }
    }

    /// Groups directly below, as paths below the mount.
    pub(super) fn children(&self, group: &str) -> Vec<String> {
        let dir = match self {
            Self::V1(mounts) => mounts["cpu"].join(group),
            Self::V2(mount) => mount.join(group),
        };
        subdirectories(&dir).into_iter().map(|name| format!("{group}/{name}")).collect()
    }

    /// Removes a group and those below it, in every hierarchy.
    pub(super) fn remove(&self, group: &str) -> Result<(), CgroupError> {
        self.tops().into_iter().try_for_each(|top| remove_tree(&top.join(group)))
    }

    /// Who is in a group or in one below it.
    pub(super) fn processes(&self, group: &str) -> BTreeSet<i32> {
        fn add(dir: &Path, found: &mut BTreeSet<i32>) {
            found
                .extend(words(&dir.join("cgroup.procs")).iter().filter_map(|pid| pid.parse::<i32>().ok()).filter(|pid| *pid > 0));
            subdirectories(dir).iter().for_each(|child| add(&dir.join(child), found));
        }
        let mut found = BTreeSet::new();
        self.tops().into_iter().for_each(|top| add(&top.join(group), &mut found));
        found
    }

    /// Where the hierarchies are mounted.
    fn tops(&self) -> Vec<&PathBuf> {
        match self {
            Self::V1(mounts) => mounts.values().collect(),
            Self::V2(mount) => vec![mount],
        }
    }

    /// The directory that holds a controller's files of a group.
    pub(super) fn dir(&self, controller: &str, group: &str) -> Option<PathBuf> {
        match self {
            Self::V1(mounts) => mounts.get(controller).map(|mount| mount.join(group)),
            Self::V2(mount) => Some(mount.join(group)),
        }
    }

    #[cfg(test)]
    pub(super) fn read_limit_memory(&self, group: &str) -> Option<u64> {
        let file = if self.version() == 1 { "memory.limit_in_bytes" } else { "memory.max" };
        number(&self.dir("memory", group)?.join(file))
    }
}

fn v1_mounts(mounts: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for line in mounts.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (Some(_), Some(at), Some(kind), Some(options)) = (fields.next(), fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if kind == "cgroup2" {
            // Beside version 1 it controls nothing, yet runc makes groups in it.
            found.insert("unified".to_owned(), PathBuf::from(at));
        }
        if kind != "cgroup" {
            continue;
        }
        for option in
            options.split(',').filter(|option| !matches!(*option, "rw" | "ro" | "nosuid" | "nodev" | "noexec" | "relatime"))
        {
            found.entry(option.to_owned()).or_insert_with(|| PathBuf::from(at));
        }
    }
    found
}

/// Lets the groups below have what the kernel offers here. What cannot be had is found out by `make`.
fn hand_down(dir: &Path) {
    for controller in words(&dir.join("cgroup.controllers")).iter().filter(|have| HANDED_DOWN.contains(&have.as_str())) {
        if let Err(source) = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}")) {
            tracing::debug!(%controller, dir = %dir.display(), "controller is not handed down: {source}");
        }
    }
}

fn remove_tree(dir: &Path) -> Result<(), CgroupError> {
    for child in subdirectories(dir) {
        remove_tree(&dir.join(child))?;
    }
    match fs::remove_dir(dir) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", dir)(source)),
        _ => Ok(()),
    }
}

fn subdirectories(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn words(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect()
}

pub(super) fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(file, value).map_err(io_error("write", file))
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_path_buf();
    move |source| CgroupError::Io { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_version_1_are_found_by_controller() {
        let text = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                    cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n";
        let found = v1_mounts(text);
        assert_eq!(found["cpuacct"], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found["name=systemd"], Path::new("/sys/fs/cgroup/systemd"));
        assert_eq!(found["unified"], Path::new("/sys/fs/cgroup/unified"));
        assert!(!found.contains_key("rw") && !found.contains_key("nosuid"));
    }
}
