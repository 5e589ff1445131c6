//! The binary: composition root and command line. The only crate that knows all others, and the only place of wiring.
//!
//! Flow of `irori up`: read the home file -> check the machine -> open the data folder -> start server, node and platform -> apply the
//! home -> print the table -> wait. Each command has a file of its own; `assemble` puts the rooms together.
//! Invariant: no rules of Kubernetes and none of the platform live here.
mod api;
mod assemble;
mod cli;
mod commands;
mod data;
mod errors;
mod machine;
mod progress;

use std::process::ExitCode;

use clap::Parser;

/// docs/adr/0008-allocator.md says why not the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // containerd runs us as the CNI plugin, under that name; it must answer fast and print nothing else.
    let called_as = std::env::args().next().unwrap_or_default();
    if irori_network::cni::is_called_as(&called_as) {
        let variable = |name: &str| std::env::var(name).ok();
        return ExitCode::from(irori_network::cni::main(&variable, &mut std::io::stdin(), &mut std::io::stdout()));
    }
    cli::run(cli::Arguments::parse())
}
