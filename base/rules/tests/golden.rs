//! What is pure in the rules, checked against recorded answers of a stock server (see `data/README.md`).
#[path = "golden/recording.rs"]
mod recording;
#[path = "golden/create.rs"]
mod create;
#[path = "golden/validate.rs"]
mod validate;
#[path = "golden/table.rs"]
mod table;
#[path = "golden/refuse.rs"]
mod refuse;
#[path = "golden/change.rs"]
mod change;
