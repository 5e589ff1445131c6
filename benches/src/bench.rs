//! `cargo xtask bench …`: what irori costs and how fast it is, measured from outside the process.
//!
//! What it is: loads and homes of their own, bounded in time, on loopback or in a network namespace made here; every run is a file in
//! `benches/runs`, every figure a line. What it is not: a test; a missed number is written down, not failed.
//! Flow: ground (binary, scratch folder) → load or home → figures → record → table in `benches/README.md`.
//! Invariant: what was started here is ended here, by its process id, also after Ctrl-C.
mod api;
mod control;
mod curl;
mod fanout;
pub mod ground;
mod home;
mod idle;
mod memory;
mod own_disk;
mod pods;
mod proc;
pub mod record;
mod start;
mod store;
mod table;
mod wants;
mod wrk;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use clap::{Args, Subcommand};

use xtask::setup;

#[derive(Subcommand)]
pub enum Bench {
    /// Creates, reads and lists of an API server alone.
    Api {
        #[command(flatten)]
        common: Common,
        /// Seconds of each create; reads and lists take a little less.
        #[arg(long, default_value_t = 8)]
        seconds: u64,
    },
    /// How long a change takes to the last of a thousand watchers.
    Fanout {
        #[command(flatten)]
        common: Common,
        /// Seconds of events, for each way to connect.
        #[arg(long, default_value_t = 20)]
        seconds: u64,
    },
    /// From the start of the process to an answer: the API alone, and a whole home.
    Start {
        #[command(flatten)]
        common: Common,
        /// How often each start is repeated; the median counts.
        #[arg(long, default_value_t = 5)]
        times: usize,
    },
    /// What a home of ten pods uses while nothing happens.
    Idle {
        #[command(flatten)]
        common: Common,
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Then so many minutes with the memory capped at 1.2 times what was used.
        #[arg(long, default_value_t = 10)]
        capped_minutes: u64,
    },
    /// What an object costs a whole home in memory, from 10,000 to 100,000 of them.
    Memory {
        #[command(flatten)]
        common: Common,
    },
    /// From a pod's creation to its readiness, image present.
    Pods {
        #[command(flatten)]
        common: Common,
        /// Pods of each series.
        #[arg(long, default_value_t = 50)]
        count: usize,
    },
    /// The embedded store beside etcd: the same clients, the same disk, one after the other.
    Store {
        #[command(flatten)]
        common: Common,
        /// Seconds of each load.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// Writes the table of `benches/README.md` anew from the newest runs.
    Table,
}

#[derive(Args)]
pub struct Common {
    /// An irori that is already built, instead of building one in release mode.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where data folders are made: a real disk, since some distributions keep /tmp in memory.
    #[arg(long, default_value = "/var/tmp")]
    scratch: PathBuf,
    /// A remark that the record carries, such as what else ran on the machine.
    #[arg(long)]
    remark: Option<String>,
    /// First wait, at most so many minutes, until nothing else uses the machine.
    #[arg(long, default_value_t = 0)]
    quiet_within: u64,
}

pub fn run(root: &Path, bench: Bench) -> Result<()> {
    control::catch_signals()?;
    match bench {
        Bench::Api { common, seconds } => {
            let ground = prepare(root, &common, false)?;
            api::run(&ground, Duration::from_secs(seconds))?;
        }
        Bench::Fanout { common, seconds } => fanout::run(&prepare(root, &common, false)?, Duration::from_secs(seconds))?,
        Bench::Start { common, times } => start::run(&prepare(root, &common, true)?, times)?,
        Bench::Idle { common, minutes, capped_minutes } => {
            let kubectl = setup::kubectl(root)?;
            let ground = prepare(root, &common, true)?;
            idle::run(&ground, &kubectl, Duration::from_secs(60 * minutes), Duration::from_secs(60 * capped_minutes))?;
        }
        Bench::Memory { common } => memory::run(&prepare(root, &common, true)?)?,
        Bench::Pods { common, count } => pods::run(&prepare(root, &common, true)?, count)?,
        Bench::Store { common, seconds } => {
            // The kit takes it from there.
            setup::etcd(root)?;
            let driver = store::build(root)?;
            let ground = ground::Ground::with(root, &driver, &common.scratch, common.remark.clone())?;
            control::wait_quiet(Duration::from_secs(60 * common.quiet_within))?;
            store::run(&ground, Duration::from_secs(seconds))?;
        }
        Bench::Table => {}
    }
    table::write(root)
}

fn prepare(root: &Path, common: &Common, home: bool) -> Result<ground::Ground> {
    if home {
        anyhow::ensure!(setup::is_root(), "a home needs root: run this bench as root");
    }
    setup::ensure(&setup::TO_RUN)?;
    setup::ensure(&setup::TO_BENCH)?;
    let ground = ground::Ground::prepare(root, common.binary.as_deref(), &common.scratch, common.remark.clone())?;
    control::wait_quiet(Duration::from_secs(60 * common.quiet_within))?;
    Ok(ground)
}
