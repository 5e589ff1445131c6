//! Who may: TLS, client certificates, users; and several stores beside each other.
use std::time::Duration;

use irori_runtime::{Shutdown, Tasks};
use irori_store::*;
use irori_trust::{CaTree, Identity, Lifetime, SubjectName, tls};

use super::{
    clock,
    cluster::{Etcd, Files},
    open, settings,
};
use crate::words::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_etcd_see_each_others_writes() {
    let etcd = Etcd::single();
    let (one, other) = (open(settings(&etcd)).await, open(settings(&etcd)).await);
    let mut watch = soon(other.watch("k/", Revision(0))).await.expect("watch");
    let first = put(&*one, create("k/a", "1")).await;
    assert_eq!(value(&*other, "k/a").await.as_deref(), Some("1"));
    let second = put(&*other, update("k/a", first, "2")).await;
    assert_eq!(value(&*one, "k/a").await.as_deref(), Some("2"));
    let stale = soon(one.commit(vec![update("k/a", first, "3")], Durability::Synced)).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    let seen = events(&mut *watch, 2).await.expect("watch");
    assert_eq!(seen.iter().map(|event| told(event)).collect::<Vec<_>>(), ["+k/a=1", "k/a=1>2"]);
    soon(one.wait_for(second)).await.expect("is reached");
}

/// More answers wait to be read than fit in the smallest window of HTTP/2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_commits_at_once_share_a_connection() {
    let etcd = Etcd::single();
    let store = open(settings(&etcd)).await;
    let commits = (0..1_000).map(|n| store.commit(vec![create(&format!("k/{n}"), "v")], Durability::Synced));
    for outcome in soon(futures::future::join_all(commits)).await {
        outcome.expect("commit");
    }
    assert_eq!(soon(store.count("k/")).await.expect("count"), 1_000);
}

/// Somebody tells of a revision that the other store's own watch has not come to yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_starts_behind_the_revision_it_names_however_far_the_store_is() {
    let etcd = Etcd::single();
    let (one, other) = (open(settings(&etcd)).await, open(settings(&etcd)).await);
    let mut last = put(&*one, create("k/a", "0")).await;
    for n in 0..300 {
        last = put(&*one, update("k/a", last, n.to_string())).await;
        let mut watch = soon(other.watch("k/", last)).await.expect("watch");
        let (first, next) = tokio::join!(events(&mut *watch, 1), put(&*one, update("k/a", last, "next")));
        assert_eq!(first.expect("watch")[0].revision, next, "after {last:?}");
        last = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_that_falls_behind_is_ended_as_lagged() {
    let etcd = Etcd::single();
    assert!(crate::contract::fall_behind(&*open(settings(&etcd)).await).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_under_other_prefixes_do_not_see_each_other() {
    let etcd = Etcd::single();
    let one = open(settings(&etcd)).await;
    let other = open(EtcdSettings { prefix: "/irori/test2".into(), ..settings(&etcd) }).await;
    let mut watch = soon(other.watch("", Revision(0))).await.expect("watch");
    put(&*one, create("k/a", "1")).await;
    let own = put(&*other, create("k/b", "1")).await;
    assert_eq!(soon(other.count("")).await.expect("count"), 1);
    let seen = events(&mut *watch, 1).await.expect("watch");
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), [own]);
    // Revisions are all of etcd's, so a store gets to those that others wrote.
    let theirs = put(&*one, create("k/c", "1")).await;
    soon(other.wait_for(theirs)).await.expect("is reached");
}

/// Files for etcd, and what a client trusts and shows.
fn secured(folder: &std::path::Path) -> (Files, String, Identity) {
    let tree = CaTree::open(&folder.join("trust"), "home.arpa", &clock()).expect("make a CA tree");
    let names = [SubjectName::from("127.0.0.1"), SubjectName::from("localhost")];
    let server = tree.issue_server(&names, Lifetime::default()).expect("issue");
    let client = tree.issue_client("irori", None, Lifetime::default()).expect("issue");
    server.save(folder, "server").expect("save");
    client.save(folder, "client").expect("save");
    let at = |name: &str| folder.join(name);
    let control = [at("trust/root.crt"), at("client.crt"), at("client.key")];
    let files = Files { certificate: at("server.crt"), key: at("server.key"), clients_ca: at("trust/clients.crt"), control };
    (files, tree.root_pem().to_owned(), client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_etcd_with_tls_and_client_certificates_is_spoken_to_and_no_stranger_gets_in() {
    let folder = tempfile::tempdir().expect("make a folder");
    let (files, root, client) = secured(folder.path());
    let etcd = Etcd::start(1, &[], Some(files));
    let tls = |identity| Some(tls::client(&root, identity, &["h2"], &clock()).expect("a configuration"));
    let store = open(EtcdSettings { tls: tls(Some(&client)), ..settings(&etcd) }).await;
    put(&*store, create("k/a", "1")).await;
    assert_eq!(value(&*store, "k/a").await.as_deref(), Some("1"));
    for stranger in [tls(None), None] {
        let opened = soon(EtcdStore::open(EtcdSettings { tls: stranger, ..settings(&etcd) }, &Tasks::new(Shutdown::new()))).await;
        assert!(matches!(opened.err(), Some(EtcdError::Unreachable { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_logs_in_and_again_when_the_token_is_not_valid_any_more() {
    let etcd = Etcd::single();
    etcd.control(&["user", "add", "root:rootpw"]);
    etcd.control(&["user", "grant-role", "root", "root"]);
    etcd.control(&["user", "add", "irori:irori-pw"]);
    etcd.control(&["role", "add", "irori"]);
    etcd.control(&["role", "grant-permission", "irori", "readwrite", "/irori/test", "--prefix=true"]);
    etcd.control(&["user", "grant-role", "irori", "irori"]);
    etcd.control(&["auth", "enable"]);
    let login = |password: &str| Some(Login { user: "irori".into(), password: password.into() });
    let tasks = Tasks::new(Shutdown::new());
    for wrong in [login("wrong"), None] {
        let opened = soon(EtcdStore::open(EtcdSettings { login: wrong, ..settings(&etcd) }, &tasks)).await;
        assert!(matches!(opened.err(), Some(EtcdError::Unreachable { .. })));
    }
    let store = open(EtcdSettings { login: login("irori-pw"), ..settings(&etcd) }).await;
    let mut watch = soon(store.watch("k/", Revision(0))).await.expect("watch");
    let first = put(&*store, create("k/a", "1")).await;
    // A new password, even the same one, ends all tokens of a user.
    let said = std::process::Command::new("sh")
        .arg("-c")
        .arg(format!(
            "echo irori-pw | {} --endpoints {} --user root:rootpw user passwd irori --interactive=false",
            super::cluster::program().with_file_name("etcdctl").display(),
            etcd.endpoints()[0]
        ))
        .env("ETCDCTL_API", "3")
        .output()
        .expect("run etcdctl");
    assert!(said.status.success(), "{said:?}");
    let second = put(&*store, update("k/a", first, "2")).await;
    assert_eq!(value(&*store, "k/a").await.as_deref(), Some("2"));
    let seen = events(&mut *watch, 2).await.expect("watch");
    assert_eq!(seen.iter().map(|event| event.revision).collect::<Vec<_>>(), [first, second]);
    // Outside of what the user may.
    let outside = EtcdSettings { login: login("irori-pw"), prefix: "/other".into(), ..settings(&etcd) };
    let opened = tokio::time::timeout(Duration::from_secs(20), EtcdStore::open(outside, &tasks)).await.expect("in time");
    assert!(matches!(opened.err(), Some(EtcdError::Unreachable { reason }) if reason.contains("permission denied")));
}
