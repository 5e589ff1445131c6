//! Pods: each is a value (`life`) that goes through steps (`step`: `absorb`, then `decide`), and a worker that carries out what a step asks for.
mod absorb;
pub mod adopt;
pub mod amounts;
mod build;
mod carry;
pub mod conditions;
mod decide;
mod dns;
pub mod effect;
pub mod env;
pub mod facts;
pub mod life;
pub mod manager;
mod probing;
mod pull;
pub mod site;
pub mod step;
mod worker;
