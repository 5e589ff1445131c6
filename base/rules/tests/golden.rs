//! What is pure in the rules, checked against recorded answers of a stock server (see `data/README.md`).
// Helpers of tests unwrap as tests do.
#![allow(clippy::unwrap_used)]

#[path = "golden/change.rs"]
mod change;
#[path = "golden/create.rs"]
mod create;
#[path = "golden/definitions.rs"]
mod definitions;
#[path = "golden/managed.rs"]
mod managed;
#[path = "golden/recording.rs"]
mod recording;
#[path = "golden/refuse.rs"]
mod refuse;
#[path = "golden/table.rs"]
mod table;
#[path = "golden/validate.rs"]
mod validate;
