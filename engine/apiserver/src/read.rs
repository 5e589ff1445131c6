//! get and list.
use std::sync::Arc;

use irori_api::{
    names,
    row::Row,
    status::{Status, quoted},
};
use irori_http::Response;
use irori_store::{Entry, Key, Range, Revision, StoreError};
use serde_json::Value;

use crate::{
    call::Call,
    limits,
    next::Next,
    query::{ListOptions, Match},
    refusal::{About, Answered, Refusal},
    respond::{self, Listed},
    select::Selection,
    server::Server,
    stored,
};

/// The key prefix of a row's objects, in one namespace or all: ends with a slash.
pub fn prefix(row: &Row, namespace: &str) -> Answered<String> {
    if !is_segment(namespace) {
        return Err(Refusal::bad_request(format!("invalid namespace {namespace:?}")));
    }
    let storage = row.storage.as_ref().ok_or_else(Refusal::method_not_allowed)?;
    Ok(if row.namespaced && !namespace.is_empty() {
        format!("{}/{namespace}/", storage.prefix)
    } else {
        format!("{}/", storage.prefix)
    })
}

/// The key of one object. Whatever the kind's own rules say of names, none may be more than one step of a key.
pub fn key(row: &Row, namespace: &str, name: &str) -> Answered<String> {
    if name.is_empty() {
        return Err(Refusal::bad_request("Name parameter required."));
    }
    if !is_segment(name) {
        let mut why = names::path_segment(name);
        if name.contains(char::is_control) {
            why.push("may not contain control characters".into());
        }
        return Err(Refusal::bad_request(format!("Name parameter invalid: {}: {}", quoted(name), why.join(";"))));
    }
    Ok(prefix(row, if row.namespaced { namespace } else { "" })? + name)
}

fn is_segment(text: &str) -> bool {
    !matches!(text, "." | "..") && !text.contains(|c: char| matches!(c, '/' | '%') || c.is_control())
}

/// What is invalid is so in the group in which its kind is kept: an Event of events.k8s.io is one of the core.
pub fn error_group(row: &Row) -> &str {
    row.storage.as_ref().map_or(&row.gvr.group, |storage| &storage.version.group)
}

/// The row's name in errors.
pub fn about<'a>(row: &'a Row, name: &'a str) -> About<'a> {
    About { group: &row.gvr.group, resource: &row.gvr.resource, name }
}

/// The entry of the object that the request names.
pub async fn find(server: &Server, row: &Row, namespace: &str, name: &str) -> Answered<Entry> {
    let found = server.store.get(&key(row, namespace, name)?).await?;
    found.ok_or_else(|| Refusal::not_found(about(row, name)))
}

/// All objects below a key prefix as they lie in the store; one that cannot be read is left out.
pub async fn all(server: &Server, prefix: &str) -> Answered<Vec<Value>> {
    let page = server.store.range(Range { prefix: prefix.to_owned(), ..Range::default() }).await?;
    Ok(page.entries.iter().filter_map(|entry| stored::tree(entry).ok()).collect())
}

/// The entry of a namespace.
pub async fn namespace(server: &Server, name: &str) -> Answered<Option<Entry>> {
    Ok(server.store.get(&format!("core/namespaces/{name}")).await?)
}

/// GET of one object.
pub async fn get(server: &Server, call: &Call, row: &Row) -> Answered<Response> {
    if let Some(revision) = call.query.revision()? {
        wait_for(server, revision).await?;
    }
    let entry = find(server, row, &call.asked.namespace, &call.asked.name).await?;
    respond::entry(server, call, row, 200, &entry)
}

/// Waits a little for a revision that may be on its way; refuses one that is not.
pub async fn wait_for(server: &Server, revision: u64) -> Answered<()> {
    let asked = Revision(revision);
    let current = server.store.current().await?;
    if asked <= current {
        return Ok(());
    }
    match tokio::time::timeout(limits::FUTURE_REVISION_WAIT, server.store.wait_for(asked)).await {
        Ok(reached) => Ok(reached?),
        Err(_) => Err(Refusal::too_new(revision, server.store.current().await?.0)),
    }
}

/// GET of a collection.
pub async fn list(server: &Arc<Server>, call: &Call, row: &Row) -> Answered<Response> {
    let options = ListOptions::read(&call.query)?;
    options.check_list()?;
    let selection = Selection::read(row, &options)?;
    let listed = page(server, row, &call.asked.namespace, &options, &selection).await?;
    respond::list(server, call, row, listed)
}

/// One page of a collection, consistent at one revision.
pub async fn page(server: &Server, row: &Row, namespace: &str, options: &ListOptions, selection: &Selection) -> Answered<Listed> {
    let prefix = prefix(row, namespace)?;
    let mut at = None;
    let mut after: Option<Key> = None;
    match &options.next {
        Some(token) => {
            let next = Next::decode(token)?;
            if options.revision.is_some_and(|r| r != 0) {
                return Err(Refusal::bad_request("specifying resource version is not allowed when using continue"));
            }
            after = Some(Key::from(format!("{prefix}{}", next.after)));
            at = u64::try_from(next.revision).ok().map(Revision);
        }
        None => {
            if let Some(revision) = options.revision.filter(|r| *r > 0) {
                wait_for(server, revision).await?;
                // A limit with a resourceVersion and no word about how it is meant is an exact read (legacy).
                let exact =
                    options.revision_match == Match::Exact || (options.revision_match == Match::Unsaid && options.limit > 0);
                at = exact.then_some(Revision(revision));
            }
        }
    }
    let limit = options.limit.min(limits::LIST_ITEMS_MAX);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let wanted = if limit == 0 { 0 } else { limit - entries.len() };
        // With a selector a page of the store may give little: look at more at a time.
        let step = if wanted == 0 || selection.is_everything() { wanted } else { wanted.max(1_000) };
        let range = Range { prefix: prefix.clone(), after: after.clone(), limit: step, at };
        let read = server.store.range(range).await;
        let page = read.map_err(|source| match (&options.next, source) {
            (Some(_), StoreError::Compacted { .. }) => continue_expired(after.as_ref(), &prefix),
            (_, source) => source.into(),
        })?;
        at = Some(page.revision);
        let (revision, mut remaining) = (page.revision.0, page.remaining);
        let mut last = None;
        let mut entries_seen = page.entries.into_iter();
        for entry in entries_seen.by_ref() {
            last = Some(entry.key.clone());
            if selection.matches_entry(row, &entry) {
                entries.push(entry);
                if limit != 0 && entries.len() == limit {
                    break;
                }
            }
        }
        remaining += entries_seen.len() as u64;
        let full = limit != 0 && entries.len() == limit;
        if full || remaining == 0 {
            let next = (full && remaining > 0).then(|| {
                let after = last.as_ref().map(|k| k[prefix.len()..].to_owned()).unwrap_or_default();
                Next { revision: i64::try_from(revision).unwrap_or(i64::MAX), after }.encode()
            });
            let counted = (next.is_some() && selection.is_everything()).then_some(remaining);
            return Ok(Listed { entries, revision, next, remaining: counted });
        }
        after = last;
    }
}

/// The stock 410 of a continue token: it brings a token that goes on with what is newest.
fn continue_expired(after: Option<&Key>, prefix: &str) -> Refusal {
    let after = after.map(|k| k[prefix.len()..].to_owned()).unwrap_or_default();
    Status::continue_expired(Some(Next { revision: -1, after }.encode())).into()
}
