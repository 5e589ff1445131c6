//! Makes the stores of `tests/data`: one store per format, kept for ever and opened by a test, so that what a home wrote years ago still
//! opens. Run it only for a new format: `cargo run -p irori-store --example fixture engine/store/tests/data/format-N`.
//!
//! The folder gets `closed` (a store that was closed), `killed` (the same a little earlier, as kill -9 leaves it), `backup`, and the key
//! file `sealing.key`.
use std::{error::Error, fs, path::Path};

use irori_runtime::{Shutdown, Tasks};
use irori_store::{BackupWriter, Durability, EmbeddedStore, Expect, Revision, SealedStore, Settings, Store, Write};
use irori_trust::seal::Unlock;

type Failed = Box<dyn Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let folder = std::env::args().nth(1).ok_or("name the folder to make")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let at = folder.join("closed");
    let settings = Settings { segment_bytes: 2_000, snapshot_bytes_min: 3_000, ..Settings::at(&at)? };
    let inner = EmbeddedStore::open(settings, &Tasks::new(Shutdown::new()))?;
    let key = Unlock::KeyFile(folder.join("sealing.key"));
    let store = SealedStore::open(inner.clone(), &key, vec!["core/secrets/".to_owned()]).await?;
    // Each of 12 keys is written 5 times, and every third deleted in the end; half of them are sealed, and the keys change in the middle.
    let mut written = [Revision(0); 12];
    for round in 0..5 {
        for (n, at) in written.iter_mut().enumerate() {
            let expect = if round == 0 { Expect::Absent } else { Expect::At(*at) };
            let value = format!("{n} in round {round} {}", "x".repeat(n * 5));
            *at = put(&*store, &name(n), expect, Some(value)).await?;
        }
        if round == 2 {
            store.rotate().await?;
        }
    }
    for n in (0..12).step_by(3) {
        put(&*store, &name(n), Expect::At(written[n]), None).await?;
    }
    while inner.stats().snapshots == 0 {
        tokio::task::yield_now().await;
    }
    put(&*store, "core/configmaps/last", Expect::Absent, Some("last".to_owned())).await?;
    let lazy = Write { key: "core/events/lazy".into(), expect: Expect::Absent, value: Some("lazy".into()) };
    store.commit(vec![lazy], Durability::Lazy).await?;
    copy(&at, &folder.join("killed"))?;
    let mut backup = BackupWriter::new(store.freeze().await?, 1, 1_800_000_000);
    let mut bytes = Vec::new();
    while let Some(piece) = backup.next().await? {
        bytes.extend_from_slice(&piece);
    }
    fs::write(folder.join("backup"), bytes)?;
    store.close().await?;
    Ok(())
}

fn name(n: usize) -> String {
    format!("core/{}/k{n:02}", if n.is_multiple_of(2) { "configmaps" } else { "secrets" })
}

async fn put(store: &dyn Store, key: &str, expect: Expect, value: Option<String>) -> Result<Revision, Failed> {
    let write = Write { key: key.into(), expect, value: value.map(Into::into) };
    Ok(store.commit(vec![write], Durability::Synced).await?)
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}
