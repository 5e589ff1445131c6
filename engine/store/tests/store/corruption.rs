//! Damaged files: noticed with file and offset, or harmless. Never a wrong answer, never a panic.
use irori_store::{
    sim::{
        SimDisk,
        damage::{self, Lived},
    },
    *,
};

use crate::words::*;

async fn lived(closed: bool) -> Lived {
    let lived = Lived::through(closed).await.expect("a store lives");
    assert!(lived.files().keys().filter(|name| name.starts_with("log-")).count() > 5);
    assert!(lived.files().keys().any(|name| name.starts_with("snap-")));
    lived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_store_says_what_was() {
    for closed in [true, false] {
        let lived = lived(closed).await;
        assert_eq!(lived.examine(&lived.disk(), "").await, Ok(false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_noticed_or_harmless() {
    let report = damage::run(3_000, 1).await.expect("a store lives");
    assert_eq!(report.lies, Vec::<String>::new());
    assert!(report.noticed > 1_500, "{report}");
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
    for name in lived.files().keys() {
        let disk = lived.disk();
        disk.take(name);
        // Snapshots only save time and reach, as long as the log goes back to the start.
        let may_be_harmless = name.starts_with("snap-");
        let noticed = lived.examine(&disk, "").await;
        assert!(noticed == Ok(true) || (may_be_harmless && noticed == Ok(false)), "without {name}: {noticed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_format_is_refused_by_name() {
    let lived = lived(true).await;
    for (name, offset, len) in [("revisions", 8, 4_096), ("log-0000000000000000", 8, 64)] {
        let disk = lived.disk();
        let mut bytes = lived.files()[name].clone();
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
