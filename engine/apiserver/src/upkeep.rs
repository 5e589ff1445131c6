//! What an operator does with the store of a running server: `/irori/v1/store`, for administrators and whoever a nonResourceURL rule lets in.
//!
//! ```text
//! GET  /irori/v1/store               what the store is like (`Report`)
//! GET  /irori/v1/store/backup        a backup, as a stream
//! POST /irori/v1/store/seal/rotate   a new generation of data keys
//! POST /irori/v1/store/seal/reseal   values sealed anew; a line of JSON for each piece, the last with `"done":true`
//! POST /irori/v1/store/seal/retire   older generations taken away
//! POST /irori/v1/store/seal/key      another root key: `{"key":"64 hexadecimal digits"}` or `{"passphrase":"…"}`
//! ```
//! Sealed values leave sealed. A backup that cannot go on is broken off, and is then not whole: it has no end.
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use irori_http::{BoxError, Response};
use irori_store::{BackupWriter, Key, Resealed, SealedError, SealedStore};
use irori_trust::seal::{NewRoot, Passphrase, SealError, parse_key};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    call::Call,
    census::{Census, Look},
    decode, paths,
    refusal::{Answered, Refusal},
    respond,
    server::Server,
};

/// Below it lies all of this.
pub const ROOT: &str = "/irori/v1/store";

/// What a store is like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub revision: u64,
    /// From here on watches can resume, where the store is on this machine.
    pub oldest: Option<u64>,
    /// Files of a store on this machine.
    pub segments: Option<usize>,
    pub snapshots: Option<usize>,
    pub census: Census,
    pub live: Option<LiveReport>,
    pub sealing: Option<SealingReport>,
}

/// Of a running server whose store is on its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveReport {
    pub watchers: u64,
    /// Of lazy commits that are not written yet.
    pub lazy_bytes: u64,
    /// Since the start of the server.
    pub written_bytes: u64,
    /// Since the start of the server.
    pub syncs: u64,
    /// The disk had no space at the last write.
    pub full: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SealingReport {
    /// The generation that seals.
    pub newest: u32,
    /// The oldest one that is kept.
    pub oldest: u32,
    pub by_passphrase: bool,
}

pub async fn answer(server: &Arc<Server>, call: &mut Call, below: &str) -> Answered<Response> {
    match (call.asked.verb, below.trim_matches('/')) {
        ("get", "") => Ok(paths::json_answer(call, &json!(report(server).await?))),
        ("get", "backup") => backup(server).await,
        ("post", "seal/rotate") => generation(call, sealing(server)?.rotate().await),
        ("post", "seal/retire") => generation(call, sealing(server)?.retire().await),
        ("post", "seal/reseal") => reseal(server),
        ("post", "seal/key") => change_key(server, call).await,
        (_, "" | "backup" | "seal/rotate" | "seal/retire" | "seal/reseal" | "seal/key") => Err(Refusal::method_not_allowed()),
        _ => Err(Refusal::no_such_path()),
    }
}

async fn report(server: &Server) -> Answered<Report> {
    let mut frozen = server.store.freeze().await?;
    let mut census = Census::default();
    loop {
        let entries = frozen.next().await?;
        if entries.is_empty() {
            break;
        }
        entries.iter().for_each(|entry| census.add(entry, Look::Heads));
        tokio::task::yield_now().await;
    }
    let stats = server.store.stats();
    let state = server.store.sealing().map(SealedStore::state);
    Ok(Report {
        revision: frozen.revision().0,
        oldest: stats.map(|stats| stats.oldest.0),
        segments: stats.map(|stats| stats.segments),
        snapshots: stats.map(|stats| stats.snapshots),
        census,
        live: stats.map(|stats| LiveReport {
            watchers: stats.watchers as u64,
            lazy_bytes: stats.lazy_bytes,
            written_bytes: stats.log_bytes_written,
            syncs: stats.syncs,
            full: stats.full,
        }),
        sealing: state.map(|state| SealingReport {
            newest: state.newest,
            oldest: state.oldest,
            by_passphrase: state.by_passphrase,
        }),
    })
}

/// A piece is read when the one before it was sent, so that a slow client costs no memory.
async fn backup(server: &Arc<Server>) -> Answered<Response> {
    let number = uuid::Uuid::new_v4().as_u64_pair().0;
    let taken = u64::try_from(server.clock.now().as_second()).unwrap_or_default();
    let writer = BackupWriter::new(server.store.freeze().await?, number, taken);
    let pieces = stream::try_unfold(writer, async |mut writer| match writer.next().await {
        Ok(piece) => Ok(piece.map(|piece| (piece, writer))),
        Err(source) => {
            tracing::error!("break off a backup: {source}");
            Err(BoxError::from(source))
        }
    });
    Ok(respond::plain(200, "application/vnd.irori.backup", irori_http::stream(pieces)))
}

fn sealing(server: &Server) -> Answered<&SealedStore> {
    server.store.sealing().ok_or_else(|| Refusal::bad_request("nothing is sealed in this store"))
}

fn generation(call: &Call, done: Result<u32, SealedError>) -> Answered<Response> {
    Ok(paths::json_answer(call, &json!({"generation": done.map_err(refused)?})))
}

fn refused(failed: SealedError) -> Refusal {
    match failed {
        SealedError::Store(source) => source.into(),
        SealedError::StillSealed { .. } | SealedError::Raced => Refusal::new(409, "Conflict", failed.to_string()),
        SealedError::Shared | SealedError::Seal(SealError::TooManyGenerations) => Refusal::bad_request(failed.to_string()),
        SealedError::Seal(_) | SealedError::KeysGone => Refusal::internal(failed),
    }
}

/// Where sealing anew has got to.
struct Resealing {
    server: Arc<Server>,
    done: Resealed,
    after: Option<Key>,
    ended: bool,
}

/// Whoever goes away in the middle leaves the rest as it is: to be repeated.
fn reseal(server: &Arc<Server>) -> Answered<Response> {
    sealing(server)?;
    let start = Resealing { server: server.clone(), done: Resealed::default(), after: None, ended: false };
    let lines = stream::try_unfold(start, async |mut work| {
        if work.ended {
            return Ok::<_, BoxError>(None);
        }
        let store = work.server.clone();
        let said = match store.store.sealing().expect("looked at before").reseal(work.after.take(), &mut work.done).await {
            Ok(after) => {
                work.ended = after.is_none();
                work.after = after;
                let Resealed { changed, opened, left } = work.done;
                json!({"changed": changed, "opened": opened, "left": left, "done": work.ended})
            }
            Err(source) => {
                tracing::error!("seal values anew: {source}");
                work.ended = true;
                json!({"error": source.to_string()})
            }
        };
        Ok(Some((Bytes::from(format!("{said}\n")), work)))
    });
    Ok(respond::plain(200, "application/json", irori_http::stream(lines)))
}

async fn change_key(server: &Server, call: &mut Call) -> Answered<Response> {
    let body = decode::body(call).await?;
    let wanted: Value = serde_json::from_slice(&body)
        .map_err(|_| Refusal::bad_request("the body is no JSON object with `key` or `passphrase`"))?;
    let text = |name: &str| wanted.get(name).and_then(Value::as_str);
    let root = match (text("key"), text("passphrase")) {
        (Some(key), None) => {
            let key = parse_key(key.as_bytes());
            NewRoot::Key(key.ok_or_else(|| Refusal::bad_request("`key` does not hold 64 hexadecimal digits"))?)
        }
        (None, Some(phrase)) => {
            NewRoot::Passphrase(Passphrase::new(phrase).map_err(|short| Refusal::bad_request(short.to_string()))?)
        }
        _ => return Err(Refusal::bad_request("the body has to have one of `key` and `passphrase`")),
    };
    // The derivation of a key from a passphrase takes a moment of a core; so rare a call may have it.
    sealing(server)?.rewrap(&root).await.map_err(refused)?;
    tracing::warn!("the root key of the sealed values was changed");
    Ok(paths::json_answer(call, &json!({"changed": true})))
}
