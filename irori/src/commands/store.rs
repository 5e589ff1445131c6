//! `irori store …`: what an operator does with the store. A running home is asked through its API; a stopped one is read from its folder,
//! which nothing here changes but `restore`.
mod backup;
mod dump;
mod look;
mod seal;

use std::{path::PathBuf, pin::Pin};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use futures::{AsyncBufRead, AsyncReadExt as _};
use irori_runtime::SignedDuration;
use irori_store::{Backup, OpenError, Stopped};
use kube::Client;

use super::admin_client;
use crate::{
    assemble,
    cli::{Data, Done, Ended, Exit, Output, Reading},
    data::DataDir,
};

#[derive(Subcommand, Clone)]
pub enum Store {
    /// Writes all objects as they are now into one file; the home may be running or stopped.
    Backup {
        /// Where to. What is there is replaced once the new backup is whole.
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Reads a backup to its end and tells what is in it.
    Verify {
        file: PathBuf,
        #[arg(long, short, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Makes the store of a backup in a data folder that has none.
    Restore {
        file: PathBuf,
        #[command(flatten)]
        data: Data,
    },
    /// Reads every file and every value of a stopped home's store, and tells what is damaged. Changes nothing.
    Check(Reading),
    /// Prints the objects of a stopped home or of a backup; what is secret is left out.
    Dump(Dump),
    /// Tells how large the store is and what is in it; the home may be running or stopped.
    Stats(Reading),
    /// Keys that seal values at rest, of a running home.
    #[command(subcommand)]
    Seal(Seal),
}

impl Store {
    /// Whether it does nothing but print.
    pub fn only_tells(&self) -> bool {
        matches!(self, Self::Verify { .. } | Self::Check(_) | Self::Dump(_) | Self::Stats(_))
    }
}

#[derive(Args, Clone)]
pub struct Dump {
    /// A backup; without it, the store of the data folder.
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub data: Data,
    /// Only what is stored below this, such as `core/configmaps/default/`.
    #[arg(long, default_value = "")]
    pub prefix: String,
    /// Prints what is secret too: opens sealed values with the home's key.
    #[arg(long)]
    pub reveal: bool,
    /// The key that seals at rest; DATA/sealing.key by default.
    #[arg(long, value_name = "FILE", requires = "reveal", conflicts_with = "sealing_passphrase_file")]
    pub sealing_key_file: Option<PathBuf>,
    /// A file with the passphrase that seals at rest.
    #[arg(long, value_name = "FILE", requires = "reveal")]
    pub sealing_passphrase_file: Option<PathBuf>,
    /// Text is YAML documents, json an object a line.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Subcommand, Clone)]
pub enum Seal {
    /// Begins a new generation of data keys: what is written from now on is sealed with it.
    Rotate(Data),
    /// Seals all values with the newest generation, or opens those that are no longer to be sealed. May be cut off and repeated.
    Reseal(Data),
    /// Forgets all older generations of data keys. Refused as long as a value is sealed with one.
    Retire(Data),
    /// Changes what opens the store: a new key file, or a passphrase. The next start of the home needs that.
    Key {
        /// A file with the new passphrase in its first line; without it, a new key file is made in the place of the old one.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// The key file that is made; DATA/sealing.key by default.
        #[arg(long, value_name = "FILE", conflicts_with = "passphrase_file")]
        key_file: Option<PathBuf>,
        #[command(flatten)]
        data: Data,
    },
}

pub fn run(store: Store, offset: SignedDuration) -> Done {
    assemble::runtime()?.block_on(carry_out(store, offset))
}

async fn carry_out(store: Store, offset: SignedDuration) -> Done {
    match store {
        Store::Backup { file, data } => backup::backup(&file, &data, offset).await,
        Store::Verify { file, output } => backup::verify(&file, output),
        Store::Restore { file, data } => backup::restore(&file, &data),
        Store::Check(reading) => look::check(&reading),
        Store::Dump(dump) => dump::run(&dump),
        Store::Stats(reading) => look::stats(&reading, offset).await,
        Store::Seal(seal) => seal::run(&seal, offset).await,
    }
}

/// A backup that cannot be used: where the reader of an error finds what to do.
#[derive(Debug)]
pub struct BadBackup(OpenError);

impl std::fmt::Display for BadBackup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("read the backup")
    }
}

impl std::error::Error for BadBackup {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Opens a backup that has to be there.
fn open_backup(file: &std::path::Path) -> Result<Backup, Ended> {
    let opened = irori_store::disk::open_file(file).with_context(|| format!("open backup `{}`", file.display()));
    let opened = opened.map_err(|error| Exit::WrongInput.because(error))?;
    Ok(Backup::open(opened, &file.display().to_string()).map_err(BadBackup)?)
}

/// The folder of a store that is there.
fn folder(data: &DataDir) -> Result<PathBuf, Ended> {
    let folder = data.store();
    if folder.is_dir() {
        return Ok(folder);
    }
    let told = anyhow::anyhow!("no store in `{}`; a home on etcd is asked while it runs", folder.display());
    Err(Exit::NotRunning.because(told))
}

/// The store of a home that does not run.
fn stopped(data: &DataDir) -> Result<Stopped, Ended> {
    Ok(Stopped::open(&folder(data)?)?)
}

/// Where the store of a data folder can be asked.
enum Home {
    Running(Client),
    Stopped(DataDir),
}

impl Home {
    fn find(data: &Data, offset: SignedDuration) -> Result<Self, Ended> {
        let data = DataDir::existing(&data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
        match data.running()? {
            Some(running) => Ok(Self::Running(admin_client(&data, &running, offset)?)),
            None => Ok(Self::Stopped(data)),
        }
    }
}

/// A request to the running home's endpoint for its store; the answer as it comes.
async fn ask(client: &Client, method: &str, below: &str, body: Vec<u8>) -> Result<Pin<Box<dyn AsyncBufRead>>> {
    let path = format!("{}{below}", irori_apiserver::upkeep::ROOT);
    let request = http::Request::builder().method(method).uri(&path).header("Content-Type", "application/json").body(body)?;
    let answer = client.request_stream(request).await.map_err(|failed| match failed {
        kube::Error::Api(status) => anyhow::anyhow!("{}", status.message),
        other => anyhow::Error::new(other).context(format!("ask the home for {path}")),
    })?;
    Ok(Box::pin(answer))
}

/// The same, read to its end.
async fn ask_whole(client: &Client, method: &str, below: &str, body: Vec<u8>) -> Result<Vec<u8>> {
    let mut answer = ask(client, method, below, body).await?;
    let mut bytes = Vec::new();
    answer.read_to_end(&mut bytes).await.context("read the home's answer")?;
    Ok(bytes)
}
