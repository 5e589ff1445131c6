//! Power cuts and kills under 16 writers: nothing acknowledged is lost, no revision comes twice, watches resume without gap.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use irori_runtime::{Shutdown, Tasks};
use irori_store::{
    ledger::Ledger,
    sim::{Dice, SimDisk},
    *,
};

use crate::words::*;

const WRITERS: usize = 16;
const KEYS_EACH: usize = 4;

/// How a cycle ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    PowerCut,
    Kill,
}

/// What the writers and the watcher of all cycles know.
#[derive(Default)]
struct Known {
    ledger: Ledger,
    /// The newest revision seen anywhere, lazy commits included.
    newest_seen: Revision,
    breaches: Vec<String>,
}

/// Small segments and snapshots, so that crashes meet every file operation; history as short or as long as the dice say.
fn settings_of(disk: &SimDisk, dice: &mut Dice) -> Settings {
    Settings {
        segment_bytes: 4_000 + dice.below(30_000) as u64,
        snapshot_bytes_min: 8_000 + dice.below(60_000) as u64,
        history: Duration::from_secs(if dice.below(3) == 0 { 0 } else { 300 }),
        ring_events_max: [0, 100, 8_192][dice.below(3)],
        ..settings(disk)
    }
}

/// Writes to keys that belong to this writer alone until the store fails.
async fn write_until_the_end(store: Arc<EmbeddedStore>, known: Arc<Mutex<Known>>, writer: usize, mut dice: Dice) {
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
            let mut known = known.lock().expect("no writer panics");
            let write = |key: &String| match (known.ledger.revision(key), &value) {
                (Some(at), Some(value)) => Some(update(key, at, value.clone())),
                (Some(at), None) => Some(delete(key, at)),
                (None, Some(value)) => Some(create(key, value.clone())),
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
        let writes =
            if durability == Durability::Synced { writes } else { vec![create(&format!("lazy/{writer}/{}", dice.roll()), "v")] };
        let keys: Vec<Key> = writes.iter().map(|write| write.key.clone()).collect();
        match store.commit(writes, durability).await {
            Ok(revision) => {
                let mut known = known.lock().expect("no writer panics");
                known.newest_seen = known.newest_seen.max(revision);
                if durability == Durability::Synced {
                    keys.iter().for_each(|key| known.ledger.acknowledged(key, revision));
                }
            }
            Err(StoreError::Stopped { .. }) => return,
            Err(other) => {
                known.lock().expect("no writer panics").breaches.push(format!("writer {writer}: {other}"));
                return;
            }
        }
        // One in a while the state itself is looked at: what was told is there.
        if dice.below(50) == 0 {
            let newest = known.lock().expect("no writer panics").newest_seen;
            if let Ok(current) = store.current().await
                && current < newest
            {
                known
                    .lock()
                    .expect("no writer panics")
                    .breaches
                    .push(format!("current is {current:?} after {newest:?} was acknowledged"));
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
    async fn follow(&mut self, store: &EmbeddedStore, upto: Revision) -> Result<(), String> {
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

    async fn start_again(&mut self, store: &EmbeddedStore) -> Result<(), String> {
        let page = store.range(Range { prefix: "w/".into(), ..Range::default() }).await.map_err(|e| e.to_string())?;
        self.after = page.revision;
        self.state =
            page.entries.into_iter().map(|entry| (entry.key.to_string(), (entry.revision, entry.value.to_vec()))).collect();
        Ok(())
    }
}

/// Runs cycles of writing and crashing on one store. Returns every breach of a promise.
async fn run(cycles: u64, end: End, lying: bool) -> Vec<String> {
    let known = Arc::new(Mutex::new(Known::default()));
    let mut follower = Follower { after: Revision(0), state: BTreeMap::new() };
    let mut disk = SimDisk::new();
    for cycle in 0..cycles {
        let mut dice = Dice(cycle * 1_000 + u64::from(end == End::Kill));
        let tasks = Tasks::new(Shutdown::new());
        let store = match EmbeddedStore::open(settings_of(&disk, &mut dice), &tasks) {
            Ok(store) => store,
            Err(refused) => {
                known.lock().expect("no writer panics").breaches.push(format!("cycle {cycle}: {refused}"));
                break;
            }
        };
        check_after_crash(&store, &known, &mut follower, cycle).await;
        disk.set_faults(|faults| {
            faults.sync_does_nothing = lying;
            // The power goes at a call to the disk, wherever that may be: before a sync, within a rotation, between rename and sync.
            faults.power_fails_after = Some(20 + dice.below(400) as u64);
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write_until_the_end(store.clone(), known.clone(), writer, Dice(dice.roll()))))
            .collect();
        // The follower reads along while the store lives; what it was told has to hold afterwards.
        let current = store.current().await.expect("reads never fail");
        let upto = Revision(current.0 + dice.below(60) as u64);
        tokio::select! {
            followed = follower.follow(&store, upto) => if let Err(breach) = followed {
                known.lock().expect("no writer panics").breaches.push(format!("cycle {cycle}: {breach}"));
            },
            // The power may go before that revision is reached.
            () = until(|| writers.iter().all(|writer| writer.is_finished())) => {}
        }
        for writer in writers {
            soon(writer).await.expect("no writer panics");
        }
        drop(store);
        disk = if end == End::PowerCut { disk.power_cut(dice.roll()) } else { disk.kill() };
    }
    std::mem::take(&mut known.lock().expect("all writers have ended").breaches)
}

async fn check_after_crash(store: &EmbeddedStore, known: &Mutex<Known>, follower: &mut Follower, cycle: u64) {
    let page = store.range(Range { prefix: "w/".into(), ..Range::default() }).await.expect("reads never fail");
    let found: BTreeMap<&str, &Entry> = page.entries.iter().map(|entry| (&*entry.key, entry)).collect();
    let followed = soon(follower.follow(store, page.revision)).await;
    let mut known = known.lock().expect("no writer panics");
    if let Err(breach) = followed {
        known.breaches.push(format!("cycle {cycle}: {breach}"));
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
    known.breaches.extend(named);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_power_cuts_under_16_writers_lose_no_acknowledged_write() {
    assert_eq!(run(201, End::PowerCut, false).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_kills_under_16_writers_lose_no_acknowledged_write() {
    assert_eq!(run(101, End::Kill, false).await, Vec::<String>::new());
}

/// The negative control: a disk whose syncs do nothing loses writes, and the same test has to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_syncs_that_do_nothing_the_same_test_reports_losses() {
    let mut reported = 0;
    for _ in 0..5 {
        reported += usize::from(!run(20, End::PowerCut, true).await.is_empty());
    }
    assert_eq!(reported, 5);
}

/// The power goes at each single call to the disk, from the first start on, and again while the store recovers from that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_at_any_call_of_a_start_leaves_a_store_that_opens() {
    for calls in 1..40 {
        for seed in 0..6 {
            let mut disk = SimDisk::new();
            let mut acknowledged = Vec::new();
            for life in 0..3 {
                disk.set_faults(|faults| faults.power_fails_after = Some(calls));
                match open_with(Settings { segment_bytes: 150, snapshot_bytes_min: 400, ..settings(&disk) }) {
                    Ok(store) => {
                        for n in 0..10 {
                            let key = format!("k/{life}/{n}");
                            if store.commit(vec![create(&key, "v")], Durability::Synced).await.is_ok() {
                                acknowledged.push(key);
                            }
                        }
                    }
                    Err(OpenError::Io { .. }) => assert!(disk.is_off()),
                    Err(other) => panic!("{calls} calls, seed {seed}, life {life}: {other}"),
                }
                disk = disk.power_cut(seed * 3 + life);
            }
            let store = open_with(settings(&disk)).unwrap_or_else(|refused| panic!("{calls} calls, seed {seed}: {refused}"));
            for key in &acknowledged {
                assert_eq!(value(&*store, key).await.as_deref(), Some("v"), "{calls} calls, seed {seed}: {key}");
            }
        }
    }
}
