//! Checksummed frames: what segments and snapshots are made of after their header.
//!
//! ```text
//! 0 magic "IrF" · 3 kind u8 · 4 payload length u32 · 8 crc32 · 12 payload
//! ```
//! The checksum covers the place too (store, file, offset), so that a frame that is intact but in the wrong place (a stale or misplaced
//! sector) is not taken for a good one.
use crate::{disk::DiskFile, log::header::u32_at};

pub const FRAME_HEADER_BYTES: usize = 12;
/// The longest payload; more is taken for damage.
pub const PAYLOAD_BYTES_MAX: usize = 256 << 20;
const MAGIC: &[u8; 3] = b"IrF";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Commits, in a segment.
    Commits = 1,
    /// Entries in key order, in a snapshot or a backup.
    Entries = 2,
    /// The table of a snapshot's blocks; its last frame.
    Blocks = 3,
    /// How much there was; a backup's last frame.
    End = 4,
}

/// Where a frame may stand: which file of which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub store: u64,
    pub revision: u64,
}

impl Place {
    fn crc(&self, offset: u64, head: &[u8], payload: &[u8]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.store.to_le_bytes());
        crc.update(&self.revision.to_le_bytes());
        crc.update(&offset.to_le_bytes());
        crc.update(head);
        crc.update(payload);
        crc.finalize()
    }

    /// Completes a frame whose payload stands after `FRAME_HEADER_BYTES` spare bytes.
    pub fn seal(&self, frame: &mut [u8], kind: FrameKind, offset: u64) {
        let (head, payload) = frame.split_at_mut(FRAME_HEADER_BYTES);
        head[0..3].copy_from_slice(MAGIC);
        head[3] = kind as u8;
        let len = u32::try_from(payload.len()).expect("payloads are limited far below 4 GiB");
        head[4..8].copy_from_slice(&len.to_le_bytes());
        let crc = self.crc(offset, &head[..8], payload);
        head[8..12].copy_from_slice(&crc.to_le_bytes());
    }

    /// The payload of the frame that starts at `bytes[0]`, which stands at `offset` of the file; what is wrong with it otherwise.
    pub fn open<'a>(&self, bytes: &'a [u8], kind: FrameKind, offset: u64) -> Result<&'a [u8], &'static str> {
        if bytes.len() < FRAME_HEADER_BYTES {
            return Err("the file ends within a frame's header");
        }
        if &bytes[0..3] != MAGIC || bytes[3] != kind as u8 {
            return Err("no frame starts here");
        }
        let len = u32_at(bytes, 4) as usize;
        let Some(payload) = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES.saturating_add(len)) else {
            return Err("the file ends within a frame");
        };
        if self.crc(offset, &bytes[..8], payload) != u32_at(bytes, 8) {
            return Err("the frame's checksum does not match");
        }
        Ok(payload)
    }
}

/// Reads frames one after the other.
pub struct Frames<'a> {
    file: &'a dyn DiskFile,
    place: Place,
    kind: FrameKind,
    /// Where the next frame starts.
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    /// How much of the buffer was consumed.
    used: usize,
    /// The length of the frame handed out last.
    handed: usize,
}

/// Why there is no next frame.
#[derive(Debug)]
pub enum BadFrame {
    Broken { offset: u64, what: &'static str },
    Io(std::io::Error),
}

impl<'a> Frames<'a> {
    const READ_BYTES: usize = 256 << 10;

    /// Frames from `offset` to `end` of a file.
    pub fn new(file: &'a dyn DiskFile, place: Place, kind: FrameKind, offset: u64, end: u64) -> Self {
        Self { file, place, kind, offset, end, buffer: Vec::new(), used: 0, handed: 0 }
    }

    /// Where the frame handed out last ended, which is where the next one starts.
    pub fn offset(&self) -> u64 {
        self.offset + self.handed as u64
    }

    /// The next frame's offset and payload; `None` at the end.
    pub fn next(&mut self) -> Result<Option<(u64, &[u8])>, BadFrame> {
        self.offset += self.handed as u64;
        self.used += self.handed;
        self.handed = 0;
        if self.offset >= self.end {
            return Ok(None);
        }
        self.fill(FRAME_HEADER_BYTES)?;
        if self.buffer.len() - self.used >= FRAME_HEADER_BYTES {
            let len = u32_at(&self.buffer, self.used + 4) as usize;
            if len <= PAYLOAD_BYTES_MAX {
                self.fill(FRAME_HEADER_BYTES + len)?;
            }
        }
        let offset = self.offset;
        match self.place.open(&self.buffer[self.used..], self.kind, offset) {
            Ok(payload) => {
                self.handed = FRAME_HEADER_BYTES + payload.len();
                Ok(Some((offset, payload)))
            }
            Err(what) => Err(BadFrame::Broken { offset, what }),
        }
    }

    /// Sees to it that `wanted` bytes from `used` on are in the buffer, as far as the file has them.
    fn fill(&mut self, wanted: usize) -> Result<(), BadFrame> {
        if self.buffer.len() - self.used >= wanted {
            return Ok(());
        }
        self.buffer.drain(..self.used);
        self.used = 0;
        let have = self.buffer.len();
        let left = (self.end - self.offset) as usize - have;
        let more = left.min(wanted.max(Self::READ_BYTES) - have);
        self.buffer.resize(have + more, 0);
        let read = self.file.read_at(self.offset + have as u64, &mut self.buffer[have..]).map_err(BadFrame::Io)?;
        self.buffer.truncate(have + read);
        Ok(())
    }
}

/// Whether a whole, good frame starts anywhere in `offset..end`: then what comes before it was synced, and is no torn tail.
pub fn any_frame_after(
    file: &dyn DiskFile,
    place: Place,
    kind: FrameKind,
    offset: u64,
    end: u64,
) -> std::io::Result<Option<u64>> {
    let mut bytes = vec![0; end.saturating_sub(offset) as usize];
    let read = file.read_at(offset, &mut bytes)?;
    bytes.truncate(read);
    let starts = bytes.windows(4).enumerate().filter(|(_, w)| &w[..3] == MAGIC && w[3] == kind as u8);
    for (at, _) in starts {
        if place.open(&bytes[at..], kind, offset + at as u64).is_ok() {
            return Ok(Some(offset + at as u64));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
