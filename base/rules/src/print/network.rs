//! Rows of networking kinds.
use serde_json::Value;

use super::{Shown, core_v1::balancer_addresses, first_of, selector};
use crate::tree::{int, items, text};

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
                .map(|p| int(p, &["port"]).map_or_else(|| "*".to_owned(), |n| n.to_string()))
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

fn hosts(object: &Value) -> String {
    let hosts: Vec<String> = items(object, &["spec", "rules"])
        .iter()
        .map(|r| text(r, &["host"]))
        .filter(|h| !h.is_empty())
        .map(str::to_owned)
        .collect();
    first_of(&hosts, 3, "*")
}
