//! The end of the log: frames are added here, segments begun, revisions reserved.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    disk::Disk,
    log::{BLOCK, FRAME_HEADER_BYTES, FrameKind, History, Reservation, RevisionsFile, Segment},
};

/// What was written since the start.
#[derive(Default)]
pub struct Written {
    pub bytes: AtomicU64,
    pub syncs: AtomicU64,
}

pub struct Appender {
    pub disk: Arc<dyn Disk>,
    pub history: Arc<History>,
    pub revisions: RevisionsFile,
    pub reservation: Reservation,
    pub active: Arc<Segment>,
    /// The newest revision in the log.
    pub logged: u64,
    pub segment_bytes: u64,
    pub written: Arc<Written>,
}

/// Why a frame was not added.
#[derive(Debug)]
pub enum AppendError {
    /// No space; the log is as it was before.
    Full,
    /// Nobody knows what is on the disk now, so nothing may be written any more.
    Broken { doing: &'static str, source: io::Error },
}

impl Appender {
    /// Adds a frame (its payload behind `FRAME_HEADER_BYTES` spare bytes) with commits from `first` to `last`; synced when this returns.
    pub fn append(&mut self, frame: &mut [u8], first: u64, last: u64) -> Result<(), AppendError> {
        debug_assert!(frame.len() > FRAME_HEADER_BYTES, "an empty frame is never written");
        self.reserve(last)?;
        if self.active.end() >= self.segment_bytes {
            self.rotate()?;
        }
        let offset = self.active.end();
        self.active.place.seal(frame, FrameKind::Commits, offset);
        if let Err(source) = self.active.file.write_at(offset, frame) {
            // Whether the truncation outlasts a crash does not matter: a frame that is not whole is never taken for commits.
            let undone = is_full(&source) && self.active.file.truncate(offset).is_ok();
            return Err(if undone { AppendError::Full } else { AppendError::Broken { doing: "write the log", source } });
        }
        self.active.file.sync_data().map_err(|source| AppendError::Broken { doing: "sync the log", source })?;
        self.active.appended(first, offset, offset + frame.len() as u64);
        self.logged = last;
        self.written.bytes.fetch_add(frame.len() as u64, Ordering::Relaxed);
        self.written.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Sees to it that revisions up to `upto` are reserved on disk.
    pub fn reserve(&mut self, upto: u64) -> Result<(), AppendError> {
        if upto <= self.reservation.reserved {
            return Ok(());
        }
        self.write_reservation(upto + BLOCK, false)
    }

    /// Marks the store as closed at a revision, up to which all is in the log.
    pub fn seal(&mut self, revision: u64) -> Result<(), AppendError> {
        self.write_reservation(revision, true)
    }

    fn write_reservation(&mut self, reserved: u64, clean: bool) -> Result<(), AppendError> {
        let next = Reservation {
            clean,
            reserved,
            logged: self.logged,
            oldest: self.reservation.oldest.max(self.history.oldest()),
            ..self.reservation.clone()
        };
        self.revisions.write(&next).map_err(|source| AppendError::Broken { doing: "reserve revisions", source })?;
        self.reservation = next;
        self.written.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a new segment; the log has to end with `self.logged`, and to have a frame in its last segment.
    pub fn rotate(&mut self) -> Result<(), AppendError> {
        match Segment::create(&*self.disk, self.reservation.store, self.logged, self.active.end()) {
            Ok(segment) => {
                self.written.syncs.fetch_add(1, Ordering::Relaxed);
                self.history.add_segment(segment.clone());
                self.active = segment;
                Ok(())
            }
            Err(source) if is_full(&source) => {
                let removed = self.disk.remove(&Segment::name_of(self.logged)).and_then(|()| self.disk.sync_dir());
                removed.map_err(|source| AppendError::Broken { doing: "remove an unfinished segment", source })?;
                Err(AppendError::Full)
            }
            Err(source) => Err(AppendError::Broken { doing: "begin a segment", source }),
        }
    }
}

pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
