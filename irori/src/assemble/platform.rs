//! Gateway and certificates, by the Kubernetes API alone.
use anyhow::Result;
use irori_client::Informers;
use irori_gateway::{Gateway, Listening, Settings};
use irori_home::Home;
use irori_http::Limits;
use irori_runtime::{Clock, Tasks};

use super::Context;

/// Starts the gateway. Its client acts as the service account of that name; `informers` see no Secrets.
pub async fn start(context: &Context, home: &Home, gateway: kube::Client, informers: &Informers) -> Result<Listening> {
    let listen = &home.network.gateway;
    let settings = Settings {
        addresses: listen.addresses.clone(),
        https_port: listen.https,
        http_port: listen.http,
        limits: Limits::default(),
    };
    let running = Gateway::start(settings, gateway, informers, &context.clock, &context.tasks).await?;
    Ok(running.listening)
}

/// Starts what tells Ingresses where they are answered. One of several servers does.
pub fn start_reports(home: &Home, gateway: kube::Client, informers: &Informers, tasks: &Tasks) {
    irori_gateway::report(&home.network.gateway.addresses, gateway, informers, tasks);
}

/// Starts what asks for certificates, as the service account `certs`. One of several servers does.
pub fn start_certs(certs: kube::Client, informers: &Informers, clock: &Clock, tasks: &Tasks) {
    irori_certs::Requester::start(certs, informers, clock, tasks);
}
