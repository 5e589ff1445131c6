//! Whole-binary tests: a home is brought up, used with real clients, broken, and comes back.
// A test that has nothing to unwrap has failed.
#![allow(clippy::unwrap_used)]

mod answers;
mod apart;
mod bad_input;
mod clock;
mod commands;
mod crash;
mod disk_full;
mod etcd;
mod execs;
mod garbage;
mod golden;
mod killed;
mod kubectl;
mod network;
mod pods;
mod protobuf;
mod sealed;
mod server;
mod stall;
mod store;
mod traffic;
mod watches;
mod workloads;
