//! The containerd process: started in its own session, found again, ended.
//!
//! Invariant: a running engine with the same configuration is never touched; shims live on whatever happens to it.
//! Limits: its log is emptied above 1 MiB whenever a sandbox is made or the engine is started.
use std::{
    fs, io,
    os::unix::{fs::OpenOptionsExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{
    MachineSettings, StartError,
    config::{self, Paths},
    install::{self, Programs},
};
use crate::cgroups::Cgroups;

/// The log file is emptied above this many bytes.
const LOG_BYTES_MAX: u64 = 1024 * 1024;
/// Longest path of a unix socket, in bytes; containerd makes a second one with `.ttrpc` added.
const SOCKET_PATH_MAX: usize = 107 - ".ttrpc".len();
/// How long a stopping engine may take before it is killed.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Where things are, and the process if it is a child of ours.
pub(super) struct Daemon {
    programs: Programs,
    dir: PathBuf,
    config: PathBuf,
    pid_file: PathBuf,
    log: PathBuf,
    pub socket: PathBuf,
    cgroups: Cgroups,
    child: Option<tokio::process::Child>,
}

impl Daemon {
    /// Finds the programs, makes directories and configuration. Starts nothing.
    pub(super) async fn prepare(settings: &MachineSettings, cgroups: Cgroups) -> Result<Self, StartError> {
        let programs = install::find(settings.containerd.as_deref(), settings.runc.as_deref()).await?;
        let dir = settings.dir.clone();
        let paths = Paths {
            root: dir.join("root"),
            state: dir.join("state"),
            socket: dir.join("containerd.sock"),
            runc: programs.runc.clone(),
            runc_root: dir.join("runc"),
            cni_bin: settings.cni_bin_dir.clone(),
            cni_conf: settings.cni_conf_dir.clone(),
            registries: dir.join("certs.d"),
            may_protect: may_protect(),
        };
        if paths.socket.as_os_str().len() > SOCKET_PATH_MAX {
            return Err(StartError::SocketPath { path: paths.socket, max: SOCKET_PATH_MAX });
        }
        for made in [&dir, &paths.root, &paths.state, &paths.runc_root, &paths.registries, &paths.cni_bin, &paths.cni_conf] {
            fs::create_dir_all(made).map_err(disk("make directory", made))?;
        }
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).map_err(disk("set mode of", &dir))?;
        let daemon = Self {
            config: dir.join("config.toml"),
            pid_file: dir.join("containerd.pid"),
            log: dir.join("containerd.log"),
            socket: paths.socket.clone(),
            cgroups,
            child: None,
            programs,
            dir,
        };
        daemon.forget_former_boot(&paths)?;
        let text = config::render(daemon.programs.version, &paths);
        if fs::read_to_string(&daemon.config).ok().as_deref() != Some(&text) {
            // What runs was told something else. Its shims do not mind.
            daemon.stop().await?;
            replace(&daemon.config, &text)?;
        }
        Ok(daemon)
    }

    /// What `state` and runc's root describe ended with the machine: without it containerd needs not find that out one by one.
    fn forget_former_boot(&self, paths: &Paths) -> Result<(), StartError> {
        let this_boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(disk("read", Path::new("boot_id")))?;
        let marker = self.dir.join("boot_id");
        if fs::read_to_string(&marker).ok().as_deref() == Some(&this_boot) {
            return Ok(());
        }
        for dir in [&paths.state, &paths.runc_root] {
            fs::remove_dir_all(dir).map_err(disk("clear", dir))?;
            fs::create_dir_all(dir).map_err(disk("make directory", dir))?;
        }
        let _absent = fs::remove_file(&self.pid_file);
        replace(&marker, &this_boot)
    }

    /// The engine's process, if it runs.
    pub(super) fn running(&self) -> Option<u32> {
        let text = fs::read_to_string(&self.pid_file).ok()?;
        let (pid, started) = text.trim().split_once(' ')?;
        let pid = pid.parse().ok()?;
        (start_time(pid).as_deref() == Some(started)).then_some(pid)
    }

    /// Starts the engine unless it runs.
    pub(super) async fn ensure_running(&mut self) -> Result<(), StartError> {
        self.reap().await;
        if self.running().is_some() {
            return Ok(());
        }
        trim(&self.log);
        let _absent = fs::remove_file(&self.socket);
        let failed = |source| StartError::Spawn { program: self.programs.containerd.clone(), source };
        let log =
            fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&self.log).map_err(disk("open", &self.log))?;
        let errors = log.try_clone().map_err(disk("open", &self.log))?;
        let mut command = tokio::process::Command::new(&self.programs.containerd);
        command.arg("--config").arg(&self.config).current_dir(&self.dir).env("PATH", &self.programs.path);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        new_session(&mut command);
        let child = command.spawn().map_err(failed)?;
        let pid = child.id().ok_or_else(|| failed(io::Error::other("it ended at once")))?;
        self.child = Some(child);
        let started = start_time(pid).ok_or_else(|| failed(io::Error::other("it ended at once")))?;
        replace(&self.pid_file, &format!("{pid} {started}\n"))?;
        self.cgroups.adopt_engine(pid)?;
        Ok(())
    }

    /// Ends the engine; sandboxes and containers go on.
    pub(super) async fn stop(&self) -> Result<(), StartError> {
        let Some(pid) = self.running() else { return Ok(()) };
        let deadline = tokio::time::Instant::now() + STOP_MAX;
        signal(pid, Signal::SIGTERM);
        while self.running().is_some() {
            if tokio::time::Instant::now() > deadline {
                signal(pid, Signal::SIGKILL);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Collects the exit of a child that has ended, so that it is no zombie with a start time.
    async fn reap(&mut self) {
        let Some(child) = &mut self.child else { return };
        match tokio::time::timeout(Duration::from_millis(500), child.wait()).await {
            Ok(Ok(status)) => {
                tracing::warn!(%status, log = %self.log.display(), "containerd ended");
                self.child = None;
            }
            Ok(Err(source)) => {
                tracing::warn!("wait for containerd: {source}");
                self.child = None;
            }
            Err(_still_running) => {}
        }
    }

    /// The last lines it wrote, for an error message.
    pub(super) fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .rev()
            .filter(|line| ["level=fatal", "v1.cri", "containerd:"].iter().any(|word| line.contains(word)))
            .take(2)
            .collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("; ")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.log.clone()
    }
}

/// Whether this process may lower the score that the kernel's memory killer goes by.
fn may_protect() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|effective| effective & CAP_SYS_RESOURCE != 0)
}

/// Empties the engine's log if it has grown too large.
pub(super) fn trim(log: &Path) {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX)
        && let Err(source) = fs::OpenOptions::new().write(true).open(log).and_then(|file| file.set_len(0))
    {
        tracing::warn!(log = %log.display(), "empty containerd's log: {source}");
    }
}

/// Puts the process in a session of its own, so that a terminal's Ctrl-C does not reach it.
#[allow(unsafe_code)]
fn new_session(command: &mut tokio::process::Command) {
    // SAFETY: setsid is async-signal-safe and allocates nothing; nothing else runs between fork and exec.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
}

/// The kernel's start time of a process that is neither gone nor a zombie: with the pid it names a process for good.
fn start_time(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; fields are counted from behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let (state, started) = (*fields.first()?, *fields.get(19)?);
    (state != "Z" && state != "X").then(|| started.to_owned())
}

fn signal(pid: u32, signal: Signal) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if let Err(source) = kill(Pid::from_raw(pid), signal) {
        tracing::debug!(pid, "send {signal}: {source}");
    }
}

/// Writes a file whole or not at all.
fn replace(path: &Path, text: &str) -> Result<(), StartError> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, text).map_err(disk("write", &fresh))?;
    fs::rename(&fresh, path).map_err(disk("write", path))
}

fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_path_buf();
    move |source| StartError::Disk { operation, path, source }
}
