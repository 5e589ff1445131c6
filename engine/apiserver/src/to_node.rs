//! Doors that lead to a node: logs and exec.
use std::sync::Arc;

use irori_api::row::Row;
use irori_http::Response;

use crate::{
    call::Call,
    flow::Place,
    refusal::{Answered, Refusal},
    server::Server,
};

/// How the server shows itself to nodes.
#[derive(Default)]
pub struct NodeClient;

pub async fn log(_server: &Arc<Server>, _call: &mut Call, _row: &Arc<Row>, _place: Place) -> Answered<Response> {
    Err(Refusal::not_implemented("pods/log"))
}

pub async fn exec(_server: &Arc<Server>, _call: &mut Call, _row: &Arc<Row>, _place: Place) -> Answered<Response> {
    Err(Refusal::not_implemented("pods/exec"))
}
