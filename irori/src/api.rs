//! `irori api`: store and API alone, stock behaviour, no controllers. What API tests and benches use.
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use irori_api::row::Tables;
use irori_apiserver::{ApiServer, Settings};
use irori_runtime::{Clock, OnEnd, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_store::{EmbeddedStore, Store};
use irori_trust::{CaTree, Lifetime, Rotating, SubjectName, tls};
use tokio::net::TcpListener;

use crate::{
    cli::{Done, Exit},
    data::DataDir,
};

/// How long open requests may go on after a signal, and what runs may take to end.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(Args, Clone)]
pub struct Api {
    /// Where store and keys live.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where the API listens over https; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// A file with the bearer token of an administrator (group system:masters), in its first line.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: PathBuf,
}

pub fn run(api: Api, clock_offset: SignedDuration) -> Done {
    let token = admin_token(&api).map_err(|error| Exit::WrongInput.because(error))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start runtime")?;
    Ok(runtime.block_on(serve(api, token, clock_offset))?)
}

fn admin_token(api: &Api) -> anyhow::Result<String> {
    let path = &api.admin_token_file;
    let text = fs::read_to_string(path).with_context(|| format!("read admin token file `{}`", path.display()))?;
    let token = text.lines().next().unwrap_or("").trim();
    if token.len() < 8 {
        bail!("the token in `{}` is shorter than 8 characters", path.display());
    }
    Ok(token.to_owned())
}

async fn serve(api: Api, token: String, clock_offset: SignedDuration) -> anyhow::Result<()> {
    let data = DataDir::open(&api.data_dir)?;
    let clock = Clock::system(built_at(), clock_offset);
    let tasks = Tasks::new(Shutdown::new());
    let trust = Arc::new(CaTree::open(&data.trust(), "home.arpa", &clock)?);
    let store = EmbeddedStore::open(irori_store::Settings::at(&data.store())?, &tasks)?;
    let listener = TcpListener::bind(api.listen).await.with_context(|| format!("bind API listener on {}", api.listen))?;
    let address = listener.local_addr()?;
    let settings = Settings { admin_token: Some(token), advertised: address.to_string(), ..Settings::default() };
    let server =
        ApiServer::new(settings, store.clone(), Arc::new(Tables::builtin()), trust.clone(), clock.clone(), tasks.clone()).await?;
    let names: Vec<SubjectName> = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        "127.0.0.1",
        "::1",
    ]
    .map(SubjectName::from)
    .into();
    let identity = trust.issue_server(&names, Lifetime::default())?;
    let certificate = Rotating::new(&identity)?;
    let keep = certificate.clone().keep(identity, clock.clone(), move || trust.issue_server(&names, Lifetime::default()));
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("api-certificate", OnEnd::Fatal, async move {
        shutdown.guard(keep).await;
        Ok::<(), std::convert::Infallible>(())
    });
    let tls = tls::server(certificate, tls::ClientCertificates::Ask, &["h2", "http/1.1"], &clock)?;
    tasks.spawn(
        "api",
        OnEnd::Fatal,
        irori_http::serve(listener, Some(tls), server, irori_http::Limits::default(), tasks.clone()),
    );
    println!("irori api: https://{address}");
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).context("listen for signals")?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = tasks.shutdown().wait() => {}
    }
    let failed = tasks.shutdown().started();
    tasks.shutdown().start();
    store.close().await.context("close the store")?;
    let left = tasks.drain(DRAIN).await;
    if !left.is_empty() {
        tracing::warn!(?left, "gave up waiting for tasks");
    }
    if failed { bail!("a part that the API cannot do without has ended; the log says which") } else { Ok(()) }
}

/// The clock never goes below this: no home is older than the program that runs it.
fn built_at() -> Timestamp {
    Timestamp::from_second(1_767_225_600).expect("the first second of 2026 is in range")
}
