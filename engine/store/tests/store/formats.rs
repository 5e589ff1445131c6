//! Stores that older versions wrote, kept in `tests/data` for ever: each opens, says what was, and goes on. `examples/fixture.rs` made them.
use std::{fs, path::Path, sync::Arc};

use irori_store::{disk::open_file, *};
use irori_trust::seal::Unlock;

use crate::words::*;

/// One line per format: a new one is added, none is ever changed.
const FORMATS: [&str; 1] = ["format-1"];

/// What they all hold: key and value, ascending.
fn wanted(lazy: bool) -> Vec<(String, String)> {
    let mut wanted: Vec<(String, String)> = (0..12)
        .filter(|n| n % 3 != 0)
        .map(|n| {
            let kind = if n % 2 == 0 { "configmaps" } else { "secrets" };
            (format!("core/{kind}/k{n:02}"), format!("{n} in round 4 {}", "x".repeat(n * 5)))
        })
        .collect();
    wanted.push(("core/configmaps/last".into(), "last".into()));
    if lazy {
        wanted.push(("core/events/lazy".into(), "lazy".into()));
    }
    wanted.sort();
    wanted
}

/// A copy that may be written to.
fn copy_of(format: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(format);
    copy(&from, folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("make a folder");
    for file in fs::read_dir(from).expect("the fixture is there").flatten() {
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).expect("copy");
        }
    }
}

async fn opened(folder: &Path, store: &str) -> Arc<SealedStore> {
    let inner = open_with(Settings::at(&folder.join(store)).expect("a folder")).expect("an old store opens");
    let key = Unlock::KeyFile(folder.join("sealing.key"));
    SealedStore::open(inner, &key, vec!["core/secrets/".to_owned()]).await.expect("an old key opens")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_every_format_opens_says_what_was_and_goes_on() {
    for format in FORMATS {
        for (name, lazy) in [("closed", true), ("killed", false)] {
            let folder = copy_of(format);
            let store = opened(folder.path(), name).await;
            assert_eq!(listing(&*store, "core/", None).await.expect("range"), wanted(lazy), "{format}/{name}");
            let at = put(&*store, create("core/configmaps/new", "new")).await;
            store.close().await.expect("close");
            let store = opened(folder.path(), name).await;
            assert_eq!(store.current().await.expect("current"), at);
            assert_eq!(value(&*store, "core/configmaps/new").await.as_deref(), Some("new"));
            store.close().await.expect("close");
            // History is five minutes from the start; what a check reads is all there is.
            let checked = Stopped::check(&folder.path().join(name)).expect("nobody uses it");
            assert!(checked.files.iter().all(|file| file.damage.is_none()) && checked.store.is_ok(), "{:?}", checked.files);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_of_every_format_is_read_back() {
    for format in FORMATS {
        let folder = copy_of(format);
        let store = opened(folder.path(), "closed").await;
        let newest = store.current().await.expect("current");
        let mut watch = store.watch("core/", Revision(0)).await.expect("history goes back to the first commit");
        let mut rounds = [0; 12];
        while watch.progress() < newest {
            for event in soon(watch.next()).await.expect("events") {
                let Some(value) = &event.value else { continue };
                let text = String::from_utf8_lossy(value);
                let Some((n, rest)) = text.split_once(" in round ") else { continue };
                let n: usize = n.parse().expect("a number");
                assert!(rest.starts_with(&rounds[n].to_string()), "{format}: `{}` is {text}", event.key);
                rounds[n] += 1;
            }
        }
        assert_eq!(rounds, [5; 12]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_every_format_is_read_and_restored() {
    for format in FORMATS {
        let folder = copy_of(format);
        let backup =
            Backup::open(open_file(&folder.path().join("backup")).expect("is there"), "backup").expect("an old backup opens");
        let (summary, _) = restore(&backup, &folder.path().join("new")).expect("restore");
        assert_eq!((summary.entries, summary.taken), (11, 1_800_000_000));
        let store = opened(folder.path(), "new").await;
        assert_eq!(listing(&*store, "core/", None).await.expect("range"), wanted(true), "{format}");
    }
}
