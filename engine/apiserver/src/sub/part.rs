//! namespaces/finalize: the one way to change a namespace's own finalizers.
use std::sync::Arc;

use irori_api::row::Row;
use irori_http::Response;
use irori_rules::{managed, tree};
use serde_json::Value;

use crate::{
    call::Call,
    change,
    commit::{self, Lost},
    decode, limits,
    options::WriteOptions,
    precondition, read,
    refusal::{Answered, Refusal},
    respond,
    server::Server,
};

/// PUT of namespaces/NAME/finalize: takes spec.finalizers, and ends the namespace when none is left.
pub async fn finalize(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let options = WriteOptions::read(server, call)?;
    let asked = decode::object(server, call, row).await?;
    let name = call.asked.name.clone();
    precondition::require_name(&asked, &name)?;
    let revision = precondition::revision(&asked)?;
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let entry = read::find(server, row, "", &name).await?;
        let old = respond::tree(server, row, &entry)?;
        let (uid, own) = (change::text(&asked, "uid"), change::text(&old, "uid"));
        precondition::require_uid(row, &entry.key, &name, uid, own)?;
        if revision != 0 && revision != entry.revision.0 {
            return Err(Refusal::modified(read::about(row, &name)));
        }
        let mut new = old.clone();
        let finalizers: Vec<Value> = tree::items(&asked, &["spec", "finalizers"]).to_vec();
        if finalizers.is_empty() {
            tree::remove(&mut new, &["spec", "finalizers"]);
        } else {
            tree::set(&mut new, &["spec", "finalizers"], finalizers);
        }
        if !new.get("spec").is_some_and(Value::is_object) {
            new["spec"] = serde_json::Map::new().into();
        }
        let errors = irori_rules::validate_finalize(&new);
        if !errors.is_empty() {
            return Err(Refusal::invalid(change::kind_about(row, &name), &errors));
        }
        managed::track_update(&server.tables, row, &old, &mut new, &options.writer());
        managed::keep_times(&old, &mut new);
        let written = if commit::is_over(row, &new) {
            commit::delete(server, row, &entry, &new, options.dry_run).await
        } else if new == old {
            Ok(())
        } else {
            commit::update(server, row, &entry, &old, &mut new, options.dry_run).await
        };
        match written {
            Ok(()) => return respond::object(server, call, row, 200, new),
            Err(Lost::Refused(refusal)) => return Err(refusal),
            Err(Lost::Race) => {}
        }
    }
    Err(Refusal::modified(read::about(row, &name)))
}
