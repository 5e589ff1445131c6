//! A backup is written, read back, and made a store again.
use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use futures::AsyncReadExt as _;
use irori_apiserver::census::{Census, Look};
use irori_runtime::{Clock, SignedDuration, Timestamp};
use irori_store::{Backup, BackupWriter, OpenError, Summary};
use irori_trust::rename_durably;
use serde_json::json;

use super::{BadBackup, Home, ask, look, open_backup, stopped};
use crate::{
    cli::{Data, Done, Ended, Exit, Output},
    data::DataDir,
    progress::Progress,
};

/// Bytes that are taken from the home at a time.
const PIECE_BYTES: usize = 64 << 10;

pub async fn backup(file: &Path, data: &Data, offset: SignedDuration) -> Done {
    let progress = Progress::new(false);
    let home = Home::find(data, offset)?;
    replaceable(file, data)?;
    let stage = progress.stage("backup");
    let mut part = Part::create(file)?;
    match &home {
        Home::Running(client) => {
            let mut answer = ask(client, "GET", "/backup", Vec::new()).await?;
            let mut piece = vec![0; PIECE_BYTES];
            loop {
                match answer.read(&mut piece).await.context("read the backup from the home")? {
                    0 => break,
                    read => part.write(&piece[..read])?,
                }
                stage.now(&look::size(part.written));
            }
        }
        Home::Stopped(data) => {
            let store = stopped(data)?;
            let taken = Clock::system(Timestamp::UNIX_EPOCH, offset).now().as_second();
            let taken = u64::try_from(taken).unwrap_or_default();
            let mut writer = BackupWriter::new(store.freeze(), fresh_number()?, taken);
            while let Some(piece) = writer.next().await? {
                part.write(&piece)?;
            }
        }
    }
    let summary = part.finish()?;
    stage.done(&format!("{} entries at revision {}, {}", summary.entries, summary.revision.0, look::size(summary.bytes)));
    Ok(())
}

/// A backup takes the place of an older one, and of nothing else.
fn replaceable(file: &Path, data: &Data) -> Result<(), Ended> {
    let refuse = |why: &str| {
        let told = anyhow::anyhow!("`{}` {why}: name another file for the backup; nothing was changed", file.display());
        Err(Exit::WrongInput.because(told))
    };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let (Ok(folder), Ok(store)) = (folder.canonicalize(), data.data_dir.join("store").canonicalize())
        && folder.starts_with(store)
    {
        return refuse("lies in the store's own folder");
    }
    match fs::symlink_metadata(file) {
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Exit::WrongInput.because(anyhow::Error::new(source).context(format!("look at `{}`", file.display())))),
        Ok(found) if !found.is_file() => refuse("is no plain file"),
        Ok(found) if found.len() > 0 && open_backup(file).is_err() => refuse("is there, and is no backup"),
        Ok(_) => Ok(()),
    }
}

/// A number that no other backup has.
fn fresh_number() -> Result<u64> {
    let mut random = [0; 8];
    std::io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
    Ok(u64::from_le_bytes(random))
}

/// A backup that is not whole yet, under another name; goes away unless it is finished.
struct Part {
    file: fs::File,
    at: PathBuf,
    wanted: PathBuf,
    written: u64,
}

impl Part {
    fn create(wanted: &Path) -> Result<Self> {
        let mut at = wanted.as_os_str().to_owned();
        at.push(".part");
        let at = PathBuf::from(at);
        // One that is there was left by a backup that was cut off, or is somebody's.
        let _none_or_old = open_backup(&at).is_ok_and(|_| fs::remove_file(&at).is_ok());
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&at);
        Ok(Self { file: file.with_context(|| format!("make `{}`", at.display()))?, at, wanted: wanted.to_owned(), written: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| format!("write `{}`", self.at.display()))
    }

    /// On disk, read back, and only then given its name.
    fn finish(self) -> Result<Summary, Ended> {
        self.file.sync_all().with_context(|| format!("sync `{}`", self.at.display()))?;
        let summary = open_backup(&self.at)?.read(drop).map_err(BadBackup)?;
        rename_durably(&self.at, &self.wanted).with_context(|| format!("name `{}`", self.wanted.display()))?;
        Ok(summary)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _named_by_now = fs::remove_file(&self.at);
    }
}

pub fn verify(file: &Path, output: Output) -> Done {
    let backup = open_backup(file)?;
    let (summary, census) = read(&backup)?;
    let taken = Timestamp::from_second(i64::try_from(summary.taken).unwrap_or_default()).unwrap_or(Timestamp::UNIX_EPOCH);
    match output {
        Output::Json => {
            let said = json!({"revision": summary.revision.0, "taken": taken.to_string(), "census": census});
            println!("{}", serde_json::to_string_pretty(&said)?);
        }
        Output::Text => {
            println!("backup of {taken}, revision {}: every checksum matches\n", summary.revision.0);
            look::print_census(&census);
        }
    }
    look::whole(&census)
}

fn read(backup: &Backup) -> Result<(Summary, Census), BadBackup> {
    let mut census = Census::default();
    let summary = backup.read(|entry| census.add(&entry, Look::Whole)).map_err(BadBackup)?;
    Ok((summary, census))
}

pub fn restore(file: &Path, data: &Data) -> Done {
    let progress = Progress::new(false);
    let backup = open_backup(file)?;
    let data = DataDir::open(&data.data_dir)?;
    let _held = data.hold_or_refuse()?;
    let stage = progress.stage("restore");
    let (summary, revision) = irori_store::restore(&backup, &data.store()).map_err(|failed| match failed {
        OpenError::NotEmpty { .. } => Exit::WrongInput.because(failed),
        OpenError::Damaged { .. } | OpenError::Newer { .. } => Ended::from(BadBackup(failed)),
        other => other.into(),
    })?;
    stage.done(&format!("{} entries of revision {}; revisions go on at {}", summary.entries, summary.revision.0, revision.0));
    if !data.root().join("sealing.key").exists() {
        progress.note("sealed values open with the key of their time: put it at DATA/sealing.key, or name the passphrase, before the home starts");
    }
    if !data.trust().exists() {
        progress.note(
            "the home's CA is not in a backup: put the old home's DATA/trust back before the home starts, or it makes a new one",
        );
    }
    Ok(())
}
