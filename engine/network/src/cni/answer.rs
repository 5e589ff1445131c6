//! What the plugin says: results, versions, errors.
use std::net::IpAddr;

use serde_json::{Value, json};

use super::VERSIONS;
use crate::{Cidr, netlink::route::Link};

/// Error codes of the specification (CNI 1.0.0, section 5) and, from 100 on, our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Code {
    Version = 1,
    UnknownContainer = 3,
    Environment = 4,
    Io = 5,
    Decode = 6,
    Config = 7,
    /// No pod address is free.
    Exhausted = 100,
    /// The kernel refused.
    Kernel = 101,
    /// What CHECK found is not what ADD made.
    Changed = 102,
}

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CniError {
    pub code: Code,
    pub message: String,
    pub details: String,
}

impl CniError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: String::new() }
    }

    /// Adds the cause, with its own causes.
    pub(super) fn because(mut self, cause: impl std::error::Error) -> Self {
        self.details = cause.to_string();
        let mut next = cause.source();
        while let Some(cause) = next {
            self.details.push_str(": ");
            self.details.push_str(&cause.to_string());
            next = cause.source();
        }
        self
    }
}

pub(super) fn error_json(version: &str, error: &CniError) -> String {
    json!({ "cniVersion": version, "code": error.code as u16, "msg": error.message, "details": error.details }).to_string()
}

/// The answer to VERSION: in the asker's own version where it named one.
pub(super) fn versions(input: &[u8]) -> String {
    let asked = serde_json::from_slice::<Value>(input).ok();
    let asked = asked.as_ref().and_then(|v| v["cniVersion"].as_str()).unwrap_or(VERSIONS[VERSIONS.len() - 1]);
    json!({ "cniVersion": asked, "supportedVersions": VERSIONS }).to_string()
}

/// The result of ADD.
pub(super) fn result(version: &str, host: &Link, pod: &Link, namespace: &str, addresses: &[IpAddr], ranges: &[Cidr]) -> String {
    let ips: Vec<Value> = addresses
        .iter()
        .zip(ranges)
        .map(|(address, range)| {
            let mut ip = json!({
                "address": Cidr::host(*address).to_string(), "gateway": range.gateway().to_string(), "interface": 1,
            });
            if version.starts_with("0.") {
                ip["version"] = json!(if address.is_ipv6() { "6" } else { "4" });
            }
            ip
        })
        .collect();
    let routes: Vec<Value> = ranges.iter().map(|range| json!({ "dst": Cidr::everything(range.is_v6()).to_string() })).collect();
    json!({
        "cniVersion": version,
        "interfaces": [
            { "name": host.name, "mac": host.mac_text() },
            { "name": pod.name, "mac": pod.mac_text(), "sandbox": namespace },
        ],
        "ips": ips,
        "routes": routes,
        "dns": {},
    })
    .to_string()
}

/// The result of ADD of the loopback plugin.
pub(super) fn loopback_result(version: &str, name: &str, namespace: &str) -> String {
    let ip = |address: &str, family: &str| {
        let mut ip = json!({ "address": address, "interface": 0 });
        if version.starts_with("0.") {
            ip["version"] = json!(family);
        }
        ip
    };
    json!({
        "cniVersion": version,
        "interfaces": [{ "name": name, "mac": "00:00:00:00:00:00", "sandbox": namespace }],
        "ips": [ip("127.0.0.1/8", "4"), ip("::1/128", "6")],
        "dns": {},
    })
    .to_string()
}
