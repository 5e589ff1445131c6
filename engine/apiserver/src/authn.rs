//! Who asks: in-process identity, bearer token, client certificate, or nobody.
use crate::{
    call::{Call, Entrance},
    identity::{MASTERS, UserInfo},
    refusal::{Answered, Refusal},
    server::Server,
};

mod certificates;
pub mod tokens;

pub use certificates::CertificateCache;
pub use tokens::TokenCache;

/// Fills in `call.user`. Credentials that do not hold are a 401; none at all is `system:anonymous`.
pub async fn identify(server: &Server, call: &mut Call) -> Answered<()> {
    let peer = match &call.entrance {
        Entrance::InProcess(identity) => {
            call.user = identity.as_ref().clone();
            return Ok(());
        }
        Entrance::Network(peer) => peer.clone(),
    };
    if let Some(token) = bearer(call) {
        call.user = match by_token(server, &token, &server.settings.audiences).await? {
            Ok((user, _)) => user,
            Err(_) => return Err(Refusal::unauthorized()),
        };
        // Nobody behind us needs the secret any more.
        call.headers.remove(http::header::AUTHORIZATION);
        return Ok(());
    }
    if let Some(peer) = peer.filter(|p| !p.certificates.is_empty()) {
        call.user = certificates::check(server, &peer)?.as_ref().clone();
    }
    Ok(())
}

/// The token of a request. An Authorization header of another scheme counts as none, as upstream has it.
fn bearer(call: &Call) -> Option<String> {
    if let Some(value) = call.headers.get(http::header::AUTHORIZATION) {
        // A token of other bytes is a token, and one that does not hold.
        let value = String::from_utf8_lossy(value.as_bytes());
        let (scheme, token) = value.trim().split_once(' ')?;
        let token = token.trim();
        return (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.to_owned());
    }
    // Browsers cannot set headers on a WebSocket: the token comes as a subprotocol.
    let protocols = call.header("sec-websocket-protocol")?;
    let encoded = protocols.split(',').find_map(|p| p.trim().strip_prefix("base64url.bearer.authorization.k8s.io."))?;
    use base64::Engine;
    let token = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(token).ok()
}

/// Whom a token names, and the audiences it is good for; or why it does not hold, as a TokenReview says it.
pub async fn by_token(server: &Server, token: &str, audiences: &[String]) -> Answered<Result<(UserInfo, Vec<String>), String>> {
    if let Some(admin) = &server.settings.admin_token
        && same(admin.as_bytes(), token.as_bytes())
    {
        let user = UserInfo { uid: "admin".to_owned(), ..UserInfo::new("admin", &[MASTERS]) };
        return Ok(Ok((user, audiences.to_vec())));
    }
    tokens::check(server, token, audiences).await
}

/// Compares without telling by its duration where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (x, y)| differences | (x ^ y)) == 0
}
