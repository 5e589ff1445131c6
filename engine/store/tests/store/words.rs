//! What the tests are told in.
use std::{sync::Arc, time::Duration};

use irori_runtime::{Shutdown, Tasks};
use irori_store::{
    Durability, EmbeddedStore, Entry, Event, Expect, OpenError, Range, Revision, Settings, Store, StoreError, Watch, WatchEnd,
    Write, sim::SimDisk,
};

pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for something, but not for ever.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("it happens before the deadline")
}

pub fn create(key: &str, value: impl Into<Vec<u8>>) -> Write {
    Write { key: key.into(), expect: Expect::Absent, value: Some(value.into().into()) }
}

pub fn update(key: &str, at: Revision, value: impl Into<Vec<u8>>) -> Write {
    Write { key: key.into(), expect: Expect::At(at), value: Some(value.into().into()) }
}

pub fn delete(key: &str, at: Revision) -> Write {
    Write { key: key.into(), expect: Expect::At(at), value: None }
}

/// Commits one write, synced.
pub async fn put(store: &dyn Store, write: Write) -> Revision {
    soon(store.commit(vec![write], Durability::Synced)).await.expect("commit")
}

/// Commits one write, lazily.
pub async fn put_lazily(store: &dyn Store, write: Write) -> Revision {
    soon(store.commit(vec![write], Durability::Lazy)).await.expect("commit")
}

pub async fn value(store: &dyn Store, key: &str) -> Option<String> {
    soon(store.get(key)).await.expect("get").map(|entry| text(&entry))
}

pub fn text(entry: &Entry) -> String {
    String::from_utf8(entry.value.to_vec()).expect("tests write text")
}

/// Keys below a prefix with their values, as of a revision.
pub async fn listing(store: &dyn Store, prefix: &str, at: Option<Revision>) -> Result<Vec<(String, String)>, StoreError> {
    let page = soon(store.range(Range { prefix: prefix.into(), at, ..Range::default() })).await?;
    Ok(page.entries.iter().map(|entry| (entry.key.to_string(), text(entry))).collect())
}

/// The next events of a watch until there are `count`.
pub async fn events(watch: &mut dyn Watch, count: usize) -> Result<Vec<Arc<Event>>, WatchEnd> {
    let mut seen = Vec::new();
    while seen.len() < count {
        seen.extend(soon(watch.next()).await?);
    }
    Ok(seen)
}

/// An event in a word: `+key=value`, `key=before>now`, `-key=before`.
pub fn told(event: &Event) -> String {
    let now = event.value.as_ref().map(|value| String::from_utf8_lossy(value).into_owned());
    let before = event.previous.as_ref().map(text);
    match (before, now) {
        (None, Some(now)) => format!("+{}={now}", event.key),
        (Some(before), Some(now)) => format!("{}={before}>{now}", event.key),
        (Some(before), None) => format!("-{}={before}", event.key),
        (None, None) => format!("-{}", event.key),
    }
}

pub fn settings(disk: &SimDisk) -> Settings {
    Settings::on(Arc::new(disk.clone()))
}

pub fn open_with(settings: Settings) -> Result<Arc<EmbeddedStore>, OpenError> {
    EmbeddedStore::open(settings, &Tasks::new(Shutdown::new()))
}

pub fn open(disk: &SimDisk) -> Arc<EmbeddedStore> {
    open_with(settings(disk)).expect("the store opens")
}

pub async fn fresh() -> Arc<dyn Store> {
    open(&SimDisk::new())
}

/// Waits for a condition that other tasks bring about.
pub async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
