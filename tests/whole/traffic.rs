//! A home under traffic while its parts are killed.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use irori_testkit::{Home, Options, eventually};

use crate::killed::containers;

/// Requests on one connection before a new one is made.
const PER_CONNECTION: usize = 10;
const CLIENTS: usize = 3;

/// Clients that ask an app through the gateway, one request after the other, until they are stopped.
struct Traffic {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Asked>>>,
}

/// One request: when it was begun, and what went wrong.
struct Asked {
    at: Instant,
    failed: Option<String>,
}

impl Traffic {
    fn start(home: &Home, host: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = || {
            let (door, stop, enter) = (home.gateway(host), stop.clone(), home.machine.entrance());
            std::thread::spawn(move || {
                enter();
                let mut all = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let mut client = door.client();
                    for _ in 0..PER_CONNECTION {
                        let at = Instant::now();
                        let failed = match client.get("/") {
                            Ok(answer) if answer.status == 200 => None,
                            Ok(answer) => Some(format!("{answer:?}")),
                            Err(source) => Some(source.to_string()),
                        };
                        let has_failed = failed.is_some();
                        all.push(Asked { at, failed });
                        std::thread::sleep(Duration::from_millis(5));
                        if has_failed {
                            break;
                        }
                    }
                }
                all
            })
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self { stop, clients }
    }

    /// All requests, in the order of their beginnings.
    fn stop(self) -> Vec<Asked> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all: Vec<Asked> = self.clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect();
        all.sort_by_key(|asked| asked.at);
        all
    }
}

/// kill -9 of irori: no container is restarted, and as soon as it is back every request is answered.
#[test]
fn traffic_flows_again_after_irori_is_killed_and_no_container_restarts() {
    let mut home = Home::up(Options::default());
    let before = containers(&home);
    let traffic = Traffic::start(&home, "whoami.home.arpa");
    let mut outages = Vec::new();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(700));
        let killed = Instant::now();
        home.kill();
        home.start();
        home.wait_ready();
        outages.push((killed, Instant::now()));
    }
    std::thread::sleep(Duration::from_secs(1));
    let all = traffic.stop();
    // A request that was under way at the kill has failed with it.
    let slack = Duration::from_millis(100);
    let wrong: Vec<&String> = all
        .iter()
        .filter(|asked| !outages.iter().any(|(from, to)| (*from - slack..*to).contains(&asked.at)))
        .filter_map(|asked| asked.failed.as_ref())
        .collect();
    let after = all.iter().filter(|asked| asked.at > outages[2].1).count();
    let failed = all.iter().filter(|asked| asked.failed.is_some()).count();
    println!(
        "{} requests, {failed} failed while irori was away ({:?})",
        all.len(),
        outages.iter().map(|(from, to)| *to - *from).collect::<Vec<_>>()
    );
    assert!(wrong.is_empty(), "failed while irori was there: {wrong:?}");
    assert!(failed > 0, "the kills were not felt: this test proves nothing");
    assert!(after > 20, "{after} requests after the last start");
    eventually("no container was restarted", Duration::from_secs(20), || {
        let now = containers(&home);
        if now == before { Ok(()) } else { Err(format!("{now:?} instead of {before:?}")) }
    });
    home.expect_clean_log();
}

/// kill -9 of containerd while pods are being made: irori starts it again, containers live on, nobody who asks an app notices.
#[test]
fn containerd_killed_under_load_comes_back_and_containers_live_on() {
    let home = Home::up(Options::default());
    let before = containers(&home);
    let pod = home.get(&["pods", "-n", "apps", "-l", "app.kubernetes.io/name=whoami"]);
    let pod = pod["items"][0]["metadata"]["name"].as_str().expect("a pod of whoami").to_owned();
    home.kubectl_with(&["apply", "-f", "-"], crate::kubectl::APP.as_bytes()).expect_ok();
    let traffic = Traffic::start(&home, "whoami.home.arpa");
    for round in 1..=3 {
        // Some pods are on their way when it dies.
        home.kubectl(&["scale", "deployment/web", &format!("--replicas={}", 1 + round * 2)]).expect_ok();
        let old = home.containerd().expect("a containerd runs");
        let killed = Instant::now();
        home.machine.run("kill", &["-9", &old.to_string()]).expect_ok();
        eventually("irori starts containerd again", Duration::from_secs(20), || match home.containerd() {
            Some(new) if new != old => Ok(()),
            other => Err(format!("{other:?}")),
        });
        eventually("exec works again", Duration::from_secs(20), || {
            let said = home.kubectl(&["exec", "-n", "apps", &pod, "--", "/builtin"]);
            // Its way of saying how it is used.
            if said.code == Some(2) { Ok(()) } else { Err(format!("{said:?}")) }
        });
        let logs = home.kubectl(&["logs", "-n", "apps", &pod]).expect_ok();
        assert!(logs.contains("listening on port"), "{logs}");
        eventually("the node is ready", Duration::from_secs(20), || {
            let nodes = home.kubectl(&["get", "nodes", "--no-headers"]).expect_ok();
            if nodes.contains(" Ready ") { Ok(()) } else { Err(nodes) }
        });
        println!("round {round}: well again after {:.1} s", killed.elapsed().as_secs_f64());
        home.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]).expect_ok();
        println!("round {round}: all pods ready after {:.1} s", killed.elapsed().as_secs_f64());
    }
    let all = traffic.stop();
    let failed: Vec<&String> = all.iter().filter_map(|asked| asked.failed.as_ref()).collect();
    assert!(failed.is_empty(), "{} of {} requests failed: {:?}", failed.len(), all.len(), failed.first());
    assert!(all.len() > 100, "{} requests", all.len());
    eventually("no container was restarted", Duration::from_secs(20), || {
        let now = containers(&home);
        if now == before { Ok(()) } else { Err(format!("{now:?} instead of {before:?}")) }
    });
    let lines = home.said().lines().filter(|line| line.contains("containerd ended") && line.contains("signal: 9")).count();
    assert_eq!(lines, 3, "each end of containerd is one line of the log");
    home.expect_clean_log();
}
