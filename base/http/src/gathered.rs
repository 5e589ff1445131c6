//! Small writes of one connection, put together.
//!
//! Why: an event to a hundred watchers of one h2 connection is a hundred frames, each handed over by a task of its own. Written one by
//! one they are a hundred system calls, TLS records and TCP segments; and as congestion control counts segments, more than a round trip
//! allows, so that the rest waits for an acknowledgement that the other side delays by 40 ms.
//! How: what is written is kept until a flush, and while several requests are open a flush lets the tasks that are ready run for as
//! long as they bring more, up to what fills a TLS record, and for 8 turns at most.
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::OpenRequests;

/// Bytes kept for one connection; above, they are written without waiting for a flush.
const KEPT_MAX: usize = 64 * 1024;
/// A flush waits for no more than that: a TLS record is full (RFC 8446, 5.1).
const ENOUGH: usize = 16 * 1024;
/// And for no more turns of others: each may be long.
const TURNS_MAX: u8 = 8;

pub struct Gathered<S> {
    stream: S,
    /// One request alone has nobody to wait for.
    requests: OpenRequests,
    kept: Vec<u8>,
    /// Of what is kept, so many bytes are written.
    written: usize,
    /// How much was kept when a flush last let others run, and how often it did.
    before_others: usize,
    turns: u8,
}

impl<S> Gathered<S> {
    pub fn new(stream: S, requests: OpenRequests) -> Self {
        Self { stream, requests, kept: Vec::new(), written: 0, before_others: 0, turns: 0 }
    }

    fn room(&self) -> usize {
        KEPT_MAX.saturating_sub(self.kept.len())
    }
}

impl<S: AsyncWrite + Unpin> Gathered<S> {
    /// Hands over all that is kept, and the memory that kept it: most connections are quiet.
    fn poll_write_kept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.kept.len() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, &self.kept[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        (self.kept, self.written, self.before_others, self.turns) = (Vec::new(), 0, 0, 0);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.room() == 0 {
            ready!(self.poll_write_kept(context))?;
        }
        let mut taken = 0;
        for slice in slices {
            let part = slice.len().min(self.room());
            self.kept.extend_from_slice(&slice[..part]);
            taken += part;
        }
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = self.kept.len();
        let more = kept > std::mem::replace(&mut self.before_others, kept);
        if more && kept < ENOUGH && self.turns < TURNS_MAX && self.written == 0 && self.requests.several() {
            self.turns += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.poll_write_kept(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_write_kept(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Says how much each write was, and takes `most` bytes at a time.
    struct Writes {
        sizes: Vec<usize>,
        bytes: Vec<u8>,
        most: usize,
    }

    impl Writes {
        fn taking(most: usize) -> Self {
            Self { sizes: Vec::new(), bytes: Vec::new(), most }
        }
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.most);
            self.sizes.push(taken);
            self.bytes.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn busy<S>(stream: S) -> (Gathered<S>, [crate::listener::Open; 2]) {
        let requests = OpenRequests::default();
        let open = [requests.one(), requests.one()];
        (Gathered::new(stream, requests), open)
    }

    #[tokio::test]
    async fn writes_before_a_flush_are_one() {
        let (mut gathered, _open) = busy(Writes::taking(usize::MAX));
        for _ in 0..100 {
            gathered.write_all(b"frame").await.expect("write");
        }
        assert!(gathered.stream.sizes.is_empty());
        gathered.flush().await.expect("flush");
        assert_eq!(gathered.stream.sizes, [500]);
        assert_eq!(gathered.kept.capacity(), 0, "a quiet connection keeps no memory");
    }

    #[tokio::test]
    async fn a_flush_lets_others_run_first() {
        let (mut gathered, _open) = busy(Writes::taking(usize::MAX));
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        gathered.write_all(b"one").await.expect("write");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_pending());
        gathered.write_all(b"two").await.expect("write");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_pending(), "others brought more, and may again");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_ready(), "others brought nothing");
        assert_eq!(gathered.stream.sizes, [6]);
        // The next time again.
        gathered.write_all(b"three").await.expect("write");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_pending());
    }

    #[tokio::test]
    async fn a_trickle_is_not_waited_for_without_end() {
        let (mut gathered, _open) = busy(Writes::taking(usize::MAX));
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        for turn in 0.. {
            gathered.write_all(b"drop").await.expect("write");
            if Pin::new(&mut gathered).poll_flush(&mut context).is_ready() {
                assert_eq!(turn, TURNS_MAX);
                break;
            }
        }
    }

    #[tokio::test]
    async fn one_request_alone_waits_for_nobody() {
        let requests = OpenRequests::default();
        let _open = requests.one();
        let mut gathered = Gathered::new(Writes::taking(usize::MAX), requests);
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        gathered.write_all(b"answer").await.expect("write");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_ready());
        assert_eq!(gathered.stream.sizes, [6]);
    }

    #[tokio::test]
    async fn a_flush_does_not_wait_when_there_is_enough() {
        let (mut gathered, _open) = busy(Writes::taking(usize::MAX));
        let mut context = Context::from_waker(futures::task::noop_waker_ref());
        gathered.write_all(&[0; ENOUGH]).await.expect("write");
        assert!(Pin::new(&mut gathered).poll_flush(&mut context).is_ready());
        assert_eq!(gathered.stream.sizes, [ENOUGH]);
    }

    #[tokio::test]
    async fn more_than_is_kept_is_written_without_a_flush_and_nothing_is_lost_in_pieces() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let (mut gathered, _open) = busy(Writes::taking(10_007));
        gathered.write_all(&bytes).await.expect("write");
        assert!(gathered.stream.bytes.len() >= bytes.len() - KEPT_MAX);
        gathered.shutdown().await.expect("shutdown");
        assert_eq!(gathered.stream.bytes, bytes);
    }

    #[tokio::test]
    async fn what_is_read_passes_through() {
        let (near, mut far) = tokio::io::duplex(64);
        far.write_all(b"hello").await.expect("write");
        let mut read = [0; 5];
        Gathered::new(near, OpenRequests::default()).read_exact(&mut read).await.expect("read");
        assert_eq!(&read, b"hello");
    }
}
