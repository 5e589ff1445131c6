//! The object model of the Kubernetes API: names, tables of the built-in types, codecs.
//!
//! Invariant: no I/O, no clock, no async.
mod builtin;
pub mod field;
pub mod row;
pub mod schema;
pub mod status;
