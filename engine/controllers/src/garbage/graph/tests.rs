use super::*;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

fn object(uid: &str, namespace: &str) -> ObjectMeta {
    ObjectMeta { uid: Some(uid.into()), name: Some(uid.into()), namespace: Some(namespace.into()), ..Default::default() }
}

fn owned(uid: &str, owner: &str, blocks: bool) -> ObjectMeta {
    let owner = OwnerReference { uid: owner.into(), block_owner_deletion: Some(blocks), ..Default::default() };
    ObjectMeta { owner_references: Some(vec![owner]), ..object(uid, "ns") }
}

fn deleting(meta: ObjectMeta, finalizer: &str) -> ObjectMeta {
    let now = Time(Timestamp::UNIX_EPOCH);
    ObjectMeta { deletion_timestamp: Some(now), finalizers: Some(vec![finalizer.into()]), ..meta }
}

#[test]
fn a_healthy_family_needs_no_look() {
    let mut graph = Graph::default();
    assert!(graph.put(0, &object("owner", "ns")).is_empty());
    assert!(graph.put(1, &owned("child", "owner", true)).is_empty());
    assert!(graph.put(1, &owned("child", "owner", true)).is_empty());
    assert!(graph.entry("owner").is_none(), "of what owns nothing unusual only the uid is kept");
}

#[test]
fn dependents_are_looked_at_when_the_owner_goes_or_was_never_there() {
    let mut graph = Graph::default();
    assert_eq!(graph.put(1, &owned("child", "owner", true)), ["child"]);
    graph.put(0, &object("owner", "ns"));
    assert_eq!(graph.remove("owner"), ["child"]);
    assert!(graph.remove("child").is_empty());
    assert!(graph.dependents.is_empty() && graph.entries.is_empty() && graph.present.is_empty());
}

#[test]
fn an_owner_of_another_namespace_is_doubtful_and_one_without_namespace_is_not() {
    let mut graph = Graph::default();
    graph.put(0, &object("elsewhere", "other"));
    assert_eq!(graph.put(1, &owned("child", "elsewhere", true)), ["child"]);
    graph.put(0, &object("cluster", ""));
    assert!(graph.put(1, &owned("second", "cluster", true)).is_empty());
}

#[test]
fn a_foreground_deletion_waits_for_blocking_dependents() {
    let mut graph = Graph::default();
    graph.put(0, &object("owner", "ns"));
    graph.put(1, &owned("blocks", "owner", true));
    graph.put(1, &owned("free", "owner", false));
    assert_eq!(graph.put(0, &deleting(object("owner", "ns"), FOREGROUND)), ["owner"]);
    assert_eq!((graph.blockers("owner"), graph.dependents("owner").count()), (1, 2));
    assert_eq!(graph.put(1, &owned("late", "owner", true)), ["late"], "what comes late has to go too");
    assert_eq!(graph.remove("blocks"), ["owner"], "the owner may go on");
    assert!(graph.put(1, &owned("late", "owner", false)).contains(&"owner".to_owned()), "no longer in its way");
    assert_eq!(graph.blockers("owner"), 0);
}

#[test]
fn an_orphaning_deletion_is_looked_at() {
    let mut graph = Graph::default();
    assert_eq!(graph.put(0, &deleting(object("owner", "ns"), ORPHAN)), ["owner"]);
    assert!(graph.entry("owner").unwrap().orphans);
    let mut plain = deleting(object("plain", "ns"), "example.org/x");
    assert!(graph.put(0, &plain).is_empty());
    plain.deletion_timestamp = None;
    assert!(graph.put(0, &plain).is_empty());
}

#[test]
fn what_a_new_list_does_not_name_is_gone() {
    let mut graph = Graph::default();
    graph.put(0, &object("owner", "ns"));
    graph.put(0, &object("other", "ns"));
    graph.put(1, &owned("child", "owner", true));
    assert_eq!(graph.replace(0, &[object("other", "ns")]), ["child"]);
    assert!(graph.replace(0, &[object("other", "ns")]).is_empty());
}
