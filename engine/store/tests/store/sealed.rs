//! The contract, kept by a store that seals everything; and what only sealing promises.
use std::{path::Path, sync::Arc};

use irori_store::{sim::SimDisk, *};
use irori_trust::seal::{Passphrase, SealError, Unlock};

use crate::words::*;

mod everything_sealed {
    pub async fn fresh() -> std::sync::Arc<dyn irori_store::Store> {
        let unlock = super::phrase("a phrase of the tests");
        super::sealed_on(crate::words::fresh().await, &unlock, &["k/", "core/", "a", "b", "lazy"]).await
    }

    crate::contract::contract_suite!(fresh);
}

fn phrase(text: &str) -> Unlock {
    // A file would do as well; a phrase needs no folder.
    Unlock::Passphrase(Passphrase::new(text).expect("long enough"))
}

fn key_file(folder: &Path) -> Unlock {
    Unlock::KeyFile(folder.join("sealing.key"))
}

async fn sealed_on(inner: Arc<dyn Store>, unlock: &Unlock, prefixes: &[&str]) -> Arc<SealedStore> {
    let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    SealedStore::open(inner, unlock, prefixes).await.expect("the store unlocks")
}

/// Seals the whole store anew.
async fn reseal(store: &SealedStore) -> Resealed {
    let (mut done, mut after) = (Resealed::default(), None);
    loop {
        after = store.reseal(after, &mut done).await.expect("reseal");
        if after.is_none() {
            return done;
        }
        tokio::task::yield_now().await;
    }
}

const SECRETS: &[&str] = &["core/secrets/"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_of_the_store_holds_what_is_sealed() {
    let (disk, folder) = (SimDisk::new(), tempfile::tempdir().expect("a folder"));
    let inner = open_with(Settings { snapshot_bytes_min: 2_000, ..settings(&disk) }).expect("the store opens");
    let store = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    let both = [("core/configmaps/a/b", "marker-of-the-open"), ("core/secrets/a/b", "marker-of-a-secret")];
    let mut at = Vec::new();
    for (key, marker) in both {
        at.push(put(&*store, create(key, marker)).await);
    }
    for n in 0..30 {
        for ((key, marker), at) in both.iter().zip(&mut at) {
            *at = put(&*store, update(key, *at, format!("{marker}-{n}"))).await;
        }
    }
    until(|| inner.stats().snapshots > 0).await;
    store.close().await.expect("close");
    let names = disk::Disk::list(&disk).expect("no faults");
    let holds = |marker: &[u8]| {
        let files = names.iter().filter_map(|name| disk.read(name));
        files.filter(|bytes| bytes.windows(marker.len()).any(|window| window == marker)).count()
    };
    assert_eq!(holds(b"marker-of-a-secret"), 0);
    assert!(holds(b"marker-of-the-open") >= 2, "log and snapshot hold what is not sealed");
    assert!(names.iter().any(|name| name.starts_with("snap-")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_key_and_a_missing_one_are_refused_and_change_nothing() {
    let (disk, folder, other) = (SimDisk::new(), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let store = sealed_on(open(&disk), &key_file(folder.path()), SECRETS).await;
    put(&*store, create("core/secrets/a/b", "word")).await;
    store.close().await.expect("close");
    let inner: Arc<dyn Store> = open(&disk);
    let refused = |unlock| {
        let inner = inner.clone();
        async move { SealedStore::open(inner, &unlock, vec!["core/secrets/".into()]).await.map(|_| ()) }
    };
    assert!(matches!(refused(key_file(other.path())).await, Err(SealedError::Seal(SealError::KeyFileMissing { .. }))));
    irori_trust::seal::make_key(&other.path().join("sealing.key")).expect("another key");
    assert!(matches!(refused(key_file(other.path())).await, Err(SealedError::Seal(SealError::WrongKey))));
    assert!(matches!(refused(phrase("a phrase of the tests")).await, Err(SealedError::Seal(SealError::KeyFileNeeded))));
    let store = sealed_on(inner, &key_file(folder.path()), SECRETS).await;
    assert_eq!(value(&*store, "core/secrets/a/b").await.as_deref(), Some("word"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_value_put_in_another_place_is_not_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    let store = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    put(&*store, create("core/secrets/a/mine", "mine")).await;
    let raw = inner.get("core/secrets/a/mine").await.expect("get").expect("is there").value;
    put(&*inner, create("core/secrets/b/stolen", raw.to_vec())).await;
    let stolen = store.get("core/secrets/b/stolen").await.expect("get").expect("is there");
    assert_eq!(stolen.value, raw, "what does not open stays sealed");
    let listed = store.range(Range { prefix: "core/secrets/".into(), ..Range::default() }).await.expect("range");
    assert_eq!(listed.entries.iter().map(|entry| &*entry.value == b"mine").collect::<Vec<_>>(), [true, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_generation_seals_at_once_and_old_values_are_sealed_anew_while_others_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    // Written before anything was sealed.
    put(&*inner, create("core/secrets/a/before", "before")).await;
    let store = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    assert_eq!(value(&*store, "core/secrets/a/before").await.as_deref(), Some("before"));
    for n in 0..600 {
        put(&*store, create(&format!("core/secrets/a/{n}"), format!("{n}"))).await;
    }
    let before = store.current().await.expect("current");
    assert_eq!(store.rotate().await.expect("rotate"), 2);
    let writer = async {
        let mut at = put(&*store, create("core/secrets/a/busy", "0")).await;
        for n in 1..200 {
            at = match store.commit(vec![update("core/secrets/a/busy", at, format!("{n}"))], Durability::Synced).await {
                Ok(at) => at,
                Err(StoreError::Conflict { current, .. }) => current.expect("is there").revision,
                Err(other) => panic!("{other}"),
            };
        }
    };
    assert!(matches!(store.retire().await, Err(SealedError::StillSealed { count: 600 })), "nothing is taken away that is needed");
    let (resealed, ()) = tokio::join!(reseal(&store), writer);
    assert!(resealed.changed >= 601 && resealed.opened == 0, "{resealed:?}");
    assert_eq!(reseal(&store).await, Resealed::default(), "nothing is left to do");
    let mut behind = store.watch("core/secrets/", before).await.expect("watch");
    assert_eq!(store.retire().await.expect("retire"), 2);
    assert_eq!(store.state(), Sealing { newest: 2, oldest: 2, by_passphrase: false });
    // What was sealed with a key that is gone is a past that is not told any more.
    assert_eq!(soon(behind.next()).await.map(|_| ()), Err(WatchEnd::Compacted));
    assert!(matches!(listing(&*store, "core/secrets/", Some(before)).await, Err(StoreError::Compacted { .. })));
    for n in [0, 599] {
        assert_eq!(value(&*store, &format!("core/secrets/a/{n}")).await, Some(n.to_string()));
    }
    assert_eq!(value(&*store, "core/secrets/a/before").await.as_deref(), Some("before"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_takes_up_a_new_generation_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    let one = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    let two = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    let mut watch = two.watch("core/secrets/", two.current().await.expect("current")).await.expect("watch");
    one.rotate().await.expect("rotate");
    put(&*one, create("core/secrets/a/new", "word")).await;
    let seen = events(watch.as_mut(), 1).await.expect("events");
    assert_eq!(told(&seen[0]), "+core/secrets/a/new=word");
    assert_eq!(value(&*two, "core/secrets/a/new").await.as_deref(), Some("word"));
    assert_eq!(two.generation(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_values_without_their_record_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    let store = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    put(&*store, create("core/secrets/a/b", "word")).await;
    let record = inner.get(KEYS).await.expect("get").expect("is there");
    put(&*inner, delete(KEYS, record.revision)).await;
    let refused = SealedStore::open(inner, &key_file(folder.path()), vec!["core/secrets/".into()]).await;
    assert!(matches!(refused.map(|_| ()), Err(SealedError::KeysGone)));
}

/// A server that has not read anything of a new generation yet seals with it all the same: otherwise the old one could not be taken away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_seals_with_the_newest_generation() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    let one = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    let two = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    one.rotate().await.expect("rotate");
    put(&*two, create("core/secrets/a/b", "word")).await;
    assert_eq!(one.retire().await.expect("retire"), 2);
    assert_eq!(value(&*one, "core/secrets/a/b").await.as_deref(), Some("word"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_root_key_opens_the_store_from_then_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let inner: Arc<dyn Store> = open(&SimDisk::new());
    let store = sealed_on(inner.clone(), &key_file(folder.path()), SECRETS).await;
    put(&*store, create("core/secrets/a/b", "word")).await;
    let phrase = Passphrase::new("a phrase of the tests").expect("long enough");
    store.rewrap(&irori_trust::seal::NewRoot::Passphrase(phrase)).await.expect("rewrap");
    put(&*store, create("core/secrets/a/c", "more")).await;
    let refused = SealedStore::open(inner.clone(), &key_file(folder.path()), vec![]).await.map(|_| ());
    assert!(matches!(refused, Err(SealedError::Seal(SealError::PassphraseNeeded))));
    let again = sealed_on(inner, &self::phrase("a phrase of the tests"), SECRETS).await;
    for (key, word) in [("core/secrets/a/b", "word"), ("core/secrets/a/c", "more")] {
        assert_eq!(value(&*again, key).await.as_deref(), Some(word));
    }
}
