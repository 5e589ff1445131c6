//! RBAC in memory: roles and bindings as they are in the store, found by subject.
//!
//! A ClusterRole with an aggregationRule grants the rules of the roles that it selects, whoever filled in its `rules`.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, RwLock},
};

use irori_api::selector::LabelSelector;
use irori_rules::tree;
use irori_runtime::Tasks;
use irori_store::{Revision, Store, StoreError};
use serde_json::Value;

use super::{Attributes, Decision, Rule};
use crate::follow::{Change, Progress, follow};
use crate::{identity::UserInfo, stored};

/// Below this lie all RBAC objects.
pub const RBAC_PREFIX: &str = "rbac.authorization.k8s.io/";

/// A Role or ClusterRole.
#[derive(Clone, Debug, Default)]
struct Role {
    labels: BTreeMap<String, String>,
    rules: Vec<Rule>,
    /// The selectors of the aggregationRule. One that says nothing or cannot be read selects nothing.
    aggregates: Vec<LabelSelector>,
}

/// A RoleBinding or ClusterRoleBinding.
#[derive(Clone, Debug)]
struct Binding {
    /// Empty for a ClusterRoleBinding.
    namespace: String,
    name: String,
    role_kind: String,
    role: String,
    /// Kind, namespace, name.
    subjects: Vec<(String, String, String)>,
}

/// All of RBAC at one revision.
#[derive(Default)]
pub struct Book {
    /// By namespace (empty: ClusterRole) and name.
    roles: HashMap<(String, String), Role>,
    bindings: HashMap<Arc<str>, Arc<Binding>>,
    /// By namespace (empty: cluster) and subject (`u:NAME`, `g:NAME`).
    by_subject: HashMap<(String, String), BTreeSet<Arc<str>>>,
}

/// The book, kept up to date by a watch.
pub struct RbacIndex {
    book: Arc<RwLock<Book>>,
    progress: Progress,
}

impl RbacIndex {
    pub async fn follow(store: &Arc<dyn Store>, tasks: &Tasks) -> Result<Self, StoreError> {
        let book = Arc::new(RwLock::new(Book::default()));
        let target = book.clone();
        let progress = follow(store, tasks, "rbac-index", RBAC_PREFIX, move |anew, changes| {
            let mut book = target.write().expect("no holder of this lock panics");
            if anew {
                *book = Book::default();
            }
            changes.into_iter().for_each(|change| book.apply(&change));
        })
        .await?;
        Ok(Self { book, progress })
    }

    pub async fn reached(&self, revision: Revision) {
        self.progress.reached(revision).await;
    }

    /// Reads the book.
    pub fn with<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.book.read().expect("no holder of this lock panics"))
    }

    pub fn decide(&self, user: &UserInfo, asked: &Attributes<'_>) -> Decision {
        self.with(|book| book.decide(user, asked))
    }
}

impl Book {
    fn apply(&mut self, change: &Change) {
        let Some((plural, rest)) = change.key.strip_prefix(RBAC_PREFIX).and_then(|k| k.split_once('/')) else { return };
        let (namespace, name) = rest.split_once('/').unwrap_or(("", rest));
        let object = change.entry.as_ref().and_then(|entry| match stored::tree(entry) {
            Ok(object) => Some(object),
            Err(broken) => {
                tracing::error!("{broken}"); // a role that cannot be read grants nothing
                None
            }
        });
        match plural {
            "roles" | "clusterroles" => {
                let key = (namespace.to_owned(), name.to_owned());
                match object {
                    Some(object) => self.roles.insert(key, read_role(&object)),
                    None => self.roles.remove(&key),
                };
            }
            "rolebindings" | "clusterrolebindings" => {
                if let Some(old) = self.bindings.remove(&change.key) {
                    for subject in &old.subjects {
                        if let Some(found) = self.by_subject.get_mut(&(old.namespace.clone(), subject_key(subject))) {
                            found.remove(&change.key);
                        }
                    }
                }
                let Some(object) = object else { return };
                let binding = read_binding(&object, namespace, name);
                for subject in &binding.subjects {
                    let key = (namespace.to_owned(), subject_key(subject));
                    self.by_subject.entry(key).or_default().insert(change.key.clone());
                }
                self.bindings.insert(change.key.clone(), Arc::new(binding));
            }
            _ => {}
        }
    }

    /// The rules of a role, aggregated ones included; `None` if there is no such role.
    pub fn rules_of<'a>(&'a self, kind: &str, namespace: &str, name: &'a str) -> Option<Vec<Rule>> {
        let role = self.role(kind, namespace, name)?;
        let mut out = Vec::new();
        self.any_rule(role, &mut vec![name], &mut |rule| {
            out.push(rule.clone());
            false
        });
        Some(out)
    }

    fn role(&self, kind: &str, namespace: &str, name: &str) -> Option<&Role> {
        let namespace = if kind == "ClusterRole" { "" } else { namespace };
        self.roles.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether `wanted` holds for a rule of the role or of one that it aggregates. Stops at the first.
    fn any_rule<'a>(&'a self, role: &'a Role, seen: &mut Vec<&'a str>, wanted: &mut dyn FnMut(&Rule) -> bool) -> bool {
        if role.rules.iter().any(&mut *wanted) {
            return true;
        }
        for selector in &role.aggregates {
            for ((namespace, name), other) in &self.roles {
                let selected = namespace.is_empty() && selector.matches(|label| other.labels.get(label).map(String::as_str));
                if selected && !seen.contains(&name.as_str()) {
                    seen.push(name);
                    if self.any_rule(other, seen, wanted) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn decide(&self, user: &UserInfo, asked: &Attributes<'_>) -> Decision {
        let mut missing = Vec::new();
        for (binding, subject) in self.bindings_of(user, asked.namespace) {
            match self.role(&binding.role_kind, &binding.namespace, &binding.role) {
                Some(role) if self.any_rule(role, &mut Vec::new(), &mut |rule| rule.covers(asked)) => {
                    return Decision { allowed: true, reason: reason(&binding, &subject) };
                }
                Some(_) => {}
                None => missing.push(format!(
                    "{}.rbac.authorization.k8s.io {:?} not found",
                    binding.role_kind.to_lowercase(),
                    binding.role
                )),
            }
        }
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision { allowed: false, reason }
    }

    /// What a user may do in a namespace (empty: cluster-wide only).
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Vec<Rule> {
        let bindings = self.bindings_of(user, namespace);
        bindings.iter().filter_map(|(b, _)| self.rules_of(&b.role_kind, &b.namespace, &b.role)).flatten().collect()
    }

    fn bindings_of(&self, user: &UserInfo, namespace: &str) -> Vec<(Arc<Binding>, (String, String, String))> {
        let subjects: Vec<String> =
            std::iter::once(format!("u:{}", user.name)).chain(user.groups.iter().map(|g| format!("g:{g}"))).collect();
        let scopes = if namespace.is_empty() { vec![""] } else { vec!["", namespace] };
        let mut out = Vec::new();
        for scope in scopes {
            for subject in &subjects {
                let Some(keys) = self.by_subject.get(&(scope.to_owned(), subject.clone())) else { continue };
                for binding in keys.iter().filter_map(|k| self.bindings.get(k)) {
                    let named = binding.subjects.iter().find(|s| subject_key(s) == *subject).cloned();
                    out.extend(named.map(|subject| (binding.clone(), subject)));
                }
            }
        }
        out
    }
}

fn reason(binding: &Binding, subject: &(String, String, String)) -> String {
    let (kind, named) = match binding.namespace.as_str() {
        "" => ("ClusterRoleBinding", binding.name.clone()),
        ns => ("RoleBinding", format!("{}/{ns}", binding.name)),
    };
    let who = match subject.0.as_str() {
        "ServiceAccount" => format!("{}/{}", subject.2, subject.1),
        _ => subject.2.clone(),
    };
    format!("RBAC: allowed by {kind} {named:?} of {} {:?} to {} {who:?}", binding.role_kind, binding.role, subject.0)
}

fn subject_key((kind, namespace, name): &(String, String, String)) -> String {
    match kind.as_str() {
        "Group" => format!("g:{name}"),
        "ServiceAccount" => format!("u:system:serviceaccount:{namespace}:{name}"),
        _ => format!("u:{name}"),
    }
}

fn read_role(object: &Value) -> Role {
    let strings = |value: &Value, path: &[&str]| -> BTreeMap<String, String> {
        tree::map(value, path).into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
    };
    let selectors = tree::items(object, &["aggregationRule", "clusterRoleSelectors"]).iter();
    Role {
        labels: strings(object, &["metadata", "labels"]),
        rules: Rule::read_all(tree::items(object, &["rules"])),
        aggregates: selectors.filter_map(|s| LabelSelector::from_object(s).ok()).filter(|s| !s.is_everything()).collect(),
    }
}

fn read_binding(object: &Value, namespace: &str, name: &str) -> Binding {
    let subjects = tree::items(object, &["subjects"]).iter().map(|s| {
        let own = tree::text(s, &["namespace"]);
        let of = if own.is_empty() { namespace } else { own };
        (tree::text(s, &["kind"]).to_owned(), of.to_owned(), tree::text(s, &["name"]).to_owned())
    });
    Binding {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        role_kind: tree::text(object, &["roleRef", "kind"]).to_owned(),
        role: tree::text(object, &["roleRef", "name"]).to_owned(),
        subjects: subjects.collect(),
    }
}
