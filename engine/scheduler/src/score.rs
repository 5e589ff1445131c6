//! Which of the suitable nodes is best: parts of 0 to 100, weighted as a stock scheduler weighs them.
use crate::{cluster::Place, neighbours::Neighbours, node::Facts, pod::Wants};

const FULL: i64 = 100;

/// One total per candidate.
pub fn totals(wants: &Wants, candidates: &[(&Place, &Facts)], neighbours: Option<&Neighbours>) -> Vec<i64> {
    let part = |value: &dyn Fn(&Place, &Facts) -> i64| -> Vec<i64> {
        candidates.iter().map(|(place, node)| value(place, node)).collect()
    };
    let mut totals = part(&|place, node| least_allocated(wants, place, node) + balanced(wants, place, node));
    let mut add = |weight: i64, values: Vec<i64>| {
        totals.iter_mut().zip(values).for_each(|(total, value)| *total += weight * value);
    };
    add(3, fewer_is_better(part(&|_, node| i64::try_from(node.reluctance(wants)).unwrap_or(i64::MAX))));
    if !wants.preferred_nodes.is_empty() {
        add(2, more_is_better(part(&|_, node| preferred(wants, node))));
    }
    if let Some(controller) = &wants.controller {
        let replicas = |place: &Place| place.replicas.get(controller).copied().unwrap_or(0);
        add(2, fewer_is_better(part(&|place, _| i64::try_from(replicas(place)).unwrap_or(i64::MAX))));
    }
    if let Some(neighbours) = neighbours {
        if !wants.preferred_pods.is_empty() {
            add(2, more_is_better(part(&|_, node| neighbours.attraction(node))));
        }
        if !wants.spread.is_empty() {
            add(2, fewer_is_better(part(&|_, node| neighbours.crowd(wants, node))));
        }
    }
    totals
}

/// cpu and memory: in use with the pod there, and in all.
fn shares(wants: &Wants, place: &Place, node: &Facts) -> [(i64, i64); 2] {
    [
        (place.weight.0.saturating_add(wants.weight.0), node.allocatable.milli_cpu),
        (place.weight.1.saturating_add(wants.weight.1), node.allocatable.memory),
    ]
}

fn least_allocated(wants: &Wants, place: &Place, node: &Facts) -> i64 {
    let free = |(used, all): (i64, i64)| {
        if all <= 0 || used >= all {
            0
        } else {
            i64::try_from(i128::from(all - used) * i128::from(FULL) / i128::from(all)).unwrap_or(0)
        }
    };
    shares(wants, place, node).map(free).iter().sum::<i64>() / 2
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // shares between 0 and 1
fn balanced(wants: &Wants, place: &Place, node: &Facts) -> i64 {
    let share = |(used, all): (i64, i64)| if all <= 0 { 1.0 } else { (used as f64 / all as f64).min(1.0) };
    let [cpu, memory] = shares(wants, place, node).map(share);
    ((1.0 - (cpu - memory).abs() / 2.0) * FULL as f64) as i64
}

fn preferred(wants: &Wants, node: &Facts) -> i64 {
    wants.preferred_nodes.iter().filter(|(_, term)| node.matches(term)).map(|(weight, _)| i64::from(*weight)).sum()
}

/// The least becomes 0, the most 100; all alike are all 100, which changes nothing.
fn more_is_better(values: Vec<i64>) -> Vec<i64> {
    let (least, most) = (values.iter().min().copied().unwrap_or(0), values.iter().max().copied().unwrap_or(0));
    let span = most.saturating_sub(least);
    values
        .into_iter()
        .map(|value| if span == 0 { FULL } else { value.saturating_sub(least).saturating_mul(FULL) / span })
        .collect()
}

fn fewer_is_better(values: Vec<i64>) -> Vec<i64> {
    more_is_better(values.into_iter().map(|value| -value).collect())
}
