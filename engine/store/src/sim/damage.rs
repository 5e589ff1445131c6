//! Damaged files, again and again: noticed with file and offset, or harmless. Never a wrong answer, never a panic.
//!
//! Noticed means refused at the start with the file named, or a past that is told to be compacted. Harmless means that everything the
//! store says is what was.
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use irori_runtime::{Shutdown, Tasks};

use super::{Dice, SimDisk};
use crate::{
    contract::*,
    disk::Disk,
    embedded::{EmbeddedStore, Settings},
    log::OpenError,
};

/// More commits than the last segment has.
const TAIL: usize = 40;
/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// One state in so many is read back.
const STATES_APART: usize = 29;

type Keys = BTreeMap<String, (Revision, Bytes)>;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub mutations: u64,
    pub noticed: u64,
    /// Bytes that were what they had been.
    pub unchanged: u64,
    /// Wrong answers, each with what was done.
    pub lies: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mutations, noticed, unchanged, lies } = self;
        let harmless = mutations - noticed - unchanged - lies.len() as u64;
        write!(
            f,
            "{mutations} mutations: {noticed} noticed, {harmless} harmless, {unchanged} changed nothing, {} lies",
            lies.len()
        )
    }
}

/// A store that went through a life: segments, snapshots, crashes, an end.
pub struct Lived {
    files: BTreeMap<String, Vec<u8>>,
    /// What the store showed at each revision.
    states: BTreeMap<Revision, Keys>,
    /// Files as they were earlier in its life.
    stale: BTreeMap<String, Vec<u8>>,
    /// Closed at the end; otherwise killed.
    closed: bool,
}

impl Lived {
    /// Lives such a life.
    pub async fn through(closed: bool) -> Result<Self, String> {
        let mut disk = SimDisk::new();
        let (mut states, mut keys) = (BTreeMap::from([(Revision(0), Keys::new())]), Keys::new());
        let mut stale = BTreeMap::new();
        for round in 0..3 {
            let store = open(&disk).map_err(|refused| refused.to_string())?;
            let told = |failed: StoreError| failed.to_string();
            states.insert(store.current().await.map_err(told)?, keys.clone());
            for n in 0..150 {
                let key = format!("k/{}", n % 17);
                let value = Bytes::from(format!("{round}-{n}-{}", "x".repeat(n)));
                let before = keys.get(&key).map(|(at, _)| *at);
                let value = (before.is_none() || n % 10 != 9).then_some(value);
                let expect = before.map_or(Expect::Absent, Expect::At);
                let write = Write { key: key.as_str().into(), expect, value: value.clone() };
                let at = store.commit(vec![write], Durability::Synced).await.map_err(told)?;
                match value {
                    Some(value) => keys.insert(key, (at, value)),
                    None => keys.remove(&key),
                };
                states.insert(at, keys.clone());
            }
            let snapshot = async {
                while store.stats().snapshots <= round {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(ANSWER_MAX, snapshot).await.map_err(|_| "no snapshot is written".to_owned())?;
            if round == 1 {
                stale = files(&disk);
            }
            if round == 2 && closed {
                store.close().await.map_err(told)?;
            } else {
                disk = disk.kill();
            }
        }
        Ok(Self { files: files(&disk), states, stale, closed })
    }

    /// Its files.
    pub fn files(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.files
    }

    /// A disk with its files.
    pub fn disk(&self) -> SimDisk {
        let disk = SimDisk::new();
        self.files.iter().for_each(|(name, bytes)| disk.put(name, bytes.clone()));
        disk
    }

    /// Opens a store with damaged files and holds all that it says against what was. Returns whether the damage was noticed; words if it
    /// told a lie. `damaged` is the file that was changed.
    pub async fn examine(&self, disk: &SimDisk, damaged: &str) -> Result<bool, String> {
        let examined = tokio::time::timeout(ANSWER_MAX, self.look(disk, damaged)).await;
        examined.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }

    async fn look(&self, disk: &SimDisk, damaged: &str) -> Result<bool, String> {
        let store = match open(disk) {
            Ok(store) => store,
            Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => return Ok(true),
            Err(other) => return Err(format!("an error that does not say what is damaged: {other}")),
        };
        let page = store.range(below(None)).await.map_err(|e| e.to_string())?;
        let now: Keys = page.entries.into_iter().map(|entry| (entry.key.to_string(), (entry.revision, entry.value))).collect();
        // The end of the last segment of a store that was not closed cannot be told from a write that a power cut tore: an older state of
        // that segment may be shown, but only a whole one.
        let last = self.files.keys().rfind(|name| name.starts_with("log-"));
        let may_lose_the_tail = !self.closed && last.is_some_and(|last| last == damaged);
        let mut newest = self.states.iter().rev().take(if may_lose_the_tail { TAIL } else { 1 });
        let Some((newest_told, _)) = newest.find(|(_, state)| **state == now) else {
            return Err("the newest state is wrong".to_owned());
        };
        let mut noticed = false;
        for (revision, state) in self.states.range(..=*newest_told).rev().step_by(STATES_APART) {
            match store.range(below(Some(*revision))).await {
                Ok(page) => {
                    let is_same = |(entry, (key, (_, value))): (&Entry, (&String, &(Revision, Bytes)))| {
                        *entry.key == **key && entry.value == *value
                    };
                    if page.entries.len() != state.len() || !page.entries.iter().zip(state).all(is_same) {
                        return Err(format!("the state at {revision:?} is wrong"));
                    }
                }
                Err(StoreError::Compacted { .. }) => noticed = true,
                Err(other) => return Err(other.to_string()),
            }
        }
        Ok(noticed)
    }

    /// Damages one file (or two that change places). Returns the file, and what was done in words.
    pub fn damage(&self, disk: &SimDisk, dice: &mut Dice) -> (String, String) {
        let names: Vec<&String> = self.files.keys().collect();
        let name = names[dice.below(names.len())];
        let mut bytes = self.files[name].clone();
        let at = dice.below(bytes.len());
        let done = match dice.below(10) {
            0..=3 => {
                let bit = dice.below(8);
                bytes[at] ^= 1 << bit;
                format!("flipped bit {bit} of byte {at} of {} of {name}", bytes.len())
            }
            4 => {
                bytes.truncate(at);
                format!("cut {name} at {at}")
            }
            5 => {
                let (from, len) = (dice.below(bytes.len()), dice.below(600) + 1);
                let piece: Vec<u8> = bytes[from..(from + len).min(bytes.len())].to_vec();
                let end = (at + piece.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&piece[..end - at]);
                format!("copied {len} bytes of {name} from {from} to {at}")
            }
            6 => {
                let end = (at + 512).min(bytes.len());
                bytes[at..end].fill(0);
                format!("zeroed a sector of {name} at {at}")
            }
            7 => {
                let (one, other) = (at / 512 * 512, dice.below(bytes.len()) / 512 * 512);
                for n in 0..512.min(bytes.len() - one.max(other)) {
                    bytes.swap(one + n, other + n);
                }
                format!("swapped the sectors of {name} at {one} and {other}")
            }
            8 => {
                let other = names[dice.below(names.len())];
                disk.put(other, bytes);
                bytes = self.files[other].clone();
                format!("swapped {name} and {other}")
            }
            _ => {
                let Some(stale) = self.stale.get(name) else { return self.damage(disk, dice) };
                bytes = stale.clone();
                format!("put back an older {name}")
            }
        };
        disk.put(name, bytes);
        (name.clone(), done)
    }
}

fn below(at: Option<Revision>) -> Range {
    Range { prefix: "k/".into(), at, ..Range::default() }
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().unwrap_or_default();
    names.into_iter().filter_map(|name| Some((name.clone(), disk.read(&name)?))).collect()
}

/// Small segments and snapshots, so that a short life has many files; all history is read from them.
fn open(disk: &SimDisk) -> Result<Arc<EmbeddedStore>, OpenError> {
    let usual = Settings::on(Arc::new(disk.clone()));
    let settings = Settings { segment_bytes: 2_500, snapshot_bytes_min: 8_000, ring_events_max: 0, ..usual };
    EmbeddedStore::open(settings, &Tasks::new(Shutdown::new()))
}

/// Damages copies of one store so many times, half of it a store that was closed, half one that was killed.
pub async fn run(mutations: u64, seed: u64) -> Result<Report, String> {
    let lives = [Lived::through(true).await?, Lived::through(false).await?];
    let mut report = Report::default();
    for n in 0..mutations {
        let lived = &lives[(n % 2) as usize];
        let disk = lived.disk();
        let (damaged, done) = lived.damage(&disk, &mut Dice(seed.wrapping_mul(1 << 32) + n));
        report.mutations += 1;
        let unchanged = files(&disk) == lived.files;
        match lived.examine(&disk, &damaged).await {
            Ok(noticed) if unchanged && !noticed => report.unchanged += 1,
            Ok(noticed) => report.noticed += u64::from(noticed),
            Err(lie) => report.lies.push(format!("mutation {n}: {done}: {lie}")),
        }
    }
    Ok(report)
}
