//! The pod network on real kernels: each test is a small world of network namespaces, one of which plays the host. Nothing of
//! the machine's own network is touched. Needs root.
#![allow(clippy::unwrap_used)]
mod alive;
mod attach;
mod dns;
mod host;
mod nodes;
mod services;
mod world;
