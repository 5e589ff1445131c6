//! Messages as they go over containerd's socket: only the fields this room uses, numbers as published.
//!
//! `cri` is the Container Runtime Interface (`runtime.v1`), `engine` containerd's own services.
//! Invariant: no behaviour here, and unknown fields are skipped by the decoder.
#[rustfmt::skip]
pub(super) mod cri;
#[rustfmt::skip]
pub(super) mod engine;
