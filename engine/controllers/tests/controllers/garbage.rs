//! Objects and their owners.
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{ResourceExt, api::DeleteParams};
use serde_json::{Value, json};

use crate::home::Home;

async fn map(home: &Home, namespace: &str, name: &str, owners: &[(&ConfigMap, bool)]) -> ConfigMap {
    let owners: Vec<Value> = owners
        .iter()
        .map(|(owner, blocks)| {
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(), "uid": owner.uid(), "blockOwnerDeletion": blocks})
        })
        .collect();
    home.make(namespace, json!({"metadata": {"name": name, "ownerReferences": owners}})).await
}

async fn is_gone(home: &Home, name: &str) {
    let what = format!("end of {name}");
    home.until(&what, async || home.found::<ConfigMap>("default", name).await.is_none().then_some(())).await;
}

async fn delete(home: &Home, name: &str, how: DeleteParams) {
    home.api::<ConfigMap>("default").delete(name, &how).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependents_follow_their_owner_through_generations() {
    let home = Home::start().await;
    let top = map(&home, "default", "top", &[]).await;
    let middle = map(&home, "default", "middle", &[(&top, true)]).await;
    map(&home, "default", "bottom", &[(&middle, true)]).await;
    delete(&home, "top", DeleteParams::background()).await;
    is_gone(&home, "middle").await;
    is_gone(&home, "bottom").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dependent_of_two_stays_with_the_one_that_is_left() {
    let home = Home::start().await;
    let (one, two) = (map(&home, "default", "one", &[]).await, map(&home, "default", "two", &[]).await);
    map(&home, "default", "child", &[(&one, false), (&two, false)]).await;
    delete(&home, "one", DeleteParams::background()).await;
    home.until("reference taken off", async || {
        let child = home.found::<ConfigMap>("default", "child").await.expect("it has an owner left");
        (child.owner_references().len() == 1 && child.owner_references()[0].name == "two").then_some(())
    })
    .await;
    delete(&home, "two", DeleteParams::background()).await;
    is_gone(&home, "child").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreground_deletion_ends_after_what_blocks_it() {
    let home = Home::start().await;
    let owner = map(&home, "default", "owner", &[]).await;
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.org/held"], "ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid(), "blockOwnerDeletion": true}]}});
    home.make::<ConfigMap>("default", held).await;
    delete(&home, "owner", DeleteParams::foreground()).await;
    home.until("deletion of the dependent", async || {
        let child = home.found::<ConfigMap>("default", "held").await?;
        child.metadata.deletion_timestamp.map(drop)
    })
    .await;
    let owner = home.found::<ConfigMap>("default", "owner").await.expect("it waits");
    assert_eq!(owner.finalizers(), ["foregroundDeletion"]);
    home.patch::<ConfigMap>("default", "held", json!({"metadata": {"finalizers": null}})).await;
    is_gone(&home, "held").await;
    is_gone(&home, "owner").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaning_deletion_leaves_dependents_free() {
    let home = Home::start().await;
    let owner = map(&home, "default", "owner", &[]).await;
    map(&home, "default", "child", &[(&owner, true)]).await;
    delete(&home, "owner", DeleteParams::orphan()).await;
    is_gone(&home, "owner").await;
    let child = home.found::<ConfigMap>("default", "child").await.expect("it stays");
    assert!(child.owner_references().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_never_were_or_live_elsewhere_own_nothing() {
    let home = Home::start().await;
    let ghost: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "ghost", "uid": "00000000-0000-4000-8000-000000000000"}})).unwrap();
    map(&home, "default", "haunted", &[(&ghost, true)]).await;
    is_gone(&home, "haunted").await;
    let elsewhere = map(&home, "kube-public", "elsewhere", &[]).await;
    map(&home, "default", "astray", &[(&elsewhere, true)]).await;
    is_gone(&home, "astray").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_of_an_unknown_kind_deletes_nothing() {
    let home = Home::start().await;
    let owner =
        json!([{"apiVersion": "example.org/v1", "kind": "Thing", "name": "x", "uid": "00000000-0000-4000-8000-000000000001"}]);
    home.make::<ConfigMap>("default", json!({"metadata": {"name": "kept", "ownerReferences": owner}})).await;
    // What is looked at after it is gone, so it has been looked at.
    let top = map(&home, "default", "top", &[]).await;
    map(&home, "default", "child", &[(&top, true)]).await;
    delete(&home, "top", DeleteParams::background()).await;
    is_gone(&home, "child").await;
    assert!(home.found::<ConfigMap>("default", "kept").await.is_some());
}
