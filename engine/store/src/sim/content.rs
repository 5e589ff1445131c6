//! Bytes and names that may or may not survive.
use std::collections::BTreeMap;

const SECTOR: usize = 512;

#[derive(Clone, Default)]
pub struct Content {
    /// What the process sees.
    pub now: Vec<u8>,
    /// What would survive.
    pub durable: Vec<u8>,
    pub unsynced: Vec<Change>,
    /// So many of them were said to be synced.
    pub promised: usize,
}

impl Content {
    /// Bytes that are all synced.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { now: bytes.clone(), durable: bytes, unsynced: Vec::new(), promised: 0 }
    }
}

#[derive(Clone)]
pub enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone)]
pub enum NameChange {
    Set(String, u64),
    Rename(String, String),
    Remove(String),
}

impl NameChange {
    pub fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Change {
    pub fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Truncate(len) => to.resize(*len, 0),
            Change::Write { offset, bytes } => {
                if to.len() < offset + bytes.len() {
                    to.resize(offset + bytes.len(), 0);
                }
                to[*offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
    }

    /// Some sectors of a write, by chance; a truncation happens or not.
    pub fn apply_partly(&self, to: &mut Vec<u8>, dice: &mut Dice) {
        match self {
            Change::Truncate(_) if dice.below(2) == 0 => self.apply(to),
            Change::Truncate(_) => {}
            Change::Write { offset, bytes } => {
                // All, nothing, or sector by sector: the extremes are where recovery code goes wrong, so they are not left to luck.
                let way = dice.below(4);
                let mut at = 0;
                while at < bytes.len() {
                    let to_boundary = SECTOR - (offset + at) % SECTOR;
                    let end = (at + to_boundary).min(bytes.len());
                    if way == 0 || (way > 1 && dice.below(2) == 0) {
                        Change::Write { offset: offset + at, bytes: bytes[at..end].to_vec() }.apply(to);
                    }
                    at = end;
                }
            }
        }
    }
}

/// Chance that repeats itself from a seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.roll() % limit as u64) as usize
    }
}
