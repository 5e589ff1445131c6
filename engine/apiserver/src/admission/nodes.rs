//! TaintNodesByCondition: a new node takes no pods until it has said that it is ready.
use irori_rules::tree;
use serde_json::{Value, json};

use super::{Attributes, Plugin};
use crate::{call::Call, refusal::Answered, server::Server};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub struct TaintNewNodes;

#[async_trait::async_trait]
impl Plugin for TaintNewNodes {
    async fn mutate(&self, _: &Server, _: &mut Call, asked: &Attributes<'_>, node: &mut Value) -> Answered<()> {
        if !asked.creates("", "nodes") {
            return Ok(());
        }
        let mut taints = tree::items(node, &["spec", "taints"]).to_vec();
        if !taints.iter().any(|t| tree::text(t, &["key"]) == NOT_READY && tree::text(t, &["effect"]) == "NoSchedule") {
            taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
            tree::set(node, &["spec", "taints"], taints);
        }
        Ok(())
    }
}
