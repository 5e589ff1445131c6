//! What the runtime says: environment and network configuration.
use std::path::PathBuf;

use serde::Deserialize;

use super::{
    LOOPBACK, VERSIONS,
    answer::{CniError, Code},
};
use crate::{Cidr, InstanceId};

/// The longest link name that the kernel takes.
const LINK_NAME_MAX: usize = 15;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Add,
    Del,
    Check,
    Version,
}

/// What is asked about which pod.
#[derive(Debug)]
pub(super) struct Call {
    pub command: Command,
    pub container: String,
    /// Path of the pod's namespace; DEL may come without.
    pub namespace: Option<String>,
    pub interface: String,
}

/// The configuration of one plugin, as the runtime passes it.
#[derive(Debug)]
pub(super) struct NetworkConfig {
    pub cni_version: String,
    pub kind: String,
    /// The rest, if the plugin is ours.
    pub network: Option<PodNetwork>,
}

/// Our part of the configuration.
#[derive(Debug)]
pub(super) struct PodNetwork {
    pub instance: InstanceId,
    pub leases: PathBuf,
    pub pod_cidrs: Vec<Cidr>,
    pub mtu: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    cni_version: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    instance: Option<String>,
    leases: Option<PathBuf>,
    #[serde(rename = "podCIDRs", default)]
    pod_cidrs: Vec<Cidr>,
    mtu: Option<u32>,
}

impl NetworkConfig {
    pub fn parse(input: &[u8]) -> Result<Self, CniError> {
        let raw: Raw = serde_json::from_slice(input)
            .map_err(|e| CniError::new(Code::Decode, "read the network configuration").because(e))?;
        let cni_version = raw.cni_version.unwrap_or_else(|| "0.1.0".to_owned());
        if !VERSIONS.contains(&cni_version.as_str()) {
            let message = format!("speak CNI {cni_version}: only {} are known", VERSIONS.join(" and "));
            return Err(CniError::new(Code::Version, message));
        }
        let missing = |field: &str| CniError::new(Code::Config, format!("find `{field}` in the network configuration"));
        let kind = raw.kind.ok_or_else(|| missing("type"))?;
        if kind == LOOPBACK {
            return Ok(Self { cni_version, kind, network: None });
        }
        let instance = raw.instance.ok_or_else(|| missing("instance"))?;
        let instance = instance.parse().map_err(|e| CniError::new(Code::Config, "read `instance`").because(e))?;
        if raw.pod_cidrs.is_empty() {
            return Err(missing("podCIDRs"));
        }
        let network = PodNetwork {
            instance,
            leases: raw.leases.ok_or_else(|| missing("leases"))?,
            pod_cidrs: raw.pod_cidrs,
            mtu: raw.mtu.ok_or_else(|| missing("mtu"))?,
        };
        Ok(Self { cni_version, kind, network: Some(network) })
    }
}

pub(super) fn command(env: &dyn Fn(&str) -> Option<String>) -> Result<Command, CniError> {
    match env("CNI_COMMAND").as_deref() {
        Some("ADD") => Ok(Command::Add),
        Some("DEL") => Ok(Command::Del),
        Some("CHECK") => Ok(Command::Check),
        Some("VERSION") => Ok(Command::Version),
        Some(other) => Err(CniError::new(Code::Environment, format!("do `{other}`: CNI_COMMAND is ADD, DEL, CHECK or VERSION"))),
        None => Err(CniError::new(Code::Environment, "find CNI_COMMAND in the environment")),
    }
}

impl Call {
    pub fn read(command: Command, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, CniError> {
        let required = |name: &str| {
            env(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| CniError::new(Code::Environment, format!("find {name} in the environment")))
        };
        let interface = required("CNI_IFNAME")?;
        let bad = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if interface.len() > LINK_NAME_MAX || interface == "." || interface == ".." || interface.contains(bad) {
            return Err(CniError::new(Code::Environment, format!("name a link `{interface}` (CNI_IFNAME)")));
        }
        let namespace = match command {
            Command::Del => env("CNI_NETNS").filter(|value| !value.is_empty()),
            _ => Some(required("CNI_NETNS")?),
        };
        Ok(Self { command, container: required("CNI_CONTAINERID")?, namespace, interface })
    }
}
