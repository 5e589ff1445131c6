//! Backup, restore, check: what goes into a file comes out of it, and nothing damaged is taken for whole.
use std::{fs, path::Path, sync::Arc};

use irori_store::{disk::open_file, *};

use crate::words::*;

async fn write_backup(frozen: Box<dyn Frozen>, file: &Path) {
    let mut writer = BackupWriter::new(frozen, 7, 1_700_000_000);
    let mut bytes = Vec::new();
    while let Some(piece) = writer.next().await.expect("the store is whole") {
        bytes.extend_from_slice(&piece);
    }
    fs::write(file, bytes).expect("write");
}

fn open_backup(file: &Path) -> Result<Backup, OpenError> {
    Backup::open(open_file(file).expect("is there"), "backup")
}

fn entries_of(file: &Path) -> Result<(Summary, Vec<Entry>), OpenError> {
    let mut entries = Vec::new();
    let summary = open_backup(file)?.read(|entry| entries.push(entry))?;
    Ok((summary, entries))
}

fn at(folder: &Path) -> Arc<EmbeddedStore> {
    open_with(Settings::at(folder).expect("a folder")).expect("the store opens")
}

/// A store with more than a piece of entries, deletions and an update.
async fn filled(store: &dyn Store) {
    for n in 0..40 {
        put(store, create(&format!("k/{n:02}"), vec![b'x'; 10_000 + n])).await;
    }
    let one = store.get("k/01").await.expect("get").expect("is there");
    put(store, delete("k/01", one.revision)).await;
    let two = store.get("k/02").await.expect("get").expect("is there");
    put(store, update("k/02", two.revision, "two")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_all_entries_at_one_revision_while_others_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&sim::SimDisk::new());
    filled(&*store).await;
    let wanted = store.range(Range::default()).await.expect("range");
    let frozen = store.freeze().await.expect("freeze");
    let file = folder.path().join("backup");
    for entry in &wanted.entries {
        put(&*store, update(&entry.key, entry.revision, "later")).await;
    }
    put(&*store, create("k/later", "later")).await;
    write_backup(frozen, &file).await;
    let (summary, entries) = entries_of(&file).expect("the backup is whole");
    assert_eq!(entries, wanted.entries);
    assert_eq!((summary.revision, summary.entries, summary.taken), (wanted.revision, 39, 1_700_000_000));
    assert_eq!(summary.bytes, wanted.entries.iter().map(|entry| (entry.key.len() + entry.value.len()) as u64).sum::<u64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_entries_has_a_backup_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    write_backup(open(&sim::SimDisk::new()).freeze().await.expect("freeze"), &file).await;
    assert_eq!(entries_of(&file).map(|(summary, _)| summary.entries).expect("whole"), 0);
}

/// Each bit counts, and so does the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_cut_backup_is_refused_with_an_offset() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup");
    let store = open(&sim::SimDisk::new());
    for n in 0..4 {
        put(&*store, create(&format!("k/{n}"), "value")).await;
    }
    write_backup(store.freeze().await.expect("freeze"), &file).await;
    let whole = fs::read(&file).expect("read");
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&file, bytes).expect("write");
        let refused = entries_of(&file).map(|_| ());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "bit {bit}: {refused:?}");
    }
    for len in 0..whole.len() {
        fs::write(&file, &whole[..len]).expect("write");
        assert!(matches!(entries_of(&file), Err(OpenError::Damaged { .. })), "{len} bytes");
    }
    fs::write(&file, [whole.as_slice(), b"x"].concat()).expect("write");
    assert!(matches!(entries_of(&file), Err(OpenError::Damaged { .. })), "something behind the end");
    let mut newer = whole;
    newer[8] = 9;
    let crc = crc32fast::hash(&newer[..60]).to_le_bytes();
    newer[60..64].copy_from_slice(&crc);
    fs::write(&file, newer).expect("write");
    assert!(matches!(entries_of(&file), Err(OpenError::Newer { found: 9, .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_has_what_was_and_no_old_revision_can_be_resumed_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, file, new) = (folder.path().join("old"), folder.path().join("backup"), folder.path().join("new"));
    let store = at(&old);
    filled(&*store).await;
    let wanted = store.range(Range::default()).await.expect("range");
    write_backup(store.freeze().await.expect("freeze"), &file).await;
    // What comes after the backup is lost with the old store, and clients have seen it.
    let seen = put(&*store, create("k/lost", "lost")).await;
    store.close().await.expect("close");

    let (summary, revision) = restore(&open_backup(&file).expect("open"), &new).expect("restore");
    assert_eq!((summary.revision, summary.entries), (wanted.revision, 39));
    assert!(revision.0 > seen.0 + (1 << 39), "far ahead of anything that was handed out");
    let store = at(&new);
    assert_eq!(store.current().await.expect("current"), revision);
    assert_eq!(store.range(Range::default()).await.expect("range").entries, wanted.entries);
    for old in [Revision(0), wanted.revision, seen, Revision(revision.0 - 1)] {
        assert!(matches!(store.watch("k/", old).await.map(|_| ()), Err(StoreError::Compacted { .. })), "{old:?}");
        assert!(matches!(listing(&*store, "k/", Some(old)).await, Err(StoreError::Compacted { .. })), "{old:?}");
    }
    let mut watch = store.watch("k/", revision).await.expect("from the first revision on");
    let two = store.get("k/02").await.expect("get").expect("is there");
    let newest = put(&*store, update("k/02", two.revision, "three")).await;
    assert!(newest > revision);
    assert_eq!(told(&events(&mut *watch, 1).await.expect("events")[0]), "k/02=two>three");
    store.close().await.expect("close");
    let store = at(&new);
    assert_eq!(store.current().await.expect("current"), newest);
    assert_eq!(value(&*store, "k/02").await.as_deref(), Some("three"));
    assert!(matches!(store.watch("k/", seen).await.map(|_| ()), Err(StoreError::Compacted { .. })));
    assert_eq!(listing(&*store, "k/02", Some(revision)).await.expect("held").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_never_restored_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, file) = (folder.path().join("old"), folder.path().join("backup"));
    let store = at(&old);
    put(&*store, create("k/a", "v")).await;
    write_backup(store.freeze().await.expect("freeze"), &file).await;
    let backup = open_backup(&file).expect("open");
    assert!(matches!(restore(&backup, &old), Err(OpenError::Locked { .. })));
    store.close().await.expect("close");
    assert!(matches!(restore(&backup, &old), Err(OpenError::NotEmpty { .. })));
    // A damaged one makes nothing.
    let mut bytes = fs::read(&file).expect("read");
    *bytes.last_mut().expect("has bytes") ^= 1;
    fs::write(&file, bytes).expect("write");
    let new = folder.path().join("new");
    assert!(matches!(restore(&open_backup(&file).expect("open"), &new), Err(OpenError::Damaged { .. })));
    assert!(!new.exists());
}

/// Every file with its name, bytes and time of change.
fn all_files(folder: &Path) -> Vec<(String, Vec<u8>, std::time::SystemTime)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("list")
        .flatten()
        .map(|file| {
            let changed = file.metadata().and_then(|data| data.modified()).expect("a time");
            (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).expect("read"), changed)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_reads_everything_and_touches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open_with(Settings {
        segment_bytes: 20_000,
        snapshot_bytes_min: 60_000,
        ..Settings::at(folder.path()).expect("a folder")
    })
    .expect("the store opens");
    let mut at = [None; 5];
    for n in 0..60 {
        let (key, value) = (format!("k/{}", n % 5), vec![b'x'; 10_000 + n]);
        let write = at[n % 5].map_or_else(|| create(&key, value.clone()), |at| update(&key, at, value.clone()));
        at[n % 5] = Some(put(&*store, write).await);
    }
    until(|| store.stats().snapshots > 0).await;
    assert!(matches!(Stopped::check(folder.path()).map(|_| ()), Err(OpenError::Locked { .. })), "while a server runs");
    let lazy = put_lazily(&*store, create("k/lazy", "lost")).await;
    drop(store);
    // Dropped, it closes in its own time.
    soon(async {
        while matches!(Stopped::open(folder.path()).map(|_| ()), Err(OpenError::Locked { .. })) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A write that a kill tore.
    let last = all_files(folder.path()).iter().rfind(|(name, ..)| name.starts_with("log-")).expect("a segment").0.clone();
    let whole = fs::read(folder.path().join(&last)).expect("read");
    fs::write(folder.path().join(&last), [&whole[..], b"IrF\x01torn"].concat()).expect("write");

    let before = all_files(folder.path());
    let checked = Stopped::check(folder.path()).expect("nobody uses it");
    let opened = checked.store.expect("opens");
    assert_eq!(opened.entries().count(), 6);
    assert!(opened.revision() >= lazy);
    assert!(checked.files.iter().all(|file| file.damage.is_none()), "{:?}", checked.files);
    let torn = checked.files.iter().find(|file| file.name == last).expect("is told");
    assert!(matches!(torn.content, Content::Commits { torn_bytes: 8, .. }), "{torn:?}");
    assert!(checked.files.iter().any(|file| matches!(file.content, Content::Snapshot { entries, .. } if entries > 0)));
    drop(opened);
    assert_eq!(all_files(folder.path()), before);

    // Damage in any file is told with the file, also where the store opens without it.
    for (name, bytes, _) in before.iter().filter(|(name, ..)| name.starts_with("log-") || name.starts_with("snap-")) {
        let at = if *name == last { 80 } else { bytes.len() - 3 };
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        fs::write(folder.path().join(name), damaged).expect("write");
        let checked = Stopped::check(folder.path()).expect("nobody uses it");
        let mut told: Vec<&str> =
            checked.files.iter().filter(|file| file.damage.is_some()).map(|file| file.name.as_str()).collect();
        // Of the last frame only the file `revisions` knows that it has to be there.
        if let Err(OpenError::Damaged { file, .. }) = &checked.store {
            told.push(file);
        }
        told.dedup();
        assert_eq!(told, [name], "{:?}", checked.files);
        drop(checked);
        fs::write(folder.path().join(name), bytes).expect("write");
    }
}
