//! What happens to etcd: members die, freeze, fill up, forget; history is compacted.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use irori_runtime::{Shutdown, Tasks};
use irori_store::{ledger::Ledger, *};

use super::{cluster::Etcd, open, settings};
use crate::words::*;

/// Longer than any wait of the store.
const LONG: Duration = Duration::from_secs(60);

async fn long<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("every wait of the store has a number")
}

/// Creates `k/0`, `k/1`, … until told to stop; looks itself where an outcome is not known. Returns their revisions.
async fn write_on(store: Arc<EtcdStore>, stop: Arc<AtomicBool>) -> Vec<Revision> {
    let mut written = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("k/{:06}", written.len());
        match long(store.commit(vec![create(&key, "v")], Durability::Synced)).await {
            Ok(revision) => written.push(revision),
            // The write before, of which nobody knew.
            Err(StoreError::Conflict { current: Some(current), .. }) => written.push(current.revision),
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_outlives_each_member_in_turn_without_gap_or_duplicate() {
    let mut etcd = Etcd::three();
    let store = open(settings(&etcd)).await;
    let mut watch = long(store.watch("k/", Revision(0))).await.expect("watch");
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_on(store.clone(), stop.clone()));
    let mut seen = Vec::new();
    for member in 0..etcd.count() {
        let before = seen.len();
        etcd.kill(member);
        // Two of three go on.
        while seen.len() < before + 20 {
            seen.extend(long(watch.next()).await.expect("watch"));
        }
        etcd.restart(member);
    }
    stop.store(true, Ordering::Relaxed);
    let written = long(writing).await.expect("the writer ends");
    while seen.len() < written.len() {
        seen.extend(long(watch.next()).await.expect("watch"));
    }
    // One more may come of a last write of whose outcome nobody knew.
    let known = written.len();
    assert_eq!(seen[..known].iter().map(|event| event.revision).collect::<Vec<_>>(), written);
    // From the beginning once more: the same.
    let mut again = long(store.watch("k/", Revision(0))).await.expect("watch");
    assert_eq!(long(events(&mut *again, known)).await.expect("watch")[..known], seen[..known]);
}

/// A store that began after all was written has none of it itself: it hears of it from etcd, over one member at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_the_past_outlives_the_member_that_tells_it() {
    /// etcd tells the past by a thousand revisions.
    const TOLD: usize = 1_000;
    /// A thousand of them are more than a connection holds on its way.
    const BYTES: usize = 4_000;
    let mut etcd = Etcd::three();
    let first = open(settings(&etcd)).await;
    let mut written = Vec::new();
    for batch in 0..(4 * TOLD / 100) {
        let commits =
            (0..100).map(|n| first.commit(vec![create(&format!("k/{batch}/{n}"), vec![b'v'; BYTES])], Durability::Synced));
        for revision in long(futures::future::join_all(commits)).await {
            written.push(revision.expect("commit"));
        }
    }
    written.sort_unstable();
    let store = open(settings(&etcd)).await;
    let mut watch = long(store.watch("k/", Revision(0))).await.expect("watch");
    let mut seen = Vec::new();
    for member in 0..etcd.count() {
        let before = seen.len();
        etcd.kill(member);
        while seen.len() == before {
            seen.extend(long(watch.next()).await.expect("watch").iter().map(|event| event.revision));
        }
        etcd.restart(member);
    }
    assert!(seen.len() < written.len(), "it was still behind when the last member died");
    while seen.len() < written.len() {
        seen.extend(long(watch.next()).await.expect("watch").iter().map(|event| event.revision));
    }
    assert_eq!(seen, written);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_16_writers_no_acknowledged_write_is_lost_when_members_are_killed() {
    let mut etcd = Etcd::three();
    let store = open(settings(&etcd)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..16).map(|n| tokio::spawn(keep_account(n, store.clone(), stop.clone()))).collect();
    for member in [0, 1, 2, 0] {
        let before = store.current().await.expect("current");
        etcd.kill(member);
        long(store.wait_for(Revision(before.0 + 100))).await.expect("two of three go on");
        etcd.restart(member);
    }
    stop.store(true, Ordering::Relaxed);
    let fresh = open(settings(&etcd)).await;
    for writer in writers {
        let (mut ledger, keys) = long(writer).await.expect("the writer ends");
        let mut found = std::collections::BTreeMap::new();
        for key in keys {
            if let Some(entry) = long(fresh.get(&key)).await.expect("get") {
                found.insert(key, entry);
            }
        }
        let breaches = ledger.settle(|key| found.get(key).map(|entry| (entry.revision, entry.value.as_ref())));
        assert_eq!(breaches, Vec::<String>::new());
    }
}

/// Writes keys of its own, and what was promised about them into a ledger. A key of which nothing is known is left alone.
async fn keep_account(writer: usize, store: Arc<EtcdStore>, stop: Arc<AtomicBool>) -> (Ledger, Vec<String>) {
    let (mut ledger, mut keys) = (Ledger::default(), Vec::new());
    let mut at = None;
    for n in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        if at.is_none() {
            keys.push(format!("w{writer}/{}", keys.len()));
        }
        let key = keys.last().expect("there is one").clone();
        let value = format!("{writer} {n}");
        let write = match at {
            None => create(&key, value.clone()),
            Some(at) => update(&key, at, value.clone()),
        };
        ledger.attempt(&key, Some(value.as_bytes()));
        match long(store.commit(vec![write], Durability::Synced)).await {
            Ok(revision) => {
                ledger.acknowledged(&key, revision);
                at = Some(revision);
            }
            Err(StoreError::Unavailable { .. }) => ledger.refused(&key),
            Err(StoreError::Unknown { .. }) => at = None,
            Err(other) => panic!("{other}"),
        }
    }
    (ledger, keys)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_a_frozen_etcd_is_unknown_and_reads_are_unavailable_in_time() {
    let etcd = Etcd::single();
    let store = open(settings(&etcd)).await;
    put(&*store, create("k/a", "1")).await;
    etcd.freeze(0, true);
    let since = Instant::now();
    let commit = long(store.commit(vec![create("k/b", "1")], Durability::Synced)).await;
    assert!(matches!(commit, Err(StoreError::Unknown { .. })), "{commit:?}");
    assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
    let read = long(store.get("k/a")).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    let commit = long(store.commit(vec![create("k/c", "1")], Durability::Synced)).await;
    assert!(matches!(commit, Err(StoreError::Unavailable { .. })), "no connection was made, so nothing was sent: {commit:?}");
    etcd.freeze(0, false);
    assert_eq!(value(&*store, "k/c").await, None);
    // It was sent, and etcd was only slow. Both are right, and it stays as it is.
    let after = value(&*store, "k/b").await;
    assert!(matches!(after.as_deref(), None | Some("1")), "{after:?}");
    put(&*store, create("k/d", "1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_gone_is_unavailable_and_comes_back() {
    let mut etcd = Etcd::single();
    let store = open(settings(&etcd)).await;
    let first = put(&*store, create("k/a", "1")).await;
    let mut watch = soon(store.watch("k/", first)).await.expect("watch");
    etcd.kill(0);
    let read = long(store.get("k/a")).await;
    assert!(matches!(read, Err(StoreError::Unavailable { .. })), "{read:?}");
    let opened = long(EtcdStore::open(settings(&etcd), &Tasks::new(Shutdown::new()))).await;
    assert!(matches!(opened.err(), Some(EtcdError::Unreachable { .. })));
    etcd.restart(0);
    let second = put(&*store, update("k/a", first, "2")).await;
    assert_eq!(events(&mut *watch, 1).await.expect("watch")[0].revision, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_compacted_is_said_to_be() {
    let etcd = Etcd::single();
    let settings = EtcdSettings { ring_events_max: 2, ..settings(&etcd) };
    let store = open(settings).await;
    let mut revisions = vec![put(&*store, create("k/a", "0")).await];
    for n in 1..10 {
        revisions.push(put(&*store, update("k/a", revisions[n - 1], n.to_string())).await);
    }
    soon(store.wait_for(revisions[9])).await.expect("is reached");
    etcd.control(&["compaction", &revisions[5].0.to_string()]);
    for old in [Revision(0), Revision(1), revisions[4]] {
        let watch = soon(store.watch("k/", old)).await.err();
        assert!(matches!(watch, Some(StoreError::Compacted { asked, .. }) if asked == old), "{watch:?}");
        let range = listing(&*store, "k/", Some(old)).await;
        assert!(matches!(range, Err(StoreError::Compacted { .. })), "{range:?}");
    }
    let mut held = soon(store.watch("k/", revisions[5])).await.expect("is held");
    let seen = events(&mut *held, 4).await.expect("watch");
    assert_eq!(seen.iter().map(|event| told(event)).collect::<Vec<_>>(), ["k/a=5>6", "k/a=6>7", "k/a=7>8", "k/a=8>9"]);
    assert_eq!(listing(&*store, "k/", Some(revisions[5])).await.expect("is held"), [("k/a".into(), "5".into())]);
}

/// A process that was away for longer than history reaches: its watchers are told, and go on from a list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_missed_compacted_events_ends_its_watches_as_compacted() {
    let mut etcd = Etcd::start(3, &[], None);
    let away = open(EtcdSettings { endpoints: etcd.endpoints()[..1].to_vec(), ..settings(&etcd) }).await;
    let near = open(EtcdSettings { endpoints: etcd.endpoints()[1..].to_vec(), ..settings(&etcd) }).await;
    let first = put(&*near, create("k/a", "1")).await;
    let mut watch = soon(away.watch("k/", first)).await.expect("watch");
    soon(away.wait_for(first)).await.expect("is reached");
    etcd.kill(0);
    let mut last = first;
    let mut updates = 0;
    while updates < 5 {
        match long(near.commit(vec![update("k/a", last, updates.to_string())], Durability::Synced)).await {
            Ok(revision) => (last, updates) = (revision, updates + 1),
            // The write before, of which nobody knew.
            Err(StoreError::Conflict { current: Some(current), .. }) => last = current.revision,
            Err(StoreError::Unknown { .. } | StoreError::Unavailable { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let mut command = std::process::Command::new(super::cluster::program().with_file_name("etcdctl"));
    command.env("ETCDCTL_API", "3").args(["--endpoints", &etcd.endpoints()[1], "compaction", &last.0.to_string()]);
    assert!(command.status().expect("run etcdctl").success());
    etcd.restart(0);
    assert_eq!(long(watch.next()).await, Err(WatchEnd::Compacted));
    let mut watch = long(away.watch("k/", last)).await.expect("watch");
    let next = put(&*near, update("k/a", last, "x")).await;
    assert_eq!(long(events(&mut *watch, 1)).await.expect("watch")[0].revision, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_stores_one_compacts_and_the_time_of_history_is_held() {
    let history = Duration::from_millis(700);
    let etcd = Etcd::single();
    let mut stores = Vec::new();
    for _ in 0..3 {
        stores.push(open(EtcdSettings { history, ring_events_max: 0, ..settings(&etcd) }).await);
    }
    let began = Instant::now();
    let (mut held, mut compacted) = (std::collections::VecDeque::new(), 0);
    let mut last = put(&*stores[0], create("k/a", "0")).await;
    // Written at all times between two rounds, and looked at until they are gone.
    while compacted < 20 {
        last = put(&*stores[compacted % 3], update("k/a", last, "v")).await;
        held.push_back((last, Instant::now()));
        while let Some((revision, since)) = held.front().copied() {
            match listing(&*stores[1], "k/", Some(revision)).await {
                Ok(_) => break,
                Err(StoreError::Compacted { oldest, .. }) => {
                    assert!(since.elapsed() >= history, "{:?}", since.elapsed());
                    assert!(oldest > revision);
                    held.pop_front();
                    compacted += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        assert!(began.elapsed() < DEADLINE, "nothing is ever compacted");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(value(&*stores[2], "k/a").await.as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_without_space_is_full_reads_go_on_and_it_heals() {
    let etcd = Etcd::start(1, &["--quota-backend-bytes", "16777216"], None);
    let store = open(settings(&etcd)).await;
    let mut last = None;
    let refused = loop {
        let write = match last {
            None => create("k/a", vec![b'x'; 1_000_000]),
            Some(at) => update("k/a", at, vec![b'x'; 1_000_000]),
        };
        match soon(store.commit(vec![write], Durability::Synced)).await {
            Ok(revision) => last = Some(revision),
            // The one that went over the quota: etcd made it, and refused it then.
            Err(StoreError::Unknown { .. }) => {
                let made = soon(store.get("k/a")).await.expect("reads go on").expect("is there").revision;
                assert!(Some(made) > last);
                last = Some(made);
            }
            Err(refused) => break refused,
        }
        assert!(last < Some(Revision(100)), "the quota is never reached");
    };
    assert!(matches!(refused, StoreError::Full), "{refused:?}");
    let entry = soon(store.get("k/a")).await.expect("reads go on").expect("is there");
    assert_eq!(Some(entry.revision), last);
    etcd.control(&["compaction", &entry.revision.0.to_string()]);
    etcd.control(&["defrag"]);
    etcd.control(&["alarm", "disarm"]);
    put(&*store, create("k/b", "1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_was_put_back_is_refused_at_the_start() {
    let etcd = Etcd::single();
    let folder = tempfile::tempdir().expect("make a folder");
    let noted = folder.path().join("etcd-revision");
    let with_note = || EtcdSettings { noted: Some(noted.clone()), ..settings(&etcd) };
    let store = open(with_note()).await;
    let last = put(&*store, create("k/a", "1")).await;
    store.close().await.expect("close");
    let other = Etcd::single();
    let settings = EtcdSettings { endpoints: other.endpoints(), ..with_note() };
    match soon(EtcdStore::open(settings, &Tasks::new(Shutdown::new()))).await.err() {
        Some(EtcdError::WentBack { noted, .. }) => assert!(noted >= last),
        opened => panic!("expected a refusal, got {opened:?}"),
    }
    // The one it was noted of is fine.
    assert_eq!(value(&*open(with_note()).await, "k/a").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_that_is_put_back_under_a_running_store_stops_it() {
    let mut etcd = Etcd::single();
    let tasks = Tasks::new(Shutdown::new());
    let store = EtcdStore::open(settings(&etcd), &tasks).await.expect("the store opens");
    for n in 0..5 {
        put(&*store, create(&format!("k/{n}"), "1")).await;
    }
    etcd.kill(0);
    etcd.forget(0);
    etcd.restart(0);
    let read = long(store.get("k/a")).await;
    assert!(matches!(read, Err(StoreError::Stopped { .. })), "{read:?}");
    long(tasks.shutdown().wait()).await;
}
