//! `irori status`: machines, apps, certificates.
use anyhow::{Context as _, Result};
use irori_home::{AppRow, Home};
use irori_runtime::{SignedDuration, Timestamp};
use irori_trust::Identity;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use super::{admin_client, running, table};
use crate::{
    assemble,
    cli::{Done, Output, Reading},
    commands::up::stored_home,
    data::{DataDir, Running},
};

#[derive(Serialize)]
struct Status {
    version: String,
    home: String,
    domain: String,
    api: String,
    pid: i32,
    nodes: Vec<NodeRow>,
    apps: Vec<AppRow>,
    certificates: Vec<CertificateRow>,
}

#[derive(Serialize)]
struct NodeRow {
    name: String,
    ready: bool,
    addresses: Vec<String>,
    kubelet: String,
}

#[derive(Serialize)]
struct CertificateRow {
    secret: String,
    expires: String,
}

pub fn run(reading: Reading, offset: SignedDuration) -> Done {
    let (data, running) = running(&reading.data.data_dir)?;
    let status = assemble::runtime()?.block_on(collect(&data, &running, offset))?;
    match reading.output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&status)?),
        Output::Text => print(&status),
    }
    Ok(())
}

async fn collect(data: &DataDir, running: &Running, offset: SignedDuration) -> Result<Status> {
    let client = admin_client(data, running, offset)?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.context("list nodes")?;
    let home: Home = stored_home(data)?;
    let apps = match running.gateway_https {
        Some(gateway) => irori_home::rows(&client, &home, gateway, &data.trust().join("root.crt").display().to_string()).await?,
        None => Vec::new(),
    };
    let secrets: Api<Secret> = Api::all(client);
    let secrets = secrets.list(&ListParams::default().fields("type=kubernetes.io/tls")).await.context("list certificates")?;
    Ok(Status {
        version: running.version.clone(),
        home: running.home.clone(),
        domain: running.domain.clone(),
        api: running.api.clone(),
        pid: running.pid,
        nodes: nodes.iter().map(node_row).collect(),
        apps,
        certificates: secrets.iter().filter_map(certificate_row).collect(),
    })
}

fn node_row(node: &Node) -> NodeRow {
    let status = node.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    let addresses = status.addresses.into_iter().flatten().filter(|a| a.type_ == "InternalIP").map(|a| a.address).collect();
    NodeRow {
        name: node.name_any(),
        ready,
        addresses,
        kubelet: status.node_info.map(|info| info.kubelet_version).unwrap_or_default(),
    }
}

fn certificate_row(secret: &Secret) -> Option<CertificateRow> {
    let pem = |name: &str| String::from_utf8(secret.data.as_ref()?.get(name)?.0.clone()).ok();
    let identity = Identity { certificate_pem: pem("tls.crt")?, key_pem: pem("tls.key")? };
    let expires: Timestamp = identity.validity().ok()?.1;
    Some(CertificateRow {
        secret: format!("{}/{}", secret.namespace().unwrap_or_default(), secret.name_any()),
        expires: expires.to_string(),
    })
}

fn print(status: &Status) {
    println!(
        "home `{}` ({}), irori {}, process {}, API {}\n",
        status.home, status.domain, status.version, status.pid, status.api
    );
    let state = |node: &NodeRow| if node.ready { "ready" } else { "not ready" }.to_owned();
    let row = |node: &NodeRow| [node.name.clone(), state(node), node.addresses.join(","), node.kubelet.clone()];
    table::print(["NODE", "STATE", "ADDRESS", "VERSION"], &status.nodes.iter().map(row).collect::<Vec<_>>());
    println!();
    table::print_apps(&status.apps);
    if !status.certificates.is_empty() {
        println!();
        let row = |row: &CertificateRow| [row.secret.clone(), row.expires.clone()];
        table::print(["CERTIFICATE", "EXPIRES"], &status.certificates.iter().map(row).collect::<Vec<_>>());
    }
}
