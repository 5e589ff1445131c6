//! Full disks, failing disks, slow disks, lazy commits.
use std::{sync::Arc, time::Duration};

use irori_runtime::{Shutdown, Tasks};
use irori_store::{sim::SimDisk, *};

use crate::words::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledgement_comes_after_a_sync_that_covers_it() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for n in 0..40 {
        let before = disk.counts().syncs;
        let key = format!("k/{n}");
        let revision = put(&*store, create(&key, "v")).await;
        assert_eq!(disk.counts().syncs - before, 1, "one waits, one sync");
        // Whatever the disk may forget now, this write is not part of it.
        for seed in 0..3 {
            let found = open(&disk.after_power_cut(seed + n * 7)).get(&key).await.expect("get");
            assert_eq!(found.map(|entry| entry.revision), Some(revision));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_a_commit_that_is_not_on_disk() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let start = put(&*store, create("k/a", "1")).await;
    let mut watch = store.watch("k/", start).await.expect("watch");
    assert!(futures::poll!(watch.next()).is_pending());
    disk.set_faults(|faults| faults.hold_syncs = true);
    let writes = disk.counts().writes;
    let (writer, contender) = (store.clone(), store.clone());
    let commit = tokio::spawn(async move { writer.commit(vec![update("k/a", start, "2")], Durability::Synced).await });
    until(|| disk.counts().writes > writes).await;
    let conflict = tokio::spawn(async move { contender.commit(vec![update("k/a", start, "3")], Durability::Synced).await });
    // The conflict is decided, but its answer would tell what is not on disk yet. Neither answer can come while the sync is held.
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert_eq!(value(&*store, "k/a").await.as_deref(), Some("1"));
        assert_eq!(store.current().await.expect("current"), start);
        assert!(futures::poll!(watch.next()).is_pending());
        assert!(!commit.is_finished() && !conflict.is_finished());
    }
    disk.set_faults(|faults| faults.hold_syncs = false);
    let revision = soon(commit).await.expect("no panic").expect("commit");
    match soon(conflict).await.expect("no panic") {
        Err(StoreError::Conflict { current: Some(current), .. }) => assert_eq!(current.revision, revision),
        other => panic!("expected a conflict, got {other:?}"),
    }
    assert_eq!(told(&events(&mut *watch, 1).await.expect("watch")[0]), "k/a=1>2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_serves_reads_and_heals() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let first = put(&*store, create("k/a", "1")).await;
    for round in 0..3 {
        let room = disk.used_bytes() + 300;
        disk.set_faults(|faults| faults.capacity_bytes = Some(room));
        let big = create(&format!("k/big{round}"), vec![b'x'; 1_000]);
        assert!(matches!(soon(store.commit(vec![big.clone()], Durability::Synced)).await, Err(StoreError::Full)));
        assert!(store.stats().full);
        assert_eq!(value(&*store, "k/a").await.as_deref(), Some("1"));
        // What was refused does not come back, even if the power goes now.
        for seed in 0..20 {
            let after = open(&disk.after_power_cut(seed));
            assert_eq!(after.count("k/big").await.expect("count"), round, "seed {seed}");
        }
        put(&*store, create(&format!("k/small{round}"), "fits")).await;
        disk.set_faults(|faults| faults.capacity_bytes = None);
        put(&*store, big).await;
        assert!(!store.stats().full);
    }
    assert_eq!(store.get("k/a").await.expect("get").map(|entry| entry.revision), Some(first));
    store.close().await.expect("close");
    assert_eq!(open(&disk).count("").await.expect("count"), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_built_on_a_refused_one_are_refused_too() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let first = put(&*store, create("k/a", "1")).await;
    let room = disk.used_bytes() + 100;
    disk.set_faults(|faults| faults.capacity_bytes = Some(room));
    let mut commits = Vec::new();
    for n in 1..20 {
        let store = store.clone();
        let writes = vec![update("k/a", Revision(first.0 + n - 1), vec![b'x'; 500])];
        commits.push(tokio::spawn(async move { store.commit(writes, Durability::Synced).await }));
    }
    for commit in commits {
        let refused = soon(commit).await.expect("no panic");
        assert!(matches!(refused, Err(StoreError::Full | StoreError::Conflict { .. })), "{refused:?}");
    }
    assert_eq!(value(&*store, "k/a").await.as_deref(), Some("1"));
    disk.set_faults(|faults| faults.capacity_bytes = None);
    put(&*store, update("k/a", first, "2")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lazy_commits_outlast_a_full_disk() {
    let disk = SimDisk::new();
    let store = open_with(Settings { lazy_flush: Duration::from_millis(1), ..settings(&disk) }).expect("the store opens");
    let room = disk.used_bytes();
    disk.set_faults(|faults| faults.capacity_bytes = Some(room));
    put_lazily(&*store, create("k/lazy", "v")).await;
    until(|| store.stats().full).await;
    let writes = disk.counts().writes;
    assert_eq!(value(&*store, "k/lazy").await.as_deref(), Some("v"));
    disk.set_faults(|faults| faults.capacity_bytes = None);
    assert_eq!(disk.counts().writes, writes, "a full disk is not polled");
    put(&*store, create("k/synced", "v")).await;
    let after = open(&disk.power_cut(1));
    assert_eq!(after.count("k/").await.expect("count"), 2);
}

async fn stops_for_good(break_it: impl FnOnce(&SimDisk)) {
    let disk = SimDisk::new();
    let tasks = Tasks::new(Shutdown::new());
    let store = EmbeddedStore::open(settings(&disk), &tasks).expect("the store opens");
    put(&*store, create("k/a", "1")).await;
    break_it(&disk);
    let first = soon(store.commit(vec![create("k/b", "1")], Durability::Synced)).await;
    assert!(matches!(first, Err(StoreError::Stopped { .. })), "{first:?}");
    let counts = disk.counts();
    for durability in [Durability::Synced, Durability::Lazy] {
        let later = soon(store.commit(vec![create("k/c", "1")], durability)).await;
        assert!(matches!(later, Err(StoreError::Stopped { .. })), "{later:?}");
    }
    soon(tasks.shutdown().wait()).await;
    let next = Revision(store.current().await.expect("reads go on").0 + 1);
    assert!(matches!(soon(store.wait_for(next)).await, Err(StoreError::Stopped { .. })), "it never comes");
    assert_eq!(disk.counts(), counts, "the disk is not touched again");
    assert_eq!(listing(&*store, "", None).await.expect("reads go on"), [("k/a".into(), "1".into())]);
    assert!(matches!(soon(store.close()).await, Err(StoreError::Stopped { .. })));
    for seed in 0..10 {
        assert_eq!(value(&*open(&disk.after_power_cut(seed)), "k/a").await.as_deref(), Some("1"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_stops_writing_and_is_never_tried_again() {
    stops_for_good(|disk| disk.set_faults(|faults| faults.fail_syncs = 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_stops_writing() {
    stops_for_good(|disk| disk.set_faults(|faults| faults.fail_writes = 1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lazy_commits_are_written_by_the_timer_and_then_nothing_is() {
    let disk = SimDisk::new();
    let store = open_with(Settings { lazy_flush: Duration::from_millis(5), ..settings(&disk) }).expect("the store opens");
    let before = disk.counts();
    put_lazily(&*store, create("k/a", "1")).await;
    until(|| store.stats().lazy_bytes == 0).await;
    let after = disk.counts();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    assert_eq!(value(&*open(&disk.after_power_cut(3)), "k/a").await.as_deref(), Some("1"));
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(disk.counts(), after, "an idle store writes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lazy_commits_wait_for_the_timer_and_go_with_a_synced_one() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let before = disk.counts();
    for n in 0..100 {
        put_lazily(&*store, create(&format!("k/{n}"), "v")).await;
    }
    assert_eq!(disk.counts(), before, "nothing is written for them alone");
    put(&*store, create("k/synced", "v")).await;
    assert_eq!(disk.counts().syncs, before.syncs + 1);
    assert_eq!(open(&disk.power_cut(9)).count("k/").await.expect("count"), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lazy_commits_do_not_gather_for_ever() {
    let disk = SimDisk::new();
    let store = open(&disk);
    for n in 0..40 {
        put_lazily(&*store, create(&format!("k/{n}"), vec![b'x'; 100_000])).await;
        assert!(store.stats().lazy_bytes <= 1 << 20);
    }
    assert!(open(&disk.power_cut(9)).count("k/").await.expect("count") >= 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_lost_lazy_commits_revisions_go_on_above_and_lost_ones_are_compacted() {
    let disk = SimDisk::new();
    let store = open(&disk);
    let first = put(&*store, create("k/a", "1")).await;
    let durable = put(&*store, create("k/b", "1")).await;
    let lost = put_lazily(&*store, create("k/lost", "1")).await;
    let newest = put_lazily(&*store, update("k/lost", lost, "2")).await;
    let store = open(&disk.power_cut(5));
    assert_eq!(value(&*store, "k/lost").await, None);
    let now = store.current().await.expect("current");
    assert!(now > newest, "{now:?} was never handed out");
    for asked in [lost, newest, Revision(now.0 - 1)] {
        assert!(matches!(store.watch("k/", asked).await.err(), Some(StoreError::Compacted { oldest, .. }) if oldest == now));
        assert!(matches!(listing(&*store, "k/", Some(asked)).await, Err(StoreError::Compacted { .. })));
    }
    // Who had seen only what was durable goes on without noticing.
    let mut watch = store.watch("k/", first).await.expect("watch");
    let written = put(&*store, create("k/c", "1")).await;
    let seen = events(&mut *watch, 2).await.expect("watch");
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), [durable, written]);
    assert!(written > now);
    for held in [durable, now] {
        store.watch("k/", held).await.expect("is held");
        assert_eq!(listing(&*store, "k/", Some(held)).await.expect("range").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gap_of_an_earlier_crash_stays_compacted_after_a_clean_stop_and_another_crash() {
    let mut disk = SimDisk::new();
    let mut lost = Vec::new();
    for round in 0..5 {
        let store = open(&disk);
        put(&*store, create(&format!("k/{round}"), "1")).await;
        lost.push(put_lazily(&*store, create(&format!("k/lost{round}"), "1")).await);
        disk = disk.power_cut(round);
        open(&disk).close().await.expect("close");
    }
    let store = open(&disk);
    for asked in lost {
        assert!(matches!(store.watch("k/", asked).await.err(), Some(StoreError::Compacted { .. })));
    }
    let mut watch = store.watch("k/", Revision(0)).await.expect("watch");
    assert_eq!(events(&mut *watch, 5).await.expect("all durable commits").len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_delays_commits_and_nothing_else() {
    let disk = SimDisk::new();
    let store: Arc<EmbeddedStore> = open(&disk);
    disk.set_faults(|faults| faults.sync_takes = Duration::from_millis(20));
    let started = std::time::Instant::now();
    let commits = (0..100).map(|n| {
        let store = store.clone();
        async move { store.commit(vec![create(&format!("k/{n}"), "v")], Durability::Synced).await }
    });
    for done in futures::future::join_all(commits).await {
        done.expect("commit");
    }
    // Two or three batches; a hundred syncs would take two seconds.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
