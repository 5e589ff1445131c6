//! The contract, kept by the embedded store in each of its ways; and what only it promises.
use std::{sync::Arc, time::Duration};

use irori_store::{sim::SimDisk, *};

use crate::words::*;

mod as_it_comes {
    crate::contract::contract_suite!(crate::words::fresh);
}

/// No ring: every event and every past state is read from the log, over many segments and snapshots.
mod from_the_log {
    pub async fn fresh() -> std::sync::Arc<dyn irori_store::Store> {
        crate::words::open_with(super::small(&irori_store::sim::SimDisk::new())).expect("the store opens")
    }

    crate::contract::contract_suite!(fresh);
}

/// On a folder of this machine.
mod on_a_real_disk {
    struct InItsFolder(
        std::sync::Arc<dyn irori_store::Store>,
        #[allow(dead_code, reason = "removed when the test ends")] tempfile::TempDir,
    );

    impl std::ops::Deref for InItsFolder {
        type Target = dyn irori_store::Store;

        fn deref(&self) -> &Self::Target {
            &*self.0
        }
    }

    async fn fresh() -> InItsFolder {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = irori_store::Settings::at(&folder.path().join("store")).expect("the folder is made");
        InItsFolder(crate::words::open_with(settings).expect("the store opens"), folder)
    }

    crate::contract::contract_suite!(fresh);
}

/// Segments and snapshots every few commits, nothing kept in memory.
fn small(disk: &SimDisk) -> Settings {
    Settings { segment_bytes: 300, snapshot_bytes_min: 900, ring_events_max: 0, ..settings(disk) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reopened_store_has_everything_and_goes_on_with_the_next_revision() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let first = put(&*store, create("k/a", "1")).await;
    let second = put_lazily(&*store, update("k/a", first, "2")).await;
    let third = put(&*store, create("k/b", "3")).await;
    let fourth = put(&*store, delete("k/b", third)).await;
    let last = put_lazily(&*store, create("k/c", "4")).await;
    store.close().await.expect("close");

    let store = open(&disk);
    assert_eq!(store.current().await.expect("current"), last);
    assert_eq!(listing(&*store, "", None).await.expect("range"), [("k/a".into(), "2".into()), ("k/c".into(), "4".into())]);
    assert_eq!(store.get("k/a").await.expect("get").map(|entry| entry.revision), Some(second));
    let mut watch = store.watch("k/", Revision(0)).await.expect("watch");
    let seen = events(&mut *watch, 5).await.expect("watch");
    assert_eq!(seen.iter().map(|e| told(e)).collect::<Vec<_>>(), ["+k/a=1", "k/a=1>2", "+k/b=3", "-k/b=3", "+k/c=4"]);
    assert_eq!(listing(&*store, "k/b", Some(third)).await.expect("range"), [("k/b".into(), "3".into())]);
    assert_eq!(listing(&*store, "k/b", Some(fourth)).await.expect("range"), []);
    assert_eq!(put(&*store, create("k/d", "5")).await, Revision(last.0 + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_kept_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open_with(Settings::at(folder.path()).expect("folder")).expect("the store opens");
    let second = open_with(Settings::at(folder.path()).expect("folder"));
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{:?}", second.err());
    first.close().await.expect("close");
    open_with(Settings::at(folder.path()).expect("folder")).expect("opens when the first has gone");
}

/// All events from the oldest revision that is held, with that revision. What is given up meanwhile, behind the test, is begun
/// again after.
async fn all_held(store: &EmbeddedStore, last: Revision) -> (Revision, Vec<Arc<Event>>) {
    soon(async {
        loop {
            let oldest = store.stats().oldest;
            let told = match store.watch("k/", oldest).await {
                Ok(mut watch) => events(&mut *watch, (last.0 - oldest.0) as usize).await,
                Err(StoreError::Compacted { .. }) => continue,
                Err(other) => panic!("{other}"),
            };
            match told {
                Ok(seen) => return (oldest, seen),
                Err(WatchEnd::Compacted) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    })
    .await
}

/// Small files, and nothing kept of the past.
fn without_history(disk: &SimDisk) -> Settings {
    Settings { segment_bytes: 1_000, snapshot_bytes_min: 4_000, history: Duration::ZERO, ring_events_max: 0, ..settings(disk) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_segments_and_snapshots_are_removed_and_what_they_held_is_compacted() {
    let disk = SimDisk::new();
    let store = open_with(without_history(&disk));
    let store = store.expect("the store opens");
    let mut at = put(&*store, create("k/a", "0")).await;
    let early = at;
    for n in 0..2_000 {
        at = put(&*store, update("k/a", at, format!("{n:0100}"))).await;
    }
    until(|| store.stats().snapshots > 0 && store.stats().segments < 12 && disk.used_bytes() < 30_000).await;
    let stats = store.stats();
    assert!(stats.oldest > early, "{stats:?}");
    assert!(
        matches!(listing(&*store, "k/", Some(early)).await, Err(StoreError::Compacted { oldest, .. }) if oldest >= stats.oldest)
    );
    assert!(matches!(store.watch("k/", early).await.err(), Some(StoreError::Compacted { .. })));
    let (oldest, seen) = all_held(&store, at).await;
    assert_eq!(seen.len() as u64, at.0 - oldest.0);
    assert!(seen.iter().all(|event| event.previous.as_ref().is_some_and(|previous| previous.revision.0 == event.revision.0 - 1)));
    store.close().await.expect("close");
    let store = open(&disk);
    assert_eq!(value(&*store, "k/a").await, Some(format!("{:0100}", 1_999)));
}

/// The log of a burst is put together even if it ended before the first snapshot was made, and no commit follows.
#[test]
fn a_log_that_grew_long_during_a_snapshot_is_put_together_without_another_commit() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).max_blocking_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (go, held) = std::sync::mpsc::channel::<()>();
        // Snapshots wait behind this for the only thread.
        let holder = tokio::task::spawn_blocking(move || held.recv());
        let disk = SimDisk::new();
        let store = open_with(without_history(&disk));
        let store = store.expect("the store opens");
        let mut at = put(&*store, create("k/a", "0")).await;
        for n in 0..200 {
            at = put(&*store, update("k/a", at, format!("{n:0100}"))).await;
        }
        let (stats, used) = (store.stats(), disk.used_bytes());
        assert!(stats.snapshots == 0 && stats.segments > 12 && used > 30_000, "{stats:?}, {used} bytes");
        go.send(()).expect("the holder waits");
        holder.await.expect("the holder").expect("was let go");
        until(|| store.stats().snapshots == 1 && store.stats().segments < 3 && disk.used_bytes() < 10_000).await;
        assert_eq!(store.stats().oldest, at);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_grows_too_large_is_given_up_early() {
    let disk = SimDisk::new();
    let tight = Settings { segment_bytes: 1_000, snapshot_bytes_min: 4_000, history_bytes_max: 20_000, ..settings(&disk) };
    let store = open_with(tight).expect("the store opens");
    let mut at = put(&*store, create("k/a", "0")).await;
    for n in 0..2_000 {
        at = put(&*store, update("k/a", at, format!("{n:0100}"))).await;
    }
    until(|| disk.used_bytes() < 60_000).await;
    assert!(store.stats().oldest > Revision(1_000), "{:?}", store.stats());
    let (oldest, seen) = all_held(&store, at).await;
    assert_eq!(seen.len() as u64, at.0 - oldest.0, "what is left is whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_does_not_read_is_closed_and_holds_nobody_up() {
    let store = open(&SimDisk::new());
    let start = store.current().await.expect("current");
    let (mut slow, mut quick) = (store.watch("k/", start).await.expect("watch"), store.watch("k/", start).await.expect("watch"));
    // Both have taken their place among the watchers.
    put(&*store, create("k/first", "v")).await;
    let last_seen = events(&mut *slow, 1).await.expect("watch")[0].revision;
    events(&mut *quick, 1).await.expect("watch");
    for n in 0..5 {
        let writes = (0..1_000).map(|m| create(&format!("k/{n}/{m}"), "v")).collect();
        soon(store.commit(writes, Durability::Synced)).await.expect("commit");
        assert_eq!(events(&mut *quick, 1_000).await.expect("the quick one sees all").len(), 1_000);
    }
    assert_eq!(soon(slow.next()).await, Err(WatchEnd::Lagged));
    let mut again = store.watch("k/", last_seen).await.expect("watch");
    assert_eq!(events(&mut *again, 5_000).await.expect("all is still there").len(), 5_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_watchers_of_the_prefix_get_an_event_and_dropped_ones_are_forgotten() {
    let store = open(&SimDisk::new());
    let start = store.current().await.expect("current");
    let mut watches = Vec::new();
    for n in 0..1_000 {
        watches.push(store.watch(&format!("k/{n}/"), start).await.expect("watch"));
    }
    for watch in &mut watches {
        // Polled once, so that it waits in its place.
        assert!(futures::poll!(watch.next()).is_pending());
    }
    assert_eq!(store.stats().watchers, 1_000);
    let revision = put(&*store, create("k/77/a", "v")).await;
    assert_eq!(events(&mut *watches[77], 1).await.expect("watch")[0].revision, revision);
    for (n, watch) in watches.iter_mut().enumerate().filter(|(n, _)| *n != 77) {
        assert!(futures::poll!(watch.next()).is_pending(), "watcher {n}");
        assert!(watch.progress() >= revision);
    }
    drop(watches);
    assert_eq!(store.stats().watchers, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_commits_share_syncs() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let before = disk.counts();
    disk.set_faults(|faults| faults.hold_syncs = true);
    let commits = (0..64).map(|n| {
        let store = store.clone();
        async move { store.commit(vec![create(&format!("k/{n}"), "v")], Durability::Synced).await }
    });
    // All are on their way when the first batch, whatever it has, is let go.
    let (commits, ()) = tokio::join!(soon(futures::future::join_all(commits)), async {
        until(|| disk.counts().writes > before.writes).await;
        disk.set_faults(|faults| faults.hold_syncs = false);
    });
    assert!(commits.iter().all(Result::is_ok));
    assert!(disk.counts().syncs - before.syncs <= 2, "{} syncs for 64 commits", disk.counts().syncs - before.syncs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_2_kb_update_writes_at_most_1_2_times_its_size() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let mut at = put(&*store, create("core/pods/default/web-7d4b9c6f5-x2x9z", vec![b'x'; 2_048])).await;
    let before = disk.counts().bytes_written;
    for _ in 0..1_000 {
        at = put(&*store, update("core/pods/default/web-7d4b9c6f5-x2x9z", at, vec![b'x'; 2_048])).await;
    }
    let written = disk.counts().bytes_written - before;
    assert!(written <= 1_000 * 2_048 * 12 / 10, "{written} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_value_does_not_keep_the_buffer_it_came_in() {
    let store = open(&SimDisk::new());
    let buffer = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let write = Write { key: "k/a".into(), expect: Expect::Absent, value: Some(buffer.slice(10..20)) };
    put(&*store, write).await;
    let stored = store.get("k/a").await.expect("get").expect("is there").value;
    assert!(!buffer.as_ptr_range().contains(&stored.as_ptr()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_a_trait_object_that_tasks_share() {
    let store: Arc<dyn Store> = open(&SimDisk::new());
    let reader = store.clone();
    let waits = tokio::spawn(async move { reader.wait_for(Revision(1)).await });
    put(&*store, create("k/a", "v")).await;
    soon(waits).await.expect("no panic").expect("reached");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_written_is_told_frame_by_frame() {
    let disk = SimDisk::new();
    let store = open_with(Settings { segment_bytes: 150, ..settings(&disk) }).expect("the store opens");
    let first = put(&*store, create("k/a", "1")).await;
    put_lazily(&*store, create("k/lazy", "1")).await;
    let second = put(&*store, create("k/b", "1")).await;
    let third = put(&*store, update("k/a", first, "2")).await;
    let told = written_after(&disk, first.0).expect("the log is read");
    let keys: Vec<(u64, Vec<&str>)> =
        told.iter().map(|frame| (frame.revisions.1, frame.keys.iter().map(String::as_str).collect())).collect();
    assert_eq!(keys, [(second.0, vec!["k/lazy", "k/b"]), (third.0, vec!["k/a"])]);
    let all: u64 = written_after(&disk, 0).expect("the log is read").iter().map(|frame| frame.bytes).sum();
    assert_eq!(all, store.stats().log_bytes_written);
}
