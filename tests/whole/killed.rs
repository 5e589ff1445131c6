//! kill -9 at any time.
use std::time::Duration;

use irori_testkit::{Home, Options, eventually};

/// (container, start time, restarts) of every container of the apps.
pub fn containers(home: &Home) -> Vec<String> {
    let pods = home.get(&["pods", "-n", "apps"]);
    let status = |pod: &serde_json::Value| {
        let c = &pod["status"]["containerStatuses"][0];
        format!("{} {} {}", c["containerID"], c["state"]["running"]["startedAt"], c["restartCount"])
    };
    let mut all: Vec<String> = pods["items"].as_array().unwrap().iter().map(status).collect();
    all.sort();
    all
}

/// After kill -9 under writes: every acknowledged write is there, no container was restarted, the apps answer.
#[test]
fn a_killed_irori_loses_no_write_and_restarts_no_container() {
    let mut home = Home::up(Options::default());
    let before = containers(&home);
    assert_eq!(before.len(), 3);
    for round in 0..3 {
        let mut acknowledged = Vec::new();
        for n in 0..5 {
            let name = format!("write-{round}-{n}");
            home.kubectl(&["create", "configmap", &name, "--from-literal=a=1"]).expect_ok();
            acknowledged.push(name);
        }
        home.kill();
        // The pods answer while irori is away; only the gateway is gone.
        home.start();
        home.wait_ready();
        for name in acknowledged {
            home.kubectl(&["get", "configmap", &name]).expect_ok();
        }
        assert_eq!(home.https("whoami.home.arpa", "/").0, 200);
        eventually("statuses are the same as before", Duration::from_secs(20), || {
            let after = containers(&home);
            if after == before { Ok(()) } else { Err(format!("{after:?} instead of {before:?}")) }
        });
    }
    home.expect_clean_log();
}
