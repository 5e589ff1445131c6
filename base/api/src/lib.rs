//! The object model of the Kubernetes API: names, tables of the built-in types, codecs.
//!
//! Invariant: no I/O, no clock, no async.
mod builtin;
pub mod codec;
pub mod field;
pub mod names;
pub mod quantity;
pub mod row;
pub mod scalar;
pub mod schema;
pub mod selector;
pub mod status;
