//! A body that comes back when nobody began to read it, so that another endpoint can be tried.
use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use irori_http::{Body, BoxError};

/// Where an unread body lands.
#[derive(Clone, Default)]
pub struct Slot(Arc<Mutex<Option<Body>>>);

impl Slot {
    pub fn holding(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// Lends the body; `None` when it has been read, in part or whole.
    pub fn lend(&self) -> Option<Lent> {
        let body = self.0.lock().expect("no holder of this lock panics").take()?;
        Some(Lent { body: Some(body), home: self.clone() })
    }
}

/// A body on loan: dropped unread it goes back.
pub struct Lent {
    body: Option<Body>,
    home: Slot,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // From the first poll on the body may be in part gone: it does not go back any more.
        self.home = Slot::default();
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.home.0.lock().expect("no holder of this lock panics") = self.body.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn an_unread_body_comes_back_and_a_read_one_does_not() {
        let slot = Slot::holding(irori_http::full("all"));
        drop(slot.lend().unwrap());
        let lent = slot.lend().unwrap();
        assert_eq!(lent.collect().await.unwrap().to_bytes(), "all");
        assert!(slot.lend().is_none());
    }
}
