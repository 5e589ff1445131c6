//! Damaged files: noticed with file and offset, or harmless. Never a wrong answer, never a panic.
use std::collections::BTreeMap;

use irori_store::{
    disk::Disk,
    sim::{Dice, SimDisk},
    *,
};

use crate::words::*;

/// More commits than the last segment has.
const TAIL: usize = 40;

type Keys = BTreeMap<String, (Revision, String)>;

/// A store that went through a life: segments, a snapshot, a crash, an end.
struct Lived {
    files: BTreeMap<String, Vec<u8>>,
    /// What the store showed at each revision.
    states: BTreeMap<Revision, Keys>,
    /// Files as they were earlier in its life.
    stale: BTreeMap<String, Vec<u8>>,
}

impl Lived {
    fn disk(&self) -> SimDisk {
        let disk = SimDisk::new();
        self.files.iter().for_each(|(name, bytes)| disk.put(name, bytes.clone()));
        disk
    }
}

fn files(disk: &SimDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.list().expect("no faults");
    names.into_iter().map(|name| (name.clone(), disk.read(&name).expect("is listed"))).collect()
}

fn small(disk: &SimDisk) -> Settings {
    Settings { segment_bytes: 2_500, snapshot_bytes_min: 8_000, ring_events_max: 0, ..settings(disk) }
}

/// `clean`: closed at the end; otherwise killed.
async fn lived(clean: bool) -> Lived {
    let mut disk = SimDisk::new();
    let (mut states, mut keys) = (BTreeMap::from([(Revision(0), Keys::new())]), Keys::new());
    let mut stale = BTreeMap::new();
    for round in 0..3 {
        let store = open_with(small(&disk)).expect("the store opens");
        states.insert(store.current().await.expect("current"), keys.clone());
        for n in 0..150 {
            let key = format!("k/{}", n % 17);
            let value = format!("{round}-{n}-{}", "x".repeat(n));
            let write = match keys.get(&key) {
                Some((at, _)) if n % 10 == 9 => delete(&key, *at),
                Some((at, _)) => update(&key, *at, value.clone()),
                None => create(&key, value.clone()),
            };
            let gone = write.value.is_none();
            let revision = put(&*store, write).await;
            if gone {
                keys.remove(&key)
            } else {
                keys.insert(key, (revision, value))
            };
            states.insert(revision, keys.clone());
        }
        until(|| store.stats().snapshots > round).await;
        if round == 1 {
            stale = files(&disk);
        }
        if round == 2 && clean {
            store.close().await.expect("close");
        } else {
            disk = disk.kill();
        }
    }
    Lived { files: files(&disk), states, stale }
}

/// Opens a damaged store and holds all that it says against what was. Returns whether the damage was noticed; words if it told a lie.
async fn examine(disk: &SimDisk, lived: &Lived, may_lose_the_tail: bool) -> Result<bool, String> {
    let store = match open_with(small(disk)) {
        Ok(store) => store,
        Err(OpenError::Damaged { .. } | OpenError::Newer { .. }) => return Ok(true),
        Err(other) => return Err(format!("an error that does not say what is damaged: {other}")),
    };
    let page = soon(store.range(Range { prefix: "k/".into(), ..Range::default() })).await.map_err(|e| e.to_string())?;
    let now: Keys = page.entries.iter().map(|entry| (entry.key.to_string(), (entry.revision, text(entry)))).collect();
    let mut newest = lived.states.iter().rev().take(if may_lose_the_tail { TAIL } else { 1 });
    let Some((newest_told, _)) = newest.find(|(_, state)| **state == now) else {
        return Err("the newest state is wrong".to_owned());
    };
    let mut noticed = false;
    for (revision, state) in lived.states.range(..=*newest_told).rev().step_by(29) {
        match listing(&*store, "k/", Some(*revision)).await {
            Ok(listed) => {
                let expected: Vec<_> = state.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect();
                if listed != expected {
                    return Err(format!("the state at {revision:?} is wrong"));
                }
            }
            Err(StoreError::Compacted { .. }) => noticed = true,
            Err(other) => return Err(other.to_string()),
        }
    }
    Ok(noticed)
}

/// Damages one file. Returns what was done, in words.
fn damage(disk: &SimDisk, lived: &Lived, dice: &mut Dice) -> String {
    let names: Vec<&String> = lived.files.keys().collect();
    let name = names[dice.below(names.len())];
    let mut bytes = lived.files[name].clone();
    let at = dice.below(bytes.len());
    let done = match dice.below(8) {
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
        _ => {
            let Some(stale) = lived.stale.get(name) else { return damage(disk, lived, dice) };
            bytes = stale.clone();
            format!("put back an older {name}")
        }
    };
    disk.put(name, bytes);
    done
}

async fn damage_often(clean: bool, times: u64) {
    let lived = lived(clean).await;
    assert!(lived.files.keys().filter(|name| name.starts_with("log-")).count() > 5);
    assert!(lived.files.keys().any(|name| name.starts_with("snap-")));
    assert_eq!(examine(&lived.disk(), &lived, false).await, Ok(false), "whole, it says what was");
    let (mut noticed, mut lies) = (0, Vec::new());
    for seed in 0..times {
        let disk = lived.disk();
        let done = damage(&disk, &lived, &mut Dice(seed));
        let unchanged = files(&disk) == lived.files;
        // The end of the last segment of a store that was not closed cannot be told from a write that a power cut tore: an older state of
        // that segment may be shown, but only a whole one.
        let last = lived.files.keys().rfind(|name| name.starts_with("log-")).expect("there is a log");
        match examine(&disk, &lived, !clean && done.contains(last.as_str())).await {
            Ok(was_noticed) => noticed += u64::from(was_noticed && !unchanged),
            Err(lie) => lies.push(format!("seed {seed}: {done}: {lie}")),
        }
    }
    assert_eq!(lies, Vec::<String>::new());
    assert!(noticed > times / 2, "{noticed} of {times} noticed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_a_closed_store_is_noticed_or_harmless() {
    damage_often(true, 1_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_to_a_killed_store_is_noticed_or_harmless() {
    damage_often(false, 1_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_told_with_file_and_offset() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for n in 0..3 {
        put(&*store, create(&format!("k/{n}"), "value")).await;
    }
    store.close().await.expect("close");
    let whole = disk.read("log-0000000000000000").expect("the first segment");
    let frame = (whole.len() - 64) / 3;
    for n in 0..3 {
        let mut bytes = whole.clone();
        bytes[64 + n * frame + 20] ^= 1;
        disk.put("log-0000000000000000", bytes);
        match open_with(settings(&disk)).map(|_| ()) {
            Err(OpenError::Damaged { file, offset, .. }) => {
                assert_eq!(file, "log-0000000000000000");
                // Of the last frame it is known that it has to be there, and so where it should start.
                assert_eq!(offset as usize, 64 + n * frame);
            }
            other => panic!("expected damage, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_file_is_noticed() {
    let lived = lived(true).await;
    for name in lived.files.keys() {
        let disk = lived.disk();
        disk.take(name);
        // Snapshots only save time and reach, as long as the log goes back to the start.
        let may_be_harmless = name.starts_with("snap-");
        let noticed = examine(&disk, &lived, false).await;
        assert!(noticed == Ok(true) || (may_be_harmless && noticed == Ok(false)), "without {name}: {noticed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_format_is_refused_by_name() {
    let lived = lived(true).await;
    for (name, offset, len) in [("revisions", 8, 4_096), ("log-0000000000000000", 8, 64)] {
        let disk = lived.disk();
        let mut bytes = lived.files[name].clone();
        for slot in bytes.chunks_mut(len).take(if len == 64 { 1 } else { 2 }) {
            slot[offset] = 9;
            let crc = crc32fast::hash(&slot[..len - 4]).to_le_bytes();
            slot[len - 4..].copy_from_slice(&crc);
        }
        disk.put(name, bytes);
        let refused = open_with(settings(&disk)).map(|_| ());
        assert!(matches!(&refused, Err(OpenError::Newer { file, found: 9, known: 1 }) if file == name), "{refused:?}");
    }
}
