//! Pods on this machine.
pub mod cgroups;
pub mod containerd;
pub mod images;
pub mod logs;
mod node;
pub mod node_object;
pub mod pods;
pub mod probes;
pub mod refusal;
pub mod runtime;
mod server;
mod settings;
pub mod status;
mod stream;
mod volumes;

pub use node::{Node, Parts, StartError};
pub use settings::{Caller, ClientCheck, Settings, parse_resolv_conf};
