//! Rows of networking kinds.
use serde_json::Value;

use super::{Shown, core_v1::balancer_addresses, first_of, selector};
use crate::tree::{get, int, items, text};

pub fn cells(group: &str, kind: &str, s: Shown<'_>) -> Option<Vec<Value>> {
    Some(match (group, kind) {
        ("networking.k8s.io", "Ingress") => {
            let ports = if items(s.object, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" };
            vec![
                s.name(),
                s.or(&["spec", "ingressClassName"], "<none>"),
                hosts(s.object).into(),
                balancer_addresses(s.object).join(",").into(),
                ports.into(),
                s.age(),
            ]
        }
        ("networking.k8s.io", "IngressClass") => {
            let parameters = match s.at(&["spec", "parameters"]) {
                None => "<none>".to_owned(),
                Some(p) => {
                    let group = text(p, &["apiGroup"]);
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{}{dot}{group}/{}", text(p, &["kind"]), text(p, &["name"]))
                }
            };
            vec![s.name(), s.text(&["spec", "controller"]).into(), parameters.into(), s.age()]
        }
        ("networking.k8s.io", "NetworkPolicy") => vec![s.name(), selector(s.at(&["spec", "podSelector"])), s.age()],
        ("networking.k8s.io", "ServiceCIDR") => {
            let cidrs: Vec<&str> = items(s.object, &["spec", "cidrs"]).iter().filter_map(Value::as_str).collect();
            vec![s.name(), cidrs.join(",").into(), s.age()]
        }
        ("networking.k8s.io", "IPAddress") => {
            let parent = |field: &str| s.text(&["spec", "parentRef", field]);
            let resource = match parent("group") {
                "" => parent("resource").to_owned(),
                group => format!("{}.{group}", parent("resource")),
            };
            let path: Vec<&str> =
                [resource.as_str(), parent("namespace"), parent("name")].into_iter().filter(|p| !p.is_empty()).collect();
            vec![s.name(), path.join("/").into(), s.age()]
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            let ports: Vec<String> = items(s.object, &["ports"])
                .iter()
                .map(|p| match (int(p, &["port"]), get(p, &["name"]).and_then(Value::as_str)) {
                    (Some(number), _) => number.to_string(),
                    (None, name) => name.unwrap_or("*").to_owned(),
                })
                .collect();
            let addresses: Vec<String> = items(s.object, &["endpoints"])
                .iter()
                .flat_map(|e| items(e, &["addresses"]))
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            vec![
                s.name(),
                s.text(&["addressType"]).into(),
                first_of(&ports, 3, "<unset>").into(),
                first_of(&addresses, 3, "<unset>").into(),
                s.age(),
            ]
        }
        _ => return None,
    })
}

/// The first hosts. How many more there are is counted in rules, those without a host too.
fn hosts(object: &Value) -> String {
    const MOST: usize = 3;
    let rules = items(object, &["spec", "rules"]);
    let named = rules.iter().enumerate().map(|(i, rule)| (i, text(rule, &["host"]))).filter(|(_, host)| !host.is_empty());
    let (at, hosts): (Vec<usize>, Vec<&str>) = named.take(MOST).unzip();
    if hosts.is_empty() {
        return "*".into();
    }
    let shown = hosts.join(",");
    let more = at.get(MOST - 1).is_some_and(|last| *last + 1 < rules.len());
    if more { format!("{shown} + {} more...", rules.len() - MOST) } else { shown }
}
