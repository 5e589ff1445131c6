//! The object model of the Kubernetes API: tables of the built-in kinds, codecs, names, errors.
//!
//! What it is: the words both wings speak, and the one place that knows the wire formats of Kubernetes 1.36.
//! What it is not: no rules (defaults, validation, merges are `irori-rules`), no users, no store, no HTTP beyond status codes.
//!
//! Flow: `row::Tables::builtin()` reads the committed tables once; everything else is driven by it. Bytes become trees in `codec`
//! (JSON, YAML, protobuf) and go back; `discovery` and `openapi` tell clients what the rows say; `status` and `field` say no in the
//! words of a stock server; `selector`, `quantity`, `scalar` and `names` read the texts inside objects.
//! The tables are made by `cargo xtask tables` from recorded facts and committed, so that a new version of Kubernetes is a diff.
//!
//! Invariants: no I/O, no clock, no async. Nothing here panics on any input. JSON in canonical form survives protobuf.
//! Limits: `codec::Limits` (256 levels, a cost that stands for some 100 MB), 37 digits in a quantity. Sizes of bodies are the caller's.
//! Failure modes: `codec::CodecError` is a 400 (`NotCarried` a 406), a broken committed table stops the first start and every test.
mod builtin;
pub mod row;
pub mod schema;

pub mod names;
pub mod quantity;
pub mod scalar;
pub mod selector;

pub mod field;
pub mod status;

pub mod codec;

pub mod descriptions;
pub mod discovery;
pub mod openapi;
