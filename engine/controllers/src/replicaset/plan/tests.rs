use super::*;
use crate::builders::{at, pod, replica_set};
use serde_json::json;

fn names(pods: &[Arc<Pod>]) -> Vec<String> {
    pods.iter().map(|pod| pod.name_any()).collect()
}

fn plan_of(replicas: i32, owned: &[Arc<Pod>]) -> Plan {
    plan(&replica_set("web", replicas), owned, owned, &HashSet::new(), at(1000))
}

#[test]
fn missing_pods_are_made() {
    let owned = [pod("a").on("n1").done(), pod("gone").terminating().done(), pod("failed").phase("Failed").done()];
    let plan = plan_of(3, &owned);
    assert_eq!((plan.create, plan.delete.len()), (2, 0), "neither terminating nor finished pods count");
    assert_eq!(plan_of(2000, &owned).create, BURST);
}

#[test]
fn a_set_that_is_being_deleted_makes_and_deletes_nothing() {
    let mut set = replica_set("web", 3);
    set.metadata.deletion_timestamp = Some(pods::stamp(at(1)));
    let plan = plan(&set, &[], &[], &HashSet::new(), at(1000));
    assert_eq!((plan.create, plan.delete.len()), (0, 0));
}

#[test]
fn a_pod_that_was_told_to_go_is_not_replaced_twice_nor_counted() {
    let owned = [pod("a").on("n1").done(), pod("b").on("n1").done()];
    let told = HashSet::from(["uid-a".to_owned()]);
    let plan = plan(&replica_set("web", 1), &owned, &owned, &told, at(1000));
    assert_eq!((plan.create, plan.delete.len()), (0, 0));
}

#[test]
fn the_pods_whose_loss_hurts_least_go_first() {
    let owned = [
        pod("ready-long").on("n1").ready_since(10).done(),
        pod("ready-short").on("n1").ready_since(990).done(),
        pod("restarting").on("n1").ready_since(10).restarted(4).done(),
        pod("not-ready").on("n1").done(),
        pod("pending").phase("Pending").spec("nodeName", json!("n1")).done(),
        pod("unassigned").done(),
        pod("dear").on("n1").ready_since(990).annotated(DELETION_COST, "10").done(),
        pod("cheap").on("n1").ready_since(10).annotated(DELETION_COST, "-10").done(),
    ];
    let order = names(&first_to_go(owned.to_vec(), &owned, at(1000), 8));
    assert_eq!(order, ["unassigned", "pending", "not-ready", "cheap", "ready-short", "restarting", "ready-long", "dear"]);
}

#[test]
fn pods_on_crowded_nodes_go_before_lonely_ones() {
    let mine = [pod("lonely").on("n1").ready_since(990).done(), pod("crowded").on("n2").ready_since(10).done()];
    let sister = pod("sister").on("n2").ready_since(10).done();
    let neighbours = [mine[0].clone(), mine[1].clone(), sister];
    assert_eq!(names(&first_to_go(mine.to_vec(), &neighbours, at(1000), 1)), ["crowded"]);
}

#[test]
fn status_counts_what_is_there() {
    let owned = [
        pod("a").on("n1").ready_since(10).labelled(json!({"app": "web", "x": "y"})).done(),
        pod("b").on("n1").ready_since(995).done(),
        pod("c").done(),
        pod("going").on("n1").terminating().done(),
        pod("failed").phase("Failed").done(),
    ];
    let mut set = replica_set("web", 3);
    set.spec.as_mut().unwrap().min_ready_seconds = Some(30);
    let plan = plan(&set, &owned, &owned, &HashSet::new(), at(1000));
    let status = &plan.status;
    assert_eq!(status.replicas, 3);
    assert_eq!(status.fully_labeled_replicas, Some(1));
    assert_eq!(status.ready_replicas, Some(2));
    assert_eq!(status.available_replicas, Some(1));
    assert_eq!(status.terminating_replicas, Some(1));
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(plan.look_again, Some(at(1025)), "when b has been ready for long enough");
}

#[test]
fn a_failure_is_a_condition_until_it_is_over() {
    let failed = with_failure(ReplicaSetStatus::default(), Some(("FailedCreate", "quota".to_owned())), at(5));
    let conditions = failed.conditions.clone().unwrap();
    assert_eq!((conditions[0].type_.as_str(), conditions[0].status.as_str()), ("ReplicaFailure", "True"));
    let again = with_failure(failed.clone(), Some(("FailedCreate", "quota, later".to_owned())), at(9));
    assert!(same_status(Some(&failed), &again), "repeating itself is no news");
    assert!(with_failure(failed, None, at(9)).conditions.is_none());
}

#[test]
fn a_stored_status_without_zeroes_says_the_same() {
    let stored = ReplicaSetStatus { observed_generation: Some(2), ..Default::default() };
    assert!(same_status(Some(&stored), &plan_of(0, &[]).status));
    assert!(!same_status(None, &plan_of(0, &[]).status));
}

#[test]
fn a_new_pod_is_the_template_with_an_owner() {
    let made = new_pod(&replica_set("web", 1)).unwrap();
    assert_eq!(made.metadata.generate_name.as_deref(), Some("web-"));
    assert_eq!(made.labels()["x"], "y");
    let owner = &made.owner_references()[0];
    assert_eq!((owner.kind.as_str(), owner.controller, owner.block_owner_deletion), ("ReplicaSet", Some(true), Some(true)));
}

#[test]
fn claims_adopt_orphans_and_release_what_matches_no_longer() {
    let set = replica_set("web", 1);
    let candidates = vec![
        pod("mine").owned_by("web").done(),
        pod("drifted").owned_by("web").labelled(json!({})).done(),
        pod("theirs").owned_by("other").done(),
        pod("orphan").done(),
        pod("dying-orphan").terminating().done(),
        pod("stranger").labelled(json!({"app": "db"})).done(),
    ];
    let matches = |pod: &Pod| crate::selector::matches(&set.spec.as_ref().unwrap().selector, pod.metadata.labels.as_ref());
    let claims = owners::claim(&set.metadata, matches, candidates.clone());
    assert_eq!(names(&claims.owned), ["mine"]);
    assert_eq!(names(&claims.adopt), ["orphan"]);
    assert_eq!(names(&claims.release), ["drifted"]);
    let mut leaving = set.metadata.clone();
    leaving.deletion_timestamp = Some(pods::stamp(at(0)));
    let claims = owners::claim(&leaving, matches, candidates);
    assert!(claims.adopt.is_empty() && claims.release.is_empty());
}
