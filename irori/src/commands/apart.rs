//! Server, node and gateway as processes of their own.
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use irori_client::{Identity as ClientIdentity, Informers, Remote, connect};
use irori_home::Home;
use irori_runtime::SignedDuration;
use irori_trust::{Identity, Lifetime};

use super::{folder_of, read_home};
use crate::{
    assemble::{
        self, Context,
        node::{self, Credentials},
        objects::SYSTEM_NAMESPACE,
        platform,
        server::Server,
    },
    cli::{Apart, Done, Server as Arguments},
    data::{DataDir, Held, Running},
};

fn open(data_dir: &std::path::Path, offset: SignedDuration) -> Result<(Context, Held)> {
    let data = DataDir::open(data_dir)?;
    let held = data.hold_or_refuse()?;
    Ok((Context::new(data, offset)?, held))
}

/// What the gateway's process needs, in DATA/credentials/gateway of the server.
const GATEWAY_PARTS: [&str; 2] = ["gateway", "certs"];

pub fn server(arguments: Arguments, offset: SignedDuration) -> Done {
    let (mut home, text) = read_home(&arguments.home)?;
    // The certificate speaks for every address on which nodes reach the API.
    home.network.api_addresses.extend(arguments.listen.iter().map(SocketAddr::ip));
    let (context, _held) = open(&arguments.data.data_dir, offset)?;
    let store = arguments.store.clone().or(&home.store, folder_of(&arguments.home));
    assemble::runtime()?.block_on(async {
        let server = Server::start(&context, &home, &store).await?;
        server.write_admin()?;
        let mut endpoints = Vec::new();
        for address in &arguments.listen {
            endpoints.push(server.listen(*address).await?);
        }
        server.be_reached(endpoints.clone()).await?;
        let api = endpoints.first().copied().unwrap_or(server.address);
        credentials(&context, &server, api)?;
        crate::data::write_whole(&context.data.root().join("home.yaml"), text.as_bytes())?;
        context.data.announce(&Running {
            pid: i32::try_from(std::process::id())?,
            api: format!("https://{}", server.address),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            home: home.name.clone(),
            domain: home.domain.clone(),
            gateway_https: home.network.gateway.addresses.first().map(|ip| SocketAddr::new(*ip, home.network.gateway.https)),
            store: store.words()?,
        })?;
        eprintln!("ok   server  API on https://{api}");
        let ended = context.wait(Some(server.store.as_ref())).await;
        context.data.withdraw();
        ended
    })?;
    Ok(())
}

/// Makes the credentials of a node with this machine's name and of the gateway. Other nodes' are made where their names are known.
fn credentials(context: &Context, server: &Server, api: SocketAddr) -> Result<()> {
    let url = format!("https://{api}");
    let folder = context.data.credentials();
    Credentials::issue(&server.trust, &url, &node::name()?, &node::addresses())?.save(&folder.join("node"))?;
    let gateway = folder.join("gateway");
    for part in GATEWAY_PARTS {
        let user = format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{part}");
        let group = format!("system:serviceaccounts:{SYSTEM_NAMESPACE}");
        server.trust.issue_client(&user, Some(&group), Lifetime::default())?.save(&gateway, part)?;
    }
    crate::data::write_whole(&gateway.join("api"), url.as_bytes())?;
    crate::data::write_whole(&gateway.join("root.crt"), server.trust.root_pem().as_bytes())
}

pub fn node(arguments: Apart, offset: SignedDuration) -> Done {
    let (home, _) = read_home(&arguments.home)?;
    let (context, _held) = open(&arguments.data.data_dir, offset)?;
    assemble::runtime()?.block_on(run_node(&context, &home, &arguments))?;
    Ok(())
}

async fn run_node(context: &Context, home: &Home, arguments: &Apart) -> Result<()> {
    let credentials = Credentials::load(&arguments.credentials)?;
    let name = node::name()?;
    let running = node::Node::start(context, home, &credentials, &name, node::addresses(), irori_node::LeaseTerms::USUAL).await?;
    let (pod_side, findings) = running.network(context, home).await?;
    findings.iter().for_each(|finding| eprintln!("     {finding}"));
    running.import_builtins().await?;
    let pod_side: Vec<String> = pod_side.iter().map(ToString::to_string).collect();
    eprintln!("ok   node  {name} with {}, pods behind {}", running.runtime, pod_side.join(", "));
    node::hold(running, context);
    context.wait(None).await
}

pub fn gateway(arguments: Apart, offset: SignedDuration) -> Done {
    let (home, _) = read_home(&arguments.home)?;
    let (context, _held) = open(&arguments.data.data_dir, offset)?;
    assemble::runtime()?.block_on(run_gateway(&context, &home, &arguments))?;
    Ok(())
}

async fn run_gateway(context: &Context, home: &Home, arguments: &Apart) -> Result<()> {
    let folder = &arguments.credentials;
    let text = |name: &str| {
        std::fs::read_to_string(folder.join(name)).with_context(|| format!("read `{}`", folder.join(name).display()))
    };
    let client = |part: &str| -> Result<kube::Client> {
        let identity = Identity::load(folder, part)?.with_context(|| format!("`{}` has no {part}.crt", folder.display()))?;
        let identity = ClientIdentity::Certificate { cert_pem: identity.certificate_pem, key_pem: identity.key_pem };
        Ok(connect(&Remote {
            url: text("api")?,
            ca_pem: text("root.crt")?,
            identity,
            agent: "irori",
            clock: context.clock.clone(),
        })?)
    };
    let (gateway, certs) = (client("gateway")?, client("certs")?);
    let informers = Informers::new(gateway.clone(), context.tasks.clone());
    let listening = platform::start(context, home, gateway.clone(), &informers).await?;
    platform::start_reports(home, gateway, &informers, &context.tasks);
    platform::start_certs(certs, &informers, &context.clock, &context.tasks);
    let at: Vec<String> = listening.https.iter().map(ToString::to_string).collect();
    eprintln!("ok   gateway  https on {}", at.join(", "));
    context.wait(None).await
}
