//! `irori logs`.
use std::io::{BufRead, Write};

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
    let file = std::fs::File::open(&path).with_context(|| format!("open `{}`", path.display()))?;
    let lines: Vec<String> = std::io::BufReader::new(file).lines().collect::<Result<_, _>>()?;
    let skip = logs.tail.map_or(0, |tail| lines.len().saturating_sub(usize::try_from(tail).unwrap_or(0)));
    let mut out = std::io::stdout().lock();
    for line in &lines[skip..] {
        writeln!(out, "{line}")?;
    }
    if logs.follow {
        let told = anyhow::anyhow!("following irori's own log is `tail -f {}`", path.display());
        return Err(Exit::WrongInput.because(told));
    }
    Ok(())
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
            let mut lines = pods.log_stream(&name, &parameters).await?.lines();
            while let Some(line) = lines.try_next().await? {
                let mut out = std::io::stdout().lock();
                if several { writeln!(out, "{name}  {line}")? } else { writeln!(out, "{line}")? }
            }
            anyhow::Ok(())
        }
    });
    futures::future::try_join_all(streams).await?;
    Ok(())
}
