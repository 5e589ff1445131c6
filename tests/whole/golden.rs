//! The recorded exchanges with a stock kube-apiserver, replayed against `irori api`.
use std::{collections::BTreeSet, fs, path::Path, process::Command};

use irori_testkit::{Api, binary};
use serde_json::Value;

/// Per cent of the exchanges of each group that have to agree.
const FLOOR: &str = "97";

/// Where the differences that are known are listed, as lines of "* `ID` step N".
fn known(page: &str) -> BTreeSet<String> {
    let line = |line: &str| {
        let (id, rest) = line.trim().strip_prefix("* `")?.split_once("` step ")?;
        Some(format!("{id} {}", rest.split(|c: char| !c.is_ascii_digit()).next()?))
    };
    page.lines().filter_map(line).collect()
}

/// Every group agrees, and every difference is one that `docs/api-differences.md` gives a reason for.
#[test]
fn the_recorded_exchanges_are_answered_as_a_stock_server_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    // Under the address of the recorded server, which stands in two answers.
    let mut api = Api::new(&binary()).with(&["--external-address".to_owned(), "127.0.0.1:26443".to_owned()]);
    api.start();
    let report = api.folder().join("report.json");
    let mut cases: Vec<_> = fs::read_dir(root.join("tests/golden")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "gz"));
    cases.sort();
    let said = Command::new("python3")
        .arg(root.join("tests/golden/golden.py"))
        .args(["--server", &api.url(), "--token", api.token(), "--floor", FLOOR, "--show", "0", "--json"])
        .arg(&report)
        .arg("--ca")
        .arg(api.data().join("trust/root.crt"))
        .arg("--cases")
        .args(&cases)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{text}");

    let differences: Vec<Value> = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let named = |difference: &Value| format!("{} {}", difference["id"].as_str().unwrap(), difference["step"]);
    let found: BTreeSet<String> = differences.iter().map(named).collect();
    let known = known(&fs::read_to_string(root.join("docs/api-differences.md")).unwrap());
    let new: Vec<&Value> = differences.iter().filter(|difference| !known.contains(&named(difference))).collect();
    assert!(new.is_empty(), "not in docs/api-differences.md: {}", serde_json::to_string_pretty(&new).unwrap());
    let gone: Vec<&String> = known.difference(&found).collect();
    assert!(gone.is_empty(), "agrees now, so take it off docs/api-differences.md: {gone:?}");
    println!("{text}");
    api.kill();
}
