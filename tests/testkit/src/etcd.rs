//! etcd as one or more processes: on loopback, in a folder of its own, killed, frozen and started again.
//!
//! Knows nothing of the rest of the kit, because the tests of the store take this file in by its path.
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// From the start of a member until it serves, also on a busy machine of two cores.
const START_MAX: Duration = Duration::from_secs(60);

/// etcd of Debian 13: what `cargo xtask test` fetched. etcdctl lies beside it.
pub fn program() -> PathBuf {
    let fetched = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/usr/bin/etcd");
    let program = std::env::var_os("IRORI_TEST_ETCD").map_or_else(fetched, PathBuf::from);
    assert!(program.is_file(), "etcd is not at {}: `cargo xtask test` fetches it", program.display());
    program
}

/// Files for TLS with client certificates.
#[derive(Clone)]
pub struct Files {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// What clients' certificates are verified with.
    pub clients_ca: PathBuf,
    /// For etcdctl: the CA of `certificate`, and a client's certificate and key.
    pub control: [PathBuf; 3],
}

/// A cluster of its own.
pub struct Etcd {
    members: Vec<Member>,
    options: Vec<String>,
    tls: Option<Files>,
    /// Syncs what it writes, and uses as many cores as it likes.
    measured: bool,
    folder: tempfile::TempDir,
}

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Child>,
}

impl Etcd {
    /// One member.
    pub fn single() -> Self {
        Self::start(1, &[], None)
    }

    /// Three members.
    pub fn three() -> Self {
        Self::start(3, &[], None)
    }

    /// So many members, with more options.
    pub fn start(members: usize, options: &[&str], tls: Option<Files>) -> Self {
        Self::start_in(&std::env::temp_dir(), members, options, tls, false)
    }

    /// One member as a person would run it, with its data below a folder: for benches.
    pub fn measured(scratch: &Path, options: &[&str]) -> Self {
        Self::start_in(scratch, 1, options, None, true)
    }

    fn start_in(scratch: &Path, members: usize, options: &[&str], tls: Option<Files>, measured: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("irori-etcd-").tempdir_in(scratch).expect("make a folder");
        // Held together, so that no port is given twice.
        let held: Vec<TcpListener> = (0..2 * members).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
        let addresses: Vec<SocketAddr> = held.iter().map(|l| l.local_addr().expect("a bound address")).collect();
        drop(held);
        let members = addresses.chunks(2).enumerate();
        let members = members.map(|(n, pair)| Member { name: format!("m{n}"), client: pair[0], peer: pair[1], process: None });
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut etcd = Self { members: members.collect(), options, tls, measured, folder };
        (0..etcd.members.len()).for_each(|n| etcd.spawn(n));
        (0..etcd.members.len()).for_each(|n| etcd.wait(n));
        etcd
    }

    /// `host:port` of each member.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| member.client.to_string()).collect()
    }

    /// How many members there are, running or not.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// The process of a member.
    pub fn pid(&self, member: usize) -> u32 {
        self.members[member].process.as_ref().expect("running").id()
    }

    /// kill -9 of one member.
    pub fn kill(&mut self, member: usize) {
        let mut process = self.members[member].process.take().expect("running");
        process.kill().expect("kill a child of ours");
        process.wait().expect("wait for a child of ours");
    }

    /// Starts a killed member again on what it had, and waits until it serves.
    pub fn restart(&mut self, member: usize) {
        self.spawn(member);
        self.wait(member);
    }

    /// Takes away what a killed member had.
    pub fn forget(&mut self, member: usize) {
        assert!(self.members[member].process.is_none(), "killed first");
        fs::remove_dir_all(self.data(member)).expect("remove a folder of ours");
    }

    /// Stops a member in its steps, as a stall of its machine would, or lets it go on.
    pub fn freeze(&self, member: usize, frozen: bool) {
        let pid = self.members[member].process.as_ref().expect("running").id();
        let signal = if frozen { "-STOP" } else { "-CONT" };
        let sent = Command::new("kill").args([signal, &pid.to_string()]).status().expect("run kill");
        assert!(sent.success(), "send {signal} to {pid}");
    }

    /// One thing that goes wrong with one member, chosen by a number: it is killed and comes back at once, or after a while, or it stands
    /// still for a while. Over when this returns.
    pub fn disturb(&mut self, chosen: usize) {
        const A_WHILE: Duration = Duration::from_millis(700);
        let member = chosen % self.members.len();
        match chosen / self.members.len() % 3 {
            0 => self.kill(member),
            1 => {
                self.kill(member);
                std::thread::sleep(A_WHILE);
            }
            _ => {
                self.freeze(member, true);
                std::thread::sleep(A_WHILE);
                return self.freeze(member, false);
            }
        }
        self.restart(member);
    }

    /// Runs etcdctl against all members, and returns what it says.
    #[track_caller]
    pub fn control(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(program().with_file_name("etcdctl"));
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.endpoints().join(","));
        if let Some(tls) = &self.tls {
            let [ca, certificate, key] = &tls.control;
            command.arg("--cacert").arg(ca).arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        let out = command.args(arguments).stdin(Stdio::null()).output().expect("run etcdctl");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(out.status.success(), "etcdctl {arguments:?}: {}{}", said(&out.stdout), said(&out.stderr));
        said(&out.stdout)
    }

    fn data(&self, member: usize) -> PathBuf {
        self.folder.path().join(&self.members[member].name)
    }

    fn log(&self, member: usize) -> PathBuf {
        self.folder.path().join(format!("{}.log", self.members[member].name))
    }

    fn spawn(&mut self, member: usize) {
        let log = fs::File::create(self.log(member)).expect("make a log");
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let cluster: Vec<String> = self.members.iter().map(|m| format!("{}=http://{}", m.name, m.peer)).collect();
        let Member { name, client, peer, .. } = &self.members[member];
        let mut command = Command::new(program());
        command.args(["--name", name, "--data-dir"]).arg(self.data(member));
        for option in ["--listen-client-urls", "--advertise-client-urls"] {
            command.arg(option).arg(format!("{scheme}://{client}"));
        }
        for option in ["--listen-peer-urls", "--initial-advertise-peer-urls"] {
            command.arg(option).arg(format!("http://{peer}"));
        }
        command.arg("--initial-cluster").arg(cluster.join(",")).args(["--log-outputs", "stderr", "--log-level", "info"]);
        command.args(&self.options);
        if !self.measured {
            // What a killed process wrote is in the page cache; the disk is etcd's own matter.
            command.arg("--unsafe-no-fsync").env("GOMAXPROCS", "1");
        }
        if let Some(tls) = &self.tls {
            command.arg("--cert-file").arg(&tls.certificate).arg("--key-file").arg(&tls.key);
            command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(&tls.clients_ca);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.members[member].process = Some(command.spawn().expect("start etcd"));
    }

    fn wait(&mut self, member: usize) {
        let since = Instant::now();
        let log = self.log(member);
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        while !text(&log).contains("ready to serve client requests") {
            let process = self.members[member].process.as_mut().expect("started");
            if let Some(ended) = process.try_wait().expect("ask a child of ours") {
                panic!("etcd ended with {ended}:\n{}", text(&log));
            }
            assert!(since.elapsed() < START_MAX, "etcd does not serve:\n{}", text(&log));
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            let _gone = process.kill();
            let _gone = process.wait();
        }
    }
}
