//! Controllers against a real API, under their stock identities and permissions.
#![allow(clippy::unwrap_used)] // a test says what it expects by ending
mod garbage;
mod home;
mod upkeep;
mod workloads;
