//! The first 64 bytes of every file of the store: what it is, and in which format.
//!
//! ```text
//! 0 magic "IRORISTO" · 8 format u32 · 12 kind u32 · 16 store id u64 · 24 revision u64 · 32 extra u64 · 40 zeros · 60 crc32 of 0..60
//! ```
//! Numbers are little-endian. `revision` and `extra` are, in a segment, the last revision before it and the length of the segment before
//! it (0 for the first); in a snapshot, the revision it shows and where its table of blocks starts; in a backup, the revision it shows and
//! when it was begun, in seconds since 1970. A backup's store id is a number of its own.
use super::OpenError;
use crate::disk::DiskFile;

/// The format this version writes.
pub const FORMAT: u32 = 1;
/// Length of a file header.
pub const HEADER_BYTES: u64 = 64;
const MAGIC: &[u8; 8] = b"IRORISTO";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Segment = 1,
    Snapshot = 2,
    Backup = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    /// Random number of the store, so that a file of another store is noticed.
    pub store: u64,
    pub revision: u64,
    pub extra: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[0..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.store.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.revision.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.extra.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads and checks the header of a file that has to be of this kind, store and revision.
    pub fn read(file: &dyn DiskFile, name: &str, kind: Kind, store: u64, revision: u64) -> Result<Header, OpenError> {
        let header = Self::read_any(file, name, kind)?;
        if header.revision != revision {
            return Err(OpenError::damaged(name, 0, "the header does not fit the file's name"));
        }
        if header.store != store {
            return Err(OpenError::damaged(name, 0, "the file belongs to another store"));
        }
        Ok(header)
    }

    /// The same of any store and revision.
    pub fn read_any(file: &dyn DiskFile, name: &str, kind: Kind) -> Result<Header, OpenError> {
        let mut bytes = [0; HEADER_BYTES as usize];
        let read = file.read_at(0, &mut bytes).map_err(OpenError::io("read", name))?;
        if read < bytes.len() {
            return Err(OpenError::damaged(name, read as u64, "the file ends within its header"));
        }
        if &bytes[0..8] != MAGIC {
            return Err(OpenError::damaged(name, 0, "not a file of a store"));
        }
        if crc32fast::hash(&bytes[..60]) != u32_at(&bytes, 60) {
            return Err(OpenError::damaged(name, 0, "the header's checksum does not match"));
        }
        let found = u32_at(&bytes, 8);
        if found > FORMAT {
            return Err(OpenError::Newer { file: name.to_owned(), found, known: FORMAT });
        }
        if u32_at(&bytes, 12) != kind as u32 {
            return Err(OpenError::damaged(name, 0, "the header does not fit the file's name"));
        }
        Ok(Header { kind, store: u64_at(&bytes, 16), revision: u64_at(&bytes, 24), extra: u64_at(&bytes, 32) })
    }
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
