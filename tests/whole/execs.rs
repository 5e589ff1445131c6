//! exec and logs: every byte, every code, every end.
use std::{
    io::Read,
    process::{Child, Stdio},
};

use irori_testkit::{BOX, Home, Options, SOON, eventually, kubectl};

const PODS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shell}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: main, image: example.test/box:1, command: [sleep, "100000"]}
---
apiVersion: v1
kind: Pod
metadata: {name: talker}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: example.test/box:1
    command: [sh, -c, "echo one; echo two; echo oops >&2; until [ -e /tmp/more ]; do sleep 0.1; done; seq 1 500000; until [ -e /tmp/again ]; do sleep 0.1; done; seq 500001 1000000; echo the end; exec sleep 100000"]
  - {name: other, image: example.test/box:1, command: [sh, -c, "echo other; exec sleep 100000"]}
"#;

/// 100 MB that no pattern repeats.
const BYTES: usize = 100_000_000;

#[test]
fn exec_and_logs_carry_every_byte_and_every_end() {
    let home = Home::up(Options::default());
    home.import_box();
    drive(&home);
    home.expect_clean_log();
}

/// Also run with server, node and gateway apart.
pub fn drive(home: &Home) {
    home.apply(PODS).expect_ok();
    home.wait_pod_ready("shell");
    home.wait_pod_ready("talker");
    input_and_codes(home);
    a_hundred_megabytes(home);
    a_terminal(home);
    a_command_with_terminal_and_container_of_its_own(home);
    files_are_copied(home);
    logs(home);
    what_is_not_there_says_so(home);
}

fn input_and_codes(home: &Home) {
    let said = home.kubectl_with(&["exec", "-i", "shell", "--", "cat"], b"to the end\n");
    assert_eq!((said.out.as_str(), said.code), ("to the end\n", Some(0)), "the end of input ends cat: {said:?}");
    let said = home.script("shell", "echo out; echo err >&2; exit 42");
    assert_eq!((said.out.as_str(), said.code), ("out\n", Some(42)));
    assert!(said.err.starts_with("err\n"), "{}", said.err);
    assert_eq!(home.script("shell", "kill -9 $$").code, Some(137));
    let said = home.kubectl(&["exec", "shell", "--", "/nope"]);
    assert!(said.err.contains("\"/nope\": stat /nope: no such file or directory"), "{}", said.err);
}

fn a_hundred_megabytes(home: &Home) {
    let file = home.folder().join("bytes");
    std::fs::File::open("/dev/urandom")
        .and_then(|random| std::io::copy(&mut random.take(BYTES as u64), &mut std::fs::File::create(&file)?))
        .unwrap();
    let sum = |path: &std::path::Path| home.machine.run("sha256sum", &[path.to_str().unwrap()]).expect_ok()[..64].to_owned();
    let sent = std::fs::read(&file).unwrap();
    let there = home.kubectl_with(&["exec", "-i", "shell", "--", "sha256sum"], &sent).expect_ok();
    assert_eq!(there[..64], sum(&file), "what arrived is what was sent");
    let mut back = home.machine.command(kubectl());
    back.args(["--kubeconfig", home.kubeconfig().to_str().unwrap(), "exec", "-i", "shell", "--", "cat"]);
    let returned = home.folder().join("returned");
    back.stdin(std::fs::File::open(&file).unwrap()).stdout(std::fs::File::create(&returned).unwrap());
    assert!(back.status().unwrap().success());
    assert_eq!(sum(&returned), sum(&file), "what came back is what was sent");
}

/// Plays a person at a terminal: the arguments are what to run; prints what was seen, and the exit code last.
const TERMINAL: &str = include_str!("terminal.py");

fn terminal(home: &Home, words: &[&str]) -> String {
    let (kubectl, config) = (kubectl(), home.kubeconfig());
    let all = [&["-c", TERMINAL, kubectl.to_str().unwrap(), "--kubeconfig", config.to_str().unwrap()], words].concat();
    let said = home.machine.run("python3", &all).expect_ok();
    said.trim_end().rsplit('\n').next().unwrap().to_owned()
}

fn a_terminal(home: &Home) {
    assert_eq!(terminal(home, &["exec", "-it", "shell", "--", "sh"]), "9");
}

fn a_command_with_terminal_and_container_of_its_own(home: &Home) {
    let said = home.kubectl(&["run", "once", "--rm", "-i", "--restart=Never", "--image", BOX, "--", "echo", "hello"]);
    assert!(said.out.starts_with("hello\n"), "{said:?}");
    let gone = home.kubectl(&["get", "pod", "once"]);
    assert!(gone.err.contains("NotFound"), "{gone:?}");
}

fn files_are_copied(home: &Home) {
    let (there, back) = (home.folder().join("there"), home.folder().join("back"));
    std::fs::write(&there, "a letter").unwrap();
    home.kubectl(&["cp", there.to_str().unwrap(), "shell:/tmp/letter"]).expect_ok();
    home.kubectl(&["cp", "shell:/tmp/letter", back.to_str().unwrap()]).expect_ok();
    assert_eq!(std::fs::read_to_string(back).unwrap(), "a letter");
}

fn follow(home: &Home, words: &[&str]) -> Child {
    let mut command = home.machine.command(kubectl());
    command.args(["--kubeconfig", home.kubeconfig().to_str().unwrap(), "logs"]).args(words);
    command.stdin(Stdio::null()).stdout(std::fs::File::create(home.folder().join("followed")).unwrap());
    command.spawn().unwrap()
}

fn logs(home: &Home) {
    let log = |words: &[&str]| home.kubectl(&[&["logs", "talker", "-c", "main"], words].concat()).expect_ok();
    let mut first: Vec<String> = log(&[]).lines().map(str::to_owned).collect();
    first.sort();
    assert_eq!(first, ["one", "oops", "two"]);
    assert_eq!(log(&["--tail=1"]).lines().count(), 1);
    assert_eq!(log(&["--limit-bytes=2"]).len(), 2);
    let stamped = log(&["--timestamps", "--tail=1"]);
    assert!(stamped.starts_with("20") && stamped.contains("Z "), "{stamped}");
    let both = home.kubectl(&["logs", "talker", "--all-containers", "--prefix"]).expect_ok();
    assert!(both.contains("[pod/talker/other] other\n") && both.contains("[pod/talker/main] one\n"), "{both}");
    assert!(home.kubectl(&["logs", "talker", "-c", "main", "--previous"]).err.contains("previous terminated container \"main\""));

    // Half of these lines are more than one file holds: the follower sees each line once and in order, across the rotation.
    let mut following = follow(home, &["talker", "-c", "main", "-f"]);
    home.inside("talker", "touch /tmp/more");
    let entries = std::fs::read_dir(home.engine_data().join("logs/pods")).unwrap().filter_map(Result::ok);
    let talker = entries.map(|entry| entry.path()).find(|path| path.to_string_lossy().contains("default_talker_")).unwrap();
    eventually("the log is rotated", SOON, || {
        let files = std::fs::read_dir(talker.join("main")).unwrap().count();
        if files > 1 { Ok(()) } else { Err(format!("{files} file")) }
    });
    home.inside("talker", "touch /tmp/again");
    let followed = home.folder().join("followed");
    eventually("the follower sees the last line", SOON, || {
        let text = std::fs::read_to_string(&followed).unwrap_or_default();
        if text.ends_with("the end\n") { Ok(()) } else { Err(format!("{} bytes", text.len())) }
    });
    following.kill().unwrap();
    following.wait().unwrap();
    let text = std::fs::read_to_string(&followed).unwrap();
    let numbers: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(numbers.len(), 1_000_000);
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "in order");
    let all = log(&[]);
    assert!(all == text, "read at once it is the same, {} and {} bytes", all.len(), text.len());
    assert_eq!(log(&["--tail=2"]), "1000000\nthe end\n");
    assert_eq!(log(&["--since=1h", "--tail=1"]), "the end\n");
    eventually("nothing is new", SOON, || {
        let new = log(&["--since=1s"]);
        if new.is_empty() { Ok(()) } else { Err(format!("{} bytes", new.len())) }
    });
}

fn what_is_not_there_says_so(home: &Home) {
    for (words, told) in [
        (&["port-forward", "shell", "8000:80"][..], "pods/portforward is not implemented by irori yet"),
        (&["attach", "shell"], "pods/attach is not implemented by irori yet"),
        (&["debug", "shell", "--image", BOX, "--profile=general"], "pods/ephemeralcontainers is not implemented by irori yet"),
    ] {
        let said = home.kubectl(words);
        assert!(!said.ok() && said.err.contains(told), "{words:?}: {said:?}");
    }
    home.apply(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: over}}\nspec: {{containers: [{{name: main, image: {BOX}, command: [\"true\"]}}]}}\n"
    ))
    .expect_ok();
    let waits =
        |pod: &serde_json::Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    home.wait_pod("over", "between two runs", waits);
    let said = home.script("over", "true");
    assert!(!said.ok() && said.err.contains("container not found (\"main\")"), "{said:?}");
}
