//! One file of the log: a header, then frames of commits in revision order.
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use super::{
    OpenError,
    frame::{BadFrame, FrameKind, Frames, Place},
    header::{HEADER_BYTES, Header, Kind},
    record::{CommitRecord, Records},
};
use crate::disk::{Disk, DiskFile};

/// A frame start is remembered every so many bytes.
const MARK_BYTES: u64 = 8 << 10;

pub struct Segment {
    pub name: String,
    /// The last revision before this segment.
    pub before: u64,
    pub place: Place,
    pub file: Arc<dyn DiskFile>,
    /// Where the synced frames end.
    end: AtomicU64,
    marks: Mutex<Marks>,
}

/// Some frame starts, so that a revision is found without reading the segment from its start.
struct Marks {
    /// First revision and offset of a frame, ascending.
    starts: Vec<(u64, u64)>,
    /// Frames up to here were looked at.
    upto: u64,
}

impl Segment {
    pub fn name_of(before: u64) -> String {
        format!("log-{before:016x}")
    }

    /// Creates a segment that follows `before` and a segment of `previous_len` bytes; durable when this returns.
    pub fn create(disk: &dyn Disk, store: u64, before: u64, previous_len: u64) -> std::io::Result<Arc<Self>> {
        let name = Self::name_of(before);
        let file = disk.create(&name)?;
        let header = Header { kind: Kind::Segment, store, revision: before, extra: previous_len };
        file.write_at(0, &header.encode())?;
        file.sync_data()?;
        disk.sync_dir()?;
        Ok(Arc::new(Self::new(name, before, store, file, HEADER_BYTES)))
    }

    /// A segment that is there, with frames up to `end`.
    pub fn new(name: String, before: u64, store: u64, file: Arc<dyn DiskFile>, end: u64) -> Self {
        let marks = Mutex::new(Marks { starts: Vec::new(), upto: HEADER_BYTES });
        Self { name, before, place: Place { store, revision: before }, file, end: AtomicU64::new(end), marks }
    }

    pub fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// Whether it has no frame yet.
    pub fn is_empty(&self) -> bool {
        self.end() == HEADER_BYTES
    }

    /// Sets the end before the first frame, to be moved by `appended`. Returns where it was.
    pub fn rewind(&self) -> u64 {
        self.end.swap(HEADER_BYTES, Ordering::AcqRel)
    }

    /// Notes that a frame starting with `revision` was written and synced up to `end`.
    pub fn appended(&self, revision: u64, offset: u64, end: u64) {
        let mut marks = self.marks.lock().expect("no holder of this lock panics");
        if marks.upto == offset {
            marks.note(revision, offset, end);
        }
        self.end.store(end, Ordering::Release);
    }

    /// Where to start reading to find the commits from `revision` on: at or before their first frame.
    fn start_for(&self, revision: u64, end: u64) -> Result<u64, OpenError> {
        let mut marks = self.marks.lock().expect("no holder of this lock panics");
        if marks.upto < end {
            let mut frames = Frames::new(&*self.file, self.place, FrameKind::Commits, marks.upto, end);
            while let Some((offset, payload)) = frames.next().map_err(|e| self.bad(e))? {
                let first = Records(payload).number().map_err(|_| self.malformed(offset))?;
                marks.note(first, offset, frames.offset());
            }
        }
        let at = marks.starts.partition_point(|(first, _)| *first <= revision);
        Ok(at.checked_sub(1).map_or(HEADER_BYTES, |at| marks.starts[at].1))
    }

    /// Hands the commits from `revision` on to `take`, in order, until it says that it has enough.
    pub fn commits_from(&self, revision: u64, mut take: impl FnMut(CommitRecord<'_>) -> Flow) -> Result<Flow, OpenError> {
        let end = self.end();
        let start = self.start_for(revision, end)?;
        let mut frames = Frames::new(&*self.file, self.place, FrameKind::Commits, start, end);
        while let Some((offset, payload)) = frames.next().map_err(|e| self.bad(e))? {
            let mut records = Records(payload);
            while !records.is_empty() {
                let commit = records.commit().map_err(|_| self.malformed(offset))?;
                if commit.revision >= revision && take(commit) == Flow::Enough {
                    return Ok(Flow::Enough);
                }
            }
        }
        Ok(Flow::More)
    }

    pub fn bad(&self, bad: BadFrame) -> OpenError {
        match bad {
            BadFrame::Broken { offset, what } => OpenError::damaged(&self.name, offset, what),
            BadFrame::Io(source) => OpenError::Io { doing: "read", file: self.name.clone(), source },
        }
    }

    pub fn malformed(&self, offset: u64) -> OpenError {
        OpenError::damaged(&self.name, offset, "the frame's checksum matches, but its commits cannot be read")
    }
}

/// Whether a reader wants more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    More,
    Enough,
}

impl Marks {
    fn note(&mut self, revision: u64, offset: u64, end: u64) {
        if self.starts.last().is_none_or(|(_, last)| offset - last >= MARK_BYTES) {
            self.starts.push((revision, offset));
        }
        self.upto = end;
    }
}
