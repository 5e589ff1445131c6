//! Every file of a store, read to its end: what is in it, and what is wrong with it.
use super::{
    OpenError,
    frame::{BadFrame, FrameKind, Frames, Place, any_frame_after},
    header::{HEADER_BYTES, Header, Kind},
    record::Records,
    revisions::{REVISIONS, RevisionsFile},
    segment::Segment,
    snapshot::Snapshot,
};
use crate::disk::Disk;

/// One file.
#[derive(Debug)]
pub struct FileReport {
    pub name: String,
    pub bytes: u64,
    pub content: Content,
    pub damage: Option<OpenError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Commits of a segment with their first and last revision (both 0 if there is none), and bytes at its end that are no whole frame:
    /// of a write that did not become whole.
    Commits {
        count: u64,
        first: u64,
        last: u64,
        torn_bytes: u64,
    },
    Snapshot {
        revision: u64,
        entries: u64,
    },
    /// Which revisions were handed out.
    Revisions,
    /// Not a file of the log: the lock, something unfinished, or somebody else's.
    Other,
}

/// Reads all files, however damaged.
pub fn inspect(disk: &dyn Disk) -> Result<Vec<FileReport>, OpenError> {
    let names = disk.list().map_err(OpenError::io("list", "."))?;
    let (store, unreadable) = match names.iter().any(|name| name == REVISIONS).then(|| RevisionsFile::open(disk)) {
        Some(Ok((_, Some((_, reservation))))) => (Some(reservation.store), None),
        Some(Ok((_, None))) => (None, Some(OpenError::damaged(REVISIONS, 0, "nothing in it is whole"))),
        Some(Err(bad)) => (None, Some(bad)),
        None => (None, Some(OpenError::damaged(REVISIONS, 0, "the file is missing"))),
    };
    let last = names.iter().rfind(|name| numbered(name, "log-").is_some());
    let mut reports: Vec<FileReport> = names.iter().map(|name| report(disk, name, store, Some(name) == last)).collect();
    match reports.iter_mut().find(|report| report.name == REVISIONS) {
        Some(report) => report.damage = unreadable,
        None => reports.push(FileReport { name: REVISIONS.into(), bytes: 0, content: Content::Revisions, damage: unreadable }),
    }
    Ok(reports)
}

fn numbered(name: &str, prefix: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()
}

fn report(disk: &dyn Disk, name: &str, store: Option<u64>, is_last: bool) -> FileReport {
    let bytes = disk.open(name).and_then(|file| file.size()).unwrap_or_default();
    let (content, found) = match (numbered(name, "log-"), numbered(name, "snap-")) {
        (Some(before), _) => {
            let mut content = Content::Commits { count: 0, first: 0, last: 0, torn_bytes: 0 };
            let read = segment(disk, name, before, store, is_last, &mut content);
            (content, read)
        }
        (_, Some(revision)) => match snapshot(disk, name, revision, store) {
            Ok(entries) => (Content::Snapshot { revision, entries }, Ok(())),
            Err(bad) => (Content::Snapshot { revision, entries: 0 }, Err(bad)),
        },
        _ if name == REVISIONS => (Content::Revisions, Ok(())),
        _ => (Content::Other, Ok(())),
    };
    FileReport { name: name.to_owned(), bytes, content, damage: found.err() }
}

/// The header of a file, and the number of the store that its frames have to be of: its own word where nothing else tells.
fn place(disk: &dyn Disk, name: &str, kind: Kind, revision: u64, store: Option<u64>) -> Result<Place, OpenError> {
    let file = disk.open(name).map_err(OpenError::io("open", name))?;
    let header = match store {
        Some(store) => Header::read(&*file, name, kind, store, revision)?,
        None => Header::read_any(&*file, name, kind)?,
    };
    Ok(Place { store: header.store, revision })
}

fn segment(
    disk: &dyn Disk,
    name: &str,
    before: u64,
    store: Option<u64>,
    is_last: bool,
    content: &mut Content,
) -> Result<(), OpenError> {
    let place = place(disk, name, Kind::Segment, before, store)?;
    let file = disk.open(name).map_err(OpenError::io("open", name))?;
    let len = file.size().map_err(OpenError::io("read", name))?;
    let segment = Segment::new(name.to_owned(), before, place.store, file, len);
    let mut frames = Frames::new(&*segment.file, place, FrameKind::Commits, HEADER_BYTES, len);
    let (mut count, mut first, mut last) = (0, 0, 0);
    let bad = loop {
        let (offset, payload) = match frames.next() {
            Ok(None) => break None,
            Ok(Some(frame)) => frame,
            Err(bad) => break Some(bad),
        };
        let mut records = Records(payload);
        while !records.is_empty() {
            let revision = records.commit().map_err(|_| segment.malformed(offset))?.revision;
            first = if count == 0 { revision } else { first };
            (count, last) = (count + 1, revision);
        }
        *content = Content::Commits { count, first, last, torn_bytes: 0 };
    };
    let Some(bad) = bad else { return Ok(()) };
    if let BadFrame::Broken { offset, .. } = &bad
        && is_last
        && any_frame_after(&*segment.file, place, FrameKind::Commits, offset + 1, len)
            .map_err(OpenError::io("read", name))?
            .is_none()
    {
        *content = Content::Commits { count, first, last, torn_bytes: len - offset };
        return Ok(());
    }
    Err(segment.bad(bad))
}

fn snapshot(disk: &dyn Disk, name: &str, revision: u64, store: Option<u64>) -> Result<u64, OpenError> {
    let place = place(disk, name, Kind::Snapshot, revision, store)?;
    Ok(Snapshot::open(disk, place.store, revision)?.load()?.len() as u64)
}
