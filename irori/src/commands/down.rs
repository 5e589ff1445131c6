//! `irori down`: ends the home's pods, network and processes. The data stays.
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use irori_runtime::SignedDuration;
use nix::{sys::signal, unistd::Pid};

use crate::{
    assemble::{self, Context, node},
    cli::{Done, Down, Exit},
    commands::up::remove_service,
    data::{DataDir, Held},
    progress::Progress,
};

/// What irori gets to end by itself before it is killed.
const END_MAX: Duration = Duration::from_secs(30);

pub fn run(down: Down, offset: SignedDuration) -> Done {
    let data = DataDir::existing(&down.data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
    if !crate::machine::is_root() {
        return Err(Exit::MachineLacks.because(anyhow::anyhow!("ending pods needs root: run the same command with sudo")));
    }
    let progress = Progress::new(false);
    let stage = progress.stage("irori");
    let held = end_process(&data)?;
    stage.done("ended");
    assemble::runtime()?.block_on(clear(&data, Duration::from_secs(down.grace), &progress, offset))?;
    drop(held);
    progress.note(&format!("the data stays in `{}`; `irori up` brings the home back", data.root().display()));
    Ok(())
}

/// Ends the process that holds the folder, and holds it instead.
fn end_process(data: &DataDir) -> Result<Held> {
    remove_service(data)?;
    let deadline = Instant::now() + END_MAX;
    let mut asked = false;
    loop {
        if let Some(held) = data.hold()? {
            data.withdraw();
            return Ok(held);
        }
        if let Some(pid) = data.holder().filter(|_| !asked) {
            ensure!(runs_a_home(pid), "process {pid} holds `{}` and is no home: end it first", data.root().display());
            match signal::kill(Pid::from_raw(pid), signal::Signal::SIGTERM) {
                // It ended by itself just now.
                Err(nix::errno::Errno::ESRCH) => {}
                asking => asking.with_context(|| format!("ask process {pid} to end"))?,
            }
            asked = true;
        }
        if Instant::now() >= deadline {
            bail!("the process that holds `{}` did not end in {} s", data.root().display(), END_MAX.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a process is a home or a part of one, rather than a command that only looks into the folder.
fn runs_a_home(pid: i32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0).skip(1);
    words.any(|word| [b"up".as_slice(), b"server", b"node", b"gateway"].contains(&word))
}

async fn clear(data: &DataDir, grace: Duration, progress: &Progress, offset: SignedDuration) -> Result<()> {
    let context = Context::new(data.clone(), offset)?;
    let stage = progress.stage("pods");
    let ended = node::end_pods(&context, grace).await?;
    stage.done(&format!("{ended} ended"));
    let stage = progress.stage("network");
    node::remove_network(&context).await?;
    stage.done("links, routes and rules removed");
    context.end(None).await;
    Ok(())
}
