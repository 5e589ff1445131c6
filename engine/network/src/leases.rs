//! Pod addresses, one file for each that is given out.
//!
//! A lease is a number inside the node's pod ranges; the pod's address in each family is that number's. A file named by the
//! number says who holds it. A file appears whole (written aside, then renamed), under a lock that dies with its holder, so
//! that a crash anywhere leaves a lease either given or not given.
//! After a reboot no pod is left: leases of an earlier boot are dropped at the first use.
//! Limits: 65,533 leases, or fewer where a range is smaller.
use std::{
    fs::{self, File},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::Cidr;

/// The network itself is 0, the node 1.
const FIRST: u32 = 2;
/// More pods than a node can run, and a link name still holds it.
const LAST_MAX: u32 = 65_534;

/// Who holds an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub container: String,
    pub interface: String,
    /// Path of the pod's network namespace; when it is gone so is the pod.
    pub namespace: String,
}

impl Holder {
    fn is(&self, container: &str, interface: &str) -> bool {
        self.container == container && self.interface == interface
    }
}

/// Why an address could not be given out or taken back.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("{doing} {}", path.display())]
    Files { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("find a free pod address: all {size} of {ranges} are in use")]
    Exhausted { size: u32, ranges: String },
}

/// The leases of one node, locked for as long as this lives.
pub struct Leases {
    dir: PathBuf,
    _lock: Flock<File>,
}

impl Leases {
    /// Opens the folder, waits for its lock and drops leases of a boot other than `boot`.
    pub fn open(dir: &Path, boot: &str) -> Result<Self, LeaseError> {
        let failed = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| LeaseError::Files { doing, path, source }
        };
        fs::create_dir_all(dir).map_err(failed("make the folder", dir))?;
        let path = dir.join("lock");
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed("open", &path))?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| failed("lock", &path)(e.into()))?;
        let leases = Self { dir: dir.to_owned(), _lock: lock };
        let path = dir.join("boot");
        if fs::read_to_string(&path).ok().as_deref() != Some(boot) {
            for index in leases.indices()? {
                leases.remove(index)?;
            }
            leases.write("boot", boot.as_bytes())?;
        }
        Ok(leases)
    }

    /// The lease of the holder: the one it has, else the next free one behind the last given.
    pub fn give(&self, holder: &Holder, ranges: &[Cidr]) -> Result<u32, LeaseError> {
        if let Some(index) = self.find(&holder.container, &holder.interface)? {
            self.record(index, holder)?;
            return Ok(index);
        }
        let last = last_index(ranges);
        let taken = self.indices()?;
        let start = fs::read_to_string(self.dir.join("last")).ok().and_then(|text| text.parse().ok()).unwrap_or(FIRST - 1);
        let free = (FIRST..=last).filter(|i| *i > start).chain(FIRST..=start.min(last)).find(|i| !taken.contains(i));
        let index = match free {
            Some(index) => index,
            None => self.reclaim(&taken, last)?.ok_or_else(|| LeaseError::Exhausted {
                size: (last + 1).saturating_sub(FIRST),
                ranges: ranges.iter().map(Cidr::to_string).collect::<Vec<_>>().join(", "),
            })?,
        };
        self.record(index, holder)?;
        self.write("last", index.to_string().as_bytes())?;
        Ok(index)
    }

    /// The lease that the container's interface holds.
    pub fn find(&self, container: &str, interface: &str) -> Result<Option<u32>, LeaseError> {
        let held = |index: &u32| self.holder(*index).is_some_and(|h| h.is(container, interface));
        Ok(self.indices()?.into_iter().find(held))
    }

    /// Takes the lease back; one that is free already is no error.
    pub fn remove(&self, index: u32) -> Result<(), LeaseError> {
        let path = self.dir.join(index.to_string());
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(LeaseError::Files { doing: "remove the lease", path, source })
            }
            _ => Ok(()),
        }
    }

    /// A lease whose pod's namespace is gone was forgotten by whoever should have given it back.
    fn reclaim(&self, taken: &[u32], last: u32) -> Result<Option<u32>, LeaseError> {
        let gone = |index: &&u32| **index <= last && self.holder(**index).is_none_or(|h| !Path::new(&h.namespace).exists());
        match taken.iter().find(gone) {
            Some(index) => self.remove(*index).map(|()| Some(*index)),
            None => Ok(None),
        }
    }

    fn holder(&self, index: u32) -> Option<Holder> {
        serde_json::from_slice(&fs::read(self.dir.join(index.to_string())).ok()?).ok()
    }

    fn record(&self, index: u32, holder: &Holder) -> Result<(), LeaseError> {
        self.write(&index.to_string(), &serde_json::to_vec(holder).expect("strings become JSON"))
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), LeaseError> {
        let (aside, path) = (self.dir.join("aside"), self.dir.join(name));
        fs::write(&aside, content).and_then(|()| fs::rename(&aside, &path)).map_err(|source| LeaseError::Files {
            doing: "write",
            path,
            source,
        })
    }

    fn indices(&self) -> Result<Vec<u32>, LeaseError> {
        let listed = fs::read_dir(&self.dir).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let listed = listed.map_err(|source| LeaseError::Files { doing: "list", path: self.dir.clone(), source })?;
        let mut indices: Vec<u32> = listed.iter().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        indices.sort_unstable();
        Ok(indices)
    }
}

/// The addresses that go with a lease, one of each range.
pub fn addresses(index: u32, ranges: &[Cidr]) -> Vec<IpAddr> {
    ranges.iter().filter_map(|range| range.nth(u128::from(index))).collect()
}

/// The last number that is an address in every range; the broadcast address of an IPv4 range is none.
fn last_index(ranges: &[Cidr]) -> u32 {
    let last = |range: &Cidr| range.size().saturating_sub(if range.is_v6() { 1 } else { 2 });
    ranges.iter().map(last).min().and_then(|n| u32::try_from(n.min(u128::from(LAST_MAX))).ok()).unwrap_or(0)
}

/// The kernel's name of this boot.
pub fn boot_id() -> Result<String, LeaseError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|source| LeaseError::Files {
        doing: "read",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str) -> Holder {
        Holder { container: name.to_owned(), interface: "eth0".to_owned(), namespace: "/proc/self/ns/net".to_owned() }
    }

    fn ranges(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|t| t.parse().expect("a range")).collect()
    }

    #[test]
    fn a_lease_is_an_address_of_each_family_behind_the_node_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        let ranges = ranges(&["10.42.7.0/24", "fd00:1::/64"]);
        let index = Leases::open(dir.path(), "boot").expect("open").give(&holder("a"), &ranges).expect("give");
        let given: Vec<String> = addresses(index, &ranges).iter().map(IpAddr::to_string).collect();
        assert_eq!(given, ["10.42.7.2", "fd00:1::2"]);
    }

    #[test]
    fn the_same_holder_gets_the_same_lease_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let leases = Leases::open(dir.path(), "boot").expect("open");
        let ranges = ranges(&["10.42.7.0/24"]);
        let first = leases.give(&holder("a"), &ranges).expect("give");
        leases.give(&holder("b"), &ranges).expect("give");
        assert_eq!(leases.give(&holder("a"), &ranges).expect("give"), first);
    }

    #[test]
    fn a_returned_address_rests_until_the_others_were_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let leases = Leases::open(dir.path(), "boot").expect("open");
        let ranges = ranges(&["10.42.7.0/29"]);
        let mut given = Vec::new();
        for n in 0..7 {
            let index = leases.give(&holder(&n.to_string()), &ranges).expect("give");
            leases.remove(index).expect("remove");
            given.push(index);
        }
        assert_eq!(given, [2, 3, 4, 5, 6, 2, 3]);
    }

    #[test]
    fn a_full_range_says_so_and_takes_back_what_a_vanished_pod_held() {
        let dir = tempfile::tempdir().expect("a folder");
        let leases = Leases::open(dir.path(), "boot").expect("open");
        let ranges = ranges(&["10.42.7.0/30"]);
        leases.give(&holder("a"), &ranges).expect("the only one");
        let full = leases.give(&holder("b"), &ranges).expect_err("full");
        assert_eq!(full.to_string(), "find a free pod address: all 1 of 10.42.7.0/30 are in use");
        let gone = Holder { namespace: dir.path().join("gone").display().to_string(), ..holder("a") };
        leases.give(&gone, &ranges).expect("the same holder");
        assert_eq!(leases.give(&holder("b"), &ranges).expect("reclaimed"), 2);
    }

    #[test]
    fn leases_of_an_earlier_boot_are_dropped() {
        let dir = tempfile::tempdir().expect("a folder");
        let ranges = ranges(&["10.42.7.0/24"]);
        Leases::open(dir.path(), "one").expect("open").give(&holder("a"), &ranges).expect("give");
        assert_eq!(Leases::open(dir.path(), "one").expect("open").find("a", "eth0").expect("find"), Some(2));
        assert_eq!(Leases::open(dir.path(), "two").expect("open").find("a", "eth0").expect("find"), None);
    }

    #[test]
    fn many_at_once_never_get_the_same_lease() {
        let dir = tempfile::tempdir().expect("a folder");
        let ranges = ranges(&["10.42.7.0/24"]);
        let one = |n: u32| Leases::open(dir.path(), "boot").expect("open").give(&holder(&n.to_string()), &ranges).expect("give");
        let mut given: Vec<u32> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..40).map(|n| scope.spawn(move || one(n))).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        given.sort_unstable();
        assert_eq!(given, (2..42).collect::<Vec<_>>());
    }
}
