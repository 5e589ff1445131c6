//! `irori store check` and `stats`: what a store is like.
use std::{collections::BTreeSet, path::Path};

use irori_apiserver::{
    census::{Census, Look},
    upkeep::Report,
};
use irori_runtime::SignedDuration;
use irori_store::{Checked, Content, OpenError, Stopped};
use serde::Serialize;

use super::{Home, ask_whole, folder, stopped};
use crate::{
    cli::{Done, Exit, Output, Reading},
    commands::table,
    data::DataDir,
};

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

pub fn print_census(census: &Census) {
    let row = |(kind, count): (&String, &irori_apiserver::census::Count)| {
        let sealed = if count.sealed > 0 { count.sealed.to_string() } else { String::new() };
        [kind.clone(), count.objects.to_string(), size(count.bytes), sealed]
    };
    let mut rows: Vec<[String; 4]> = census.kinds.iter().map(row).collect();
    let sealed: u64 = census.generations.values().sum();
    rows.push(["all".to_owned(), census.objects.to_string(), size(census.bytes), sealed.to_string()]);
    table::print(["KIND", "OBJECTS", "SIZE", "SEALED"], &rows);
    for (generation, count) in &census.generations {
        println!("{count} values are sealed with generation {generation}");
    }
    census.unreadable_named.iter().for_each(|said| println!("{said}"));
}

/// An error where values cannot be read.
pub fn whole(census: &Census) -> Done {
    match census.unreadable {
        0 => Ok(()),
        count => Err(Exit::Failed.because(anyhow::anyhow!("{count} values cannot be read"))),
    }
}

#[derive(Serialize)]
struct Findings {
    files: Vec<FileFound>,
    /// Each with file and offset.
    damage: Vec<String>,
    /// Not where the store does not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    census: Option<Census>,
}

#[derive(Serialize)]
struct FileFound {
    name: String,
    bytes: u64,
    holds: String,
}

pub fn check(reading: &Reading) -> Done {
    let data = DataDir::existing(&reading.data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
    let found = findings(Stopped::check(&folder(&data)?)?);
    match reading.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&found)?),
        Output::Text => print(&found),
    }
    if !found.damage.is_empty() {
        let first = anyhow::anyhow!("the store is damaged (E06: docs/errors/E06.md)");
        return Err(Exit::Failed.because(first));
    }
    whole(found.census.as_ref().unwrap_or(&Census::default()))
}

fn findings(checked: Checked) -> Findings {
    let files = checked.files.iter().map(|file| FileFound {
        name: file.name.clone(),
        bytes: file.bytes,
        holds: match (&file.damage, file.content) {
            (Some(_), _) => "damaged".to_owned(),
            (None, Content::Commits { count: 0, .. }) => "no commits yet".to_owned(),
            (None, Content::Commits { count, first, last, torn_bytes: 0 }) => format!("{count} commits, {first} to {last}"),
            (None, Content::Commits { count, first, last, torn_bytes }) => {
                format!("{count} commits, {first} to {last}; {torn_bytes} bytes of a write that did not become whole")
            }
            (None, Content::Snapshot { revision, entries }) => format!("{entries} entries at revision {revision}"),
            (None, Content::Revisions) => "the revisions handed out".to_owned(),
            (None, Content::Other) => "no part of the log".to_owned(),
        },
    });
    let files = files.collect();
    let of_files = checked.files.iter().filter_map(|file| file.damage.as_ref()).map(OpenError::to_string);
    let mut damage: BTreeSet<String> = of_files.collect();
    let store = match checked.store {
        Ok(store) => Some(store),
        Err(refused) => {
            damage.insert(refused.to_string());
            None
        }
    };
    Findings {
        files,
        damage: damage.into_iter().collect(),
        revision: store.as_ref().map(|store| store.revision().0),
        census: store.as_ref().map(|store| census(store, Look::Whole)),
    }
}

fn census(store: &Stopped, look: Look) -> Census {
    let mut census = Census::default();
    store.entries().for_each(|entry| census.add(entry, look));
    census
}

fn print(found: &Findings) {
    let rows: Vec<[String; 3]> =
        found.files.iter().map(|file| [file.name.clone(), size(file.bytes), file.holds.clone()]).collect();
    table::print(["FILE", "SIZE", "HOLDS"], &rows);
    println!();
    match (&found.census, found.revision) {
        (Some(census), Some(revision)) => {
            println!("opens at revision {revision}\n");
            print_census(census);
        }
        _ => println!("does not open"),
    }
    found.damage.iter().for_each(|said| println!("{said}"));
}

/// What the store says of itself, and what its files take.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    #[serde(flatten)]
    report: Report,
    /// Not known of a home on etcd.
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
}

/// Bytes of all files in a folder that is there.
fn disk_bytes(folder: &Path) -> Option<u64> {
    let files = std::fs::read_dir(folder).ok()?;
    Some(files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())).sum())
}

pub async fn stats(reading: &Reading, offset: SignedDuration) -> Done {
    let disk_bytes =
        disk_bytes(&DataDir::existing(&reading.data.data_dir).map_err(|error| Exit::NotRunning.because(error))?.store());
    let report = match Home::find(&reading.data, offset)? {
        Home::Running(client) => {
            let answer = ask_whole(&client, "GET", "", Vec::new()).await?;
            serde_json::from_slice(&answer)?
        }
        Home::Stopped(data) => {
            let store = stopped(&data)?;
            let (segments, snapshots) = store.counts();
            Report {
                revision: store.revision().0,
                oldest: Some(store.oldest().0),
                segments: Some(segments),
                snapshots: Some(snapshots),
                census: census(&store, Look::Heads),
                live: None,
                sealing: None,
            }
        }
    };
    let stats = Stats { report, disk_bytes };
    match reading.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&stats)?),
        Output::Text => print_stats(&stats),
    }
    Ok(())
}

fn print_stats(Stats { report, disk_bytes }: &Stats) {
    let oldest = report.oldest.map(|oldest| format!(", history from {oldest} on")).unwrap_or_default();
    println!("revision {}{oldest}", report.revision);
    if let (Some(segments), Some(snapshots)) = (report.segments, report.snapshots) {
        let disk = disk_bytes.map(|bytes| format!(", {} on the disk", size(bytes))).unwrap_or_default();
        println!("{segments} segments, {snapshots} snapshots{disk}");
    }
    if let Some(live) = &report.live {
        let full = if live.full { "; the disk is full" } else { "" };
        println!("since the start: {} of log in {} syncs{full}", size(live.written_bytes), live.syncs);
        println!("{} watchers, {} of lazy writes wait", live.watchers, size(live.lazy_bytes));
    }
    if let Some(sealing) = &report.sealing {
        let by = if sealing.by_passphrase { "a passphrase" } else { "a key file" };
        println!("generation {} seals, {} is the oldest kept; opened by {by}", sealing.newest, sealing.oldest);
    }
    println!();
    print_census(&report.census);
}
