//! What the commands do.
use std::{os::unix::process::CommandExt, path::Path, process::Command};

use anyhow::{Result, bail};

use xtask::setup::{self, TO_RUN, TO_TEST, cargo};

const NEXTEST_VERSION: &str = "0.9.143";
const DENY_VERSION: &str = "0.20.2";

/// Everything from a clean clone to a running home.
pub fn up(root: &Path, home: &Path, rest: &[String]) -> Result<()> {
    if !setup::is_root() {
        bail!("a home needs root for its containers and its network: run `sudo cargo xtask up`, or as root");
    }
    setup::ensure(&TO_RUN)?;
    println!("building irori (release; the first time takes some minutes)");
    setup::run(cargo(root).args(["build", "--release", "--package", "irori"]))?;
    let irori = setup::built(root, "release/irori");
    // From here on the terminal is irori's, Ctrl-C included.
    let failed = Command::new(irori).arg("up").arg(home).args(rest).exec();
    Err(failed.into())
}

/// Every test; without arguments those of the whole workspace.
pub fn test(root: &Path, rest: &[String]) -> Result<()> {
    if !setup::is_root() {
        bail!("the tests run real containers and networks: run `cargo xtask test` as root");
    }
    setup::ensure(&TO_RUN)?;
    setup::ensure(&TO_TEST)?;
    let (kubectl, etcd, python) = (setup::kubectl(root)?, setup::etcd(root)?, setup::python(root)?);
    let nextest = setup::cargo_tool(root, "cargo-nextest", NEXTEST_VERSION)?;
    // Whole-binary tests start the binary itself.
    setup::run(cargo(root).args(["build", "--package", "irori"]))?;
    let mut tests = Command::new(nextest);
    tests.current_dir(root).args(["nextest", "run", "--no-fail-fast"]);
    if rest.is_empty() {
        tests.arg("--workspace");
    }
    tests.args(rest).env("IRORI_TEST_BINARY", setup::built(root, "debug/irori"));
    tests.env("IRORI_TEST_KUBECTL", kubectl).env("IRORI_TEST_ETCD", etcd).env("IRORI_TEST_PYTHON", python);
    setup::run(&mut tests)
}

/// The example of `irori-rules`, that shares its rounds with a test.
pub fn fuzz(root: &Path, rounds: u64, seed: u64, hostile: &str) -> Result<()> {
    let mut run = cargo(root);
    run.args(["run", "--release", "--package", "irori-rules", "--example", "fuzz", "--"]);
    setup::run(run.args([rounds.to_string(), seed.to_string(), hostile.to_owned()]))
}

pub fn deny(root: &Path) -> Result<()> {
    let deny = setup::cargo_tool(root, "cargo-deny", DENY_VERSION)?;
    // The advisory database cannot be reached everywhere; bans, licences and sources need the lock file and the packages alone.
    setup::run(Command::new(deny).current_dir(root).args(["--locked", "check", "bans", "licenses", "sources"]))
}

/// The package `irori-benches`: apart from this one, so that `up` and `test` need not wait until it is built.
pub fn benches(root: &Path, command: &str, arguments: &[String]) -> Result<()> {
    let mut run = cargo(root);
    run.args(["run", "--quiet", "--package", "irori-benches"]);
    // Its clients run on the same cores as what they measure.
    run.args((command == "bench").then_some("--release"));
    run.args(["--", command]).args(arguments);
    Err(run.exec().into())
}
