//! `irori api`: store and API alone, stock behaviour, no controllers. What API tests and benches use.
use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, bail};
use clap::Args;
use irori_api::row::Tables;
use irori_apiserver::{ApiServer, Settings};
use irori_runtime::{OnEnd, SignedDuration};
use tokio::net::TcpListener;

use crate::{
    assemble::{self, server::api_tls, storage::StoreAt},
    cli::{Done, Exit},
    data::DataDir,
};

#[derive(Args, Clone)]
pub struct Api {
    /// Where store and keys live.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where the API listens over https; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:6443")]
    pub listen: SocketAddr,
    /// What the API calls its own address, `HOST:PORT`, where clients reach it by another than it listens on: named by /api and by the
    /// OpenID configuration of service accounts.
    #[arg(long, value_name = "ADDRESS")]
    pub external_address: Option<String>,
    /// A file with the bearer token of an administrator (group system:masters), in its first line.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: PathBuf,
    /// Answers as upstream's kube-apiserver, without what OpenShift's build adds: the service CA in token volumes, and the role
    /// `system:openshift:public-info-viewer`. The recorded exchanges of the tests were taken with that build.
    #[arg(long)]
    pub upstream: bool,
    /// Refuses webhooks, admission policies, custom resource definitions, API services, ephemeral containers and resizes of pods. They
    /// are stored otherwise, and nothing acts on them yet.
    #[arg(long)]
    pub refuse_unenforced: bool,
    #[command(flatten)]
    pub store: StoreAt,
}

pub fn run(api: Api, clock_offset: SignedDuration) -> Done {
    let token = admin_token(&api).map_err(|error| Exit::WrongInput.because(error))?;
    Ok(assemble::runtime()?.block_on(serve(api, token, clock_offset))?)
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
    let _held = data.hold_or_refuse()?;
    let context = assemble::Context::new(data, clock_offset)?;
    let assemble::Context { clock, tasks, .. } = &context;
    let (store, trust) = api.store.open(&context, "home.arpa").await?;
    let listener = TcpListener::bind(api.listen).await.with_context(|| format!("bind API listener on {}", api.listen))?;
    let address = listener.local_addr()?;
    let settings = Settings {
        admin_token: Some(token),
        advertised: api.external_address.unwrap_or_else(|| address.to_string()),
        store_unenforced: !api.refuse_unenforced,
        openshift: !api.upstream,
        ..Settings::default()
    };
    let tables = Arc::new(Tables::builtin());
    let server = ApiServer::new(settings, store.clone(), tables, trust.clone(), clock.clone(), tasks.clone()).await?;
    let tls = api_tls(&context, &trust, &[])?;
    tasks.spawn(
        "api",
        OnEnd::Fatal,
        irori_http::serve(listener, Some(tls), server, irori_http::Limits::default(), tasks.clone()),
    );
    println!("irori api: https://{address}");
    context.wait(Some(store.as_ref())).await
}
