//! Bodies: one boxed type in both directions, read with a limit.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};

/// Bytes of a refused body that are read on.
const DRAIN_BYTES_MAX: usize = 64 << 20;
/// How long a refused body is read on.
const DRAIN_MAX: Duration = Duration::from_secs(5);

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("body is over the limit of {max} bytes")]
    TooLarge { max: usize },
    #[error("read body")]
    Read {
        #[source]
        source: BoxError,
    },
}

/// A body of known bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body that is produced as it is read.
pub fn stream(chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}

/// Reads what is left of a refused body and forgets it, within limits: a client that is still sending when its connection or stream is
/// closed may never see the answer.
pub async fn drain(mut body: Body) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await
            && read < DRAIN_BYTES_MAX
        {
            read += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    let _given_up = tokio::time::timeout(DRAIN_MAX, reading).await;
}

/// Reads a whole body of at most `max` bytes.
pub async fn read_limited(mut body: Body, max: usize) -> Result<Bytes, ReadError> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|source| ReadError::Read { source })?.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            drain(body).await;
            return Err(ReadError::TooLarge { max });
        }
        if first.is_empty() && all.is_empty() {
            first = data; // the usual single frame is not copied
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}
