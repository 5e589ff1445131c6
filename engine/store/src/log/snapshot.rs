//! All entries at one revision, in a file: header, frames of entries in key order, and a last frame that lists those frames.
//!
//! It is written beside the log in pieces, and takes its name only when it is whole and synced.
use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    OpenError,
    frame::{BadFrame, FRAME_HEADER_BYTES, FrameKind, Frames, Place},
    header::{HEADER_BYTES, Header, Kind},
    record::{EntryRecord, Records, put_bytes, put_entry, put_number},
};
use crate::{
    contract::{Entry, Revision},
    disk::{Disk, DiskFile},
    state::State,
};

/// Entries are gathered into frames of about this size.
const BLOCK_BYTES: usize = 64 << 10;
/// So much is written between two syncs, so that a commit never waits for more than that to reach the disk.
const PIECE_BYTES: usize = 1 << 20;
/// Of the disk's time, the writing of a snapshot takes at most one part in so many.
const DISK_TIME_SHARE: u32 = 4;

pub struct Snapshot {
    pub name: String,
    pub revision: u64,
    /// When it was written, or found at start.
    pub since: Instant,
    place: Place,
    file: Arc<dyn DiskFile>,
    table_offset: u64,
    len: u64,
    table: OnceLock<Table>,
}

/// First key and offset of each frame of entries.
struct Table {
    blocks: Vec<(Box<str>, u64)>,
    entries: u64,
}

impl Snapshot {
    pub fn name_of(revision: u64) -> String {
        format!("snap-{revision:016x}")
    }

    /// Writes the state, slowly. `None` if `stop` said so on the way; what was written is removed then, and after an error too.
    pub fn write(
        disk: &dyn Disk,
        store: u64,
        state: &State,
        stop: &dyn Fn(Duration) -> bool,
    ) -> std::io::Result<Option<Arc<Self>>> {
        let name = Self::name_of(state.revision.0);
        let unfinished = format!("{name}.tmp");
        let written = Self::write_as(disk, &unfinished, store, state, stop);
        match &written {
            Ok(true) => {
                disk.rename(&unfinished, &name)?;
                disk.sync_dir()?;
                let header = Self::open(disk, store, state.revision.0).map_err(std::io::Error::other)?;
                Ok(Some(Arc::new(header)))
            }
            Ok(false) | Err(_) => {
                // What cannot be removed now is removed at the next start.
                let _still_there = disk.remove(&unfinished);
                written.map(|_| None)
            }
        }
    }

    fn write_as(
        disk: &dyn Disk,
        name: &str,
        store: u64,
        state: &State,
        stop: &dyn Fn(Duration) -> bool,
    ) -> std::io::Result<bool> {
        let place = Place { store, revision: state.revision.0 };
        let file = disk.create(name)?;
        let (mut offset, mut unsynced, mut blocks, mut count) = (HEADER_BYTES, 0, Vec::new(), 0_u64);
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        let mut entries = state.all().peekable();
        let mut started = Instant::now();
        while let Some(first) = entries.peek() {
            put_bytes(&mut blocks, first.key.as_bytes());
            put_number(&mut blocks, offset);
            count += 1;
            frame.truncate(FRAME_HEADER_BYTES);
            while frame.len() < BLOCK_BYTES
                && let Some(entry) = entries.next()
            {
                put_entry(&mut frame, EntryRecord { key: &entry.key, revision: entry.revision.0, value: &entry.value });
            }
            place.seal(&mut frame, FrameKind::Entries, offset);
            file.write_at(offset, &frame)?;
            offset += frame.len() as u64;
            unsynced += frame.len();
            if unsynced >= PIECE_BYTES {
                file.sync_data()?;
                unsynced = 0;
                if stop(started.elapsed() * (DISK_TIME_SHARE - 1)) {
                    return Ok(false);
                }
                started = Instant::now();
            }
        }
        frame.truncate(FRAME_HEADER_BYTES);
        put_number(&mut frame, state.len() as u64);
        put_number(&mut frame, count);
        frame.extend_from_slice(&blocks);
        place.seal(&mut frame, FrameKind::Blocks, offset);
        file.write_at(offset, &frame)?;
        let header = Header { kind: Kind::Snapshot, store, revision: state.revision.0, extra: offset };
        file.write_at(0, &header.encode())?;
        file.sync_data()?;
        Ok(true)
    }

    /// Opens a snapshot; its content is checked when it is read.
    pub fn open(disk: &dyn Disk, store: u64, revision: u64) -> Result<Self, OpenError> {
        let name = Self::name_of(revision);
        let file = disk.open(&name).map_err(OpenError::io("open", &name))?;
        let header = Header::read(&*file, &name, Kind::Snapshot, store, revision)?;
        let len = file.size().map_err(OpenError::io("read", &name))?;
        let place = Place { store, revision };
        let table = OnceLock::new();
        Ok(Self { name, revision, since: Instant::now(), place, file, table_offset: header.extra, len, table })
    }

    /// Reads all of it.
    pub fn load(&self) -> Result<State, OpenError> {
        let table = self.table()?;
        let mut state = State::empty_at(Revision(self.revision));
        let mut frames = Frames::new(&*self.file, self.place, FrameKind::Entries, HEADER_BYTES, self.table_offset);
        let mut last = String::new();
        while let Some((offset, payload)) = frames.next().map_err(|e| self.bad(e))? {
            let mut records = Records(payload);
            while !records.is_empty() {
                let entry = records.entry().map_err(|_| self.malformed(offset))?;
                if entry.key <= last.as_str() || entry.revision > self.revision {
                    return Err(self.malformed(offset));
                }
                last.clear();
                last.push_str(entry.key);
                state.set(entry.key, Some(owned(entry)));
            }
        }
        if state.len() as u64 != table.entries {
            return Err(OpenError::damaged(&self.name, self.table_offset, "the number of entries is not the one written"));
        }
        Ok(state)
    }

    /// The entry under a key.
    pub fn get(&self, key: &str) -> Result<Option<Entry>, OpenError> {
        let blocks = &self.table()?.blocks;
        let Some(at) = blocks.partition_point(|(first, _)| &**first <= key).checked_sub(1) else { return Ok(None) };
        let end = blocks.get(at + 1).map_or(self.table_offset, |(_, offset)| *offset);
        let mut frames = Frames::new(&*self.file, self.place, FrameKind::Entries, blocks[at].1, end);
        while let Some((offset, payload)) = frames.next().map_err(|e| self.bad(e))? {
            let mut records = Records(payload);
            while !records.is_empty() {
                let entry = records.entry().map_err(|_| self.malformed(offset))?;
                if entry.key == key {
                    return Ok(Some(owned(entry)));
                }
            }
        }
        Ok(None)
    }

    fn table(&self) -> Result<&Table, OpenError> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let mut frames = Frames::new(&*self.file, self.place, FrameKind::Blocks, self.table_offset, self.len);
        let malformed = || self.malformed(self.table_offset);
        let (_, payload) = frames.next().map_err(|e| self.bad(e))?.ok_or_else(malformed)?;
        let mut records = Records(payload);
        let entries = records.number().map_err(|_| malformed())?;
        let count = records.number().map_err(|_| malformed())?;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let first = records.text().map_err(|_| malformed())?;
            blocks.push((first.into(), records.number().map_err(|_| malformed())?));
        }
        let end = frames.offset();
        if end != self.len {
            return Err(OpenError::damaged(&self.name, end, "there is something behind the end"));
        }
        Ok(self.table.get_or_init(|| Table { blocks, entries }))
    }

    fn bad(&self, bad: BadFrame) -> OpenError {
        match bad {
            BadFrame::Broken { offset, what } => OpenError::damaged(&self.name, offset, what),
            BadFrame::Io(source) => OpenError::Io { doing: "read", file: self.name.clone(), source },
        }
    }

    fn malformed(&self, offset: u64) -> OpenError {
        OpenError::damaged(&self.name, offset, "the frame's checksum matches, but its entries cannot be read")
    }
}

pub fn owned(entry: EntryRecord<'_>) -> Entry {
    Entry { key: entry.key.into(), value: Bytes::copy_from_slice(entry.value), revision: Revision(entry.revision) }
}
