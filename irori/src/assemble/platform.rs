//! Gateway and certificates, by the Kubernetes API alone.
use anyhow::Result;
use irori_client::Informers;
use irori_gateway::{Gateway, Listening, Settings};
use irori_home::Home;
use irori_http::Limits;

use super::Context;

/// Starts the platform. `gateway` and `certs` act as the service accounts of those names; `informers` see no Secrets.
pub async fn start(
    context: &Context,
    home: &Home,
    gateway: kube::Client,
    certs: kube::Client,
    informers: &Informers,
) -> Result<Listening> {
    let listen = &home.network.gateway;
    let settings = Settings {
        addresses: listen.addresses.clone(),
        https_port: listen.https,
        http_port: listen.http,
        limits: Limits::default(),
    };
    let running = Gateway::start(settings, gateway, informers, &context.clock, &context.tasks).await?;
    irori_certs::Requester::start(certs, informers, &context.clock, &context.tasks);
    Ok(running.listening)
}
