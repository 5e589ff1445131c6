//! A backup: all entries at one revision in one file that can be written as a stream. A header, frames of entries in key order, and a
//! last frame that says how much there was, so that a backup that was cut off is told from a whole one.
//!
//! ```text
//! last frame: number of entries · bytes of keys and values
//! ```
//! Values are as they lie in the store: what is sealed there is sealed here, and the wrapped data keys are an entry like every other.
use std::sync::Arc;

use bytes::Bytes;

use super::{
    OpenError,
    frame::{BadFrame, FRAME_HEADER_BYTES, FrameKind, Frames, Place},
    header::{HEADER_BYTES, Header, Kind},
    record::{EntryRecord, Records, put_entry, put_number},
    snapshot::owned,
};
use crate::{
    contract::{Entry, Frozen, Revision, StoreError},
    disk::DiskFile,
};

/// Frames of entries are about this long.
const BLOCK_BYTES: usize = 64 << 10;

/// What a backup holds, once it was read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    pub revision: Revision,
    /// When it was begun, in seconds since 1970.
    pub taken: u64,
    pub entries: u64,
    /// Of keys and values.
    pub bytes: u64,
}

/// A backup in the making: its bytes, in order.
pub struct BackupWriter {
    frozen: Box<dyn Frozen>,
    place: Place,
    taken: u64,
    offset: u64,
    entries: u64,
    bytes: u64,
    ended: bool,
}

impl BackupWriter {
    /// `number` is any number that no other backup has; `taken` is now, in seconds since 1970.
    pub fn new(frozen: Box<dyn Frozen>, number: u64, taken: u64) -> Self {
        let place = Place { store: number, revision: frozen.revision().0 };
        Self { frozen, place, taken, offset: 0, entries: 0, bytes: 0, ended: false }
    }

    /// The next bytes of the file; `None` when it is whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.offset == 0 {
            let header = Header { kind: Kind::Backup, store: self.place.store, revision: self.place.revision, extra: self.taken };
            self.offset = HEADER_BYTES;
            return Ok(Some(Bytes::copy_from_slice(&header.encode())));
        }
        if self.ended {
            return Ok(None);
        }
        let entries = self.frozen.next().await?;
        let mut out = Vec::new();
        let mut frame = vec![0; FRAME_HEADER_BYTES];
        for entry in &entries {
            put_entry(&mut frame, EntryRecord { key: &entry.key, revision: entry.revision.0, value: &entry.value });
            self.entries += 1;
            self.bytes += (entry.key.len() + entry.value.len()) as u64;
            if frame.len() >= BLOCK_BYTES {
                self.put(&mut frame, FrameKind::Entries, &mut out);
            }
        }
        if frame.len() > FRAME_HEADER_BYTES {
            self.put(&mut frame, FrameKind::Entries, &mut out);
        }
        if entries.is_empty() {
            put_number(&mut frame, self.entries);
            put_number(&mut frame, self.bytes);
            self.put(&mut frame, FrameKind::End, &mut out);
            self.ended = true;
        }
        Ok(Some(out.into()))
    }

    fn put(&mut self, frame: &mut Vec<u8>, kind: FrameKind, out: &mut Vec<u8>) {
        self.place.seal(frame, kind, self.offset);
        self.offset += frame.len() as u64;
        out.extend_from_slice(frame);
        frame.truncate(FRAME_HEADER_BYTES);
    }
}

/// A backup in a file.
pub struct Backup {
    file: Arc<dyn DiskFile>,
    name: String,
    header: Header,
    len: u64,
}

impl Backup {
    /// Opens a backup; `name` is for messages. Its content is checked when it is read.
    pub fn open(file: Arc<dyn DiskFile>, name: &str) -> Result<Self, OpenError> {
        let header = Header::read_any(&*file, name, Kind::Backup)?;
        let len = file.size().map_err(OpenError::io("read", name))?;
        Ok(Self { file, name: name.to_owned(), header, len })
    }

    pub fn revision(&self) -> Revision {
        Revision(self.header.revision)
    }

    /// Hands all entries to `take` in key order. Every checksum is checked on the way, and at the end that nothing is missing: what was
    /// taken counts only if this succeeds.
    pub fn read(&self, mut take: impl FnMut(Entry)) -> Result<Summary, OpenError> {
        let place = Place { store: self.header.store, revision: self.header.revision };
        let mut frames = Frames::new(&*self.file, place, FrameKind::Entries, HEADER_BYTES, self.len);
        let (mut entries, mut bytes, mut last) = (0, 0, String::new());
        let end = loop {
            let (offset, payload) = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(OpenError::damaged(&self.name, self.len, "the end is missing: the backup was cut off")),
                Err(BadFrame::Io(source)) => return Err(OpenError::Io { doing: "read", file: self.name.clone(), source }),
                // The last frame is of another kind.
                Err(BadFrame::Broken { offset, what }) => break (offset, what),
            };
            let mut records = Records(payload);
            while !records.is_empty() {
                let entry = records.entry().map_err(|_| self.malformed(offset))?;
                if (entries > 0 && entry.key <= last.as_str()) || entry.revision > self.header.revision {
                    return Err(self.malformed(offset));
                }
                last.clear();
                last.push_str(entry.key);
                entries += 1;
                bytes += (entry.key.len() + entry.value.len()) as u64;
                take(owned(entry));
            }
        };
        let summary = Summary { revision: self.revision(), taken: self.header.extra, entries, bytes };
        self.check_end(place, end, &summary)?;
        Ok(summary)
    }

    fn check_end(&self, place: Place, (offset, what): (u64, &'static str), read: &Summary) -> Result<(), OpenError> {
        let mut frames = Frames::new(&*self.file, place, FrameKind::End, offset, self.len);
        let payload = match frames.next() {
            Ok(Some((_, payload))) => payload.to_vec(),
            _ => return Err(OpenError::damaged(&self.name, offset, what)),
        };
        let mut records = Records(&payload);
        let told = (records.number(), records.number());
        if told != (Ok(read.entries), Ok(read.bytes)) {
            return Err(OpenError::damaged(&self.name, offset, "the number of entries is not the one written"));
        }
        if frames.offset() != self.len {
            return Err(OpenError::damaged(&self.name, frames.offset(), "there is something behind the end"));
        }
        Ok(())
    }

    fn malformed(&self, offset: u64) -> OpenError {
        OpenError::damaged(&self.name, offset, "the frame's checksum matches, but its entries cannot be read")
    }
}
