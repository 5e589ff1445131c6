//! What every store promises. Written once, run against each implementation: `contract_suite!(make)` in its own module, where `make` is an
//! async function that returns an empty store.
use std::collections::BTreeMap;

use irori_store::{Durability::*, *};

use crate::words::*;

pub async fn a_created_value_is_read_back_with_its_revision(store: &dyn Store) {
    let revision = put(store, create("core/pods/a/web", "one")).await;
    let entry = soon(store.get("core/pods/a/web")).await.expect("get").expect("is there");
    assert_eq!((text(&entry), entry.revision, &*entry.key), ("one".into(), revision, "core/pods/a/web"));
    assert_eq!(soon(store.get("core/pods/a/we")).await.expect("get"), None);
    assert!(revision > Revision(0));
    assert!(soon(store.current()).await.expect("current") >= revision);
}

pub async fn revisions_of_commits_only_grow(store: &dyn Store) {
    let mut last = Revision(0);
    for n in 0..20 {
        let revision = put(store, create(&format!("k/{n}"), "v")).await;
        assert!(revision > last);
        last = revision;
    }
}

pub async fn a_conflict_answers_the_current_entry_and_changes_nothing(store: &dyn Store) {
    let first = put(store, create("k/a", "one")).await;
    let second = put(store, update("k/a", first, "two")).await;
    for stale in [create("k/a", "x"), update("k/a", first, "x"), delete("k/a", first)] {
        match soon(store.commit(vec![create("k/b", "x"), stale], Synced)).await {
            Err(StoreError::Conflict { key, current: Some(current) }) => {
                assert_eq!((&*key, current.revision, text(&current)), ("k/a", second, "two".into()));
            }
            other => panic!("expected a conflict, got {other:?}"),
        }
    }
    match soon(store.commit(vec![update("k/c", first, "x")], Synced)).await {
        Err(StoreError::Conflict { key, current: None }) => assert_eq!(&*key, "k/c"),
        other => panic!("expected a conflict, got {other:?}"),
    }
    assert_eq!(listing(store, "k/", None).await.expect("range"), [("k/a".into(), "two".into())]);
}

pub async fn a_commit_of_many_keys_is_all_or_nothing_and_has_one_revision(store: &dyn Store) {
    let a = put(store, create("k/a", "1")).await;
    let revision =
        soon(store.commit(vec![update("k/a", a, "2"), create("k/b", "2"), create("k/c", "2")], Synced)).await.expect("commit");
    let page = soon(store.range(Range { prefix: "k/".into(), ..Range::default() })).await.expect("range");
    assert!(page.entries.iter().all(|entry| entry.revision == revision && text(entry) == "2"));
    assert_eq!(page.entries.len(), 3);
}

pub async fn a_deleted_key_is_gone_and_can_be_created_again(store: &dyn Store) {
    let first = put(store, create("k/a", "one")).await;
    put(store, delete("k/a", first)).await;
    assert_eq!(value(store, "k/a").await, None);
    put(store, create("k/a", "again")).await;
    assert_eq!(value(store, "k/a").await.as_deref(), Some("again"));
}

pub async fn a_range_is_in_byte_order_within_its_prefix(store: &dyn Store) {
    // A store may keep something of its own.
    let own = soon(store.count("")).await.expect("count");
    for key in ["k/b", "k/a", "k/a/x", "k/ä", "k0", "k", "j/z", "k/B", "l"] {
        put(store, create(key, "v")).await;
    }
    let keys: Vec<_> = listing(store, "k/", None).await.expect("range").into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["k/B", "k/a", "k/a/x", "k/b", "k/ä"]);
    assert_eq!(soon(store.count("k/")).await.expect("count"), 5);
    assert_eq!(soon(store.count("")).await.expect("count"), own + 9);
    assert_eq!(soon(store.count("m")).await.expect("count"), 0);
}

pub async fn pages_cover_a_range_at_one_revision_while_it_changes(store: &dyn Store) {
    let mut revisions = BTreeMap::new();
    for n in 0..10 {
        let key = format!("k/{n}");
        revisions.insert(key.clone(), put(store, create(&key, "old")).await);
    }
    let first = soon(store.range(Range { prefix: "k/".into(), limit: 4, ..Range::default() })).await.expect("range");
    assert_eq!((first.entries.len(), first.remaining), (4, 6));
    // After the first page: one changes, one goes, one comes.
    put(store, update("k/5", revisions["k/5"], "new")).await;
    put(store, delete("k/6", revisions["k/6"])).await;
    put(store, create("k/55", "new")).await;
    let (mut entries, mut after) = (first.entries.clone(), first.entries.last().map(|entry| entry.key.clone()));
    loop {
        let range = Range { prefix: "k/".into(), after: after.clone(), limit: 4, at: Some(first.revision) };
        let page = soon(store.range(range)).await.expect("range");
        assert_eq!(page.revision, first.revision);
        assert_eq!(page.remaining, 10 - (entries.len() + page.entries.len()) as u64);
        entries.extend(page.entries);
        after = entries.last().map(|entry| entry.key.clone());
        if page.remaining == 0 {
            break;
        }
    }
    let seen: Vec<_> = entries.iter().map(|entry| (entry.key.to_string(), text(entry), entry.revision)).collect();
    let expected: Vec<_> = revisions.into_iter().map(|(key, revision)| (key, "old".to_owned(), revision)).collect();
    assert_eq!(seen, expected);
}

pub async fn a_range_at_each_past_revision_shows_that_state(store: &dyn Store) {
    let mut states = Vec::new();
    let mut model: BTreeMap<String, (Revision, String)> = BTreeMap::new();
    for n in 0..60_usize {
        let key = format!("k/{}", n * 7 % 11);
        let value = format!("v{n}");
        let write = match model.get(&key) {
            Some((at, _)) if n % 3 == 0 => delete(&key, *at),
            Some((at, _)) => update(&key, *at, value.clone()),
            None => create(&key, value.clone()),
        };
        let gone = write.value.is_none();
        let revision = put(store, write).await;
        if gone {
            model.remove(&key)
        } else {
            model.insert(key, (revision, value))
        };
        states.push((revision, model.iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect::<Vec<_>>()));
    }
    for (revision, state) in states {
        assert_eq!(listing(store, "k/", Some(revision)).await.expect("range"), state, "at {revision:?}");
    }
}

pub async fn a_revision_that_is_not_reached_is_future(store: &dyn Store) {
    let current = put(store, create("k/a", "v")).await;
    let asked = Revision(current.0 + 1_000_000);
    let range = soon(store.range(Range { prefix: "k/".into(), at: Some(asked), ..Range::default() })).await;
    assert!(matches!(range, Err(StoreError::Future { .. })), "{range:?}");
    assert!(matches!(soon(store.watch("k/", asked)).await.err(), Some(StoreError::Future { .. })));
}

pub async fn a_watch_tells_creations_updates_and_deletions_with_what_was_before(store: &dyn Store) {
    let mut watch = soon(store.watch("k/", soon(store.current()).await.expect("current"))).await.expect("watch");
    let first = put(store, create("k/a", "1")).await;
    let second = put(store, update("k/a", first, "2")).await;
    put(store, create("l/a", "elsewhere")).await;
    let third = put(store, delete("k/a", second)).await;
    let seen = events(&mut *watch, 3).await.expect("watch");
    assert_eq!(seen.iter().map(|event| told(event)).collect::<Vec<_>>(), ["+k/a=1", "k/a=1>2", "-k/a=2"]);
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), [first, second, third]);
    assert_eq!(seen[1].previous.as_ref().map(|entry| entry.revision), Some(first));
}

pub async fn a_watch_goes_on_after_any_revision_without_gap_or_duplicate(store: &dyn Store) {
    let start = soon(store.current()).await.expect("current");
    let mut revisions = vec![start];
    for n in 0..30 {
        revisions.push(put(store, create(&format!("k/{n:02}"), "v")).await);
    }
    for (n, after) in revisions.iter().enumerate() {
        let mut watch = soon(store.watch("k/", *after)).await.expect("watch");
        let extra = put(store, create(&format!("k/extra{n}"), "v")).await;
        let seen = events(&mut *watch, 30 - n + n + 1).await.expect("watch");
        assert_eq!(seen[..30 - n].iter().map(|event| event.revision).collect::<Vec<_>>(), revisions[n + 1..]);
        assert_eq!(seen.last().map(|event| event.revision), Some(extra));
    }
}

pub async fn events_of_one_commit_come_together(store: &dyn Store) {
    let mut watch = soon(store.watch("k/", soon(store.current()).await.expect("current"))).await.expect("watch");
    for n in 0..20 {
        let writes = (0..5).map(|m| create(&format!("k/{n}/{m}"), "v")).collect();
        soon(store.commit(writes, Synced)).await.expect("commit");
    }
    let mut seen = 0;
    while seen < 100 {
        let events = soon(watch.next()).await.expect("watch");
        let mut of_revision: BTreeMap<Revision, usize> = BTreeMap::new();
        events.iter().for_each(|event| *of_revision.entry(event.revision).or_default() += 1);
        assert!(of_revision.values().all(|count| *count == 5), "{of_revision:?}");
        seen += events.len();
    }
}

pub async fn a_watch_knows_how_far_it_has_seen(store: &dyn Store) {
    let start = soon(store.current()).await.expect("current");
    let mut watch = soon(store.watch("k/", start)).await.expect("watch");
    assert!(watch.progress() >= start);
    let first = put(store, create("k/a", "v")).await;
    assert!(watch.progress() < first, "an event waits, so its revision has not been seen");
    events(&mut *watch, 1).await.expect("watch");
    assert!(watch.progress() >= first);
    let elsewhere = put(store, create("l/a", "v")).await;
    let last = put(store, create("k/b", "v")).await;
    events(&mut *watch, 1).await.expect("watch");
    assert!(watch.progress() >= last && last > elsewhere);
}

/// It is ended as lagged, or reads on at its own pace where it reads what the store has written down.
pub async fn a_slow_watcher_holds_nobody_up_and_misses_nothing(store: &dyn Store) {
    fall_behind(store).await;
}

/// Returns whether the slow watcher was ended.
pub async fn fall_behind(store: &dyn Store) -> bool {
    const COMMITS: usize = 40;
    const EACH: usize = 128;
    let start = soon(store.current()).await.expect("current");
    let (mut slow, mut quick) =
        (soon(store.watch("k/", start)).await.expect("watch"), soon(store.watch("k/", start)).await.expect("watch"));
    let first = put(store, create("k/first", "v")).await;
    events(&mut *slow, 1).await.expect("watch");
    events(&mut *quick, 1).await.expect("watch");
    let writing = async {
        let mut last = first;
        for n in 0..COMMITS {
            let writes = (0..EACH).map(|m| create(&format!("k/{n:03}/{m:03}"), "v")).collect();
            last = soon(store.commit(writes, Synced)).await.expect("commit");
        }
        last
    };
    let (last, (read, _)) = tokio::join!(writing, read_on(store, quick, first, COMMITS * EACH));
    soon(store.wait_for(last)).await.expect("is reached");
    let (missed, lagged) = read_on(store, slow, first, COMMITS * EACH).await;
    assert!(missed.len() == COMMITS * EACH && missed == read);
    assert_eq!(missed.last().map(|(at, _)| *at), Some(last));
    lagged
}

/// Reads so many events, from where it was whenever it was ended as lagged. Returns whether that happened.
async fn read_on(store: &dyn Store, mut watch: Box<dyn Watch>, after: Revision, count: usize) -> (Vec<(Revision, Key)>, bool) {
    let (mut seen, mut lagged): (Vec<(Revision, Key)>, bool) = (Vec::new(), false);
    while seen.len() < count {
        match soon(watch.next()).await {
            Ok(events) => seen.extend(events.iter().map(|event| (event.revision, event.key.clone()))),
            Err(end) => {
                assert_eq!(end, WatchEnd::Lagged);
                lagged = true;
                let from = seen.last().map_or(after, |(at, _)| *at);
                watch = soon(store.watch("k/", from)).await.expect("watch");
            }
        }
    }
    (seen, lagged)
}

pub async fn a_store_that_was_waited_for_has_reached_the_revision(store: &dyn Store) {
    let revision = put(store, create("k/a", "v")).await;
    soon(store.wait_for(revision)).await.expect("is reached");
    let next = Revision(revision.0 + 1);
    let (waited, written) = tokio::join!(soon(store.wait_for(next)), put(store, create("k/b", "v")));
    waited.expect("is reached");
    assert!(written >= next);
}

pub async fn lazy_commits_are_seen_at_once_and_in_order(store: &dyn Store) {
    let mut watch = soon(store.watch("k/", soon(store.current()).await.expect("current"))).await.expect("watch");
    let mut revisions = Vec::new();
    for n in 0..20 {
        let key = format!("k/{n}");
        let revision = if n % 2 == 0 { put_lazily(store, create(&key, "v")).await } else { put(store, create(&key, "v")).await };
        assert_eq!(value(store, &key).await.as_deref(), Some("v"));
        revisions.push(revision);
    }
    let seen = events(&mut *watch, 20).await.expect("watch");
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), revisions);
}

pub async fn of_many_writers_of_one_key_each_update_happens_once(store: &dyn Store) {
    put(store, create("k/count", "0")).await;
    let add = async || {
        for _ in 0..10 {
            loop {
                let entry = soon(store.get("k/count")).await.expect("get").expect("is there");
                let next = text(&entry).parse::<u64>().expect("a number") + 1;
                match soon(store.commit(vec![update("k/count", entry.revision, next.to_string())], Synced)).await {
                    Ok(_) => break,
                    Err(StoreError::Conflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    futures::future::join_all((0..8).map(|_| add())).await;
    assert_eq!(value(store, "k/count").await.as_deref(), Some("80"));
}

pub async fn what_is_outside_the_limits_is_refused(store: &dyn Store) {
    let long = "k".repeat(1_025);
    let (limits, own) = (store.limits(), soon(store.count("")).await.expect("count"));
    assert!(
        limits.commit_writes_max >= 128
            && limits.value_bytes_max >= 1_500_000
            && limits.commit_bytes_max >= limits.value_bytes_max
    );
    let cases = [
        vec![],
        vec![create("", "v")],
        vec![create(&long, "v")],
        vec![create("k/a", vec![b'x'; limits.value_bytes_max + 1])],
        vec![create("k/a", "v"), create("k/a", "w")],
        (0..=limits.commit_writes_max).map(|n| create(&format!("k/{n}"), "v")).collect(),
        (0..5).map(|n| create(&format!("k/{n}"), vec![b'x'; limits.commit_bytes_max / 5 + 1])).collect(),
        vec![Write { key: "k/a".into(), expect: Expect::Absent, value: None }],
    ];
    for writes in cases {
        let count = writes.len();
        let refused = soon(store.commit(writes, Synced)).await;
        assert!(matches!(refused, Err(StoreError::Limit { .. })), "{count} writes: {refused:?}");
    }
    assert_eq!(soon(store.count("")).await.expect("count"), own);
    put(store, create(&long[1..], vec![b'x'; limits.value_bytes_max])).await;
    soon(store.commit((0..limits.commit_writes_max).map(|n| create(&format!("k/{n}"), "v")).collect(), Synced))
        .await
        .expect("commit");
}

pub async fn a_closed_store_refuses_everything_and_ends_its_watches(store: &dyn Store) {
    let revision = put(store, create("k/a", "v")).await;
    let mut watch = soon(store.watch("k/", revision)).await.expect("watch");
    soon(store.close()).await.expect("close");
    assert_eq!(soon(watch.next()).await, Err(WatchEnd::Closed));
    assert!(matches!(soon(store.get("k/a")).await, Err(StoreError::Stopped { .. })));
    assert!(matches!(soon(store.commit(vec![create("k/b", "v")], Synced)).await, Err(StoreError::Stopped { .. })));
    assert!(matches!(soon(store.watch("k/", revision)).await.err(), Some(StoreError::Stopped { .. })));
    assert!(matches!(soon(store.wait_for(Revision(u64::MAX))).await, Err(StoreError::Stopped { .. })));
    soon(store.close()).await.expect("closing twice is closing");
}

/// One test for each promise, against the store that `$make` makes.
/// Of a store that seals, what is sealed stays so; keys and revisions are the same in any case.
pub async fn a_frozen_store_shows_all_entries_of_one_revision_while_it_changes(store: &dyn Store) {
    for n in 0..250 {
        put(store, create(&format!("k/{n:03}"), "v")).await;
    }
    let page = soon(store.range(Range::default())).await.expect("range");
    let mut frozen = soon(store.freeze()).await.expect("freeze");
    for entry in page.entries.iter().filter(|entry| entry.key.starts_with("k/1")) {
        put(store, delete(&entry.key, entry.revision)).await;
    }
    put(store, create("a/first", "v")).await;
    put(store, create("k/later", "v")).await;
    assert!(frozen.revision() >= page.revision);
    let mut seen = Vec::new();
    loop {
        let entries = soon(frozen.next()).await.expect("the revision is held");
        if entries.is_empty() {
            break;
        }
        seen.extend(entries.into_iter().map(|entry| (entry.key, entry.revision)));
    }
    assert_eq!(seen, page.entries.into_iter().map(|entry| (entry.key, entry.revision)).collect::<Vec<_>>());
    assert!(soon(frozen.next()).await.expect("again").is_empty());
}

macro_rules! contract_suite {
    ($make:path: $($promise:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let store = $make().await;
                $crate::contract::$promise(&*store).await;
            }
        )*
    };
    ($make:path) => {
        $crate::contract::contract_suite! { $make:
            a_created_value_is_read_back_with_its_revision
            revisions_of_commits_only_grow
            a_conflict_answers_the_current_entry_and_changes_nothing
            a_commit_of_many_keys_is_all_or_nothing_and_has_one_revision
            a_deleted_key_is_gone_and_can_be_created_again
            a_range_is_in_byte_order_within_its_prefix
            pages_cover_a_range_at_one_revision_while_it_changes
            a_range_at_each_past_revision_shows_that_state
            a_revision_that_is_not_reached_is_future
            a_watch_tells_creations_updates_and_deletions_with_what_was_before
            a_watch_goes_on_after_any_revision_without_gap_or_duplicate
            events_of_one_commit_come_together
            a_watch_knows_how_far_it_has_seen
            a_slow_watcher_holds_nobody_up_and_misses_nothing
            a_store_that_was_waited_for_has_reached_the_revision
            lazy_commits_are_seen_at_once_and_in_order
            of_many_writers_of_one_key_each_update_happens_once
            a_frozen_store_shows_all_entries_of_one_revision_while_it_changes
            what_is_outside_the_limits_is_refused
            a_closed_store_refuses_everything_and_ends_its_watches
        }
    };
}
pub(crate) use contract_suite;
