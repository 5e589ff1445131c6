//! A new store from all entries of an old one.
use std::hash::{BuildHasher, Hasher};

use super::{
    OpenError,
    revisions::{REVISIONS, Reservation, RevisionsFile},
    segment::Segment,
    snapshot::Snapshot,
};
use crate::{contract::Revision, disk::Disk, state::State};

/// How far ahead of the backup the revisions go on: further than the lost store can have come. 10,000 commits a second, 3 years.
pub const JUMP: u64 = 1 << 40;

/// Makes a store that has these entries, on a disk that has none. All revisions up to the first new one count as compacted, so that
/// whoever remembers one of them starts again from what there is. Returns the revision that the store begins with.
///
/// The file `revisions` comes last: a store without it does not open, so that one cut off in the making is never taken for a whole one.
pub fn restore(disk: &dyn Disk, mut state: State) -> Result<Revision, OpenError> {
    let names = disk.list().map_err(OpenError::io("list", "."))?;
    if let Some(there) = names.iter().find(|name| *name == REVISIONS || name.starts_with("log-") || name.starts_with("snap-")) {
        return Err(OpenError::NotEmpty { disk: disk.name(), file: there.clone() });
    }
    let store = std::hash::RandomState::new().build_hasher().finish();
    let revision = Revision(state.revision.0 + JUMP);
    state.revision = revision;
    let name = Snapshot::name_of(revision.0);
    Snapshot::write(disk, store, &state, &|_| false).map_err(OpenError::io("write", &name))?;
    let name = Segment::name_of(revision.0);
    Segment::create(disk, store, revision.0, 0).map_err(OpenError::io("create", &name))?;
    let mut revisions = RevisionsFile::create(disk).map_err(OpenError::io("create", REVISIONS))?;
    let (reserved, logged, oldest) = (revision.0, revision.0, revision.0);
    let reservation = Reservation { clean: true, store, reserved, logged, oldest, gaps: Vec::new() };
    revisions.write(&reservation).map_err(OpenError::io("write", REVISIONS))?;
    disk.sync_dir().map_err(OpenError::io("sync", "."))?;
    Ok(revision)
}
