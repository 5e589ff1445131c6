use super::*;
use std::os::unix::fs::PermissionsExt;

fn tree(domain: &str) -> (tempfile::TempDir, CaTree, irori_runtime::ManualTime) {
    let dir = tempfile::tempdir().unwrap();
    let (clock, hand) = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
    let tree = CaTree::open(&dir.path().join("trust"), domain, &clock).unwrap();
    (dir, tree, hand)
}

fn server_verifies(tree: &CaTree, identity: &Identity, name: &str) -> Result<(), rustls::Error> {
    use rustls::client::{WebPkiServerVerifier, danger::ServerCertVerifier};
    let mut roots = RootCertStore::empty();
    roots.add(tree.root.certificate.clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls::provider_arc()).build().unwrap();
    let chain = identity.chain().unwrap();
    let name = rustls_pki_types::ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], tls::unix_time(&tree.clock)).map(|_| ())
}

#[test]
fn a_server_certificate_is_accepted_under_the_root_for_its_names_only() {
    let (_dir, tree, _) = tree("home.arpa");
    let names = ["whoami.home.arpa".into(), "10.42.0.1".into(), "kubernetes.default.svc".into()];
    let identity = tree.issue_server(&names, Lifetime::default()).unwrap();
    for name in ["whoami.home.arpa", "10.42.0.1", "kubernetes.default.svc"] {
        server_verifies(&tree, &identity, name).unwrap();
    }
    assert!(server_verifies(&tree, &identity, "other.home.arpa").is_err());
}

#[test]
fn a_name_outside_the_home_is_never_certified() {
    let (_dir, tree, _) = tree("home.arpa");
    let refused = tree.issue_server(&["example.com".into()], Lifetime::default());
    assert!(matches!(refused, Err(TrustError::OutsideScope { .. })));
}

/// Even with the `servers` key in hand, the root's name constraints hold.
#[test]
fn a_forged_leaf_outside_the_home_is_refused_by_verifiers() {
    let (_dir, tree, _) = tree("home.arpa");
    let key = fresh_key().unwrap();
    let mut params = leaf_params(tree.clock.now(), Lifetime::default(), ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = vec![SubjectName::from("bank.example").to_san().unwrap()];
    let leaf = params.signed_by(&key, &tree.servers.issuer).unwrap();
    let forged = Identity { certificate_pem: format!("{}{}", leaf.pem(), tree.servers.pem), key_pem: key.serialize_pem() };
    assert!(server_verifies(&tree, &forged, "bank.example").is_err());
}

#[test]
fn a_client_certificate_says_its_user_and_groups() {
    let (_dir, tree, _) = tree("home.arpa");
    let identity = tree.issue_client("system:node:n1", Some("system:nodes"), Lifetime::default()).unwrap();
    let verified = tree.verify_client(&identity.chain().unwrap()).unwrap();
    assert_eq!(verified.common_name, "system:node:n1");
    assert_eq!(verified.organizations, ["system:nodes"]);
}

#[test]
fn a_server_certificate_is_no_client() {
    let (_dir, tree, _) = tree("home.arpa");
    let server = tree.issue_server(&["a.home.arpa".into()], Lifetime::default()).unwrap();
    assert!(tree.verify_client(&server.chain().unwrap()).is_err());
}

#[test]
fn a_client_of_another_home_is_a_stranger() {
    let ((_a, ours, _), (_b, theirs, _)) = (tree("home.arpa"), tree("home.arpa"));
    let stranger = theirs.issue_client("irori-admin", Some("system:masters"), Lifetime::default()).unwrap();
    assert!(ours.verify_client(&stranger.chain().unwrap()).is_err());
}

#[test]
fn leaves_expire_on_our_clock_and_the_tree_lives_on() {
    let (_dir, tree, hand) = tree("home.arpa");
    let early = tree.issue_client("early", None, Lifetime::default()).unwrap();
    hand.advance(SignedDuration::from_hours(24 * 365 * 11));
    assert!(tree.verify_client(&early.chain().unwrap()).is_err());
    let late = tree.issue_client("late", None, Lifetime::default()).unwrap();
    assert_eq!(tree.verify_client(&late.chain().unwrap()).unwrap().common_name, "late");
}

#[test]
fn the_tree_is_the_same_after_a_restart_and_keys_are_their_owners_alone() {
    let (dir, first, _) = tree("home.arpa");
    let again = CaTree::open(&dir.path().join("trust"), "home.arpa", &first.clock).unwrap();
    assert_eq!(first.root_pem(), again.root_pem());
    for file in fs::read_dir(dir.path().join("trust")).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_tree_with_a_missing_file_is_refused_and_left_alone() {
    let (dir, first, _) = tree("home.arpa");
    fs::remove_file(dir.path().join("trust/clients.key")).unwrap();
    let refused = CaTree::open(&dir.path().join("trust"), "home.arpa", &first.clock);
    assert!(matches!(refused, Err(TrustError::Incomplete { .. })));
    assert!(dir.path().join("trust/root.crt").exists());
}

#[test]
fn a_tree_of_another_domain_is_refused() {
    let (dir, first, _) = tree("home.arpa");
    let refused = CaTree::open(&dir.path().join("trust"), "club.example", &first.clock);
    assert!(matches!(refused, Err(TrustError::OtherDomain { .. })));
}

#[test]
fn a_request_gets_its_names_and_nothing_else() {
    let (_dir, tree, _) = tree("home.arpa");
    let key = fresh_key().unwrap();
    let mut params = CertificateParams::new(vec!["app.home.arpa".to_owned()]).unwrap();
    params.distinguished_name = subject("system:masters", Some("system:masters"));
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    let chain = tree.sign_server_request(&pem, Lifetime::default()).unwrap();
    let identity = Identity { certificate_pem: chain, key_pem: key.serialize_pem() };
    server_verifies(&tree, &identity, "app.home.arpa").unwrap();
    let (.., common_name, organizations) = parse(&identity.chain().unwrap()[0]).unwrap();
    assert_eq!((common_name.as_str(), organizations.len()), ("app.home.arpa", 0));
    let outside = CertificateParams::new(vec!["example.com".to_owned()]).unwrap().serialize_request(&key).unwrap().pem().unwrap();
    assert!(matches!(tree.sign_server_request(&outside, Lifetime::default()), Err(TrustError::OutsideScope { .. })));
}

#[test]
fn a_token_of_ours_is_read_back_and_a_changed_one_is_not() {
    let (_dir, tree, _) = tree("home.arpa");
    let token = tree.tokens().sign(&serde_json::json!({"sub": "system:serviceaccount:a:b", "exp": 1})).unwrap();
    assert_eq!(tree.tokens().check(&token).unwrap()["sub"], "system:serviceaccount:a:b");
    let (head, _) = token.rsplit_once('.').unwrap();
    assert!(tree.tokens().check(&format!("{head}.AAAA")).is_none());
    let (_dir2, other, _) = self::tree("home.arpa");
    assert!(other.tokens().check(&token).is_none());
}

#[test]
fn a_request_of_ours_is_signed_for_the_names_it_asked_for() {
    let (_dir, tree, _) = tree("home.arpa");
    let names = [SubjectName::from("a.home.arpa"), SubjectName::from("10.0.0.1"), SubjectName::from("fd00::1")];
    let request = request_server(&names).unwrap();
    let chain = tree.sign_server_request(&request.request_pem, Lifetime::default()).unwrap();
    let identity = Identity { certificate_pem: chain, key_pem: request.key_pem };
    assert_eq!(identity.names().unwrap(), names);
    identity.certified_key().unwrap();
}
