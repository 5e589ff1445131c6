//! `cargo xtask crash`: power cuts on the simulated disk and kill -9 of the real binary, under 16 writers, for as long as one likes.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use irori_store::sim::campaign::{self, End};
use irori_testkit::kills::{self, Plan};

use crate::bench::{ground::Ground, record::Record};

const WRITERS: usize = 16;

#[derive(Args)]
pub struct Crash {
    /// So many crashes in all, half of them power cuts and half kill -9; instead of the two below.
    #[arg(long)]
    cycles: Option<u32>,
    /// Power cuts on the simulated disk.
    #[arg(long, default_value_t = 200)]
    power_cuts: u32,
    /// kill -9 of `irori api` under writers over https.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Chance repeats itself from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// An irori that is already built, instead of building one in release mode.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data folders are made: a real disk, since some distributions keep /tmp in memory.
    #[arg(long, default_value = "/var/tmp")]
    scratch: PathBuf,
    /// A remark that the record carries, such as what else ran on the machine.
    #[arg(long)]
    remark: Option<String>,
}

pub fn run(root: &Path, crash: &Crash) -> Result<()> {
    let (power_cuts, kills) = crash.cycles.map_or((crash.power_cuts, crash.kills), |all| (all - all / 2, all / 2));
    let ground = Ground::prepare(root, crash.binary.as_deref(), &crash.scratch, crash.remark.clone())?;
    let mut record = Record::of("crash", "cargo xtask crash", &ground)?;
    let outcome = crashes(&ground, &mut record, power_cuts, kills, crash.seed);
    record.finish(outcome)
}

fn crashes(ground: &Ground, record: &mut Record, power_cuts: u32, kills: u32, seed: u64) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().context("start a runtime")?;
    let report = runtime.block_on(campaign::run(power_cuts.into(), End::PowerCut, false));
    record.note("power cuts on the simulated disk, 16 writers", &report.to_string());
    let mut breaches = report.breaches;
    let lying = runtime.block_on(campaign::run(20, End::PowerCut, true));
    record.note("negative control, syncs that do nothing", &lying.to_string());

    let plan = Plan { cycles: kills, writers: WRITERS, seed, plant_loss: false, scratch: ground.scratch() };
    let report = kills::run(&ground.irori, plan, &|said| println!("{said}"));
    record.note("kill -9 of `irori api`, 16 writers over https", &report.to_string());
    breaches.extend(report.breaches);
    let planted = kills::run(&ground.irori, Plan { cycles: 3, plant_loss: true, ..plan }, &|_| {});
    record.note("negative control, a store put back by one life", &planted.to_string());

    let said = [&lying.breaches, &planted.breaches].into_iter().filter_map(|control| control.first());
    said.for_each(|breach| record.note("a negative control says", breach));
    breaches.iter().for_each(|breach| record.note("breach", breach));
    if lying.breaches.is_empty() || planted.breaches.is_empty() {
        bail!("a negative control reports no loss: these checks prove nothing");
    }
    if !breaches.is_empty() {
        bail!("{} promises were broken", breaches.len());
    }
    Ok(())
}
