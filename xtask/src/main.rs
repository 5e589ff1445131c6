//! The commands people type: `cargo xtask --help` lists them.
mod tables;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The commands people type while working on Irori")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes the tables of the built-in kinds (base/api/tables) anew from recorded facts of the Kubernetes API.
    Tables {
        /// Folder with the recorded facts (*.json.gz).
        #[arg(long, default_value = "../shared/kubernetes-1.36")]
        from: PathBuf,
        /// Folder to write to.
        #[arg(long, default_value = "base/api/tables")]
        to: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Tables { from, to } => tables::write(&from, &to),
    }
}
