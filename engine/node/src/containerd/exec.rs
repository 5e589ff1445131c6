//! Commands in running containers, by containerd's tasks service: unlike the CRI's streaming server it can close stdin alone.
//!
//! Flow: process description from the container's own → pipes → Exec, Start → streams to the caller; one task per exec waits for its
//! end, gives the code, and removes it once its output was read.
//! Invariant: an exec whose caller has gone is killed; one that an earlier irori left behind is killed at the next start.
use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use irori_runtime::{Backoff, OnEnd};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::watch,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Machine,
    rpc::{Rpc, USUAL, failed},
    wire::engine,
};
use crate::{
    runtime::{
        ContainerId, EXEC_OUTPUT_BYTES_MAX, ExecOutput, ExecProcess, ExecRequest, ExecSession, Result, RuntimeError, TerminalSize,
    },
    stream::{Input, Output, Pipes},
};

/// Waits for containerd while it is restarted; an exec goes on meanwhile.
const AGAIN: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };
/// Output may be held open by what the command left in the background; a synchronous exec waits this long for its end.
const LEFT_OPEN: Duration = Duration::from_secs(1);
pub(super) const SIGKILL: u32 = 9;
const PROCESS_TYPE: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

const EXEC: &str = "/containerd.services.tasks.v1.Tasks/Exec";
const START: &str = "/containerd.services.tasks.v1.Tasks/Start";
const WAIT: &str = "/containerd.services.tasks.v1.Tasks/Wait";
pub(super) const KILL: &str = "/containerd.services.tasks.v1.Tasks/Kill";
const DELETE: &str = "/containerd.services.tasks.v1.Tasks/DeleteProcess";
const CLOSE: &str = "/containerd.services.tasks.v1.Tasks/CloseIO";
const RESIZE: &str = "/containerd.services.tasks.v1.Tasks/ResizePty";

/// Names one exec to containerd.
#[derive(Clone)]
struct Target {
    rpc: Rpc,
    container: String,
    exec: String,
}

impl Target {
    async fn kill(&self) -> Result<()> {
        let request =
            engine::KillRequest { container_id: self.container.clone(), exec_id: self.exec.clone(), signal: SIGKILL, all: false };
        match self.rpc.call::<_, engine::Empty>(KILL, request, USUAL).await {
            Ok(_) => Ok(()),
            // It has ended already.
            Err(status) if status.code() == tonic::Code::NotFound || status.message().contains("process already finished") => {
                Ok(())
            }
            Err(status) => Err(failed("kill exec", &self.exec, &status)),
        }
    }

    async fn delete(&self) {
        let request = engine::DeleteProcessRequest { container_id: self.container.clone(), exec_id: self.exec.clone() };
        match self.rpc.call::<_, engine::DeleteResponse>(DELETE, request, USUAL).await {
            Ok(_) => {}
            // Gone with its container.
            Err(status) if status.code() == tonic::Code::NotFound => {}
            Err(status) => tracing::debug!(exec = self.exec, "remove exec: {}", status.message()),
        }
    }

    async fn close_stdin(&self) {
        let request = engine::CloseIoRequest { container_id: self.container.clone(), exec_id: self.exec.clone(), stdin: true };
        if let Err(status) = self.rpc.call::<_, engine::Empty>(CLOSE, request, USUAL).await {
            tracing::debug!(exec = self.exec, "close stdin (it may have ended): {}", status.message());
        }
    }

    /// The exit code, over restarts of containerd.
    async fn exit(&self) -> Result<i32> {
        let mut attempt = 0;
        loop {
            let request = engine::WaitRequest { container_id: self.container.clone(), exec_id: self.exec.clone() };
            match self.rpc.call::<_, engine::WaitResponse>(WAIT, request, Duration::MAX).await {
                Ok(answer) => return Ok(i32::try_from(answer.exit_status).unwrap_or(i32::MAX)),
                Err(status) => match failed("wait for exec", &self.exec, &status) {
                    RuntimeError::Unavailable { .. } => {
                        tokio::time::sleep(AGAIN.wait(attempt)).await;
                        attempt += 1;
                    }
                    error => return Err(error),
                },
            }
        }
    }
}

/// What the caller holds. Dropping it kills the process.
struct Handle {
    target: Target,
    tty: bool,
    exit: watch::Receiver<Option<Result<i32>>>,
    _alive: DropGuard,
}

#[async_trait]
impl ExecProcess for Handle {
    async fn resize(&self, size: TerminalSize) -> Result<()> {
        if !self.tty {
            return Err(RuntimeError::Invalid { message: "the process has no terminal".to_owned() });
        }
        resize(&self.target, size).await
    }

    async fn kill(&self) -> Result<()> {
        self.target.kill().await
    }

    async fn wait(&self) -> Result<i32> {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        let lost = || RuntimeError::Unavailable { message: "irori is stopping".to_owned() };
        ended.ok().and_then(|code| code.clone()).unwrap_or_else(|| Err(lost()))
    }
}

async fn resize(target: &Target, size: TerminalSize) -> Result<()> {
    let request = engine::ResizePtyRequest {
        container_id: target.container.clone(),
        exec_id: target.exec.clone(),
        width: u32::from(size.columns),
        height: u32::from(size.rows),
    };
    let answer = target.rpc.call::<_, engine::Empty>(RESIZE, request, USUAL).await;
    answer.map(drop).map_err(|status| failed("resize terminal", &target.exec, &status))
}

impl Machine {
    fn pipes_dir(&self) -> PathBuf {
        self.settings.dir.join("pipes")
    }

    pub(super) async fn open_exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecSession> {
        let failure = |operation, source: std::io::Error| RuntimeError::Failed { operation, message: source.to_string() };
        let process = self.process_of(id, &request).await?;
        let target = Target { rpc: self.rpc.clone(), container: id.0.clone(), exec: uuid::Uuid::new_v4().simple().to_string() };
        let pipes =
            Pipes::new(self.pipes_dir().join(format!("{id}.{}", target.exec))).map_err(|source| failure("make pipes", source))?;
        // The shim wants all outputs or none, and takes a file where nobody reads.
        let unread = if request.tty { "" } else { "/dev/null" };
        let make = |wanted: bool, name: &str, unread: &str| if wanted { pipes.make(name) } else { Ok(unread.to_owned()) };
        let with_stderr = request.stderr && !request.tty;
        let exec = engine::ExecProcessRequest {
            container_id: id.0.clone(),
            stdin: make(request.stdin, "stdin", "").map_err(|source| failure("make pipes", source))?,
            stdout: make(request.stdout, "stdout", unread).map_err(|source| failure("make pipes", source))?,
            stderr: make(with_stderr, "stderr", unread).map_err(|source| failure("make pipes", source))?,
            terminal: request.tty,
            spec: Some(engine::Any { type_url: PROCESS_TYPE.to_owned(), value: process }),
            exec_id: target.exec.clone(),
        };
        let (stdout_done, stderr_done, stdin_closed) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let open = |wanted: bool, name: &str, done: &CancellationToken| {
            let output = wanted.then(|| Output::open(&pipes.path(name), done.clone())).transpose();
            output.map_err(|source| failure("open pipes", source))
        };
        let stdout = open(request.stdout, "stdout", &stdout_done)?;
        let stderr = open(with_stderr, "stderr", &stderr_done)?;
        let answer = self.rpc.call::<_, engine::Empty>(EXEC, exec, USUAL).await;
        answer.map_err(|status| failed("prepare exec", &id.0, &status))?;
        let start = engine::StartRequest { container_id: id.0.clone(), exec_id: target.exec.clone() };
        if let Err(status) = self.rpc.call::<_, engine::StartResponse>(START, start, USUAL).await {
            target.delete().await;
            return Err(start_error(&id.0, &status));
        }
        // From here on the process is looked after, whatever fails.
        let alive = CancellationToken::new();
        let (sender, exit) = watch::channel(None);
        let outputs = [(request.stdout, stdout_done), (with_stderr, stderr_done)];
        let read: Vec<_> = outputs.into_iter().filter_map(|(wanted, done)| wanted.then_some(done)).collect();
        let stdin_path = pipes.path("stdin");
        let closed = request.stdin.then(|| stdin_closed.clone());
        let care = Care { target: target.clone(), pipes, stdin: closed, read, alive: alive.clone() };
        self.tasks.spawn("exec", OnEnd::Contained, async move {
            care.run(sender).await;
            Ok::<(), std::convert::Infallible>(())
        });
        let handle = Handle { target, tty: request.tty, exit, _alive: alive.drop_guard() };
        if let (true, Some(size)) = (request.tty, request.size) {
            handle.resize(size).await?;
        }
        let stdin = match request.stdin {
            true => Some(Input::open(&stdin_path, stdin_closed).await.map_err(|source| failure("open pipes", source))?),
            false => None,
        };
        Ok(ExecSession {
            stdin: stdin.map(|stdin| Box::new(stdin) as _),
            stdout: stdout.map(|stdout| Box::new(stdout) as _),
            stderr: stderr.map(|stderr| Box::new(stderr) as _),
            process: Arc::new(handle),
        })
    }

    pub(super) async fn run_to_end(&self, id: &ContainerId, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        let request = ExecRequest { command: command.to_vec(), stdout: true, stderr: true, ..ExecRequest::default() };
        let work = async {
            let session = self.open_exec(id, request).await?;
            let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
            let exit_code = {
                let reading = async { tokio::join!(keep(session.stdout, &mut stdout), keep(session.stderr, &mut stderr)) };
                tokio::pin!(reading);
                tokio::select! {
                    code = session.process.wait() => {
                        // Whether or not the end of the output comes in time, what came is returned.
                        let _in_time = tokio::time::timeout(LEFT_OPEN, &mut reading).await;
                        code?
                    }
                    _ = &mut reading => session.process.wait().await?,
                }
            };
            Ok(ExecOutput { exit_code, stdout: Bytes::from(stdout), stderr: Bytes::from(stderr) })
        };
        let late = RuntimeError::Timeout { operation: "exec", limit: timeout };
        tokio::time::timeout(timeout, work).await.map_err(|_| late)?
    }

    /// The container's own process with another command: same user, limits, environment, directory.
    async fn process_of(&self, id: &ContainerId, request: &ExecRequest) -> Result<Bytes> {
        let get = engine::GetContainerRequest { id: id.0.clone() };
        let path = "/containerd.services.containers.v1.Containers/Get";
        let answer = self.rpc.call::<_, engine::GetContainerResponse>(path, get, USUAL).await;
        let container = answer.map_err(|status| failed("look for container", &id.0, &status))?.container;
        let spec = container.and_then(|container| container.spec).unwrap_or_default().value;
        let unreadable =
            || RuntimeError::Failed { operation: "exec", message: format!("the description of container `{id}` is unreadable") };
        let spec: serde_json::Value = serde_json::from_slice(&spec).map_err(|_| unreadable())?;
        let mut process = spec.get("process").filter(|process| process.is_object()).cloned().ok_or_else(unreadable)?;
        process["args"] = request.command.clone().into();
        process["terminal"] = request.tty.into();
        if request.tty
            && let Some(env) = process["env"].as_array_mut()
            && !env.iter().any(|entry| entry.as_str().is_some_and(|entry| entry.starts_with("TERM=")))
        {
            env.push("TERM=xterm".into());
        }
        Ok(process.to_string().into())
    }

    /// Ends execs whose caller ended with an earlier irori.
    pub(super) async fn end_stale_execs(&self) {
        let Ok(entries) = std::fs::read_dir(self.pipes_dir()) else { return };
        for entry in entries.filter_map(std::result::Result::ok) {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some((container, exec)) = name.split_once('.') {
                let target = Target { rpc: self.rpc.clone(), container: container.to_owned(), exec: exec.to_owned() };
                if let Err(error) = target.kill().await {
                    tracing::debug!(exec, "end an exec of an earlier start: {error}");
                }
                target.delete().await;
            }
            if let Err(source) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(directory = %entry.path().display(), "remove pipes: {source}");
            }
        }
    }
}

/// Looks after one started exec until nothing of it is left.
struct Care {
    target: Target,
    pipes: Pipes,
    stdin: Option<CancellationToken>,
    /// Given when an output was read to its end.
    read: Vec<CancellationToken>,
    /// Given when the caller has gone.
    alive: CancellationToken,
}

impl Care {
    async fn run(self, exit: watch::Sender<Option<Result<i32>>>) {
        let stdin = async {
            if let Some(closed) = &self.stdin {
                closed.cancelled().await;
                self.target.close_stdin().await;
            }
            std::future::pending::<()>().await;
        };
        let abandoned = async {
            self.alive.cancelled().await;
            if let Err(error) = self.target.kill().await {
                tracing::debug!(exec = self.target.exec, "kill exec whose caller has gone: {error}");
            }
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = self.target.exit() => ended,
            () = stdin => unreachable!("it never ends"),
            () = abandoned => unreachable!("it never ends"),
        };
        exit.send_replace(Some(ended));
        // Removing the exec closes its pipes: not before they were read, or nobody reads any more.
        let read = async {
            for done in &self.read {
                done.cancelled().await;
            }
        };
        tokio::select! { () = read => {}, () = self.alive.cancelled() => {} }
        self.target.delete().await;
        drop(self.pipes);
    }
}

/// Reads to the end and keeps the beginning.
async fn keep(output: Option<Box<dyn AsyncRead + Send + Unpin>>, kept: &mut Vec<u8>) {
    let Some(mut output) = output else { return };
    let mut buffer = vec![0; 8 * 1024];
    while let Ok(read) = output.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let room = EXEC_OUTPUT_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
}

fn start_error(container: &str, status: &tonic::Status) -> RuntimeError {
    match failed("start exec", container, status) {
        RuntimeError::Failed { message, .. } if message.contains("OCI runtime exec failed") => RuntimeError::Invalid { message },
        other => other,
    }
}
