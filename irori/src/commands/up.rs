//! `irori up`: from a home file to a running home.
mod detached;

use std::{net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use irori_home::{Applied, Home, parse};
use irori_runtime::SignedDuration;
use serde_json::json;

pub use detached::remove_service;

use super::{admin_client, folder_of, read_home, table};
use crate::{
    assemble::{self, Context, node, platform, ranges::sockets, server::Server, storage::StoreAt},
    cli::{Done, Ended, Exit, Output, Up},
    data::{DataDir, Held, Running, write_whole},
    machine,
    progress::Progress,
};

/// How long apps may take to become ready before the table is printed as it is.
const READY_MAX: Duration = Duration::from_secs(180);

pub fn run(up: Up, offset: SignedDuration) -> Done {
    let (home, text) = read_home(&up.home)?;
    if let Ok(data) = DataDir::existing(&up.reading.data.data_dir)
        && let Some(running) = data.running()?
    {
        return assemble::runtime()?.block_on(change(&up, &home, &text, &data, &running, offset));
    }
    let store = asked_store(&up, &home);
    store.check().map_err(|error| Exit::WrongInput.because(error))?;
    check_machine(&home)?;
    if up.detach {
        return detached::start(&up, offset);
    }
    let data = DataDir::open(&up.reading.data.data_dir)?;
    let held = data.hold_or_refuse()?;
    // What a killed process wrote down about itself is not true any more.
    data.withdraw();
    assemble::runtime()?.block_on(bring_up(&up, &home, &text, data, held, offset))
}

/// Where objects are to be kept, by the options and the home file together.
fn asked_store(up: &Up, home: &Home) -> StoreAt {
    up.store.clone().or(&home.store, folder_of(&up.home))
}

/// Everything that is missing, at once.
fn check_machine(home: &Home) -> Result<(), Ended> {
    let mut missing = machine::lacking(&machine::search_path(), machine::is_root());
    let network = &home.network;
    let mut wanted = vec![(SocketAddr::from(([127, 0, 0, 1], network.api_port)), "for the API")];
    for ip in &network.gateway.addresses {
        wanted.push((SocketAddr::new(*ip, network.gateway.https), "for the gateway"));
        wanted.push((SocketAddr::new(*ip, network.gateway.http), "for the gateway's redirect"));
    }
    missing.extend(machine::taken(&wanted));
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing.iter().map(|m| format!("  {m}")).collect();
    Err(Exit::MachineLacks.because(anyhow::anyhow!("this machine is not ready for a home:\n{}", lines.join("\n"))))
}

async fn bring_up(up: &Up, home: &Home, text: &str, data: DataDir, _held: Held, offset: SignedDuration) -> Done {
    let progress = Progress::new(up.reading.output == Output::Json);
    let context = Context::new(data, offset)?;
    context.heed_signals()?;
    let store = asked_store(up, home);
    let started = context.unless_ended(start(&context, home, &store, &progress)).await;
    let (server, gateway) = match started.unwrap_or_else(|| Err(anyhow::anyhow!("ended before the home was up"))) {
        Ok(started) => started,
        Err(error) => {
            // The store is closed by being dropped: nothing that was acknowledged is lost.
            context.end(None).await;
            progress.note(&format!(
                "what was started already is left for the next `irori up`; `irori down --data-dir {}` ends it",
                context.data.root().display()
            ));
            return Err(Exit::Failed.because(error));
        }
    };
    let running = Running {
        pid: i32::try_from(std::process::id()).context("a process id")?,
        api: format!("https://{}", server.address),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        home: home.name.clone(),
        domain: home.domain.clone(),
        gateway_https: gateway,
        store: store.words()?,
    };
    let shown = async {
        let _turn = context.data.turn().await?;
        // Whoever finds a living home finds the file that it runs by.
        write_whole(&context.data.root().join("home.yaml"), text.as_bytes())?;
        context.data.announce(&running)?;
        let applied = apply(&server.admin(), home, &progress).await?;
        show(&server.admin(), home, &context.data, &running, &applied, up.reading.output).await
    };
    let shown = context.unless_ended(shown).await;
    if let Some(Err(error)) = &shown {
        // The cluster runs; what the file asks for can be tried again beside it.
        eprintln!("irori: {error:#}");
    }
    if up.reading.output == Output::Text && shown.is_some() {
        eprintln!("\nCtrl-C ends irori; the pods stay. `irori down` ends them too.");
    }
    let ended = context.wait(Some(server.store.as_ref())).await;
    context.data.withdraw();
    Ok(ended?)
}

/// Starts every part, with a line of progress each. Returns where the gateway answers.
async fn start(context: &Context, home: &Home, at: &StoreAt, progress: &Progress) -> Result<(Server, Option<SocketAddr>)> {
    let stage = progress.stage("server");
    let server = Server::start(context, home, at).await?;
    server.write_admin()?;
    stage.done(&format!("API on https://{}", server.address));

    let stage = progress.stage("containers");
    let node = node::beside(context, home, &server).await?;
    stage.done(&format!("{} on {}", node.runtime, node.name));

    let stage = progress.stage("network");
    let (pod_side, findings) = node.network(context, home).await?;
    let mut endpoints = Vec::new();
    for address in sockets(pod_side.into_iter().chain(home.network.api_addresses.iter().copied()), server.address.port()) {
        endpoints.push(server.listen(address).await?);
    }
    server.be_reached(endpoints).await?;
    findings.iter().for_each(|finding| progress.note(finding));
    stage.done("pods, Services, cluster DNS");

    let stage = progress.stage("images");
    node.import_builtins().await?;
    stage.done("whoami, page");
    node::hold(node, context);

    let stage = progress.stage("gateway");
    let account = |name: &str| server.account(assemble::objects::SYSTEM_NAMESPACE, name);
    let listening = platform::start(context, home, account("gateway"), &server.informers).await?;
    let (certs, informers, clock) = (account("certs"), server.informers.clone(), context.clock.clone());
    let (reporter, shown, watched) = (account("gateway"), home.clone(), server.informers.clone());
    server.lead("irori-gateway", &server.admin(), move |tasks| {
        platform::start_reports(&shown, reporter.clone(), &watched, tasks);
    })?;
    server.lead("irori-certs", &server.admin(), move |tasks| platform::start_certs(certs.clone(), &informers, &clock, tasks))?;
    let at = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    stage.done(&format!("https on {}, http on {}", at(&listening.https), at(&listening.http)));
    Ok((server, listening.https.first().copied()))
}

/// Beside a living home: the file is applied through its API.
async fn change(up: &Up, home: &Home, text: &str, data: &DataDir, running: &Running, offset: SignedDuration) -> Done {
    let store = asked_store(up, home);
    if up.store != StoreAt::default() && store.words()? != running.store {
        let told =
            "the store of a running home stays as it is: end the home (`irori down`) and start it again with these options";
        return Err(Exit::WrongInput.because(anyhow::anyhow!(told)));
    }
    let _turn = data.turn().await?;
    let before = stored_home(data)?;
    if before.network != home.network || before.domain != home.domain || before.name != home.name || before.store != home.store {
        let told = "name, domain, network and store of a running home stay as they are: end it (`irori down`) and start it again with this file";
        return Err(Exit::WrongInput.because(anyhow::anyhow!(told)));
    }
    let progress = Progress::new(up.reading.output == Output::Json);
    let client = admin_client(data, running, offset)?;
    write_whole(&data.root().join("home.yaml"), text.as_bytes())?;
    let applied = apply(&client, home, &progress).await?;
    Ok(show(&client, home, data, running, &applied, up.reading.output).await?)
}

async fn apply(client: &kube::Client, home: &Home, progress: &Progress) -> Result<Applied> {
    let stage = progress.stage("apps");
    let applied = irori_home::apply(client, home, &|what| stage.now(what)).await?;
    let late = irori_home::wait(client, home, READY_MAX, &|what| stage.now(what)).await?;
    if late.is_empty() {
        let count = |n: usize, what: &str| (n > 0).then(|| format!("{n} {what}"));
        let parts = [
            count(applied.created.len(), "made"),
            count(applied.changed.len(), "changed"),
            count(applied.pruned.len(), "pruned"),
        ];
        let said = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        stage.done(if said.is_empty() { "nothing differed" } else { &said });
    } else {
        stage.now("");
        progress.note(&format!("not ready after {} s: {}", READY_MAX.as_secs(), late.join(", ")));
    }
    for kept in &applied.kept {
        progress.note(&format!("kept: {kept} (its app left the file; delete it by hand if it is not needed)"));
    }
    Ok(applied)
}

async fn show(
    client: &kube::Client,
    home: &Home,
    data: &DataDir,
    running: &Running,
    applied: &Applied,
    output: Output,
) -> Result<()> {
    let ca = data.trust().join("root.crt").display().to_string();
    let rows = match running.gateway_https {
        Some(gateway) => irori_home::rows(client, home, gateway, &ca).await?,
        None => Vec::new(),
    };
    match output {
        Output::Json => println!(
            "{}",
            serde_json::to_string_pretty(&json!({"apps": rows, "applied": applied, "api": running.api, "ca": ca}))?
        ),
        Output::Text => {
            println!();
            table::print_apps(&rows);
            println!();
            rows.iter().for_each(|row| println!("{}", row.curl));
        }
    }
    Ok(())
}

/// The home as it was asked for last, without the content of its files.
pub fn stored_home(data: &DataDir) -> Result<Home> {
    let path = data.root().join("home.yaml");
    let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    parse(&text, &|_: &Path| Ok(Vec::new())).map_err(|_| anyhow::anyhow!("`{}` is not a home file", path.display()))
}
