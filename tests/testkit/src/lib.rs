//! What whole-binary tests need: machines, homes, kubectl, curl.
//!
//! What it is: `Machine` is a network namespace that stands for a host, with an address of its own; `Home` is an irori running there, in a folder of
//! its own; `Api` is an `irori api` on loopback; all clean up after themselves. `client` asks over HTTPS what no decent client asks, `kills` kills.
//! What it is not: it takes part in nothing; it sees what a person sees, and borrows certificates and the ledger of promises.
//! Invariant: nothing listens outside loopback and the namespaces made here. Limits: every wait has a deadline, and says at it what was seen.
pub mod api;
pub mod client;
pub mod etcd;
mod home;
mod image;
pub mod kills;
mod machine;
mod neighbour;
mod pods;

pub use api::Api;
pub use etcd::Etcd;
pub use home::{Home, Options};
pub use image::BOX;
pub use machine::{Machine, Said};
pub use neighbour::Neighbour;
pub use pods::{SOON, condition};

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The binary under test: what `cargo xtask test` built.
pub fn binary() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/irori");
    std::env::var_os("IRORI_TEST_BINARY").map_or_else(built, PathBuf::from)
}

/// kubectl 1.32 or newer: what `cargo xtask test` fetched.
pub fn kubectl() -> PathBuf {
    let fetched = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/usr/bin/kubectl");
    std::env::var_os("IRORI_TEST_KUBECTL").map_or_else(fetched, PathBuf::from)
}

/// A Python with the protobuf runtime: what `cargo xtask test` made.
pub fn python() -> PathBuf {
    let made = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python/bin/python3");
    std::env::var_os("IRORI_TEST_PYTHON").map_or_else(made, PathBuf::from)
}

/// Looks until `look` finds something; panics with what it last saw when `limit` is over.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) if Instant::now() >= deadline => panic!("{what}: not within {limit:?}; last seen: {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Fails the test that just ends, unless it has failed anyway.
fn fail_over(bad: &[String]) {
    if !std::thread::panicking() {
        assert!(bad.is_empty(), "the log has errors that the test did not expect:\n{}", bad.join("\n"));
    }
}

/// Lines of a log that tell of a panic, or of an error that is none of the `expected` ones.
pub fn bad_lines(log: &str, expected: &[&str]) -> Vec<String> {
    let is_bad = |line: &&str| line.contains("panicked") || line.contains(" ERROR ");
    let is_expected = |line: &str| !line.contains("panicked") && expected.iter().any(|text| line.contains(text));
    log.lines().filter(is_bad).filter(|line| !is_expected(line)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panics_are_never_expected_and_errors_only_where_named() {
        let log =
            "t INFO a: fine\nt ERROR b: no space left\nthread 'main' panicked at no space left\nt  WARN c: hm\nt ERROR d: other";
        assert_eq!(bad_lines(log, &["no space left"]), ["thread 'main' panicked at no space left", "t ERROR d: other"]);
    }

    #[test]
    #[should_panic(expected = "errors that the test did not expect")]
    fn an_error_in_the_log_fails_a_test_at_its_end() {
        fail_over(&["t ERROR d: other".to_owned()]);
    }
}
