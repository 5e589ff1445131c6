//! Streams of a process in a container: named pipes that containerd's shim opens at the other end.
//!
//! Invariant: nothing is buffered here but the pipes themselves; who does not read makes the process wait.
//! Invariant: a dropped stdin is end of file for the process, once all that was written has been read.
use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use irori_runtime::Backoff;
use nix::{sys::stat::Mode, unistd::mkfifo};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::unix::pipe,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// The pipes of one process, in a directory of their own that goes with this value.
pub(crate) struct Pipes {
    directory: PathBuf,
}

impl Pipes {
    pub(crate) fn new(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes a pipe and returns its path as text.
    pub(crate) fn make(&self, name: &str) -> io::Result<String> {
        let path = self.path(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(path.to_string_lossy().into_owned())
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        if let Err(source) = std::fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), "remove pipes: {source}");
        }
    }
}

/// The reading end of a process's output. `done` is given at the end of the stream or when this is dropped.
pub(crate) struct Output {
    pipe: pipe::Receiver,
    done: Option<DropGuard>,
}

impl Output {
    /// Opens the pipe before anyone writes to it.
    pub(crate) fn open(path: &Path, done: CancellationToken) -> io::Result<Self> {
        Ok(Self { pipe: pipe::OpenOptions::new().open_receiver(path)?, done: Some(done.drop_guard()) })
    }
}

impl AsyncRead for Output {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let wanted = buffer.remaining() > 0;
        let polled = Pin::new(&mut self.pipe).poll_read(context, buffer);
        if wanted && matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() == before {
            self.done = None;
        }
        polled
    }
}

/// Waits for the reading end of a pipe: about two seconds in all.
const OPEN_AGAIN: Backoff = Backoff { first: Duration::from_millis(1), max: Duration::from_millis(50) };
const OPEN_ATTEMPTS: u32 = 45;

/// The writing end of a process's input. `closed` is given when it is shut down or dropped.
pub(crate) struct Input {
    // Dropped before `closed` is given: the shim must find everything in the pipe.
    pipe: Option<pipe::Sender>,
    closed: Option<DropGuard>,
}

impl Input {
    /// Opens a pipe whose other end is open, or will be in a moment: the shim opens it beside its answer to the start.
    pub(crate) async fn open(path: &Path, closed: CancellationToken) -> io::Result<Self> {
        let closed = Some(closed.drop_guard());
        for attempt in 0.. {
            match pipe::OpenOptions::new().open_sender(path) {
                Err(source) if source.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32) && attempt < OPEN_ATTEMPTS => {
                    tokio::time::sleep(OPEN_AGAIN.wait(attempt)).await;
                }
                opened => return Ok(Self { pipe: Some(opened?), closed }),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn pipe(&mut self) -> io::Result<Pin<&mut pipe::Sender>> {
        self.pipe.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.pipe() {
            Ok(pipe) => pipe.poll_write(context, bytes),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe().map_or(Poll::Ready(Ok(())), |pipe| pipe.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        self.closed = None;
        Poll::Ready(Ok(()))
    }
}
