//! Controllers against a real API, under their stock identities and permissions.
mod garbage;
mod home;
mod upkeep;
mod workloads;
