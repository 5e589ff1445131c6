//! deletecollection: what a list would show, deleted one by one.
use std::sync::Arc;

use irori_api::row::Row;
use irori_http::Response;

use crate::{
    call::Call,
    delete::{self, DeleteOptions},
    query::ListOptions,
    read,
    refusal::Answered,
    respond,
    select::Selection,
    server::Server,
    stored,
};

/// DELETE of a collection; answers with what was chosen.
pub async fn delete(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let list = ListOptions::read(&call.query)?;
    list.check_list()?;
    let options = DeleteOptions::read(server, call).await?;
    delete::warn_of_what_stays(call, row, &options);
    let selection = Selection::read(row, &list)?;
    let namespace = call.asked.namespace.clone();
    let listed = read::page(server, row, &namespace, &list, &selection).await?;
    for entry in &listed.entries {
        let object = stored::tree(entry).map_err(crate::refusal::Refusal::internal)?;
        let metadata = |field: &str| crate::change::text(&object, field).to_owned();
        match delete::delete_named(server, call, row, &metadata("namespace"), &metadata("name"), &options).await {
            Err(refusal) if refusal.code != 404 => return Err(refusal),
            _ => {}
        }
    }
    respond::list(server, call, row, listed)
}
