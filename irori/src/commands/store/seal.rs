//! `irori store seal`: the keys that seal values at rest, of a running home.
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use irori_runtime::SignedDuration;
use irori_trust::seal::{key_text, make_next_key, take_next_key};
use kube::Client;
use serde_json::{Value, json};

use super::{Seal, ask, ask_whole};
use crate::{
    cli::{Data, Done},
    commands::{admin_client, running},
    data::DataDir,
    progress::Progress,
};

pub async fn run(seal: &Seal, offset: SignedDuration) -> Done {
    let (Seal::Rotate(data) | Seal::Reseal(data) | Seal::Retire(data) | Seal::Key { data, .. }) = seal;
    let (data, client) = client(data, offset)?;
    let progress = Progress::new(false);
    match seal {
        Seal::Rotate(_) => {
            let stage = progress.stage("rotate");
            let generation = generation(&client, "/seal/rotate").await?;
            stage.done(&format!("generation {generation} seals what is written from now on"));
        }
        Seal::Retire(_) => {
            let stage = progress.stage("retire");
            let generation = generation(&client, "/seal/retire").await?;
            stage.done(&format!("generation {generation} alone is left"));
        }
        Seal::Reseal(_) => reseal(&client, &progress).await?,
        Seal::Key { passphrase_file: Some(file), .. } => to_passphrase(&client, file, &progress).await?,
        Seal::Key { key_file, .. } => {
            let file = key_file.clone().unwrap_or_else(|| data.root().join("sealing.key"));
            to_key_file(&client, &file, &progress).await?;
        }
    }
    Ok(())
}

fn client(data: &Data, offset: SignedDuration) -> Result<(DataDir, Client), crate::cli::Ended> {
    let (data, running) = running(&data.data_dir)?;
    let client = admin_client(&data, &running, offset)?;
    Ok((data, client))
}

async fn generation(client: &Client, below: &str) -> Result<u64> {
    let said: Value = serde_json::from_slice(&ask_whole(client, "POST", below, Vec::new()).await?)?;
    said["generation"].as_u64().context("the home did not say which generation")
}

async fn reseal(client: &Client, progress: &Progress) -> Result<()> {
    let stage = progress.stage("reseal");
    let mut lines = ask(client, "POST", "/seal/reseal", Vec::new()).await?.lines();
    while let Some(line) = lines.try_next().await.context("read how far the home has got")? {
        let said: Value = serde_json::from_str(&line)?;
        if let Some(error) = said["error"].as_str() {
            bail!("{error}");
        }
        let told = format!("{} sealed anew, {} opened, {} left as they are", said["changed"], said["opened"], said["left"]);
        if said["done"] != true {
            stage.now(&told);
            continue;
        }
        stage.done(&told);
        if said["left"] != 0 {
            bail!("some values did not open, or were written all the time: the log names those that do not open; run it again");
        }
        return Ok(());
    }
    bail!("the home broke off: run it again, it goes on where it has got to")
}

async fn to_passphrase(client: &Client, file: &Path, progress: &Progress) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("read `{}`", file.display()))?;
    let stage = progress.stage("key");
    let body = json!({"passphrase": text.lines().next().unwrap_or_default()});
    ask_whole(client, "POST", "/seal/key", body.to_string().into()).await?;
    stage.done("the passphrase opens the store from now on");
    progress.note("start the home with --sealing-passphrase-file; older backups still need the old key");
    Ok(())
}

/// The new key is on the disk before the store is changed: a crash in between is ended by the next start, or by the same command again.
async fn to_key_file(client: &Client, file: &Path, progress: &Progress) -> Result<()> {
    let stage = progress.stage("key");
    let key = make_next_key(file)?;
    ask_whole(client, "POST", "/seal/key", json!({"key": key_text(&key)}).to_string().into()).await?;
    take_next_key(file)?;
    stage.done(&format!("`{}` opens the store from now on", file.display()));
    progress.note("keep a copy elsewhere; older backups still need the old key");
    Ok(())
}
