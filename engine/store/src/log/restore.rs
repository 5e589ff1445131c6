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
/// The segment comes first and the file `revisions` last: one without the other does not open, so that a store cut off in the making is never
/// taken for a whole one, nor for none.
pub fn restore(disk: &dyn Disk, mut state: State) -> Result<Revision, OpenError> {
    let names = disk.list().map_err(OpenError::io("list", "."))?;
    if let Some(there) = names.iter().find(|name| *name == REVISIONS || name.starts_with("log-") || name.starts_with("snap-")) {
        return Err(OpenError::NotEmpty { disk: disk.name(), file: there.clone() });
    }
    let store = std::hash::RandomState::new().build_hasher().finish();
    let revision = Revision(state.revision.0 + JUMP);
    state.revision = revision;
    // From here on the disk holds something that does not open without what follows.
    let name = Segment::name_of(revision.0);
    Segment::create(disk, store, revision.0, 0).map_err(OpenError::io("create", &name))?;
    let name = Snapshot::name_of(revision.0);
    Snapshot::write(disk, store, &state, &|_| false).map_err(OpenError::io("write", &name))?;
    let mut revisions = RevisionsFile::create(disk).map_err(OpenError::io("create", REVISIONS))?;
    let (reserved, logged, oldest) = (revision.0, revision.0, revision.0);
    let reservation = Reservation { clean: true, store, reserved, logged, oldest, gaps: Vec::new() };
    revisions.write(&reservation).map_err(OpenError::io("write", REVISIONS))?;
    disk.sync_dir().map_err(OpenError::io("sync", "."))?;
    Ok(revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{contract::Entry, log::open, sim::SimDisk};

    fn state() -> State {
        let mut state = State::empty_at(Revision(50));
        for n in 0..50 {
            let key = format!("k/{n}");
            state.set(&key, Some(Entry { key: key.as_str().into(), value: vec![7; 100].into(), revision: Revision(n + 1) }));
        }
        state
    }

    #[test]
    fn a_power_cut_at_any_call_leaves_a_whole_store_or_one_that_does_not_open() {
        let (mut whole, mut refused) = (0, 0);
        for calls in 1..40 {
            for seed in 0..8 {
                let disk = SimDisk::new();
                disk.set_faults(|faults| faults.power_fails_after = Some(calls));
                let made = restore(&disk, state());
                let disk = disk.power_cut(seed);
                let is_empty = disk.list().expect("no faults").iter().all(|name| name.ends_with(".tmp"));
                match open(&disk) {
                    // Before the name of the segment is synced.
                    Ok(_) if is_empty => assert!(made.is_err() && calls <= 4, "{calls} calls"),
                    Ok(opened) => {
                        assert_eq!((opened.state.len(), opened.state.revision.0), (50, 50 + JUMP), "{calls} calls");
                        whole += 1;
                    }
                    Err(OpenError::Damaged { .. }) => {
                        assert!(made.is_err(), "{calls} calls");
                        refused += 1;
                    }
                    Err(other) => panic!("{calls} calls: {other}"),
                }
            }
        }
        assert!(whole > 100 && refused > 50, "{whole} whole, {refused} refused");
    }
}
