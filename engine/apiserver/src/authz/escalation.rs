//! Nobody grants what they do not have (Kubernetes: Privilege escalation prevention and bootstrapping).
use std::collections::{BTreeMap, BTreeSet};

use irori_api::status::quoted;
use irori_rules::tree;
use serde_json::Value;

use super::{Attributes, Rule, decide};
use crate::{
    identity::{MASTERS, UserInfo},
    refusal::{About, Answered, Refusal},
    server::Server,
};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks the write of a role or a binding.
pub fn check(server: &Server, user: &UserInfo, resource: &str, new: &Value, old: Option<&Value>) -> Answered<()> {
    if user.in_group(MASTERS) {
        return Ok(());
    }
    let namespace = tree::text(new, &["metadata", "namespace"]);
    let name = tree::text(new, &["metadata", "name"]);
    let about = About { group: GROUP, resource, name };
    let may = |verb: &str, resource: &str, name: &str| {
        let asked = Attributes {
            verb,
            is_resource: true,
            group: GROUP,
            resource,
            subresource: "",
            namespace,
            name,
            fields: "",
            path: "",
        };
        decide(server, user, &asked).allowed
    };
    let wanted = match resource {
        "roles" | "clusterroles" => {
            if old.is_some_and(|old| {
                old.get("rules") == new.get("rules") && old.get("aggregationRule") == new.get("aggregationRule")
            }) {
                return Ok(());
            }
            if may("escalate", resource, name) {
                return Ok(());
            }
            if new.get("aggregationRule").is_some_and(|rule| old.and_then(|o| o.get("aggregationRule")) != Some(rule)) {
                // Whoever aggregates grants what others write later: only who has everything may.
                vec![
                    Rule { verbs: star(), groups: star(), resources: star(), ..Rule::default() },
                    Rule { verbs: star(), paths: star(), ..Rule::default() },
                ]
            } else {
                Rule::read_all(tree::items(new, &["rules"]))
            }
        }
        _ => {
            let same = |key: &str| old.is_some_and(|old| old.get(key) == new.get(key));
            if same("roleRef") && same("subjects") {
                return Ok(());
            }
            let kind = tree::text(new, &["roleRef", "kind"]);
            let role = tree::text(new, &["roleRef", "name"]);
            if may("bind", if kind == "ClusterRole" { "clusterroles" } else { "roles" }, role) {
                return Ok(());
            }
            server.rbac.with(|book| book.rules_of(kind, namespace, role)).ok_or_else(|| {
                let resource = if kind == "ClusterRole" { "clusterroles" } else { "roles" };
                Refusal::not_found(About { group: GROUP, resource, name: role })
            })?
        }
    };
    let own = server.rbac.with(|book| book.rules_for(user, namespace));
    let missing: Vec<Rule> =
        wanted.iter().flat_map(Rule::atoms).filter(|atom| !own.iter().any(|rule| rule.covers_atom(atom))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let lines: BTreeSet<String> = joined(missing).iter().map(text).collect();
    let lines: Vec<String> = lines.into_iter().collect();
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        listed(&user.groups),
        lines.join("\n")
    );
    Err(Refusal::forbidden(about, &why))
}

/// Verbs of one resource, or of one object of it, stand together.
fn joined(atoms: Vec<Rule>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::with_capacity(atoms.len());
    let mut places: BTreeMap<Rule, usize> = BTreeMap::new();
    for atom in atoms {
        let of = Rule { verbs: Vec::new(), ..atom.clone() };
        match places.get(&of) {
            Some(place) if of.paths.is_empty() => rules[*place].verbs.extend(atom.verbs),
            _ => {
                places.insert(of, rules.len());
                rules.push(atom);
            }
        }
    }
    rules
}

fn star() -> Vec<String> {
    vec!["*".to_owned()]
}

/// A list as Go prints it.
fn listed(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|one| quoted(one)).collect();
    format!("[{}]", quoted.join(" "))
}

fn text(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.paths),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| format!("{name}:{}", listed(list))).collect();
    format!("{{{}}}", shown.join(", "))
}
