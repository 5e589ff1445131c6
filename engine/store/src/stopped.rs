//! A store that no server uses now: looked at without being changed, and made anew from a backup.
//!
//! It is locked while it is looked at, and recovered in memory alone.
use std::{path::Path, sync::Arc};

use crate::{
    contract::{Entry, Frozen, Revision},
    disk::{Disk, RealDisk},
    embedded::FrozenState,
    log::{self, Backup, FileReport, OpenError, Summary},
    overlay::Overlay,
    state::State,
};

/// The store of a stopped server.
pub struct Stopped {
    state: Arc<State>,
    oldest: Revision,
    counts: (usize, usize),
    _lock: Box<dyn Send + Sync>,
}

/// What came of a check.
pub struct Checked {
    pub files: Vec<FileReport>,
    /// What opens, or why it does not.
    pub store: Result<Stopped, OpenError>,
}

impl Stopped {
    /// Opens the store in a folder. Errors: `Locked` while a server uses it.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        Self::on(Arc::new(RealDisk::read_only(dir)))
    }

    fn on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let lock = lock(&*disk)?;
        Self::locked(disk, lock)
    }

    fn locked(disk: Arc<dyn Disk>, lock: Box<dyn Send + Sync>) -> Result<Self, OpenError> {
        let opened = log::open(&Overlay::over(disk))?;
        let counts = opened.history.counts();
        Ok(Self { state: Arc::new(opened.state), oldest: Revision(opened.history.oldest()), counts, _lock: lock })
    }

    /// Reads every file of the store in a folder, and opens it. Errors: `Locked` while a server uses it; what is damaged is in the answer.
    pub fn check(dir: &Path) -> Result<Checked, OpenError> {
        Self::check_on(Arc::new(RealDisk::read_only(dir)))
    }

    /// The same on any disk.
    pub fn check_on(disk: Arc<dyn Disk>) -> Result<Checked, OpenError> {
        let lock = lock(&*disk)?;
        let files = log::inspect(&*disk)?;
        Ok(Checked { files, store: Self::locked(disk, lock) })
    }

    pub fn revision(&self) -> Revision {
        self.state.revision
    }

    /// From here on watches can resume.
    pub fn oldest(&self) -> Revision {
        self.oldest
    }

    /// How many segments and snapshots there are.
    pub fn counts(&self) -> (usize, usize) {
        self.counts
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.state.all().map(|entry| &**entry)
    }

    /// All entries, for a backup.
    pub fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(FrozenState::new(self.state.clone()))
    }
}

fn lock(disk: &dyn Disk) -> Result<Box<dyn Send + Sync>, OpenError> {
    disk.lock().map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked { disk: disk.name() },
        _ => OpenError::Io { doing: "lock", file: disk.name(), source },
    })
}

/// Makes the store of a backup in a folder that has none. Takes as much memory as the store itself. Returns what was in the backup, and
/// the revision that the store begins with.
pub fn restore(backup: &Backup, dir: &Path) -> Result<(Summary, Revision), OpenError> {
    let mut state = State::empty_at(backup.revision());
    let summary = backup.read(|entry| drop(state.set(&entry.key.clone(), Some(entry))))?;
    let disk = RealDisk::at(dir).map_err(|source| OpenError::Io { doing: "open", file: dir.display().to_string(), source })?;
    let _lock = lock(&disk)?;
    Ok((summary, log::restore(&disk, state)?))
}
