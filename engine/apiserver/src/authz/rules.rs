//! One RBAC rule, and whether it covers what is asked (Kubernetes: Using RBAC Authorization).
use irori_rules::tree;
use serde_json::{Value, json};

use super::Attributes;

/// A PolicyRule.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    pub verbs: Vec<String>,
    pub groups: Vec<String>,
    pub resources: Vec<String>,
    pub names: Vec<String>,
    pub paths: Vec<String>,
}

impl Rule {
    pub fn read(value: &Value) -> Self {
        let list = |key: &str| tree::items(value, &[key]).iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        Self {
            verbs: list("verbs"),
            groups: list("apiGroups"),
            resources: list("resources"),
            names: list("resourceNames"),
            paths: list("nonResourceURLs"),
        }
    }

    /// All rules of a role or a rules review.
    pub fn read_all(rules: &[Value]) -> Vec<Self> {
        rules.iter().map(Self::read).collect()
    }

    /// As a PolicyRule, for error texts.
    pub fn to_json(&self) -> Value {
        let mut out = json!({"verbs": self.verbs});
        for (key, list) in [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ] {
            if !list.is_empty() {
                out[key] = list.clone().into();
            }
        }
        out
    }

    pub fn covers(&self, asked: &Attributes<'_>) -> bool {
        if !has(&self.verbs, asked.verb) {
            return false;
        }
        if !asked.is_resource {
            return self.paths.iter().any(|p| path_covers(p, asked.path));
        }
        has(&self.groups, asked.group)
            && self.resources.iter().any(|r| resource_covers(r, asked.resource, asked.subresource))
            && (self.names.is_empty() || (!asked.name.is_empty() && self.names.iter().any(|n| n == asked.name)))
    }

    /// Splits into rules of one verb, one group, one resource, one name each, as the escalation check compares them.
    pub fn atoms(&self) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let mut out = Vec::new();
        for verb in &self.verbs {
            for path in &self.paths {
                out.push(Self { verbs: one(verb), paths: one(path), ..Self::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    let plain = Self { verbs: one(verb), groups: one(group), resources: one(resource), ..Self::default() };
                    if self.names.is_empty() {
                        out.push(plain);
                    } else {
                        out.extend(self.names.iter().map(|n| Self { names: one(n), ..plain.clone() }));
                    }
                }
            }
        }
        out
    }

    /// Whether this rule grants all that an atom does.
    pub fn covers_atom(&self, atom: &Self) -> bool {
        let all = |own: &[String], theirs: &[String]| theirs.iter().all(|t| has(own, t));
        if !all(&self.verbs, &atom.verbs) {
            return false;
        }
        if !atom.paths.is_empty() {
            return atom.paths.iter().all(|path| self.paths.iter().any(|own| path_covers(own, path)));
        }
        let names = self.names.is_empty() || (!atom.names.is_empty() && atom.names.iter().all(|n| self.names.contains(n)));
        let resources = atom.resources.iter().all(|asked| {
            let (resource, sub) = asked.split_once('/').unwrap_or((asked, ""));
            self.resources.iter().any(|own| own == asked || resource_covers(own, resource, sub))
        });
        all(&self.groups, &atom.groups) && resources && names
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|own| own == "*" || own == wanted)
}

fn resource_covers(rule: &str, resource: &str, subresource: &str) -> bool {
    match rule.split_once('/') {
        _ if rule == "*" => true,
        None => subresource.is_empty() && rule == resource,
        Some(("*", sub)) => !subresource.is_empty() && sub == subresource,
        Some((own, sub)) => own == resource && sub == subresource,
    }
}

fn path_covers(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}
