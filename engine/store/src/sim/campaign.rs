//! Crashes under 16 writers on the simulated disk, again and again: for tests and `cargo xtask crash`.
//!
//! Checked after each: nothing acknowledged is lost, nothing is half there, no revision comes twice, a watch resumes without gap.
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
    time::Duration,
};

use futures::future::join_all;
use irori_runtime::{Shutdown, Tasks};

use super::{
    Dice, SimDisk,
    linear::{Faulty, Planted},
};
use crate::{
    contract::*,
    embedded::{EmbeddedStore, Settings},
    ledger::Ledger,
};

/// How long a follower may take for what is there already.
const FOLLOW_MAX: Duration = Duration::from_secs(30);

const WRITERS: usize = 16;
const KEYS_EACH: usize = 4;

/// How a cycle ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was not synced is lost, torn or there, by chance.
    PowerCut,
    /// What was written is there, synced or not.
    Kill,
    /// One or the other, by chance: what a kill left unsynced may meet a power cut later.
    Either,
}

/// A negative control: what is broken on purpose, and has to be reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The disk's syncs do nothing.
    NoSync,
    /// Commits are acknowledged before they are synced.
    AcknowledgedEarly,
    /// The follower's watch leaves events out.
    DroppedEvent,
}

impl Control {
    pub const ALL: [Self; 3] = [Self::NoSync, Self::AcknowledgedEarly, Self::DroppedEvent];
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub crashes: u64,
    /// Synced commits that returned.
    pub acknowledged: u64,
    /// Synced commits under way at the crash.
    pub unanswered: u64,
    /// Calls of `sync_data` that the disk answered.
    pub syncs: u64,
    pub newest: Revision,
    /// Every breach of a promise, in words.
    pub breaches: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crashes, acknowledged, unanswered, syncs, newest, breaches } = self;
        let breaches = breaches.len();
        write!(
            f,
            "{crashes} crashes: {acknowledged} acknowledged commits, {unanswered} unanswered, {syncs} syncs, {breaches} breaches; newest revision {}",
            newest.0
        )
    }
}

/// What the writers and the watcher of all cycles know.
#[derive(Default)]
struct Known {
    ledger: Ledger,
    /// The newest revision seen anywhere, lazy commits included.
    newest_seen: Revision,
    report: Report,
}

impl Known {
    fn breach(&mut self, text: String) {
        self.report.breaches.push(text);
    }
}

fn lock(known: &Mutex<Known>) -> MutexGuard<'_, Known> {
    known.lock().expect("no writer panics")
}

fn write(key: &str, expect: Expect, value: Option<&str>) -> Write {
    Write { key: key.into(), expect, value: value.map(|value| value.as_bytes().to_vec().into()) }
}

/// Small segments and snapshots, so that crashes meet every file operation; history as short or as long as the dice say.
fn settings_of(disk: &SimDisk, dice: &mut Dice) -> Settings {
    Settings {
        segment_bytes: 4_000 + dice.below(30_000) as u64,
        snapshot_bytes_min: 8_000 + dice.below(60_000) as u64,
        history: Duration::from_secs(if dice.below(3) == 0 { 0 } else { 300 }),
        ring_events_max: [0, 100, 8_192][dice.below(3)],
        ..Settings::on(Arc::new(disk.clone()))
    }
}

/// Writes to keys that belong to this writer alone until the store fails.
async fn write_until_the_end(store: &EmbeddedStore, known: &Mutex<Known>, writer: usize, mut dice: Dice) {
    loop {
        // A commit of one key, or of two that must never differ.
        let (pair, first) = (dice.below(4) == 0, dice.below(KEYS_EACH));
        let keys = if pair {
            vec![format!("w/{writer}/pair/a"), format!("w/{writer}/pair/b")]
        } else {
            vec![format!("w/{writer}/{first}")]
        };
        let value = (dice.below(6) > 0).then(|| format!("{}-{}", dice.roll(), "x".repeat(dice.below(600))));
        let durability = if dice.below(5) == 0 { Durability::Lazy } else { Durability::Synced };
        let writes: Vec<Write> = {
            let mut known = lock(known);
            let write = |key: &String| match (known.ledger.revision(key), &value) {
                (Some(at), value) => Some(write(key, Expect::At(at), value.as_deref())),
                (None, Some(value)) => Some(write(key, Expect::Absent, Some(value))),
                (None, None) => None,
            };
            let writes: Vec<_> = keys.iter().filter_map(write).collect();
            // Lazy writes are no promise: the ledger learns of them as attempts only, on keys of their own.
            if durability == Durability::Synced {
                writes.iter().for_each(|write| known.ledger.attempt(&write.key, value.as_ref().map(String::as_bytes)));
            }
            writes
        };
        if writes.is_empty() {
            continue;
        }
        let mut lazy = || vec![write(&format!("lazy/{writer}/{}", dice.roll()), Expect::Absent, Some("v"))];
        let writes = if durability == Durability::Synced { writes } else { lazy() };
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        match store.commit(writes, durability).await {
            Ok(revision) => {
                let mut known = lock(known);
                known.newest_seen = known.newest_seen.max(revision);
                if durability == Durability::Synced {
                    known.report.acknowledged += 1;
                    keys.iter().for_each(|key| known.ledger.acknowledged(key, revision));
                }
            }
            Err(StoreError::Stopped { .. }) => {
                lock(known).report.unanswered += u64::from(durability == Durability::Synced);
                return;
            }
            Err(other) => {
                lock(known).breach(format!("writer {writer}: {other}"));
                return;
            }
        }
        // One in a while the state itself is looked at: what was told is there.
        if dice.below(50) == 0 {
            let newest = lock(known).newest_seen;
            if let Ok(current) = store.current().await
                && current < newest
            {
                lock(known).breach(format!("current is {current:?} after {newest:?} was acknowledged"));
            }
        }
    }
}

/// Follows `w/` from where it was; keeps the state that the events tell.
struct Follower {
    after: Revision,
    state: BTreeMap<String, (Revision, Vec<u8>)>,
}

impl Follower {
    /// Takes in events until `upto` is seen or the watch ends.
    async fn follow(&mut self, store: &dyn Store, upto: Revision) -> Result<(), String> {
        let mut watch = match store.watch("w/", self.after).await {
            Ok(watch) => watch,
            Err(StoreError::Compacted { .. }) => return self.start_again(store).await,
            Err(other) => return Err(other.to_string()),
        };
        while watch.progress() < upto {
            // Asked again and again, as progress comes without events too.
            match futures::poll!(watch.next()) {
                Poll::Ready(Ok(events)) => events.iter().try_for_each(|event| self.take(event))?,
                Poll::Ready(Err(WatchEnd::Compacted | WatchEnd::Lagged)) => return self.start_again(store).await,
                Poll::Ready(Err(WatchEnd::Closed)) => return Ok(()),
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
        self.after = self.after.max(watch.progress());
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Result<(), String> {
        if event.revision < self.after {
            return Err(format!("revision {:?} came after {:?}", event.revision, self.after));
        }
        self.after = event.revision;
        let before = match &event.value {
            Some(value) => self.state.insert(event.key.to_string(), (event.revision, value.to_vec())),
            None => self.state.remove(&*event.key),
        };
        let told = event.previous.as_ref().map(|previous| (previous.revision, previous.value.to_vec()));
        if before != told {
            return Err(format!("the event of `{}` at {:?} does not follow what was told before", event.key, event.revision));
        }
        Ok(())
    }

    async fn start_again(&mut self, store: &dyn Store) -> Result<(), String> {
        let page = store.range(Range { prefix: "w/".into(), ..Range::default() }).await.map_err(|e| e.to_string())?;
        self.after = page.revision;
        self.state =
            page.entries.into_iter().map(|entry| (entry.key.to_string(), (entry.revision, entry.value.to_vec()))).collect();
        Ok(())
    }
}

/// Runs cycles of writing and crashing on one store. Chance repeats itself from `seed`.
pub async fn run(cycles: u64, end: End, control: Option<Control>, seed: u64) -> Report {
    let known = Mutex::new(Known::default());
    let mut follower = Follower { after: Revision(0), state: BTreeMap::new() };
    let mut disk = SimDisk::new();
    // The last life only checks.
    for cycle in 0..=cycles {
        let mut dice = Dice(seed.wrapping_mul(1 << 32) + cycle * 1_000 + u64::from(end == End::Kill));
        let tasks = Tasks::new(Shutdown::new());
        let store = match EmbeddedStore::open(settings_of(&disk, &mut dice), &tasks) {
            Ok(store) => store,
            Err(refused) => {
                lock(&known).breach(format!("cycle {cycle}: {refused}"));
                break;
            }
        };
        let planted = (control == Some(Control::DroppedEvent)).then_some(Planted::DroppedEvent);
        let watched = Faulty::new(store.clone(), planted, dice.roll());
        check_after_crash(&watched, &known, &mut follower, cycle).await;
        if cycle == cycles {
            break;
        }
        disk.set_faults(|faults| {
            faults.sync_does_nothing = control == Some(Control::NoSync);
            faults.sync_is_late = control == Some(Control::AcknowledgedEarly);
            // The power goes at a call to the disk, wherever that may be: before a sync, within a rotation, between rename and sync.
            faults.power_fails_after = Some(20 + dice.below(400) as u64);
        });
        let syncs = disk.counts().syncs;
        live(&store, &watched, &known, &mut follower, cycle, &mut dice).await;
        drop((store, watched));
        let mut known = lock(&known);
        known.report.crashes += 1;
        known.report.syncs += disk.counts().syncs - syncs;
        let power_cut = end == End::PowerCut || (end == End::Either && dice.below(2) == 0);
        disk = if power_cut { disk.power_cut(dice.roll()) } else { disk.kill() };
    }
    let mut known = known.into_inner().expect("no writer panics");
    known.report.newest = known.newest_seen;
    known.report
}

/// All writers and a follower, until the store fails.
async fn live(
    store: &EmbeddedStore,
    watched: &dyn Store,
    known: &Mutex<Known>,
    follower: &mut Follower,
    cycle: u64,
    dice: &mut Dice,
) {
    let current = store.current().await.expect("reads never fail");
    let upto = Revision(current.0 + dice.below(60) as u64);
    let writing = join_all((0..WRITERS).map(|writer| write_until_the_end(store, known, writer, Dice(dice.roll()))));
    tokio::pin!(writing);
    // The follower reads along while the store lives; what it was told has to hold afterwards.
    tokio::select! {
        followed = follower.follow(watched, upto) => if let Err(breach) = followed {
            lock(known).breach(format!("cycle {cycle}: {breach}"));
        },
        // The power may go before that revision is reached.
        _ = writing.as_mut() => return,
    }
    writing.await;
}

async fn check_after_crash(store: &dyn Store, known: &Mutex<Known>, follower: &mut Follower, cycle: u64) {
    let page = store.range(Range { prefix: "w/".into(), ..Range::default() }).await.expect("reads never fail");
    let found: BTreeMap<&str, &Entry> = page.entries.iter().map(|entry| (&*entry.key, entry)).collect();
    let followed = tokio::time::timeout(FOLLOW_MAX, follower.follow(store, page.revision)).await;
    let mut known = lock(known);
    if let Err(breach) = followed.unwrap_or_else(|_| Err("a watch does not reach what is there".to_owned())) {
        known.breach(format!("cycle {cycle}: {breach}"));
    }
    let mut breaches = known.ledger.settle(|key| found.get(key).map(|entry| (entry.revision, &entry.value[..])));
    if page.revision < known.newest_seen {
        breaches.push(format!("the revision went back from {:?} to {:?}", known.newest_seen, page.revision));
    }
    for writer in 0..WRITERS {
        let half = |name| found.get(format!("w/{writer}/pair/{name}").as_str()).map(|entry| (entry.revision, &entry.value));
        if half("a") != half("b") {
            breaches.push(format!("half of a commit of writer {writer}"));
        }
    }
    let told: Vec<_> = follower.state.iter().map(|(key, (revision, value))| (key.as_str(), *revision, &value[..])).collect();
    let there: Vec<_> = found.iter().map(|(key, entry)| (*key, entry.revision, &entry.value[..])).collect();
    if told != there {
        breaches.push("the watch told another state than there is".to_owned());
    }
    let named = breaches.into_iter().map(|breach| format!("cycle {cycle}: {breach}"));
    known.report.breaches.extend(named);
}
