//! What a Secret needs. Pure: the time is an argument.
use std::{collections::BTreeSet, sync::Arc, time::Duration};

use irori_client::Key;
use irori_runtime::Timestamp;
use irori_trust::{Identity, SubjectName};
use k8s_openapi::api::{core::v1::Secret, networking::v1::Ingress};

/// Says that a Secret is ours to write.
pub const OURS: (&str, &str) = ("app.kubernetes.io/managed-by", "irori-certs");
const CLASS: &str = "irori";
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
pub const NAMES_MAX: usize = 100;

#[derive(Debug, PartialEq, Eq)]
pub enum Plan {
    /// No Ingress names the Secret: nothing to do, and nothing is deleted.
    NotWanted,
    /// Somebody else made the Secret.
    NotOurs,
    /// Good until then.
    Wait(Duration),
    /// Ask for a certificate for these names.
    Request(Vec<SubjectName>),
    TooManyNames(usize),
}

/// The Secrets that an Ingress of ours names.
pub fn secrets_of(ingress: &Ingress) -> Vec<Key> {
    let Some(spec) = ingress.spec.as_ref().filter(|_| is_ours(ingress)) else { return Vec::new() };
    let namespace = ingress.metadata.namespace.clone().unwrap_or_default();
    spec.tls.iter().flatten().filter_map(|tls| Some(Key::new(namespace.clone(), tls.secret_name.clone()?))).collect()
}

fn is_ours(ingress: &Ingress) -> bool {
    let annotated = ingress.metadata.annotations.as_ref().and_then(|a| a.get(CLASS_ANNOTATION));
    let class = ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_ref()).or(annotated);
    class.is_none_or(|class| class == CLASS)
}

/// Decides for one Secret, from the Ingresses of its namespace and the Secret as it is.
pub fn plan(key: &Key, ingresses: &[Arc<Ingress>], secret: Option<&Secret>, now: Timestamp) -> Plan {
    let naming = ingresses.iter().filter(|ingress| is_ours(ingress)).filter_map(|ingress| ingress.spec.as_ref());
    let tls = naming.flat_map(|spec| spec.tls.iter().flatten()).filter(|tls| tls.secret_name.as_ref() == Some(&key.name));
    let names: BTreeSet<SubjectName> =
        tls.flat_map(|tls| tls.hosts.iter().flatten()).map(|host| SubjectName::from(host.as_str())).collect();
    if names.is_empty() {
        return Plan::NotWanted;
    }
    if names.len() > NAMES_MAX {
        return Plan::TooManyNames(names.len());
    }
    let Some(secret) = secret else { return Plan::Request(names.into_iter().collect()) };
    let label = secret.metadata.labels.as_ref().and_then(|labels| labels.get(OURS.0));
    if label.is_none_or(|value| value != OURS.1) {
        return Plan::NotOurs;
    }
    match good_for(secret, &names, now) {
        Some(left) => Plan::Wait(left),
        None => Plan::Request(names.into_iter().collect()),
    }
}

/// How long the Secret's certificate may stay; `None` when it has to be replaced now.
fn good_for(secret: &Secret, names: &BTreeSet<SubjectName>, now: Timestamp) -> Option<Duration> {
    let field = |name: &str| String::from_utf8(secret.data.as_ref()?.get(name)?.0.clone()).ok();
    let identity = Identity { certificate_pem: field("tls.crt")?, key_pem: field("tls.key")? };
    identity.certified_key().ok()?;
    let speaks_for: BTreeSet<SubjectName> = identity.names().ok()?.into_iter().collect();
    let (not_before, _) = identity.validity().ok()?;
    let left = identity.renew_at().ok()?.duration_since(now);
    (speaks_for == *names && not_before <= now && left.is_positive()).then(|| Duration::try_from(left).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use irori_runtime::{Clock, SignedDuration};
    use irori_trust::{CaTree, Lifetime};
    use serde_json::json;

    fn ingress(hosts: &[&str]) -> Vec<Arc<Ingress>> {
        let spec = json!({"ingressClassName": "irori", "tls": [{"hosts": hosts, "secretName": "s"}]});
        vec![Arc::new(serde_json::from_value(json!({"metadata": {"name": "i", "namespace": "apps"}, "spec": spec})).unwrap())]
    }

    fn key() -> Key {
        Key::new("apps", "s")
    }

    #[test]
    fn a_certificate_is_asked_for_kept_and_renewed_at_two_thirds() {
        let dir = tempfile::tempdir().unwrap();
        let (clock, hand) = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let ca = CaTree::open(&dir.path().join("trust"), "home.arpa", &clock).unwrap();
        let wanted = ingress(&["b.home.arpa", "a.home.arpa"]);
        let names = vec![SubjectName::from("a.home.arpa"), SubjectName::from("b.home.arpa")];
        assert_eq!(plan(&key(), &wanted, None, clock.now()), Plan::Request(names.clone()));

        let identity = ca.issue_server(&names, Lifetime::default()).unwrap();
        let secret = crate::requester::secret(&key(), &identity, None);
        assert!(
            matches!(plan(&key(), &wanted, Some(&secret), clock.now()), Plan::Wait(left) if left > Duration::from_secs(86400 * 50))
        );
        assert_eq!(
            plan(&key(), &ingress(&["c.home.arpa"]), Some(&secret), clock.now()),
            Plan::Request(vec!["c.home.arpa".into()])
        );
        hand.advance(SignedDuration::from_hours(24 * 61));
        assert_eq!(plan(&key(), &wanted, Some(&secret), clock.now()), Plan::Request(names));
    }

    #[test]
    fn a_secret_of_somebody_else_is_left_alone() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(plan(&key(), &ingress(&["a.home.arpa"]), Some(&Secret::default()), now), Plan::NotOurs);
        assert_eq!(plan(&Key::new("apps", "other"), &ingress(&["a.home.arpa"]), None, now), Plan::NotWanted);
    }

    #[test]
    fn a_broken_secret_of_ours_is_replaced() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut secret = Secret::default();
        secret.metadata.labels = Some([(OURS.0.to_owned(), OURS.1.to_owned())].into());
        assert_eq!(plan(&key(), &ingress(&["a.home.arpa"]), Some(&secret), now), Plan::Request(vec!["a.home.arpa".into()]));
    }
}
