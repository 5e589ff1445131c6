//! The file `revisions`: which revisions may have been handed out, and how far the log must reach.
//!
//! Two slots of 4 KiB are written in turns, so that a torn write leaves the older one. A slot:
//! ```text
//! 0 magic "IRORIREV" · 8 format u32 · 12 clean u32 · 16 store id u64 · 24 number u64 · 32 reserved u64 · 40 logged u64
//! 48 oldest u64 · 56 gaps u32 · 60 gaps × (after u64, before u64) · … · 4092 crc32
//! ```
use std::sync::Arc;

use super::{
    OpenError,
    header::{FORMAT, u32_at, u64_at},
};
use crate::disk::{Disk, DiskFile};

pub const REVISIONS: &str = "revisions";
const SLOT_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"IRORIREV";
/// Gaps remembered; when there are more, history starts behind the oldest.
const GAPS_MAX: usize = 64;
/// How many revisions are reserved at a time. A store that ended uncleanly goes on at most this much further on.
pub const BLOCK: u64 = 1 << 16;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    /// The store was closed: the log ends exactly at `logged`, and the last revision was exactly `reserved`.
    pub clean: bool,
    pub store: u64,
    /// No revision above was handed out.
    pub reserved: u64,
    /// A revision that was in the synced log when this was written.
    pub logged: u64,
    /// No revision below may be resumed from.
    pub oldest: u64,
    /// Revisions between (both ends exclusive) that lazy commits may have had that a crash lost.
    pub gaps: Vec<(u64, u64)>,
}

impl Reservation {
    /// Notes that revisions strictly between may never be resumed from.
    pub fn add_gap(&mut self, after: u64, before: u64) {
        self.gaps.push((after, before));
        while self.gaps.len() > GAPS_MAX {
            self.oldest = self.gaps.remove(0).1;
        }
    }

    fn encode(&self, number: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SLOT_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.clean).to_le_bytes());
        for value in [self.store, number, self.reserved, self.logged, self.oldest] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&(self.gaps.len() as u32).to_le_bytes());
        for (after, before) in &self.gaps {
            bytes.extend_from_slice(&after.to_le_bytes());
            bytes.extend_from_slice(&before.to_le_bytes());
        }
        bytes.resize(SLOT_BYTES - 4, 0);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The slot's number and content; `None` if it is torn or damaged.
    fn decode(bytes: &[u8]) -> Option<(u64, u32, Reservation)> {
        if bytes.len() < SLOT_BYTES
            || &bytes[0..8] != MAGIC
            || crc32fast::hash(&bytes[..SLOT_BYTES - 4]) != u32_at(bytes, SLOT_BYTES - 4)
        {
            return None;
        }
        let gaps = (0..u32_at(bytes, 56) as usize).map(|n| (u64_at(bytes, 60 + n * 16), u64_at(bytes, 68 + n * 16))).collect();
        let reservation = Reservation {
            clean: u32_at(bytes, 12) == 1,
            store: u64_at(bytes, 16),
            reserved: u64_at(bytes, 32),
            logged: u64_at(bytes, 40),
            oldest: u64_at(bytes, 48),
            gaps,
        };
        Some((u64_at(bytes, 24), u32_at(bytes, 8), reservation))
    }
}

/// The open file.
pub struct RevisionsFile {
    file: Arc<dyn DiskFile>,
    /// The number of the slot written last.
    number: u64,
}

impl RevisionsFile {
    /// Creates the file, without a slot yet.
    pub fn create(disk: &dyn Disk) -> std::io::Result<Self> {
        let file = disk.create(REVISIONS)?;
        // Both slots have their room from the start, so that a full disk does not stop a reservation.
        file.write_at(0, &[0; 2 * SLOT_BYTES])?;
        file.sync_data()?;
        Ok(Self { file, number: 0 })
    }

    /// Opens the file. Its format and what it says; `None` if no slot was ever written whole.
    pub fn open(disk: &dyn Disk) -> Result<(Self, Option<(u32, Reservation)>), OpenError> {
        let file = disk.open(REVISIONS).map_err(OpenError::io("open", REVISIONS))?;
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        let read = file.read_at(0, &mut bytes).map_err(OpenError::io("read", REVISIONS))?;
        if read < bytes.len() && bytes[..read].iter().any(|b| *b != 0) {
            return Err(OpenError::damaged(REVISIONS, read as u64, "the file is cut"));
        }
        let slots = [Reservation::decode(&bytes[..SLOT_BYTES]), Reservation::decode(&bytes[SLOT_BYTES..])];
        let newest = slots.iter().flatten().max_by_key(|(number, ..)| *number);
        let Some((number, format, reservation)) = newest.cloned() else {
            // A torn first slot is never followed by a commit, so that only an empty log may go with it; the caller checks that.
            return Ok((Self { file, number: 0 }, None));
        };
        let mut reservation = reservation;
        // The other slot, where it was ever written, has to be the one before. If it is not whole, it may be torn (never used), or a newer
        // one that was damaged: then up to a block more was handed out. Going on two blocks further is right in both cases.
        let other = &slots[(number % 2) as usize ^ 1];
        let other_is_whole = matches!(other, Some((other, ..)) if other + 1 == number);
        let never_written = number == 1 && bytes[slot_offset(2) as usize..][..SLOT_BYTES].iter().all(|b| *b == 0);
        if !other_is_whole && !never_written {
            reservation.clean = false;
            reservation.reserved += 2 * BLOCK;
        }
        Ok((Self { file, number }, Some((format, reservation))))
    }

    /// Writes the next slot, durably.
    pub fn write(&mut self, reservation: &Reservation) -> std::io::Result<()> {
        let number = self.number + 1;
        self.file.write_at(slot_offset(number), &reservation.encode(number))?;
        self.file.sync_data()?;
        self.number = number;
        Ok(())
    }
}

fn slot_offset(number: u64) -> u64 {
    (number % 2) * SLOT_BYTES as u64
}

#[cfg(test)]
mod tests;
