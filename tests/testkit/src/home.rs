//! An irori in a folder of its own, on a machine.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;

use crate::{Machine, Said, binary, client::Door, eventually, kubectl, machine::START_MAX};

/// How a home is started.
#[derive(Clone, Default)]
pub struct Options {
    /// Seconds by which the clock is shifted.
    pub clock_offset: i64,
    /// More environment.
    pub environment: Vec<(String, String)>,
    /// What lines of the log may hold that tell of an error; every other one fails the test at its end.
    pub expected_errors: &'static [&'static str],
}

pub struct Home {
    pub machine: Machine,
    pub options: Options,
    folder: tempfile::TempDir,
    process: Option<Child>,
    /// Node and gateway, where they run apart.
    apart: Vec<Child>,
}

/// Ports of a test home; alone in its namespace, so they may be fixed.
const FILE: &str = "apiVersion: irori.dev/v1alpha1
kind: Home
metadata: {name: home}
spec:
  domain: home.arpa
  network:
    gateway: {addresses: [127.0.0.1], https: 8443, http: 8080}
  apps:
    whoami: {builtin: whoami, replicas: 2}
    welcome:
      builtin: page
      host: home.arpa
      files: {index.html: \"<h1>Welcome home</h1>\"}
";

impl Home {
    /// A machine with a home file, not started.
    pub fn new(options: Options) -> Self {
        let home = Self {
            machine: Machine::new(),
            options,
            folder: tempfile::tempdir().expect("make a folder"),
            process: None,
            apart: Vec::new(),
        };
        fs::write(home.file(), FILE).expect("write the home file");
        home
    }

    /// A home that is up.
    pub fn up(options: Options) -> Self {
        let mut home = Self::new(options);
        home.start();
        home.wait_ready();
        home
    }

    /// A home whose server, node and gateway are processes of their own. Its apps are applied by a fourth, `irori up` beside the server.
    pub fn apart(options: Options) -> Self {
        let mut home = Self::new(options);
        home.start_apart();
        home
    }

    /// Starts the parts of a home that has not been started.
    pub fn start_apart(&mut self) {
        let home = self;
        let api = format!("{}:7443", Machine::ADDRESS);
        home.process = Some(home.part(&["server", "--listen", &api], &home.data()));
        let (node, gateway) = (home.data().join("credentials/node"), home.data().join("credentials/gateway"));
        home.wait_said("ok   server");
        for (part, credentials) in [("node", node), ("gateway", gateway)] {
            let words = [part, "--credentials", credentials.to_str().expect("UTF-8")];
            let started = home.part(&words, &home.folder.path().join(part));
            home.apart.push(started);
            home.wait_said(&format!("ok   {part}"));
        }
        home.irori(&["up", home.file().to_str().expect("UTF-8")]).expect_ok();
    }

    fn part(&self, words: &[&str], data: &Path) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("open the log");
        let mut command = self.machine.command(binary());
        command.args(words).arg(self.file()).arg("--data-dir").arg(data).env("IRORI_LOG", "info");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("clone a file")).stderr(log);
        command.spawn().expect("start irori")
    }

    fn wait_said(&self, text: &str) {
        eventually(text, START_MAX, || if self.said().contains(text) { Ok(()) } else { Err(self.said()) });
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("home.yaml")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The data folder of whatever runs the containers: the home's own, or the node's where it runs apart.
    pub fn engine_data(&self) -> PathBuf {
        if self.apart.is_empty() { self.data() } else { self.folder.path().join("node") }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("irori.log")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Changes the home file.
    pub fn edit(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.file()).expect("read the home file");
        assert!(text.contains(from), "the home file holds `{from}`");
        fs::write(self.file(), text.replace(from, to)).expect("write the home file");
    }

    fn words(&self, words: &[&str]) -> Vec<String> {
        words.iter().map(|w| (*w).to_owned()).chain(["--data-dir".to_owned(), self.data().display().to_string()]).collect()
    }

    /// Starts `irori up` in the background.
    pub fn start(&mut self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("open the log");
        let mut command = self.machine.command(binary());
        command.args(self.words(&["up"])).arg(self.file()).env("IRORI_LOG", "info");
        command.env("IRORI_TEST_CLOCK_OFFSET", self.options.clock_offset.to_string());
        command.envs(self.options.environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("clone a file")).stderr(log);
        self.process = Some(command.spawn().expect("start irori"));
    }

    /// Waits until the table has been printed.
    pub fn wait_ready(&mut self) {
        let before = self.tables();
        eventually("home is up", START_MAX * 2, || {
            if let Some(ended) = self.process.as_mut().expect("started").try_wait().expect("ask a child of ours") {
                panic!("irori ended with {ended}:\n{}", self.said());
            }
            if self.tables() > before { Ok(()) } else { Err(self.said()) }
        });
    }

    /// Tables printed so far.
    fn tables(&self) -> usize {
        self.said().matches("curl --cacert").count().min(1) * self.said().matches("APP ").count()
    }

    /// Everything that irori has printed.
    pub fn said(&self) -> String {
        let detached = || fs::read_to_string(self.data().join("irori.log"));
        fs::read_to_string(self.log()).or_else(|_| detached()).unwrap_or_default()
    }

    /// The process id of irori (not of the command that entered the namespace: that one becomes irori).
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("started").id()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("started");
        process.kill().expect("kill a child of ours");
        process.wait().expect("wait for a child of ours");
    }

    /// Waits for the end of an irori that was told to end.
    pub fn wait_ended(&mut self) {
        let mut process = self.process.take().expect("started");
        process.wait().expect("wait for a child of ours");
    }

    /// The process id of this home's containerd; `None` while there is none.
    pub fn containerd(&self) -> Option<u32> {
        let config = self.data().join("containerd").display().to_string();
        let processes = fs::read_dir("/proc").expect("list the processes").flatten();
        processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).find(|pid| {
            let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            program.file_name().is_some_and(|name| name == "containerd") && String::from_utf8_lossy(&words).contains(&config)
        })
    }

    /// The gateway, under a name of one of its apps. Only threads that have entered the home's machine reach it.
    pub fn gateway(&self, host: &str) -> Door {
        Door::new(([127, 0, 0, 1], 8443).into(), &self.data().join("trust/root.crt"), None, None).named(host)
    }

    /// Asks irori to end and waits for it.
    pub fn interrupt(&mut self) {
        let process = self.process.take().expect("started");
        let said = self.machine.run("kill", &["-INT", &process.id().to_string()]);
        said.expect_ok();
        self.process = Some(process);
        eventually("irori ends when it is asked to", Duration::from_secs(30), || {
            match self.process.as_mut().expect("started").try_wait().expect("ask a child of ours") {
                Some(_) => Ok(()),
                None => Err("still running".to_owned()),
            }
        });
        self.process = None;
    }

    /// Another irori command on the same home.
    pub fn irori(&self, words: &[&str]) -> Said {
        let words = self.words(words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.machine.run(
            "env",
            &[
                &[&format!("IRORI_TEST_CLOCK_OFFSET={}", self.options.clock_offset), binary().to_str().expect("UTF-8")],
                words.as_slice(),
            ]
            .concat(),
        )
    }

    pub fn kubectl(&self, words: &[&str]) -> Said {
        self.kubectl_with(words, b"")
    }

    /// The administrator's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("credentials/admin.kubeconfig")
    }

    pub fn kubectl_with(&self, words: &[&str], input: &[u8]) -> Said {
        let config = self.kubeconfig().display().to_string();
        let cache = self.folder.path().join("kube-cache").display().to_string();
        let all = [&["--kubeconfig", &config, "--cache-dir", &cache], words].concat();
        self.machine.run_with(kubectl(), &all, input)
    }

    /// What kubectl answers as JSON.
    pub fn get(&self, words: &[&str]) -> Value {
        let text = self.kubectl(&[&["get", "-o", "json"], words].concat()).expect_ok();
        serde_json::from_str(&text).expect("kubectl prints JSON")
    }

    /// Status code and body of `https://HOST:8443PATH`, verified against the home's own CA.
    pub fn https(&self, host: &str, path: &str) -> (u16, String) {
        let resolve = format!("{host}:8443:127.0.0.1");
        let ca = self.data().join("trust/root.crt").display().to_string();
        let said = self.machine.run(
            "curl",
            &[
                "-sS",
                "--max-time",
                "20",
                "--cacert",
                &ca,
                "--resolve",
                &resolve,
                "-w",
                "\n%{http_code}",
                &format!("https://{host}:8443{path}"),
            ],
        );
        let (body, code) = said.out.rsplit_once('\n').map(|(b, c)| (b.to_owned(), c.to_owned())).unwrap_or_default();
        (code.parse().unwrap_or(0), if body.is_empty() { said.err } else { body })
    }

    /// What there still is of a home that is down: processes, mounts, control groups, and its network on the machine.
    pub fn left_behind(&self) -> Vec<String> {
        let mut left = processes_and_mounts(self.folder.path());
        for words in [&["-4", "route"], &["-6", "route"]] {
            let routes = self.machine.run("ip", &[words.as_slice(), &["show", "proto", "105"]].concat()).out;
            left.extend(routes.lines().map(|route| format!("route {route}")));
        }
        let links = self.machine.run("ip", &["-o", "link"]).out;
        let ours = |link: &&str| link.split(": ").nth(1).is_some_and(|name| name.starts_with("ir"));
        left.extend(links.lines().filter(ours).map(|link| format!("link {link}")));
        left.extend(self.machine.run("nft", &["list", "tables"]).out.lines().map(|table| format!("nft {table}")));
        let id = fs::read_to_string(self.engine_data().join("instance")).unwrap_or_default();
        let groups =
            ["/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/memory"].map(|top| format!("{top}/irori-{}", id.trim()));
        left.extend(groups.into_iter().filter(|group| !id.is_empty() && Path::new(group).exists()));
        left
    }

    /// No line of the log may tell of a panic, or of an error that was not expected. Looked at in any case when the test ends.
    #[track_caller]
    pub fn expect_clean_log(&self) {
        let bad = crate::bad_lines(&self.said(), self.options.expected_errors);
        assert!(bad.is_empty(), "the log has errors:\n{}", bad.join("\n"));
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What follows may well end things in ways that are told as errors.
        let mut bad = crate::bad_lines(&self.said(), self.options.expected_errors);
        if std::thread::panicking() {
            eprintln!("--- what irori said\n{}", self.said());
        }
        let engine = self.engine_data();
        for mut part in self.apart.drain(..) {
            let _gone = part.kill();
            let _gone = part.wait();
        }
        // Pods live on without irori: only this ends them.
        if engine.join("instance").exists() {
            let down = self.machine.run(binary(), &["down", "--grace", "1", "--data-dir", &engine.display().to_string()]);
            if !down.ok() {
                bad.push(format!("`irori down` failed: {down:?}"));
            }
        }
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        let left = self.left_behind();
        if !left.is_empty() {
            bad.push(format!("left behind by a home that is down:\n{}", left.join("\n")));
        }
        if std::thread::panicking() {
            bad.iter().for_each(|line| eprintln!("{line}"));
        }
        crate::fail_over(&bad);
    }
}

/// Processes and mounts that have to do with a folder.
fn processes_and_mounts(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("UTF-8");
    let processes = fs::read_dir("/proc").expect("list the processes").flatten().filter_map(|entry| {
        let words = fs::read(entry.path().join("cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        words.contains(folder).then(|| format!("process {}: {words}", entry.file_name().display()))
    });
    let mounts = fs::read_to_string("/proc/self/mounts").expect("list the mounts");
    let mounts = mounts.lines().filter(|line| line.contains(folder)).map(|line| format!("mount {line}"));
    processes.chain(mounts).collect()
}
