//! Opening a store: newest snapshot, then the log since, then the revision to go on from.
//!
//! Every frame was written after the one before it was synced. So a broken frame with a good one behind it is damage, and a broken frame
//! at the end is a write that never was acknowledged (or cannot be told from one), and is cut.
use std::{
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;

use super::{
    OpenError,
    frame::{BadFrame, FrameKind, Frames, Place, any_frame_after},
    header::{HEADER_BYTES, Header, Kind},
    history::History,
    migrate::migrate,
    record::{CommitRecord, Records},
    revisions::{BLOCK, REVISIONS, Reservation, RevisionsFile},
    segment::Segment,
    snapshot::Snapshot,
};
use crate::{
    contract::{Key, Revision},
    disk::Disk,
    state::State,
};

/// A store as it was found, ready to be written to.
pub struct Opened {
    pub state: State,
    pub history: History,
    pub revisions: RevisionsFile,
    /// What the revisions file says now.
    pub reservation: Reservation,
    /// The segment to append to.
    pub active: Arc<Segment>,
    /// The newest revision in the log.
    pub logged: u64,
    /// Bytes of log that a start has to read.
    pub log_bytes: u64,
}

/// Opens the store on a disk, or makes a new one on an empty disk.
pub fn open(disk: &dyn Disk) -> Result<Opened, OpenError> {
    let found = Found::list(disk)?;
    let revisions = if found.revisions { Some(RevisionsFile::open(disk)?) } else { None };
    match revisions {
        Some((file, Some((format, reservation)))) => {
            migrate(disk, REVISIONS, format)?;
            reopen(disk, &found, file, reservation)
        }
        _ => create(disk, &found),
    }
}

/// The files of the store, by what their names say.
struct Found {
    revisions: bool,
    /// The revisions before the segments, ascending.
    segments: Vec<u64>,
    /// Ascending.
    snapshots: Vec<u64>,
}

impl Found {
    fn list(disk: &dyn Disk) -> Result<Self, OpenError> {
        let names = disk.list().map_err(OpenError::io("list", "."))?;
        let numbered = |name: &String, prefix| u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok();
        for name in names.iter().filter(|name| name.ends_with(".tmp")) {
            disk.remove(name).map_err(OpenError::io("remove", name))?;
        }
        Ok(Self {
            revisions: names.iter().any(|name| name == REVISIONS),
            segments: names.iter().filter_map(|name| numbered(name, "log-")).collect(),
            snapshots: names.iter().filter_map(|name| numbered(name, "snap-")).collect(),
        })
    }
}

/// Makes a new store. Refuses if there are commits of an old one whose revisions are not known any more.
fn create(disk: &dyn Disk, found: &Found) -> Result<Opened, OpenError> {
    for before in &found.segments {
        let name = Segment::name_of(*before);
        let file = disk.open(&name).map_err(OpenError::io("open", &name))?;
        if *before > 0 || file.size().map_err(OpenError::io("read", &name))? > HEADER_BYTES {
            return Err(OpenError::damaged(REVISIONS, 0, "the file is missing or empty, but there are commits"));
        }
    }
    if !found.snapshots.is_empty() {
        return Err(OpenError::damaged(REVISIONS, 0, "the file is missing or empty, but there are snapshots"));
    }
    let store = std::hash::RandomState::new().build_hasher().finish();
    let mut revisions = RevisionsFile::create(disk).map_err(OpenError::io("create", REVISIONS))?;
    let name = Segment::name_of(0);
    let active = Segment::create(disk, store, 0, 0).map_err(OpenError::io("create", &name))?;
    let reservation = Reservation { store, reserved: BLOCK, ..Reservation::default() };
    revisions.write(&reservation).map_err(OpenError::io("write", REVISIONS))?;
    let history = History::new(vec![active.clone()], Vec::new(), 0, Vec::new());
    Ok(Opened { state: State::default(), history, revisions, reservation, active, logged: 0, log_bytes: 0 })
}

fn reopen(disk: &dyn Disk, found: &Found, mut file: RevisionsFile, said: Reservation) -> Result<Opened, OpenError> {
    let mut snapshots = Vec::new();
    for revision in &found.snapshots {
        snapshots.push(Arc::new(Snapshot::open(disk, said.store, *revision)?));
    }
    let segments = chain(disk, found, said.store)?;
    let mut state = snapshots.last().map_or_else(|| Ok(State::default()), |newest| newest.load())?;
    let base = state.revision.0;
    let start = segments
        .iter()
        .position(|segment| segment.before == base)
        .ok_or_else(|| OpenError::damaged(&Segment::name_of(base), 0, "the file that goes on from there is missing"))?;
    let active = segments.last().expect("one was found above");
    let mut log_bytes = 0;
    for segment in &segments[start..] {
        replay(segment, &mut state, Arc::ptr_eq(segment, active))?;
        log_bytes += segment.end();
    }
    check_reach(active, state.revision.0, &said)?;

    let logged = state.revision.0;
    let len = active.file.size().map_err(OpenError::io("read", &active.name))?;
    if len > active.end() {
        tracing::warn!(
            file = active.name,
            from = active.end(),
            to = len,
            "cut the end of the log: a write that did not become whole"
        );
        active.file.truncate(active.end()).map_err(OpenError::io("truncate", &active.name))?;
    }
    if !said.clean {
        // What a killed process wrote may still be in the machine's memory only, names of files included, and is about to be shown.
        active.file.sync_data().map_err(OpenError::io("sync", &active.name))?;
        disk.sync_dir().map_err(OpenError::io("sync", "."))?;
    }

    let mut now = Reservation { clean: false, logged, ..said };
    state.revision = Revision(now.reserved.max(logged));
    if !said.clean {
        now.add_gap(logged, state.revision.0);
    }
    now.oldest = now.oldest.max(history_start(disk, &segments, &mut snapshots)?);
    now.gaps.retain(|(_, before)| *before > now.oldest);
    now.reserved = state.revision.0 + BLOCK;
    file.write(&now).map_err(OpenError::io("write", REVISIONS))?;
    let history = History::new(segments.clone(), snapshots, now.oldest, now.gaps.clone());
    Ok(Opened { state, history, revisions: file, reservation: now, active: active.clone(), logged, log_bytes })
}

/// Opens all segments and checks that each ends where the next one says.
fn chain(disk: &dyn Disk, found: &Found, store: u64) -> Result<Vec<Arc<Segment>>, OpenError> {
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    for before in &found.segments {
        let name = Segment::name_of(*before);
        let file = disk.open(&name).map_err(OpenError::io("open", &name))?;
        let len = file.size().map_err(OpenError::io("read", &name))?;
        let header = match Header::read(&*file, &name, Kind::Segment, store, *before) {
            Ok(header) => header,
            Err(bad @ OpenError::Damaged { .. }) => {
                // A segment is synced before its first frame, so one that has no frame may never have been finished.
                let place = Place { store, revision: *before };
                let used = any_frame_after(&*file, place, FrameKind::Commits, 0, len).map_err(OpenError::io("read", &name))?;
                if used.is_some() || found.segments.last() != Some(before) || segments.is_empty() {
                    return Err(bad);
                }
                disk.remove(&name).map_err(OpenError::io("remove", &name))?;
                disk.sync_dir().map_err(OpenError::io("sync", "."))?;
                break;
            }
            Err(other) => return Err(other),
        };
        if let Some(previous) = segments.last()
            && previous.end() != header.extra
        {
            let what = format!("the file has {} bytes, but {} were written", previous.end(), header.extra);
            return Err(OpenError::damaged(&previous.name, previous.end().min(header.extra), what));
        }
        segments.push(Arc::new(Segment::new(name, *before, store, file, len)));
    }
    if segments.is_empty() {
        return Err(OpenError::damaged(&Segment::name_of(0), 0, "the log is missing"));
    }
    Ok(segments)
}

/// Applies a segment's commits. The last segment may end in a torn write; its end is set to where the good frames end.
fn replay(segment: &Segment, state: &mut State, is_last: bool) -> Result<(), OpenError> {
    let len = segment.rewind();
    let mut frames = Frames::new(&*segment.file, segment.place, FrameKind::Commits, HEADER_BYTES, len);
    let bad = loop {
        let (offset, payload) = match frames.next() {
            Ok(None) => return Ok(()),
            Ok(Some(frame)) => frame,
            Err(bad) => break bad,
        };
        let mut records = Records(payload);
        let mut first = None;
        while !records.is_empty() {
            let commit = records.commit().map_err(|_| segment.malformed(offset))?;
            first.get_or_insert(commit.revision);
            apply(&commit, state).map_err(|what| OpenError::damaged(&segment.name, offset, what))?;
        }
        segment.appended(first.unwrap_or_default(), offset, frames.offset());
    };
    if let BadFrame::Broken { offset, .. } = &bad
        && is_last
        && any_frame_after(&*segment.file, segment.place, FrameKind::Commits, offset + 1, len)
            .map_err(OpenError::io("read", &segment.name))?
            .is_none()
    {
        return Ok(());
    }
    Err(segment.bad(bad))
}

fn apply(commit: &CommitRecord<'_>, state: &mut State) -> Result<(), String> {
    let revision = commit.revision;
    if revision <= state.revision.0 {
        return Err(format!("revision {revision} follows {}", state.revision.0));
    }
    for write in &commit.writes {
        let before = state.write(&Key::from(write.key), write.value.map(Bytes::copy_from_slice), Revision(revision));
        let found = before.map_or(0, |entry| entry.revision.0);
        if found != write.previous {
            return Err(format!(
                "revision {revision} replaced revision {} of `{}`, but there is {found}",
                write.previous, write.key
            ));
        }
    }
    Ok(())
}

/// Checks that the log reaches as far as the revisions file says it did, and no further than was reserved.
fn check_reach(active: &Segment, last: u64, said: &Reservation) -> Result<(), OpenError> {
    if last < said.logged || (said.clean && last > said.logged) {
        let what = format!("the log ends at revision {last}, but {} was synced", said.logged);
        return Err(OpenError::damaged(&active.name, active.end(), what));
    }
    if last > said.reserved {
        let what = format!("revisions up to {} were reserved, but {last} was written", said.reserved);
        return Err(OpenError::damaged(REVISIONS, 0, what));
    }
    Ok(())
}

/// From which revision on all is known. Snapshots that the log does not follow any more are removed.
fn history_start(disk: &dyn Disk, segments: &[Arc<Segment>], snapshots: &mut Vec<Arc<Snapshot>>) -> Result<u64, OpenError> {
    let first = segments.first().map_or(0, |segment| segment.before);
    while snapshots.first().is_some_and(|snapshot| snapshot.revision < first) {
        let left_over = snapshots.remove(0);
        disk.remove(&left_over.name).map_err(OpenError::io("remove", &left_over.name))?;
    }
    Ok(if first == 0 { 0 } else { snapshots.first().map_or(first, |snapshot| snapshot.revision) })
}
