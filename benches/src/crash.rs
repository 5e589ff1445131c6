//! `cargo xtask crash`: power cuts on the simulated disk and kill -9 of the real binary under 16 writers, linearizability, damaged files;
//! for as long as one likes, each beside its negative controls.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::Args;
use irori_runtime::{Clock, SignedDuration, Timestamp};
use irori_store::{
    EtcdSettings,
    sim::{
        Dice,
        campaign::{self, Control, End},
        damage,
        linear::{self, Planted},
    },
};
use irori_testkit::{
    Etcd,
    kills::{self, Plan},
};

use crate::bench::{ground::Ground, record::Record};

const WRITERS: usize = 16;
/// Power cuts of one store.
const CYCLES_PER_STORE: u64 = 100;

#[derive(Args)]
pub struct Crash {
    /// So many crashes in all, half of them power cuts and half kill -9; instead of `--power-cuts` and `--kills`.
    #[arg(long)]
    cycles: Option<u32>,
    /// Power cuts on the simulated disk.
    #[arg(long, default_value_t = 200)]
    power_cuts: u32,
    /// kill -9 of `irori api` under writers over https.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Random operations of ten clients, with a hundred crashes in between, checked for linearizability.
    #[arg(long, default_value_t = 100_000)]
    operations: u64,
    /// The same on etcd, with one member and with three, whose members are killed and frozen twenty times.
    #[arg(long, default_value_t = 10_000)]
    etcd_operations: u64,
    /// Random mutations of a store's files, each to be noticed or harmless.
    #[arg(long, default_value_t = 1_000)]
    mutations: u64,
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
    // The kit takes it from there.
    xtask::setup::etcd(root)?;
    let ground = Ground::prepare(root, crash.binary.as_deref(), &crash.scratch, crash.remark.clone())?;
    let mut record = Record::of("crash", "cargo xtask crash", &ground)?;
    let outcome = crashes(&ground, &mut record, crash, power_cuts, kills);
    record.finish(outcome)
}

fn crashes(ground: &Ground, record: &mut Record, crash: &Crash, power_cuts: u32, kills: u32) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build().context("start a runtime")?;
    let mut judge = Judge { record, breaches: 0, blind: Vec::new() };
    if power_cuts > 0 {
        let report = runtime.block_on(cut(power_cuts.into(), crash.seed));
        judge.promise("power cuts on the simulated disk, 16 writers", &report, &report.breaches);
        for control in Control::ALL {
            let report = runtime.block_on(campaign::run(20, End::PowerCut, Some(control), crash.seed));
            judge.control(&format!("power cuts, negative control {control:?}"), &report, &report.breaches);
        }
    }
    if crash.operations > 0 {
        let plan = linear::Plan { clients: 10, operations: crash.operations, crashes: 100, seed: crash.seed, planted: None };
        let report = runtime.block_on(linear::run(plan));
        judge.promise("linearizability, 10 clients", &report, &report.breaches);
        for planted in Planted::ALL {
            let plan = linear::Plan { operations: 20_000, crashes: 5, planted: Some(planted), ..plan };
            let report = runtime.block_on(linear::run(plan));
            judge.control(&format!("linearizability, negative control {planted:?}"), &report, &report.breaches);
        }
    }
    if crash.etcd_operations > 0 {
        for members in [1, 3] {
            let report = runtime.block_on(on_etcd(members, crash.etcd_operations, crash.seed));
            judge.promise(&format!("linearizability on etcd, {members} members, 10 clients"), &report, &report.breaches);
        }
    }
    if crash.mutations > 0 {
        let report = runtime.block_on(damage::run(crash.mutations, crash.seed)).map_err(anyhow::Error::msg)?;
        judge.promise("damaged files", &report, &report.lies);
    }
    if kills > 0 {
        let plan =
            Plan { cycles: kills, writers: WRITERS, seed: crash.seed, plant_loss: false, scratch: ground.scratch(), words: &[] };
        let report = kills::run(&ground.irori, plan, &|said| println!("{said}"));
        judge.promise("kill -9 of `irori api`, 16 writers over https", &report, &report.breaches);
        let report = kills::run(&ground.irori, Plan { cycles: 3, plant_loss: true, ..plan }, &|_| {});
        judge.control("kill -9, negative control: a store put back by one life", &report, &report.breaches);
    }
    judge.verdict()
}

/// Power cuts, with a new store now and then: a life has to read all of its log, which grows with each.
async fn cut(cycles: u64, seed: u64) -> campaign::Report {
    let mut all = campaign::Report::default();
    while all.crashes < cycles && all.breaches.is_empty() {
        let next = (cycles - all.crashes).min(CYCLES_PER_STORE);
        let report = campaign::run(next, End::PowerCut, None, seed + all.crashes).await;
        all.crashes += report.crashes;
        all.acknowledged += report.acknowledged;
        all.unanswered += report.unanswered;
        all.syncs += report.syncs;
        all.newest = all.newest.max(report.newest);
        all.breaches.extend(report.breaches);
    }
    all
}

async fn on_etcd(members: usize, operations: u64, seed: u64) -> linear::Report {
    let mut etcd = Etcd::start(members, &[], None);
    let (endpoints, clock) = (etcd.endpoints(), Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO));
    let settings = || EtcdSettings::at(endpoints.clone(), "/irori/crash", clock.clone());
    let mut disturb = |dice: &mut Dice| etcd.disturb(dice.below(1_000));
    let plan = linear::Plan { clients: 10, operations, crashes: 20, seed, planted: None };
    linear::run_on(&mut linear::OnEtcd { settings: &settings, disturb: &mut disturb }, plan).await
}

/// Writes down what came of each campaign.
struct Judge<'a> {
    record: &'a mut Record,
    breaches: usize,
    /// Negative controls that reported nothing.
    blind: Vec<String>,
}

impl Judge<'_> {
    fn promise(&mut self, what: &str, report: &dyn fmt::Display, breaches: &[String]) {
        self.record.note(what, &report.to_string());
        breaches.iter().for_each(|breach| self.record.note("breach", breach));
        self.breaches += breaches.len();
    }

    fn control(&mut self, what: &str, report: &dyn fmt::Display, breaches: &[String]) {
        self.record.note(what, &report.to_string());
        match breaches.first() {
            Some(first) => self.record.note("it says", first),
            None => self.blind.push(what.to_owned()),
        }
    }

    fn verdict(self) -> Result<()> {
        if !self.blind.is_empty() {
            bail!("negative controls that report no loss, so that these checks prove nothing: {}", self.blind.join("; "));
        }
        if self.breaches > 0 {
            bail!("{} promises were broken", self.breaches);
        }
        self.record.note("verdict", "0 lost");
        Ok(())
    }
}
