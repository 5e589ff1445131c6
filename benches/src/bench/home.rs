//! A whole home in a network namespace of its own.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    control,
    curl::{self, Api},
    ground::Ground,
    proc::{self, Process},
    record::shown,
};

const UP_MAX: Duration = Duration::from_secs(240);
/// An `irori down` that takes longer is worth a line.
const DOWN_USUAL: Duration = Duration::from_secs(10);
const END_MAX: Duration = Duration::from_secs(60);
const API: &str = "https://127.0.0.1:6443";

/// A network namespace that stands for a machine; goes away with the value.
pub struct Machine {
    pub name: String,
}

impl Machine {
    pub fn make() -> Result<Self> {
        let machine = Self { name: format!("irori-bench-{}", std::process::id()) };
        ip(&["netns", "add", &machine.name])?;
        for words in [
            "link set lo up",
            // The far end of the pair stands for the rest of the home's network.
            "link add lan0 type veth peer name lan1",
            "link set lan1 up",
            "address add 192.0.2.10/24 dev lan0",
            "-6 address add 2001:db8::10/64 dev lan0 nodad",
            "link set lan0 up",
            "route add default dev lan0",
        ] {
            let words: Vec<&str> = ["-n", machine.name.as_str()].into_iter().chain(words.split(' ')).collect();
            ip(&words)?;
        }
        Ok(machine)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.name]) {
            eprintln!("{error:#}");
        }
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let out = Command::new("ip").args(words).stdin(Stdio::null()).output().context("start ip")?;
    if !out.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// How many replicas of the two built-in apps a home has.
#[derive(Clone, Copy)]
pub struct Size {
    pub whoami: u32,
    pub page: u32,
}

pub struct Home<'a> {
    ground: &'a Ground,
    machine: Machine,
    folder: PathBuf,
    size: Size,
    process: Option<Child>,
    started: Instant,
}

/// From the start of the process to something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    pub readyz: Duration,
    pub node_ready: Duration,
    pub apps: Duration,
}

impl<'a> Home<'a> {
    /// A home file and a machine; nothing runs yet.
    pub fn new(ground: &'a Ground, size: Size) -> Result<Self> {
        Self::at(ground, ground.folder("home")?, size)
    }

    /// The same in an empty folder that is there.
    pub fn at(ground: &'a Ground, folder: PathBuf, size: Size) -> Result<Self> {
        let Size { whoami, page } = size;
        let text = format!(
            "apiVersion: irori.dev/v1alpha1\nkind: Home\nmetadata: {{name: bench}}\nspec:\n  domain: home.arpa\n  network:\n    \
             gateway: {{addresses: [127.0.0.1], https: 8443, http: 8080}}\n  apps:\n    whoami: {{builtin: whoami, replicas: {whoami}}}\n    \
             welcome:\n      builtin: page\n      host: home.arpa\n      replicas: {page}\n      files: {{index.html: \"<h1>Welcome home</h1>\"}}\n"
        );
        fs::write(folder.join("home.yaml"), text).context("write the home file")?;
        Ok(Self { ground, machine: Machine::make()?, folder, size, process: None, started: Instant::now() })
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn pid(&self) -> Result<u32> {
        Ok(self.process.as_ref().context("the home is not running")?.id())
    }

    pub fn namespace(&self) -> &str {
        &self.machine.name
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `irori up`, in a memory group where one is named (a folder of the group hierarchy).
    pub fn start(&mut self, group: Option<&Path>) -> Result<()> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.join("irori.log")).context("open the log")?;
        let mut command = curl::inside(Some(&self.machine.name), "sh");
        // The shell becomes irori, so that the process id stays the same.
        let enter = "if [ -n \"$GROUP\" ]; then echo $$ > \"$GROUP/cgroup.procs\"; fi; exec \"$@\"";
        command.args(["-c", enter, "sh"]).arg(&self.ground.irori).arg("up").arg(self.folder.join("home.yaml"));
        command.arg("--data-dir").arg(self.data()).env("GROUP", group.unwrap_or(Path::new("")));
        command.stdin(Stdio::null()).stdout(log.try_clone().context("share the log")?).stderr(log);
        // Out of the terminal's reach: Ctrl-C ends the bench, and the bench ends the home.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.started = Instant::now();
        self.process = Some(command.spawn().context("start irori up")?);
        Ok(())
    }

    /// What irori has printed.
    pub fn said(&self) -> String {
        fs::read_to_string(self.folder.join("irori.log")).unwrap_or_default()
    }

    fn check_alive(&mut self) -> Result<()> {
        let process = self.process.as_mut().context("the home is not running")?;
        if let Some(status) = process.try_wait().context("ask for irori")? {
            self.process = None;
            bail!("irori up ended with {status}: {}", self.said());
        }
        Ok(())
    }

    /// Waits for the API, the node and every app's answer over https.
    pub fn wait_up(&mut self) -> Result<Times> {
        let mut times = Times::default();
        let namespace = self.machine.name.clone();
        control::until("the home's API is ready", UP_MAX, || {
            self.check_alive()?;
            Ok(curl::answers(Some(&namespace), &[], &format!("{API}/readyz"))?.then_some(()))
        })?;
        times.readyz = self.started.elapsed();
        let api = self.api()?;
        let nodes = api.watch("/api/v1/nodes")?;
        loop {
            let (seen, event) = nodes.next_until("the node is Ready", self.started + UP_MAX)?;
            if is_true(&event["object"], "Ready") {
                times.node_ready = seen.duration_since(self.started);
                break;
            }
        }
        drop(nodes);
        for host in ["whoami.home.arpa", "home.arpa"] {
            let resolve = format!("{host}:8443:127.0.0.1");
            control::until(&format!("{host} answers"), UP_MAX, || {
                self.check_alive()?;
                let url = format!("https://{host}:8443/");
                if curl::answers(Some(&namespace), &["--resolve", &resolve], &url)? {
                    return Ok(Some(()));
                }
                // A look costs as much as a small step of the start itself.
                control::pause(Duration::from_millis(30)).map(|()| None)
            })?;
        }
        times.apps = self.started.elapsed();
        Ok(times)
    }

    /// Waits until every replica is Ready.
    pub fn wait_replicas(&self) -> Result<()> {
        let (api, wanted) = (self.api()?, self.size.whoami + self.size.page);
        control::until("every pod is Ready", UP_MAX, || {
            let pods = api.get("/api/v1/namespaces/apps/pods")?;
            let ready = pods["items"].as_array().into_iter().flatten().filter(|pod| is_true(pod, "Ready")).count();
            if u32::try_from(ready).is_ok_and(|ready| ready == wanted) {
                return Ok(Some(()));
            }
            control::pause(Duration::from_millis(500)).map(|()| None)
        })
    }

    /// The API as its administrator.
    pub fn api(&self) -> Result<Api> {
        let kubeconfig = self.kubeconfig();
        control::until("the administrator's kubeconfig is there", END_MAX, || Ok(kubeconfig.exists().then_some(())))?;
        Api::of_home(&self.machine.name, &kubeconfig, &self.folder)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data().join("credentials/admin.kubeconfig")
    }

    /// Ends irori; its pods stay.
    pub fn interrupt(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        control::signal(process.id(), Signal::SIGINT)?;
        let deadline = Instant::now() + END_MAX;
        while process.try_wait().context("wait for irori")?.is_none() {
            if Instant::now() >= deadline {
                let _gone = process.kill();
                let _gone = process.wait();
                bail!("irori did not end in {} s after SIGINT", END_MAX.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends everything of the home, and forgets its data.
    pub fn down(&mut self) -> Result<()> {
        let outcome = self.take_down();
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _gone = process.wait();
        }
        self.end_rest();
        if self.data().exists() {
            fs::remove_dir_all(self.data()).context("remove the home's data")?;
        }
        outcome
    }

    fn take_down(&mut self) -> Result<()> {
        if !self.data().join("instance").exists() {
            return Ok(());
        }
        let mut down = curl::inside(Some(&self.machine.name), "timeout");
        down.arg("120").arg(&self.ground.irori).args(["down", "--grace", "2", "--data-dir"]).arg(self.data());
        let began = Instant::now();
        let out = down.stdin(Stdio::null()).output().context("start irori down")?;
        if !out.status.success() {
            bail!("irori down: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        if began.elapsed() > DOWN_USUAL {
            println!("irori down took {}", shown(began.elapsed()));
        }
        Ok(())
    }

    /// What a failed `irori down` left: processes that carry this home's own folder in their command line, and theirs.
    fn end_rest(&self) {
        let left = self.engine();
        for process in left.shims.iter().chain(&left.containerd).chain(&left.pauses).chain(&left.apps) {
            eprintln!("left by irori down, ended now: {} {}", process.pid, process.command.join(" "));
            let _gone = control::signal(process.pid, Signal::SIGKILL);
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        // The folder itself may be a disk of the bench's.
        let inside = |at: &&str| Path::new(at).starts_with(&self.folder) && Path::new(at) != self.folder;
        // The innermost first.
        for at in mounts.lines().rev().filter_map(|line| line.split(' ').nth(1)).filter(inside) {
            eprintln!("left mounted by irori down, unmounted now: {at}");
            let _told = Command::new("umount").arg(at).stdin(Stdio::null()).stderr(Stdio::null()).status();
        }
    }

    /// The home's processes besides irori.
    pub fn engine(&self) -> Engine {
        let all = proc::processes();
        let folder = self.data().join("containerd").display().to_string();
        let ours = |process: &&Process| process.command.iter().any(|word| word.starts_with(&folder));
        let program = |process: &Process| process.command[0].rsplit('/').next().unwrap_or_default().to_owned();
        let mut engine = Engine::default();
        for process in all.iter().filter(ours) {
            match program(process) {
                name if name == "containerd" => engine.containerd.push(process.clone()),
                name if name.starts_with("containerd-shim") => {
                    for child in proc::descendants(process.pid, &all).into_iter().filter(|child| !child.command.is_empty()) {
                        if program(&child) == "pause" { engine.pauses.push(child) } else { engine.apps.push(child) }
                    }
                    engine.shims.push(process.clone());
                }
                _ => {}
            }
        }
        engine
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        if self.data().exists()
            && let Err(error) = self.down()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Processes of a home besides irori.
#[derive(Default)]
pub struct Engine {
    pub containerd: Vec<Process>,
    pub shims: Vec<Process>,
    pub pauses: Vec<Process>,
    /// What runs in the pods' containers.
    pub apps: Vec<Process>,
}

pub fn pids(processes: &[Process]) -> Vec<u32> {
    processes.iter().map(|process| process.pid).collect()
}

/// Whether a condition of an object is true.
pub fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == condition && c["status"] == "True")
}
