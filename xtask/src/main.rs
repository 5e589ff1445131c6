//! The commands people type: `cargo xtask --help` lists them.
mod bootstrap;
mod commands;
mod layers;
mod tables;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The commands people type while working on Irori")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sets the machine up, builds irori and brings examples/home.yaml up in the foreground.
    Up {
        /// Another home file.
        #[arg(default_value = "examples/home.yaml")]
        home: PathBuf,
        /// More arguments of `irori up`, such as `--data-dir DIR` or `--detach`.
        #[arg(last = true)]
        rest: Vec<String>,
    },
    /// Sets the machine up and runs every test.
    Test {
        /// Arguments of `cargo nextest run`, such as `-p irori-store` or a test's name.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Plays rounds of mutated objects and patches, and weighs hostile input, in release mode (base/rules/tests/fuzz).
    Fuzz {
        /// Rounds; some 10,000 take a second.
        #[arg(long, default_value_t = 200_000)]
        rounds: u64,
        /// Of the first round; the others follow.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Of hostile inputs only those whose names start so.
        #[arg(long, default_value = "")]
        hostile: String,
    },
    /// Checks the rules of the house: imports, names, sizes.
    Layers,
    /// Checks the licences, sources and bans of all dependencies (deny.toml).
    Deny,
    /// Writes the tables of the built-in kinds (base/api/tables) anew from recorded facts of the Kubernetes API.
    Tables {
        /// Folder with the recorded facts (*.json.gz).
        #[arg(long, default_value = "../shared/kubernetes-1.36")]
        from: PathBuf,
        /// Folder to write to.
        #[arg(long, default_value = "base/api/tables")]
        to: PathBuf,
    },
    /// Writes the objects that every cluster starts with (engine/apiserver/src/bootstrap/objects.txt) anew from the same facts.
    Bootstrap {
        /// Folder with the recorded facts (*.json.gz).
        #[arg(long, default_value = "../shared/kubernetes-1.36")]
        from: PathBuf,
    },
    /// Cuts the power and kills irori under 16 writers, checks that no acknowledged write is lost, and records the run in benches/runs.
    #[command(disable_help_flag = true)]
    Crash(Passed),
    /// Measures irori and records the run in benches/runs (benches/README.md says what each bench is).
    #[command(disable_help_flag = true)]
    Bench(Passed),
}

/// What the package `irori-benches` reads: `--help` there says more.
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the workspace");
    match Arguments::parse().command {
        Command::Up { home, rest } => commands::up(root, &home, &rest),
        Command::Test { rest } => commands::test(root, &rest),
        Command::Fuzz { rounds, seed, hostile } => commands::fuzz(root, rounds, seed, &hostile),
        Command::Layers => layers::run(root),
        Command::Deny => commands::deny(root),
        Command::Tables { from, to } => tables::write(&from, &to),
        Command::Bootstrap { from } => bootstrap::run(root, &from),
        Command::Crash(passed) => commands::benches(root, "crash", &passed.arguments),
        Command::Bench(passed) => commands::benches(root, "bench", &passed.arguments),
    }
}
