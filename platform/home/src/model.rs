//! What a home file says, with every default filled in.
use std::{collections::BTreeMap, net::IpAddr};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub name: String,
    /// The home's DNS domain, e.g. `home.arpa` (RFC 8375).
    pub domain: String,
    pub network: Network,
    pub store: Store,
    pub apps: BTreeMap<String, App>,
}

/// Where objects are kept, and which are sealed. Files are named as the home file names them: relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    /// Shared by several servers; without it, objects lie in the data folder.
    pub etcd: Option<Etcd>,
    /// Resources whose objects are sealed at rest; empty takes the default.
    pub seal: Vec<String>,
    pub sealing_key_file: Option<String>,
    pub sealing_passphrase_file: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Etcd {
    /// `HOST` or `HOST:PORT` of each member.
    pub members: Vec<String>,
    /// Where the home's keys begin.
    pub prefix: Option<String>,
    pub ca_file: Option<String>,
    pub cert_file: Option<String>,
    pub key_file: Option<String>,
    pub user: Option<String>,
    pub password_file: Option<String>,
    pub shared_key_file: Option<String>,
}

/// What listens where. Everything is loopback until the file says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    pub gateway: GatewayListen,
    pub api_port: u16,
    /// Addresses besides loopback and the pod-side address.
    pub api_addresses: Vec<IpAddr>,
    /// The node's own HTTPS (logs, exec).
    pub node_port: u16,
    /// Resolvers for names outside the home; empty takes the machine's.
    pub dns_upstream: Vec<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayListen {
    pub addresses: Vec<IpAddr>,
    pub https: u16,
    pub http: u16,
}

impl Default for Network {
    fn default() -> Self {
        let gateway = GatewayListen { addresses: vec![IpAddr::from([127, 0, 0, 1])], https: 443, http: 80 };
        Self { gateway, api_port: 6443, api_addresses: Vec::new(), node_port: 10250, dns_upstream: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    pub image: Image,
    pub replicas: u32,
    /// The TCP port on which the app speaks HTTP.
    pub port: u16,
    pub env: BTreeMap<String, String>,
    /// Path in the container -> content.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Cores, as a quantity: request and limit.
    pub cpu: Option<String>,
    /// Bytes, as a quantity: request and limit.
    pub memory: Option<String>,
    /// Full host name below the domain.
    pub host: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    Reference(String),
    Builtin(Builtin),
}

/// Programs that irori brings along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// Says who answered.
    Whoami,
    /// Serves the app's files.
    Page,
}

impl Builtin {
    pub const NAMES: [&'static str; 2] = ["whoami", "page"];

    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "whoami" => Some(Self::Whoami),
            "page" => Some(Self::Page),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Whoami => "whoami",
            Self::Page => "page",
        }
    }
}
