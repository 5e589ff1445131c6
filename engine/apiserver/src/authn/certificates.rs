//! Client certificates: who they name, each chain verified once a minute and not for every request of its connection.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use irori_http::Peer;
use irori_runtime::Timestamp;

use crate::{
    identity::UserInfo,
    refusal::{Answered, Refusal},
    server::Server,
};

/// The bytes of a chain, leaf first.
type Chain = Vec<Vec<u8>>;

/// Users of chains that were verified a moment ago. That the other end holds the key was proven in its handshake; this is about the
/// chain alone. Only what was accepted is kept.
#[derive(Default)]
pub struct CertificateCache(Mutex<HashMap<Chain, Checked>>);

struct Checked {
    user: Arc<UserInfo>,
    from: Timestamp,
    /// Nothing is believed at this time or later.
    until: Timestamp,
}

/// Above this many the cache starts anew.
const CACHED_MAX: usize = 256;
/// How long a verification holds.
const HOLDS: Duration = Duration::from_secs(60);

/// Whom the certificate of a connection names. One that does not hold is a 401.
pub fn check(server: &Server, peer: &Peer) -> Answered<Arc<UserInfo>> {
    let chain: Chain = peer.certificates.iter().map(|certificate| certificate.to_vec()).collect();
    let now = server.clock.now();
    let lock = || server.certificate_cache.0.lock().expect("no holder of this lock panics");
    if let Some(checked) = lock().get(&chain).filter(|checked| checked.from <= now && now < checked.until) {
        return Ok(checked.user.clone());
    }
    let verified = server.trust.verify_client(&peer.certificates).map_err(|source| {
        tracing::debug!(address = %peer.address, "client certificate: {source}");
        Refusal::unauthorized()
    })?;
    if verified.common_name.is_empty() {
        return Err(Refusal::unauthorized());
    }
    let groups: Vec<&str> = verified.organizations.iter().map(String::as_str).collect();
    let user = Arc::new(UserInfo::new(&verified.common_name, &groups));
    let until = now.checked_add(HOLDS).map_or(now, |until| until.min(verified.not_after));
    let mut cache = lock();
    if cache.len() >= CACHED_MAX {
        cache.clear();
    }
    cache.insert(chain, Checked { user: user.clone(), from: now, until });
    Ok(user)
}
