//! A host of its own: a network namespace with loopback and one address.
use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

static NEXT: AtomicU32 = AtomicU32::new(0);

pub struct Machine {
    namespace: String,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
}

impl Said {
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Standard output, or a panic with everything that was said.
    #[track_caller]
    pub fn expect_ok(self) -> String {
        assert!(self.ok(), "command failed ({:?})\n--- out\n{}\n--- err\n{}", self.code, self.out, self.err);
        self.out
    }
}

impl Machine {
    /// The machine's address on its (empty) network.
    pub const ADDRESS: &'static str = "192.0.2.10";

    pub fn new() -> Self {
        let namespace = format!("irori-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Self { namespace };
        plain("ip", &["netns", "add", &machine.namespace]).expect_ok();
        let address = format!("{}/24", Self::ADDRESS);
        for words in [
            vec!["link", "set", "lo", "up"],
            // Not every kernel has dummy links; the other end of a pair stands for the rest of the network.
            vec!["link", "add", "lan0", "type", "veth", "peer", "name", "lan1"],
            vec!["link", "set", "lan1", "up"],
            vec!["address", "add", &address, "dev", "lan0"],
            vec!["-6", "address", "add", "2001:db8::10/64", "dev", "lan0", "nodad"],
            vec!["link", "set", "lan0", "up"],
            vec!["route", "add", "default", "dev", "lan0"],
        ] {
            plain("ip", &[vec!["-n", machine.namespace.as_str()], words].concat()).expect_ok();
        }
        machine
    }

    /// The name of its network namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Moves the network of the thread that calls it to this machine, for good.
    pub fn entrance(&self) -> impl FnOnce() + Send + 'static {
        let namespace = std::fs::File::open(format!("/run/netns/{}", self.namespace)).expect("open a namespace of ours");
        move || nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter a namespace of ours")
    }

    /// A command that will run on this machine. Only its network is the machine's: files and cgroups are shared.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program);
        command
    }

    /// Runs a command to its end, at most a minute.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Said {
        said(self.command("timeout").arg("60").arg(program).args(arguments), None)
    }

    /// Runs a command with something on its standard input.
    pub fn run_with(&self, program: impl AsRef<OsStr>, arguments: &[&str], input: &[u8]) -> Said {
        said(self.command("timeout").arg("120").arg(program).args(arguments), Some(input))
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let removed = plain("ip", &["netns", "delete", &self.namespace]);
        if !removed.ok() && !std::thread::panicking() {
            panic!("remove namespace {}: {}", self.namespace, removed.err);
        }
    }
}

pub(crate) fn plain(program: &str, arguments: &[&str]) -> Said {
    said(Command::new(program).args(arguments), None)
}

fn said(command: &mut Command, input: Option<&[u8]>) -> Said {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|source| panic!("start {command:?}: {source}"));
    let writer = input.map(|bytes| {
        let (mut pipe, bytes) = (child.stdin.take().expect("piped"), bytes.to_vec());
        // A program that reads only a part of its input is not at fault.
        std::thread::spawn(move || drop(pipe.write_all(&bytes)))
    });
    let Output { status, stdout, stderr } = child.wait_with_output().expect("wait for a child of ours");
    if let Some(writer) = writer {
        let _ended = writer.join();
    }
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { out: text(stdout), err: text(stderr), code: status.code() }
}

/// How long a container's first start may take on a busy machine of two cores.
pub const START_MAX: Duration = Duration::from_secs(90);
