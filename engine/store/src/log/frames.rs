//! What was written, frame by frame: for people who ask why the disk was touched.
use super::{
    OpenError,
    frame::{BadFrame, FrameKind, Frames, Place},
    header::{HEADER_BYTES, Header, Kind},
    record::Records,
    revisions::RevisionsFile,
    segment::Segment,
};
use crate::disk::Disk;

/// One append to the log, made durable by one sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its first and last revision.
    pub revisions: (u64, u64),
    /// Bytes in the log, header included.
    pub bytes: u64,
    /// What was written, in order; a key may come more than once.
    pub keys: Vec<String>,
}

/// The frames whose first revision is above `after`, as far as the log has them. Reads only; the store may be in use: a frame that is
/// being written ends the list.
pub fn written_after(disk: &dyn Disk, after: u64) -> Result<Vec<Written>, OpenError> {
    let Some((_, reservation)) = RevisionsFile::open(disk)?.1 else { return Ok(Vec::new()) };
    let names = disk.list().map_err(OpenError::io("list", "."))?;
    let mut befores: Vec<u64> =
        names.iter().filter_map(|name| u64::from_str_radix(name.strip_prefix("log-")?, 16).ok()).collect();
    befores.sort_unstable();
    // A segment whose successor starts at or before `after` holds nothing newer.
    let skipped = befores.partition_point(|before| *before <= after).saturating_sub(1);
    let mut written = Vec::new();
    for before in &befores[skipped.min(befores.len())..] {
        let name = Segment::name_of(*before);
        let file = disk.open(&name).map_err(OpenError::io("open", &name))?;
        let end = file.size().map_err(OpenError::io("read", &name))?;
        Header::read(&*file, &name, Kind::Segment, reservation.store, *before)?;
        let place = Place { store: reservation.store, revision: *before };
        let mut frames = Frames::new(&*file, place, FrameKind::Commits, HEADER_BYTES, end);
        loop {
            let (offset, payload) = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) | Err(BadFrame::Broken { .. }) => break,
                Err(BadFrame::Io(source)) => return Err(OpenError::Io { doing: "read", file: name, source }),
            };
            let malformed = |_| OpenError::damaged(&name, offset, "the frame's checksum matches, but its commits cannot be read");
            let (mut records, mut revisions, mut keys) = (Records(payload), None, Vec::new());
            while !records.is_empty() {
                let commit = records.commit().map_err(malformed)?;
                revisions = Some((revisions.map_or(commit.revision, |(first, _)| first), commit.revision));
                keys.extend(commit.writes.iter().map(|write| write.key.to_owned()));
            }
            let bytes = frames.offset() - offset;
            if let Some(revisions) = revisions.filter(|(first, _)| *first > after) {
                written.push(Written { revisions, bytes, keys });
            }
        }
    }
    Ok(written)
}
