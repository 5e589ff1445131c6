//! Pods on this machine.
pub mod cgroups;
pub mod containerd;
pub mod images;
mod logs;
pub mod pods;
pub mod refusal;
pub mod runtime;
pub mod status;
mod stream;
