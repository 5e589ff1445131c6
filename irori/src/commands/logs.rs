//! `irori logs`.
use std::{
    io::{Read, Write},
    os::unix::fs::MetadataExt,
    time::Duration,
};

use anyhow::Context as _;
use futures::{AsyncBufReadExt, TryStreamExt};
use irori_home::NAMESPACE;
use irori_runtime::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};

use super::{admin_client, running};
use crate::{
    assemble,
    cli::{Done, Exit, Logs},
    data::DataDir,
};

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub fn run(logs: Logs, offset: SignedDuration) -> Done {
    match &logs.app {
        Some(app) => assemble::runtime()?.block_on(of_app(app, &logs, offset)),
        None => own(&logs),
    }
}

/// What irori wrote when it was started with --detach.
fn own(logs: &Logs) -> Done {
    let data = DataDir::existing(&logs.data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
    let path = data.log();
    if !path.exists() {
        let told = anyhow::anyhow!(
            "irori keeps no log of its own here: it was started in the foreground, or its log is in the journal (`journalctl -u irori`)"
        );
        return Err(Exit::Failed.because(told));
    }
    let mut file = std::fs::File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).with_context(|| format!("read `{}`", path.display()))?;
    let mut out = std::io::stdout().lock();
    out.write_all(last_lines(&text, logs.tail))?;
    out.flush()?;
    if !logs.follow {
        return Ok(());
    }
    loop {
        text.clear();
        // The old one was put aside: the new one is read from its start.
        let held = file.metadata()?.ino();
        if std::fs::metadata(&path).is_ok_and(|named| named.ino() != held) {
            file = std::fs::File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
        }
        if file.read_to_end(&mut text).with_context(|| format!("read `{}`", path.display()))? == 0 {
            std::thread::sleep(LOOK_EVERY);
        }
        out.write_all(&text)?;
        out.flush()?;
    }
}

/// The last so many lines of a text; all without a number.
fn last_lines(text: &[u8], tail: Option<i64>) -> &[u8] {
    let Some(tail) = tail else { return text };
    let wanted = usize::try_from(tail).unwrap_or(0);
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let skipped: usize = lines.iter().take(lines.len().saturating_sub(wanted)).map(|line| line.len()).sum();
    &text[skipped..]
}

async fn of_app(app: &str, logs: &Logs, offset: SignedDuration) -> Done {
    let (data, running) = running(&logs.data.data_dir)?;
    let pods: Api<Pod> = Api::namespaced(admin_client(&data, &running, offset)?, NAMESPACE);
    let found = pods.list(&ListParams::default().labels(&format!("irori.dev/app={app}"))).await?;
    if found.items.is_empty() {
        return Err(Exit::WrongInput.because(anyhow::anyhow!("no pod of an app `{app}`; `irori status` lists the apps")));
    }
    let several = found.items.len() > 1;
    let streams = found.items.iter().map(|pod| {
        let (pods, name) = (pods.clone(), pod.name_any());
        let parameters = LogParams { follow: logs.follow, tail_lines: logs.tail, ..LogParams::default() };
        async move {
            let printed = print_log(&pods, &name, &parameters, several).await;
            // One pod that has not started is no reason to hide what the others say.
            printed.map_err(|error| eprintln!("irori: {name}: {error}"))
        }
    });
    let ended = futures::future::join_all(streams).await;
    if ended.iter().all(Result::is_err) {
        return Err(Exit::Failed.because(anyhow::anyhow!("no pod of app `{app}` has a log; `irori status` says how they are")));
    }
    Ok(())
}

/// Prints the log of a pod to its end; the error is what the API says.
async fn print_log(pods: &Api<Pod>, name: &str, parameters: &LogParams, several: bool) -> Result<(), String> {
    let said = |error: kube::Error| match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    };
    let mut lines = pods.log_stream(name, parameters).await.map_err(said)?.lines();
    while let Some(line) = lines.try_next().await.map_err(|source| source.to_string())? {
        let mut out = std::io::stdout().lock();
        let written = if several { writeln!(out, "{name}  {line}") } else { writeln!(out, "{line}") };
        written.map_err(|source| source.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_whole_lines() {
        let text = b"one\ntwo\nthree\n";
        for (tail, wanted) in
            [(None, "one\ntwo\nthree\n"), (Some(2), "two\nthree\n"), (Some(0), ""), (Some(9), "one\ntwo\nthree\n")]
        {
            assert_eq!(last_lines(text, tail), wanted.as_bytes());
        }
        assert_eq!(last_lines(b"one\npart", Some(1)), b"part");
    }
}
