//! Probes and hooks: one command or request, one result.
mod grpc;
mod http;

use std::{net::IpAddr, time::Duration};

use k8s_openapi::{
    api::core::v1::{ContainerPort, LifecycleHandler, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

use crate::{
    pods::{effect::ProbeResult, site::Site},
    runtime::{ContainerId, RuntimeError},
};

/// A postStart hook ends at this.
pub const HOOK_MAX: Duration = Duration::from_secs(600);
/// What is shown of a probe's output, in bytes.
const SHOWN_MAX: usize = 1024;

/// Where a container's ports are reached from here.
#[derive(Clone, Debug)]
pub struct Target {
    pub ip: Option<IpAddr>,
    pub ports: Vec<ContainerPort>,
}

impl Target {
    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => Some(*number),
            IntOrString::String(name) => match self.ports.iter().find(|p| p.name.as_deref() == Some(name)) {
                Some(port) => Some(port.container_port),
                None => name.parse().ok(),
            },
        };
        number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0).ok_or_else(|| format!("port {port:?} is not known"))
    }

    fn host(&self, given: Option<&str>) -> Result<String, String> {
        match given.filter(|host| !host.is_empty()) {
            Some(host) => Ok(host.to_owned()),
            None => self.ip.map(|ip| ip.to_string()).ok_or_else(|| "the pod has no address".to_owned()),
        }
    }
}

/// Runs one probe once, within its own timeout.
pub async fn run(site: &Site, target: &Target, id: &ContainerId, probe: &Probe) -> ProbeResult {
    let limit = Duration::from_secs(probe.timeout_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(1).max(1));
    let result = if let Some(exec) = &probe.exec {
        return command(site, id, exec.command.as_deref().unwrap_or_default(), limit).await.into_result();
    } else if let Some(get) = &probe.http_get {
        tokio::time::timeout(limit, http::get(target, get, limit, http::PROBE_AGENT)).await
    } else if let Some(socket) = &probe.tcp_socket {
        tokio::time::timeout(limit, tcp(target, socket.host.as_deref(), &socket.port)).await
    } else if let Some(grpc) = &probe.grpc {
        tokio::time::timeout(limit, grpc::check(target, grpc)).await
    } else {
        return ProbeResult::Failure("the probe says nothing to do".to_owned());
    };
    match result {
        Ok(Ok(())) => ProbeResult::Success,
        Ok(Err(message)) => ProbeResult::Failure(shortened(&message)),
        Err(_) => ProbeResult::Failure(format!("no answer within {}s", limit.as_secs())),
    }
}

/// Runs a hook within `limit`.
pub async fn hook(
    site: &Site,
    target: &Target,
    id: &ContainerId,
    handler: &LifecycleHandler,
    limit: Duration,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        return match command(site, id, exec.command.as_deref().unwrap_or_default(), limit).await.into_result() {
            ProbeResult::Success => Ok(()),
            ProbeResult::Failure(message) => Err(message),
        };
    }
    if let Some(get) = &handler.http_get {
        let result = tokio::time::timeout(limit, http::get(target, get, limit, http::HOOK_AGENT)).await;
        return result.unwrap_or_else(|_| Err(format!("no answer within {}s", limit.as_secs())));
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0)).min(limit)).await;
        return Ok(());
    }
    Err("the hook says nothing to do".to_owned())
}

struct Ended(Result<(i32, String), String>);

impl Ended {
    fn into_result(self) -> ProbeResult {
        match self.0 {
            Ok((0, _)) => ProbeResult::Success,
            Ok((code, output)) => {
                let output = shortened(output.trim());
                ProbeResult::Failure(if output.is_empty() { format!("exit code {code}") } else { output })
            }
            Err(message) => ProbeResult::Failure(message),
        }
    }
}

async fn command(site: &Site, id: &ContainerId, command: &[String], limit: Duration) -> Ended {
    Ended(match site.runtime.exec_sync(id, command, limit).await {
        Ok(output) => {
            let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.push_str(&String::from_utf8_lossy(&output.stderr));
            Ok((output.exit_code, text))
        }
        Err(RuntimeError::Timeout { .. }) => Err(format!("command timed out after {}s", limit.as_secs())),
        Err(source) => Err(source.to_string()),
    })
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN_MAX);
    text[..end].to_owned()
}

async fn tcp(target: &Target, host: Option<&str>, port: &IntOrString) -> Result<(), String> {
    let (host, port) = (target.host(host)?, target.port(port)?);
    match tokio::net::TcpStream::connect((host.as_str(), port)).await {
        Ok(_stream) => Ok(()),
        Err(source) => Err(format!("dial tcp {host}:{port}: {source}")),
    }
}

#[cfg(test)]
mod tests;
