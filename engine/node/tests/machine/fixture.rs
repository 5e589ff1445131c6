//! A machine of its own for a test: own data folder, own instance, own containerd, cleaned up whatever happens.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use irori_node::{
    containerd::{Machine, MachineSettings},
    images::Layout,
    logs::LogLimits,
    runtime::*,
};
use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};

/// The tests' network plugin: a namespace with loopback, and an address nobody uses.
const PLUGIN: &str = r#"#!/bin/sh
read_input=$(cat)
case "$CNI_COMMAND" in
ADD)
  nsenter --net="$CNI_NETNS" ip link set lo up
  echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'"$CNI_IFNAME"'","sandbox":"'"$CNI_NETNS"'"}],"ips":[{"version":"4","interface":0,"address":"192.0.2.7/32"}]}' ;;
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}' ;;
esac
"#;

pub const IMAGE: &str = "irori.dev/test/busybox:1";
pub const LONG: Duration = Duration::from_secs(60);

pub struct Host {
    pub machine: Arc<Machine>,
    pub settings: MachineSettings,
    pub tasks: Tasks,
    dir: PathBuf,
    /// Ends the tasks of every start.
    shutdown: Shutdown,
}

/// Runs a test on a fresh machine and leaves nothing behind.
pub async fn on_a_machine<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(Host) -> F + Send + 'static) {
    irori_runtime::telemetry::init("info");
    let dir = tempfile::Builder::new().prefix("irori-").tempdir().expect("temp dir");
    let instance = format!("{:06x}", uuid::Uuid::new_v4().as_u128() as u32 & 0xff_ffff);
    let at = |name: &str| dir.path().join(name);
    let settings = MachineSettings {
        instance,
        dir: at("containerd"),
        log_dir: at("logs"),
        cni_bin_dir: at("cni/bin"),
        cni_conf_dir: at("cni/conf"),
        log_limits: LogLimits { bytes_max: 400_000, files_max: 5, pause: Duration::ZERO },
        // Another engine than the installed one may be tried with the same tests.
        containerd: std::env::var_os("IRORI_TEST_CONTAINERD").map(PathBuf::from),
        runc: Some(at("runc")),
    };
    write_network(&settings);
    write_runc(dir.path());
    let path = dir.path().to_path_buf();
    let kept = settings.clone();
    let shutdown = Shutdown::new();
    let started = Host::start(settings, path.clone(), shutdown.child());
    let result = tokio::spawn(async move { test(started.await).await }).await;
    shutdown.start();
    clean_up(kept, &path).await;
    if let Err(failure) = result {
        std::panic::resume_unwind(failure.into_panic());
    }
}

fn write_network(settings: &MachineSettings) {
    fs::create_dir_all(&settings.cni_bin_dir).expect("make dir");
    fs::create_dir_all(&settings.cni_conf_dir).expect("make dir");
    for name in ["loopback", "testnet"] {
        let path = settings.cni_bin_dir.join(name);
        fs::write(&path, PLUGIN).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("set mode");
    }
    let conflist = r#"{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"testnet"}]}"#;
    fs::write(settings.cni_conf_dir.join("10-test.conflist"), conflist).expect("write");
}

/// runc, that can be told to be slow.
fn write_runc(dir: &Path) {
    let runc = std::env::var("IRORI_TEST_RUNC").unwrap_or_else(|_| "runc".to_owned());
    let dir = dir.display();
    // The process is there, the answer is not.
    let text = format!(
        "#!/bin/sh\ncase \" $* \" in *\" create \"*) {runc} \"$@\" || exit; [ ! -e {dir}/slow ] || sleep $(cat {dir}/slow);; *) exec {runc} \"$@\";; esac\n"
    );
    let path = dir.to_string() + "/runc";
    fs::write(&path, text).expect("write");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set mode");
}

/// Ends all that the test made, by a machine of its own: the test's may be in any state.
async fn clean_up(settings: MachineSettings, dir: &Path) {
    let instance = format!("irori-{}", settings.instance);
    let tasks = Tasks::new(Shutdown::new());
    let machine = Machine::start(settings, clock(), &tasks).await.expect("start for cleaning up");
    for sandbox in machine.sandboxes().await.expect("list") {
        machine.stop_sandbox(&sandbox.id).await.expect("stop");
        machine.remove_sandbox(&sandbox.id).await.expect("remove");
    }
    tasks.shutdown().start();
    assert!(tasks.drain(LONG).await.is_empty());
    machine.dismantle().await.expect("end containerd, remove control groups");
    let groups = fs::read_dir("/sys/fs/cgroup").expect("read").filter_map(Result::ok);
    let groups: Vec<PathBuf> = groups.map(|entry| entry.path().join(&instance)).filter(|group| group.exists()).collect();
    assert_eq!(groups, Vec::<PathBuf>::new(), "control groups are left");
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read");
    let left: Vec<&str> = mounts.lines().filter(|line| line.contains(&*dir.to_string_lossy())).collect();
    assert!(left.is_empty(), "mounts are left: {left:?}");
    assert_eq!(processes_of(dir), Vec::<String>::new(), "processes are left");
}

/// Processes by their command line.
fn processes_with(wanted: impl Fn(&str) -> bool) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("read").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let line = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    pids.filter(|pid| wanted(&String::from_utf8_lossy(&line(pid)).replace('\0', " "))).collect()
}

/// Processes in control groups below one of that name.
fn processes_in(group: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("read").filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(group))).collect()
}

/// Command lines that name the folder.
fn processes_of(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("read").filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(&*dir.to_string_lossy())).collect()
}

fn clock() -> Clock {
    Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO)
}

impl Host {
    async fn start(settings: MachineSettings, dir: PathBuf, shutdown: Shutdown) -> Self {
        let tasks = Tasks::new(shutdown.child());
        let machine = Machine::start(settings.clone(), clock(), &tasks).await.expect("start");
        Self { machine, settings, tasks, dir, shutdown }
    }

    /// Ends irori's side and starts it again; containers go on.
    pub async fn restart(self) -> Self {
        self.tasks.shutdown().start();
        assert!(self.tasks.drain(LONG).await.is_empty());
        drop(self.machine);
        Self::start(self.settings, self.dir, self.shutdown).await
    }

    /// Another irori on this machine does something and is killed after a while: nothing of it is waited for or ended in order.
    pub async fn another_is_killed<F: Future<Output = ()> + Send + 'static>(
        &self,
        after: Duration,
        work: impl FnOnce(Arc<Machine>) -> F + Send + 'static,
    ) {
        let settings = self.settings.clone();
        let life = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let machine = Machine::start(settings, clock(), &Tasks::new(Shutdown::new())).await.expect("start");
                // Whether or not it is done by then.
                let _done = tokio::time::timeout(after, work(machine)).await;
            });
            runtime.shutdown_background();
        };
        tokio::task::spawn_blocking(life).await.expect("no panic");
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Ends every process and mount of the instance behind its back, and lets the machine seem to have started anew.
    pub async fn pretend_reboot(&self) {
        self.machine.stop_engine().await.expect("stop containerd");
        let gone = async {
            loop {
                let shims = processes_with(|line| line.contains(&*self.dir.to_string_lossy()));
                let inside = processes_in(&format!("/irori-{}/", self.settings.instance));
                if shims.is_empty() && inside.is_empty() {
                    break;
                }
                for pid in shims.into_iter().chain(inside) {
                    let _gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, gone).await.expect("all end");
        let mounts = fs::read_to_string("/proc/self/mounts").expect("read");
        let points =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|point| Path::new(point).starts_with(&self.dir));
        for point in points.collect::<Vec<_>>().into_iter().rev() {
            nix::mount::umount2(point, nix::mount::MntFlags::MNT_DETACH).expect("unmount");
        }
        fs::write(self.settings.dir.join("boot_id"), "another").expect("write");
    }

    pub fn pid_of_containerd(&self) -> u32 {
        let text = fs::read_to_string(self.settings.dir.join("containerd.pid")).expect("read");
        text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid")
    }

    /// Lets runc take so long for each container from now on as a machine that is very busy.
    pub fn slow_runc(&self, seconds: u32) {
        fs::write(self.dir.join("slow"), seconds.to_string()).expect("write");
    }

    /// Waits for the last process in a container to end, whatever containerd says of it; what was killed takes a moment.
    pub async fn gone(&self, id: &ContainerId, why: &str) {
        let gone = async {
            while !processes_in(&id.0).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(5), gone).await.is_ok(), "{why}");
    }

    /// busybox of this machine as an image.
    pub async fn busybox(&self) -> ImageInfo {
        let program = fs::read("/bin/busybox").expect("busybox-static is installed");
        let layout = Layout::new(IMAGE)
            .file("/bin/busybox", 0o755, program)
            .file("/etc/passwd", 0o644, "root:x:0:0:root:/:/bin/sh\nweb:x:1234:1235::/:/bin/sh\n")
            .directory("/tmp", 0o1777)
            .config(ImageConfig { env: vec!["PATH=/bin".into(), "FROM_IMAGE=yes".into()], ..Default::default() });
        self.machine.import_image(&layout).await.expect("import")
    }

    pub async fn sandbox(&self, config: &SandboxConfig) -> SandboxId {
        self.machine.ensure_sandbox(config).await.expect("start sandbox")
    }

    /// A running container of a script.
    pub async fn run(&self, pod: &SandboxConfig, sandbox: &SandboxId, config: &ContainerConfig) -> ContainerId {
        let id = self.machine.create_container(sandbox, config, pod).await.expect("create");
        self.machine.start_container(&id).await.expect("start");
        id
    }

    /// A pod of one container with a script, and its id.
    pub async fn start_script(&self, text: &str) -> (SandboxConfig, SandboxId, ContainerId) {
        let image = self.busybox().await;
        let pod = pod("web");
        let sandbox = self.sandbox(&pod).await;
        let id = self.run(&pod, &sandbox, &script(&image, text)).await;
        (pod, sandbox, id)
    }

    /// Waits until the container has ended.
    pub async fn ended(&self, id: &ContainerId) -> ContainerStatus {
        let mut events = self.machine.events();
        let wait = async {
            loop {
                let status = self.machine.container(id).await.expect("status");
                if status.state == ContainerState::Exited {
                    return status;
                }
                while let Some(event) = events.next().await {
                    if event == RuntimeEvent::Relist
                        || matches!(&event, RuntimeEvent::TaskExit { id: ended, .. } if *ended == id.0)
                    {
                        break;
                    }
                }
            }
        };
        match tokio::time::timeout(LONG, wait).await {
            Ok(status) => status,
            Err(_) => panic!("it does not end: {:?}", self.machine.container(id).await),
        }
    }

    pub async fn exec(&self, id: &ContainerId, text: &str) -> ExecOutput {
        let command = ["/bin/busybox", "sh", "-c", text].map(str::to_owned);
        self.machine.exec_sync(id, &command, LONG).await.expect("exec")
    }

    pub async fn log(&self, id: &ContainerId, options: LogOptions) -> String {
        let chunks: Vec<_> = self.machine.logs(id, options).await.expect("logs").collect().await;
        chunks.into_iter().map(|chunk| String::from_utf8(chunk.expect("readable").to_vec()).expect("text")).collect()
    }
}

pub fn pod(name: &str) -> SandboxConfig {
    SandboxConfig {
        pod: PodRef { namespace: "default".into(), name: name.into(), uid: uuid::Uuid::new_v4().to_string() },
        attempt: 0,
        hostname: name.into(),
        dns: Some(Dns {
            servers: vec!["10.96.0.10".into()],
            searches: vec!["svc.cluster.local".into()],
            options: vec!["ndots:5".into()],
        }),
        labels: BTreeMap::from([("app".into(), name.into())]),
        annotations: BTreeMap::new(),
        sysctls: BTreeMap::new(),
        namespaces: Namespaces::default(),
        qos: Qos::Burstable,
        resources: Resources::default(),
        privileged: false,
        run_as_user: None,
        run_as_group: None,
        supplemental_groups: vec![],
        seccomp: Seccomp::Unconfined,
    }
}

pub fn script(image: &ImageInfo, text: &str) -> ContainerConfig {
    ContainerConfig {
        name: "main".into(),
        attempt: 0,
        image_id: image.id.clone(),
        image_ref: IMAGE.into(),
        command: ["/bin/busybox", "sh", "-c", text].map(str::to_owned).to_vec(),
        args: vec![],
        working_dir: None,
        env: vec![("GREETING".into(), "hello".into())],
        mounts: vec![],
        labels: BTreeMap::new(),
        annotations: BTreeMap::from([("restarts".into(), "0".into())]),
        resources: Resources::default(),
        security: ContainerSecurity::default(),
        stdin: false,
        stdin_once: false,
        tty: false,
    }
}

pub fn file(host: &Host, name: &str, text: &str) -> PathBuf {
    let path = host.path().join(name);
    fs::write(&path, text).expect("write");
    path
}
