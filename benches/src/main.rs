//! What `cargo xtask bench` and `cargo xtask crash` run: measurements of irori from outside, and crash campaigns, each recorded in
//! `benches/runs`.
mod bench;
mod crash;

use std::{path::Path, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Measures irori, or crashes it, and records the run in benches/runs")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Cuts the power and kills irori under 16 writers, checks that no acknowledged write is lost, and records the run in benches/runs.
    Crash(crash::Crash),
    /// Measures irori and records the run in benches/runs (benches/README.md says what each bench is).
    #[command(subcommand)]
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches lies in the workspace");
    let outcome = match Arguments::parse().command {
        Command::Crash(crash) => crash::run(root, &crash),
        Command::Bench(bench) => bench::run(root, bench),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
