//! A connection that is closed while its client still sends (RFC 9112, 9.6).
//!
//! Why: what arrives at a socket that was closed is answered by a reset, which takes back what is on its way to the client: the refusal of
//! a request that was too long to be read.
//! How: after its side was closed, what the client still sends is read away, until it closes too, is quiet, or has had its time.
//! Not where a connection was handed over (an upgrade): there one side may be closed long before the other.
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// A client that sends nothing for so long has heard the end, or has nothing more to say.
const QUIET: Duration = Duration::from_millis(100);
/// No client is listened to for longer.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Read away at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Whether a connection was handed over to somebody else.
#[derive(Clone, Default)]
pub struct HandedOver(Arc<AtomicBool>);

impl HandedOver {
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub struct Lingering<S> {
    stream: S,
    handed_over: HandedOver,
    /// From the end of our side on.
    end: Option<End>,
}

struct End {
    quiet: Pin<Box<Sleep>>,
    latest: Instant,
}

impl<S> Lingering<S> {
    pub fn new(stream: S, handed_over: HandedOver) -> Self {
        Self { stream, handed_over, end: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, handed_over, end } = &mut *self;
        if end.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
            if handed_over.0.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let end = end.get_or_insert_with(|| End { quiet: Box::pin(sleep(QUIET)), latest: Instant::now() + LINGER_MAX });
        let mut piece = [0; PIECE_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut piece);
            match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() && Instant::now() < end.latest => {
                    end.quiet.as_mut().reset((Instant::now() + QUIET).min(end.latest));
                }
                // It has closed, or can say nothing more.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return end.quiet.as_mut().poll(context).map(Ok),
            }
        }
    }
}
