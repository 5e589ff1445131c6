//! What people type beside a home, and what they read.
use std::process::Stdio;

use irori_testkit::{Home, Options, SOON, binary, eventually};
use serde_json::Value;

#[test]
fn a_detached_home_is_looked_at_killed_brought_back_and_ended() {
    let home = Home::new(Options::default());
    let file = home.file().display().to_string();
    let said = home.irori(&["up", &file, "--detach"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for stage in ["server", "containers", "network", "images", "gateway", "apps"] {
        assert!(said.err.contains(&format!("ok   {stage} ")), "{stage} in\n{}", said.err);
    }
    assert!(
        said.out.contains("APP      STATE  READY  ADDRESS\nwelcome  ready  1/1    https://home.arpa:8443/\n"),
        "{}",
        said.out
    );
    assert!(said.out.contains("\ncurl --cacert "), "{}", said.out);
    assert_eq!(home.https("home.arpa", "/").0, 200);

    reading(&home);
    logs(&home);
    trouble_is_told_in_a_word_and_a_sentence(&home);
    a_killed_home_comes_back(&home, &file);
    nothing_is_left_when_it_is_down(&home, &file);
}

/// A home may be told to end at any moment of its start.
#[test]
fn down_ends_a_home_that_is_still_starting_and_leaves_nothing() {
    let mut home = Home::new(Options::default());
    for wait in [20, 60, 120, 200, 300, 450, 650, 900] {
        home.start();
        eventually("there is a home to end", SOON, || {
            if home.data().join("instance").exists() { Ok(()) } else { Err("not yet".to_owned()) }
        });
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let said = home.irori(&["down", "--grace", "1"]);
        assert_eq!(said.code, Some(0), "after {wait} ms: {said:?}");
        home.wait_ended();
        assert_eq!(home.left_behind(), Vec::<String>::new(), "after {wait} ms");
    }
}

/// What a killed home wrote down about itself may name a process that is somebody else's by now.
#[test]
fn down_asks_nobody_else_to_end() {
    let mut home = Home::up(Options::default());
    let announced = home.data().join("run/running.json");
    let text = std::fs::read_to_string(&announced).unwrap();
    home.kill();
    let mut other = home.machine.command("sleep").arg("1000").spawn().unwrap();
    let pid = |text: &str| serde_json::from_str::<Value>(text).unwrap()["pid"].to_string();
    std::fs::write(&announced, text.replace(&pid(&text), &other.id().to_string())).unwrap();
    home.irori(&["down", "--grace", "1"]).expect_ok();
    assert_eq!(other.try_wait().unwrap(), None, "somebody else's process lives");
    other.kill().unwrap();
    other.wait().unwrap();
}

fn status(home: &Home) -> Value {
    serde_json::from_str(&home.irori(&["status", "--output", "json"]).expect_ok()).unwrap()
}

fn reading(home: &Home) {
    let text = home.irori(&["status"]).expect_ok();
    for part in [
        "home `home` (home.arpa), irori ",
        "NODE",
        "  ready  192.0.2.10",
        "whoami   ready  2/2    https://whoami.home.arpa:8443/",
        "apps/whoami-tls   20",
    ] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }
    let status = status(home);
    assert_eq!((&status["domain"], &status["nodes"][0]["ready"]), (&"home.arpa".into(), &true.into()));
    assert_eq!((&status["apps"][1]["app"], &status["apps"][1]["ready"]), (&"whoami".into(), &2.into()));
    // The curl line works as it stands.
    let line = status["apps"][0]["curl"].as_str().unwrap().to_owned();
    assert_eq!(home.machine.run("sh", &["-c", &format!("{line} -s")]).out, "<h1>Welcome home</h1>");

    let config = home.folder().join("config");
    std::fs::write(&config, home.irori(&["kubeconfig"]).expect_ok()).unwrap();
    let kubectl = irori_testkit::kubectl();
    let nodes = home.machine.run(kubectl, &["--kubeconfig", config.to_str().unwrap(), "get", "nodes"]).expect_ok();
    assert!(nodes.contains(" Ready "), "{nodes}");
    assert!(home.irori(&["ca"]).expect_ok().starts_with("-----BEGIN CERTIFICATE-----"));
    for shell in ["bash", "zsh", "fish"] {
        let script = home.machine.run(binary(), &["completions", shell]).expect_ok();
        assert!(script.contains("kubeconfig") && script.contains("detach"), "{shell}");
    }
}

fn logs(home: &Home) {
    let said = home.irori(&["logs", "whoami"]).expect_ok();
    assert_eq!(said.matches("  listening on port 8080\n").count(), 2, "{said}");
    assert!(said.lines().all(|line| line.starts_with("whoami-")), "each line says whose it is: {said}");
    assert_eq!(home.irori(&["logs", "welcome", "--tail", "1"]).expect_ok(), "listening on port 8080\n");
    let nobody = home.irori(&["logs", "nobody"]);
    assert_eq!(nobody.code, Some(2));
    assert!(nobody.err.contains("no pod of an app `nobody`; `irori status` lists the apps"), "{}", nobody.err);
    let own = home.irori(&["logs"]).expect_ok();
    assert!(own.contains("ok   server") && own.contains("INFO"), "{own}");
    assert_eq!(home.irori(&["logs", "--tail", "2"]).expect_ok().lines().count(), 2);
}

fn trouble_is_told_in_a_word_and_a_sentence(home: &Home) {
    home.kubectl(&["set", "image", "deployment/welcome", "welcome=127.0.0.1:1/none:1", "-n", "apps"]).expect_ok();
    eventually("the status names the trouble", SOON, || {
        let app = status(home)["apps"][0].clone();
        let told = app["detail"].as_str().unwrap_or("").contains("127.0.0.1:1/none:1");
        if app["state"] == "ErrImageNeverPull" && told { Ok(()) } else { Err(app.to_string()) }
    });
    let text = home.irori(&["status"]).expect_ok();
    assert!(text.contains("\nwelcome: Container image \"127.0.0.1:1/none:1\" is not present"), "{text}");
    assert!(text.lines().find(|line| line.starts_with("welcome  ")).unwrap().len() < 100, "{text}");
    // The old pod goes on, and its log is still shown beside what is wrong with the new one.
    let said = home.irori(&["logs", "welcome"]);
    assert_eq!(said.code, Some(0));
    assert!(said.out.contains("listening on port 8080"), "{said:?}");
    assert!(said.err.contains("is waiting to start: ErrImageNeverPull"), "{said:?}");
    assert_eq!(home.https("home.arpa", "/").0, 200);
    // The file says otherwise.
    let said = home.irori(&["up", home.file().to_str().unwrap()]);
    assert!(said.ok() && said.err.contains("ok   apps "), "{said:?}");
    assert_eq!(status(home)["apps"][0]["state"], "ready");
}

fn a_killed_home_comes_back(home: &Home, file: &str) {
    let pid = status(home)["pid"].to_string();
    home.machine.run("kill", &["-9", &pid]).expect_ok();
    eventually("a killed home is not running", SOON, || {
        let said = home.irori(&["status"]);
        if said.code == Some(4) && said.err.contains("is not running; `irori up HOME` starts it") {
            Ok(())
        } else {
            Err(format!("{said:?}"))
        }
    });
    home.irori(&["up", file, "--detach", "--output", "json"]).expect_ok();
    assert_ne!(status(home)["pid"].to_string(), pid);
    assert_eq!(home.https("home.arpa", "/").0, 200);
}

fn nothing_is_left_when_it_is_down(home: &Home, file: &str) {
    let data = home.data().display().to_string();
    let mut following = home.machine.command(binary());
    following.args(["logs", "--follow", "--tail", "0", "--data-dir", &data]);
    let followed = home.folder().join("followed");
    following.stdin(Stdio::null()).stdout(std::fs::File::create(&followed).unwrap());
    let mut following = following.spawn().unwrap();

    // A pod with a volume in memory, which must not stay mounted.
    home.import_box();
    home.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: example.test/box:1, command: [sleep, \"100000\"]}]}\n").expect_ok();
    home.wait_pod_ready("p");
    let mounts = || std::fs::read_to_string("/proc/self/mounts").unwrap().lines().filter(|line| line.contains(&data)).count();
    assert!(mounts() > 0);

    let said = home.irori(&["down", "--grace", "1"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    for stage in ["irori", "pods", "network"] {
        assert!(said.err.contains(&format!("ok   {stage} ")), "{}", said.err);
    }
    assert!(said.err.contains("the data stays in"), "{}", said.err);
    assert_eq!(mounts(), 0, "nothing is mounted in the data folder");
    let tables = home.machine.run("nft", &["list", "tables"]).expect_ok();
    assert!(!tables.contains("irori-"), "{tables}");
    let links = home.machine.run("ip", &["-brief", "link"]).expect_ok();
    assert_eq!(links.lines().filter(|line| line.starts_with("ir")).count(), 0, "{links}");
    eventually("the follower saw the end", SOON, || {
        let text = std::fs::read_to_string(&followed).unwrap();
        if text.contains("store closed") { Ok(()) } else { Err(text) }
    });
    following.kill().unwrap();
    following.wait().unwrap();
    assert_eq!(home.irori(&["status"]).code, Some(4));
    home.irori(&["down"]).expect_ok();

    home.irori(&["up", file, "--detach"]).expect_ok();
    assert_eq!(home.https("home.arpa", "/").0, 200, "the data stayed, and the home comes back");
    home.wait_pod_ready("p");
}
