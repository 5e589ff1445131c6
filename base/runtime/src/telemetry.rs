//! The process's log: one subscriber, to standard error.
use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// Installs the subscriber. `filter` is a tracing filter such as `info` or `info,irori_store=debug`.
///
/// Called once, by the binary; a second call changes nothing.
pub fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).with_target(true);
    let _already_set = tracing_subscriber::registry().with(filter).with(layer).try_init();
}
