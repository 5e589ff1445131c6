//! DefaultTolerationSeconds: a pod stays five minutes on a node that is not ready or not reachable.
use irori_rules::tree;
use serde_json::{Value, json};

use super::{Attributes, Plugin};
use crate::{call::Call, refusal::Answered, server::Server};

const SECONDS: i64 = 300;

pub struct DefaultTolerationSeconds;

#[async_trait::async_trait]
impl Plugin for DefaultTolerationSeconds {
    async fn mutate(&self, _: &Server, _: &mut Call, asked: &Attributes<'_>, pod: &mut Value) -> Answered<()> {
        if !asked.creates("", "pods") && !asked.updates("", "pods") {
            return Ok(());
        }
        let mut tolerations = tree::items(pod, &["spec", "tolerations"]).to_vec();
        for taint in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let tolerated = tolerations.iter().any(|t| {
                let (key, effect) = (tree::text(t, &["key"]), tree::text(t, &["effect"]));
                (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
            });
            if !tolerated {
                tolerations
                    .push(json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}));
            }
        }
        tree::set(pod, &["spec", "tolerations"], tolerations);
        Ok(())
    }
}
