//! Irori as its own CNI plugin (CNI specification 1.0.0 and 0.4.0; 0.3.1, whose results look like those of 0.4.0, for runtimes
//! that set `lo` up with it).
//!
//! What it is: the entrance for a process that a container runtime started as `irori-cni` (one routed veth per pod) or
//! `loopback` (sets `lo` up, which runtimes ask of a plugin of that name).
//! What it is not: it starts no event loop, reads no Kubernetes object, logs nothing. It lives for some milliseconds.
//! Flow: environment and configuration -> lease -> veth -> pod's side -> host's side -> result on standard output.
//! Invariants: ADD again gives the same answer; DEL of what is gone succeeds; a failed ADD leaves nothing.
//! Limits: 1 MiB of configuration.
mod answer;
mod attach;
mod config;
mod install;

use std::io::{Read, Write};

pub use answer::CniError;
pub use install::{InstallError, conflist, install};

use answer::{Code, error_json};
use config::{Call, Command, NetworkConfig};

/// The plugin's name in the network configuration and in the plugin folder.
pub const PLUGIN: &str = "irori-cni";
/// The plugin that runtimes call to set a pod's `lo` up.
pub const LOOPBACK: &str = "loopback";
/// The versions of the specification that are spoken, oldest first.
pub const VERSIONS: [&str; 3] = ["0.3.1", "0.4.0", "1.0.0"];
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Whether a process of this name was started to be the plugin.
pub fn is_called_as(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some(PLUGIN | LOOPBACK))
}

/// Serves one call of the plugin; returns the exit code. The environment, input and output are arguments so that a test can be
/// the runtime.
pub fn main(env: &dyn Fn(&str) -> Option<String>, stdin: &mut dyn Read, stdout: &mut dyn Write) -> u8 {
    let mut version = VERSIONS[VERSIONS.len() - 1].to_owned();
    let done = serve(env, stdin, &mut version);
    let (text, exit) = match done {
        Ok(answer) => (answer.unwrap_or_default(), 0),
        Err(error) => (error_json(&version, &error), 1),
    };
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => exit,
        Err(_) => 1,
    }
}

fn serve(env: &dyn Fn(&str) -> Option<String>, stdin: &mut dyn Read, version: &mut String) -> Result<Option<String>, CniError> {
    let command = config::command(env)?;
    let mut input = Vec::new();
    stdin
        .take(CONFIG_BYTES_MAX)
        .read_to_end(&mut input)
        .map_err(|e| CniError::new(Code::Io, "read the network configuration").because(e))?;
    if command == Command::Version {
        return Ok(Some(answer::versions(&input)));
    }
    let config = NetworkConfig::parse(&input)?;
    version.clone_from(&config.cni_version);
    let call = Call::read(command, env)?;
    match config.kind.as_str() {
        PLUGIN => attach::serve(&call, &config),
        LOOPBACK => attach::serve_loopback(&call, &config),
        other => Err(CniError::new(Code::Config, format!("serve the plugin type `{other}`: it is {PLUGIN} or {LOOPBACK}"))),
    }
}
