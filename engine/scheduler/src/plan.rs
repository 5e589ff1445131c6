//! Where one pod goes, or why nowhere.
use std::collections::BTreeMap;

use crate::{
    cluster::Cluster,
    filter::{Reason, check},
    neighbours::Neighbours,
    pod::Wants,
    queue::Wake,
    score,
};

/// Below so many nodes all are compared.
const COMPARE_ALL: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Bind {
        node: String,
    },
    /// Why not, and which changes may help.
    Wait {
        message: String,
        wake: Wake,
    },
}

/// Decides for one pod. `turn` grows by one with each decision: it says where the search begins, and who wins a tie.
pub fn plan(wants: &Wants, cluster: &Cluster, turn: usize) -> Decision {
    let nodes = cluster.nodes().count();
    if let Some(refusal) = &wants.refusal {
        return Decision::Wait { message: format!("0/{nodes} nodes are available: {refusal}."), wake: Wake::default() };
    }
    if nodes == 0 {
        return Decision::Wait { message: "no nodes available to schedule pods".to_owned(), wake: Wake::NODES };
    }
    let needs_neighbours = !wants.affinity.is_empty()
        || !wants.anti_affinity.is_empty()
        || !wants.preferred_pods.is_empty()
        || !wants.spread.is_empty()
        || cluster.guarded().next().is_some();
    let neighbours = needs_neighbours.then(|| Neighbours::of(wants, cluster));
    let enough = enough(nodes);
    let places = cluster.places();
    let start = turn.wrapping_mul(enough) % places.len();
    let mut candidates = Vec::new();
    let mut refused: BTreeMap<Reason, usize> = BTreeMap::new();
    let mut reasons = Vec::new();
    for place in places[start..].iter().chain(&places[..start]) {
        let Some(node) = &place.facts else { continue };
        check(wants, place, node, neighbours.as_ref(), &mut reasons);
        if reasons.is_empty() {
            candidates.push((place, node));
            if candidates.len() >= enough {
                break;
            }
        }
        reasons.drain(..).for_each(|reason| *refused.entry(reason).or_default() += 1);
    }
    if candidates.is_empty() {
        return nowhere(wants, nodes, &refused);
    }
    let totals = score::totals(wants, &candidates, neighbours.as_ref());
    let best = totals.iter().max().copied().unwrap_or_default();
    let winners: Vec<_> = candidates.iter().zip(totals).filter(|(_, total)| *total == best).map(|((_, node), _)| *node).collect();
    Decision::Bind { node: winners[turn % winners.len()].name.clone() }
}

/// How many suitable nodes are compared before the best is taken.
fn enough(nodes: usize) -> usize {
    if nodes <= COMPARE_ALL {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(COMPARE_ALL)
}

fn nowhere(wants: &Wants, nodes: usize, refused: &BTreeMap<Reason, usize>) -> Decision {
    let mut reasons: Vec<_> = refused.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    let mut message = format!("0/{nodes} nodes are available: {}.", reasons.join(", "));
    if wants.priority > 0 && wants.preempts {
        message.push_str(" preemption: not offered by this scheduler yet.");
    }
    let wake = refused.keys().fold(Wake::default(), |wake, reason| wake | reason.helped_by());
    Decision::Wait { message, wake }
}

#[cfg(test)]
mod tests;
