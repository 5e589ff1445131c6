//! What the commands people type share with the benches: setting the machine up, and starting programs.
pub mod setup;
