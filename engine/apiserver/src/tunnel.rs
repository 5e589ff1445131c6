//! Bytes between a client and a node, once both have switched protocols.
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// What is read of one side at once, in bytes.
const CHUNK: usize = 32 * 1024;

/// Carries both directions to their ends. One that breaks does not cut the other short: what a node said before it went is still told.
/// A client that was told everything is given `hang_up` to hang up.
pub async fn carry(client: impl AsyncRead + AsyncWrite, node: impl AsyncRead + AsyncWrite, hang_up: Duration) {
    let (client_reads, mut client_writes) = tokio::io::split(client);
    let (node_reads, mut node_writes) = tokio::io::split(node);
    let to_node = one_way(client_reads, &mut node_writes, "client to node");
    let to_client = one_way(node_reads, &mut client_writes, "node to client");
    tokio::pin!(to_node, to_client);
    tokio::select! {
        () = &mut to_node => to_client.await,
        () = &mut to_client => {
            let _hung_up = tokio::time::timeout(hang_up, to_node).await;
        }
    }
}

/// Copies until there is no more, and says so to the other side. What the other side does not take is read all the same, so that whoever
/// speaks is not held up.
async fn one_way(from: impl AsyncRead, to: &mut (impl AsyncWrite + Unpin), name: &str) {
    let from = BufReader::with_capacity(CHUNK, from);
    tokio::pin!(from);
    if let Err(source) = tokio::io::copy_buf(&mut from, to).await {
        tracing::debug!("exec tunnel, {name}: {source}");
        let _gone = tokio::io::copy_buf(&mut from, &mut tokio::io::sink()).await;
    }
    let _gone_too = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn what_a_node_said_before_it_went_is_told_to_a_client_that_goes_on_speaking() {
        let (mut client, client_far) = tokio::io::duplex(1024);
        let (mut node, node_far) = tokio::io::duplex(64 * 1024);
        let said: Vec<u8> = (0..60_000_u32).flat_map(|n| n.to_le_bytes()).take(60_000).collect();
        node.write_all(&said).await.expect("it has room");
        drop(node);
        let carried = tokio::spawn(carry(client_far, node_far, LONG));
        // The node takes nothing any more, which the tunnel learns long before the client has read.
        for _ in 0..8 {
            client.write_all(&[b'x'; 512]).await.expect("it has room");
            tokio::task::yield_now().await;
        }
        let mut heard = Vec::new();
        client.read_to_end(&mut heard).await.expect("read");
        assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
        drop(client);
        carried.await.expect("it ends with its client");
    }

    #[tokio::test]
    async fn a_client_that_hangs_up_is_told_to_the_node() {
        let (client, client_far) = tokio::io::duplex(1024);
        let (mut node, node_far) = tokio::io::duplex(1024);
        let carried = tokio::spawn(carry(client_far, node_far, LONG));
        drop(client);
        assert_eq!(node.read(&mut [0]).await.expect("read"), 0);
        drop(node);
        carried.await.expect("it ends");
    }

    #[tokio::test]
    async fn a_client_that_never_hangs_up_holds_nothing_for_ever() {
        let (_client, client_far) = tokio::io::duplex(1024);
        let (node, node_far) = tokio::io::duplex(1024);
        drop(node);
        tokio::time::timeout(LONG, carry(client_far, node_far, Duration::from_millis(50))).await.expect("it ends");
    }
}
