//! A server certificate that is replaced while the listener runs.
use std::sync::{Arc, RwLock};

use irori_runtime::Clock;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::time::Duration;

use crate::{Identity, TrustError};

/// Holds the present certificate; handshakes take whatever is there.
#[derive(Debug)]
pub struct Rotating {
    present: RwLock<Arc<CertifiedKey>>,
}

impl Rotating {
    pub fn new(identity: &Identity) -> Result<Arc<Self>, TrustError> {
        Ok(Arc::new(Self { present: RwLock::new(identity.certified_key()?) }))
    }

    /// Takes a new certificate for handshakes from now on.
    pub fn replace(&self, identity: &Identity) -> Result<(), TrustError> {
        let key = identity.certified_key()?;
        *self.present.write().expect("no holder of this lock panics") = key;
        Ok(())
    }

    /// Renews at two thirds of each certificate's life, for ever. `issue` makes the next one; a failure is tried again every hour.
    /// The one timer is the certificate's own.
    pub async fn keep(self: Arc<Self>, first: Identity, clock: Clock, issue: impl Fn() -> Result<Identity, TrustError> + Send) {
        let mut present = first;
        loop {
            tokio_sleep(&present, &clock).await;
            match issue().and_then(|next| self.replace(&next).map(|()| next)) {
                Ok(next) => present = next,
                Err(source) => {
                    tracing::warn!("renew certificate: {source}");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }
}

const RETRY: Duration = Duration::from_secs(3600);
/// The wall clock may be set forward while a timer runs, so a long wait is looked at again once a day.
const LOOK_AGAIN: Duration = Duration::from_secs(24 * 3600);

async fn tokio_sleep(identity: &Identity, clock: &Clock) {
    let Ok(due) = identity.renew_at() else { return };
    loop {
        let left = due.duration_since(clock.now());
        if !left.is_positive() {
            return;
        }
        tokio::time::sleep(Duration::try_from(left).unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN)).await;
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present.read().expect("no holder of this lock panics").clone())
    }
}
