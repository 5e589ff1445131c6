//! Whole-binary tests: a home is brought up, used with real clients, broken, and comes back.
mod answers;
mod apart;
mod bad_input;
mod clock;
mod crash;
mod killed;
mod kubectl;
