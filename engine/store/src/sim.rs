//! A disk in memory that fails the way disks fail: for tests and `cargo xtask crash`.
//!
//! It keeps apart what a process sees (page cache) and what would survive a power cut. At a power cut each unsynced write survives by
//! 512-byte sectors, each sector or not by chance (lost, torn and reordered writes); unsynced names survive up to a random point.
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub mod campaign;
mod content;
pub mod damage;
pub mod linear;

pub use content::Dice;
use content::{Change, Content, NameChange};

use crate::disk::{Disk, DiskFile};

/// What goes wrong from now on.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// `sync_data` and `sync_dir` return without making anything durable: a lying disk, the negative control of crash tests.
    pub sync_does_nothing: bool,
    /// `sync_data` returns before its work is done: that happens at the next one of the same file. A store on it acknowledges before it
    /// syncs, the second negative control.
    pub sync_is_late: bool,
    /// Bytes of all files together; a write above that fails with ENOSPC after writing what fits. `None` is no limit.
    pub capacity_bytes: Option<u64>,
    /// So many of the next `sync_data` calls fail with EIO and lose what they should have made durable.
    pub fail_syncs: u32,
    /// So many of the next writes fail with EIO.
    pub fail_writes: u32,
    /// How long each `sync_data` takes.
    pub sync_takes: Duration,
    /// `sync_data` waits as long as this is set.
    pub hold_syncs: bool,
    /// The power goes after so many more calls that change something, the last of them not carried out.
    pub power_fails_after: Option<u64>,
}

/// What was asked of the disk so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub syncs: u64,
    pub writes: u64,
    pub bytes_written: u64,
}

/// A simulated disk. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Disks>);

#[derive(Default)]
struct Disks {
    inner: Mutex<Inner>,
    /// Wakes held syncs.
    released: Condvar,
}

#[derive(Default)]
struct Inner {
    files: BTreeMap<u64, Content>,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    next_file: u64,
    faults: Faults,
    counts: Counts,
    powered_off: bool,
    locked: Arc<AtomicBool>,
}

impl SimDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes what goes wrong.
    pub fn set_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner().faults);
        self.0.released.notify_all();
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.inner().powered_off
    }

    pub fn counts(&self) -> Counts {
        self.inner().counts
    }

    /// Bytes of all files, as the process sees them.
    pub fn used_bytes(&self) -> u64 {
        self.inner().used()
    }

    /// Cuts the power: every later call on this disk fails. Returns the disk as it is found afterwards, without faults.
    pub fn power_cut(&self, seed: u64) -> SimDisk {
        let mut inner = self.inner();
        inner.powered_off = true;
        self.0.released.notify_all();
        inner.survivor(seed)
    }

    /// The disk as a power cut at this moment would leave it; this one goes on.
    pub fn after_power_cut(&self, seed: u64) -> SimDisk {
        self.inner().survivor(seed)
    }

    /// Ends the process that uses this disk (every later call on it fails). Returns the disk with all that was written, synced or not.
    pub fn kill(&self) -> SimDisk {
        let mut inner = self.inner();
        inner.powered_off = true;
        self.0.released.notify_all();
        let copy = Inner {
            files: inner.files.clone(),
            names: inner.names.clone(),
            durable_names: inner.durable_names.clone(),
            unsynced_names: inner.unsynced_names.clone(),
            next_file: inner.next_file,
            counts: inner.counts,
            ..Inner::default()
        };
        copy.into()
    }

    /// The bytes of a file.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner();
        inner.names.get(name).map(|id| inner.files[id].now.clone())
    }

    /// Puts a file there, durably: for tests that damage files.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut inner = self.inner();
        let id = inner.fresh_id();
        inner.files.insert(id, Content::durable(bytes));
        inner.names.insert(name.to_owned(), id);
        inner.durable_names.insert(name.to_owned(), id);
    }

    /// Takes a file away, durably: for tests that damage stores.
    pub fn take(&self, name: &str) {
        let mut inner = self.inner();
        inner.names.remove(name);
        inner.durable_names.remove(name);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().expect("no holder of this lock panics")
    }

    /// For calls that change something.
    fn changing(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        if let Some(left) = &mut inner.faults.power_fails_after {
            *left = left.saturating_sub(1);
            inner.powered_off |= *left == 0;
        }
        drop(inner);
        self.powered()
    }

    fn powered(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.inner();
        if inner.powered_off { Err(io::Error::other("power is off")) } else { Ok(inner) }
    }
}

impl Inner {
    fn used(&self) -> u64 {
        self.names.values().map(|id| self.files[id].now.len() as u64).sum()
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_file += 1;
        self.next_file
    }

    fn survivor(&self, seed: u64) -> SimDisk {
        let mut dice = Dice(seed ^ 0x9e37_79b9_7f4a_7c15);
        let mut names = self.durable_names.clone();
        let surviving = dice.below(self.unsynced_names.len() + 1);
        for change in &self.unsynced_names[..surviving] {
            change.apply(&mut names);
        }
        let mut files = BTreeMap::new();
        for (id, content) in &self.files {
            let mut bytes = content.durable.clone();
            for change in &content.unsynced {
                change.apply_partly(&mut bytes, &mut dice);
            }
            files.insert(*id, Content::durable(bytes));
        }
        let inner = Inner { files, names: names.clone(), durable_names: names, next_file: self.next_file, ..Inner::default() };
        inner.into()
    }
}

impl From<Inner> for SimDisk {
    fn from(inner: Inner) -> Self {
        Self(Arc::new(Disks { inner: Mutex::new(inner), released: Condvar::new() }))
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.powered()?;
        let id = *inner.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.changing()?;
        let id = inner.fresh_id();
        inner.files.insert(id, Content::default());
        inner.names.insert(name.to_owned(), id);
        inner.unsynced_names.push(NameChange::Set(name.to_owned(), id));
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.powered()?.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.changing()?;
        if !inner.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let change = NameChange::Rename(from.to_owned(), to.to_owned());
        change.apply(&mut inner.names);
        inner.unsynced_names.push(change);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.changing()?;
        if inner.names.remove(name).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        inner.unsynced_names.push(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.changing()?;
        if !inner.faults.sync_does_nothing {
            inner.durable_names = inner.names.clone();
            inner.unsynced_names.clear();
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        let locked = self.powered()?.locked.clone();
        if locked.swap(true, Ordering::SeqCst) { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(Box::new(SimLock(locked))) }
    }

    fn name(&self) -> String {
        "the simulated disk".to_owned()
    }
}

struct SimLock(Arc<AtomicBool>);

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    fn change(&self, inner: &mut Inner, change: Change) {
        let content = inner.files.get_mut(&self.id).expect("files are never dropped");
        change.apply(&mut content.now);
        content.unsynced.push(change);
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let inner = self.disk.powered()?;
        let bytes = &inner.files[&self.id].now;
        let from = (offset as usize).min(bytes.len());
        let read = into.len().min(bytes.len() - from);
        into[..read].copy_from_slice(&bytes[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = self.disk.changing()?;
        inner.counts.writes += 1;
        if inner.faults.fail_writes > 0 {
            inner.faults.fail_writes -= 1;
            return Err(io::Error::other("simulated EIO"));
        }
        let grows = (offset as usize + bytes.len()).saturating_sub(inner.files[&self.id].now.len()) as u64;
        let free = inner.faults.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(inner.used()));
        let kept = bytes.len() - grows.saturating_sub(free) as usize;
        inner.counts.bytes_written += kept as u64;
        self.change(&mut inner, Change::Write { offset: offset as usize, bytes: bytes[..kept].to_vec() });
        if kept < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let takes = self.disk.powered()?.faults.sync_takes;
        if !takes.is_zero() {
            std::thread::sleep(takes);
        }
        let mut inner = self.disk.changing()?;
        while inner.faults.hold_syncs && !inner.powered_off {
            inner = self.disk.0.released.wait(inner).expect("no holder of this lock panics");
        }
        if inner.powered_off {
            return Err(io::Error::other("power is off"));
        }
        inner.counts.syncs += 1;
        let fails = inner.faults.fail_syncs > 0;
        if fails {
            inner.faults.fail_syncs -= 1;
        }
        if !inner.faults.sync_does_nothing {
            let is_late = inner.faults.sync_is_late;
            let content = inner.files.get_mut(&self.id).expect("files are never dropped");
            let due = if is_late { content.promised } else { content.unsynced.len() };
            for change in content.unsynced.drain(..due) {
                if !fails {
                    change.apply(&mut content.durable);
                }
            }
            content.promised = content.unsynced.len();
        }
        if fails { Err(io::Error::other("simulated EIO")) } else { Ok(()) }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut inner = self.disk.changing()?;
        self.change(&mut inner, Change::Truncate(len as usize));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.powered()?.files[&self.id].now.len() as u64)
    }
}
