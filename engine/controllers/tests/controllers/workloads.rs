//! Deployments, their sets and pods, and the addresses behind Services.
use std::collections::BTreeSet;

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{Endpoints, Event, Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::home::Home;

fn deployment(replicas: i32, image: &str) -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": image}]}},
        },
    })
}

async fn settled(home: &Home, replicas: i32) -> Deployment {
    home.until("finished rollout", async || {
        let deployment = home.found::<Deployment>("default", "web").await?;
        let status = deployment.status.clone()?;
        let done = status.observed_generation == deployment.metadata.generation
            && [status.replicas, status.updated_replicas, status.available_replicas].iter().all(|c| c.unwrap_or(0) == replicas);
        let progressed = status.conditions.iter().flatten().any(|c| c.reason.as_deref() == Some("NewReplicaSetAvailable"));
        (done && progressed).then_some(deployment)
    })
    .await
}

async fn active(home: &Home) -> Vec<Pod> {
    let pods = home.all::<Pod>("default").await;
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_rolled_out_scaled_rolled_over_and_cleaned_up() {
    let home = Home::start().await;
    home.make::<Deployment>("default", deployment(3, "one")).await;
    settled(&home, 3).await;
    assert_eq!(active(&home).await.len(), 3);
    home.patch::<Deployment>("default", "web", json!({"spec": {"replicas": 5}})).await;
    settled(&home, 5).await;
    home.patch::<Deployment>(
        "default",
        "web",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "two"}]}}}}),
    )
    .await;
    let rolled = settled(&home, 5).await;
    assert_eq!(rolled.annotations()["deployment.kubernetes.io/revision"], "2");
    let images: BTreeSet<_> =
        active(&home).await.iter().map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone()).collect();
    assert_eq!(images, BTreeSet::from([Some("two".to_owned())]));
    let sets = home.all::<ReplicaSet>("default").await;
    let mut sizes: Vec<_> = sets.iter().map(|set| set.spec.as_ref().unwrap().replicas.unwrap()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [0, 5]);
    let events = home
        .until("events of scaling", async || {
            let events = home.all::<Event>("default").await;
            let scaled = events.iter().filter(|event| event.reason.as_deref() == Some("ScalingReplicaSet")).count();
            (scaled >= 3).then_some(events)
        })
        .await;
    assert!(
        events.iter().any(|event| event.message.as_deref().is_some_and(|text| text.starts_with("Scaled up replica set web-")))
    );
    home.api::<Deployment>("default").delete("web", &kube::api::DeleteParams::foreground()).await.unwrap();
    home.until("empty namespace", async || {
        let none = home.all::<Deployment>("default").await.is_empty()
            && home.all::<ReplicaSet>("default").await.is_empty()
            && home.all::<Pod>("default").await.is_empty();
        none.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_that_cannot_work_leaves_the_old_pods_alone() {
    let home = Home::start().await;
    home.make::<Deployment>("default", deployment(4, "one")).await;
    settled(&home, 4).await;
    home.patch::<Deployment>(
        "default",
        "web",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "broken"}]}}}}),
    )
    .await;
    home.until("stuck rollout", async || {
        let status = home.found::<Deployment>("default", "web").await?.status?;
        (status.updated_replicas == Some(2) && status.available_replicas == Some(3)).then_some(())
    })
    .await;
    home.patch::<Deployment>(
        "default",
        "web",
        json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "one"}]}}}}),
    )
    .await;
    let back = settled(&home, 4).await;
    assert_eq!(back.annotations()["deployment.kubernetes.io/revision"], "3");
}

/// Whoever deletes pods as fast as they come never sees more of them than asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_pods_are_replaced_one_for_one() {
    let home = Home::start().await;
    home.make::<Deployment>("default", deployment(5, "one")).await;
    settled(&home, 5).await;
    for _ in 0..20 {
        for pod in active(&home).await.iter().take(2) {
            let _gone_already = home.api::<Pod>("default").delete(&pod.name_any(), &Default::default()).await;
        }
        let count = active(&home).await.len();
        assert!(count <= 5, "{count} active pods of 5");
    }
    settled(&home, 5).await;
    assert_eq!(active(&home).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orphans_are_adopted_and_strangers_released() {
    let home = Home::start().await;
    let spec = json!({"containers": [{"name": "c", "image": "one"}]});
    let orphan = json!({"metadata": {"name": "orphan", "labels": {"app": "web"}}, "spec": spec});
    home.make::<Pod>("default", orphan).await;
    let set = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": spec}}});
    home.make::<ReplicaSet>("default", set).await;
    let ready = async || {
        let status = home.found::<ReplicaSet>("default", "web").await?.status?;
        (status.replicas == 2 && status.ready_replicas == Some(2)).then_some(())
    };
    home.until("two ready pods", ready).await;
    let pods = active(&home).await;
    assert_eq!(pods.len(), 2, "the orphan is one of them");
    assert!(pods.iter().all(|pod| pod.owner_references().iter().any(|owner| owner.name == "web")));
    home.patch::<Pod>("default", "orphan", json!({"metadata": {"labels": {"app": "stranger"}}})).await;
    home.until("released pod", async || {
        let free = home.found::<Pod>("default", "orphan").await?.owner_references().is_empty();
        (free && active(&home).await.len() == 3).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_follow_the_pods() {
    let home = Home::start().await;
    let service =
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    home.make::<Service>("default", service).await;
    home.make::<Deployment>("default", deployment(3, "one")).await;
    let ready = async |wanted: usize| {
        home.until("ready endpoints", async || {
            let slices = home.all::<EndpointSlice>("default").await;
            let ours =
                slices.iter().filter(|slice| slice.labels().get("kubernetes.io/service-name").map(String::as_str) == Some("web"));
            let endpoints: Vec<_> = ours.flat_map(|slice| slice.endpoints.clone().unwrap_or_default()).collect();
            let ready = endpoints.iter().filter(|endpoint| endpoint.conditions.as_ref().is_some_and(|c| c.ready == Some(true)));
            (ready.count() == wanted && endpoints.len() == wanted).then_some(())
        })
        .await;
    };
    ready(3).await;
    home.until("the older list of addresses", async || {
        let subsets = home.found::<Endpoints>("default", "web").await?.subsets?;
        (subsets.len() == 1 && subsets[0].addresses.as_ref().is_some_and(|addresses| addresses.len() == 3)).then_some(())
    })
    .await;
    home.patch::<Deployment>("default", "web", json!({"spec": {"replicas": 1}})).await;
    ready(1).await;
    home.api::<Service>("default").delete("web", &Default::default()).await.unwrap();
    home.until("end of the slices", async || {
        let slices = home.all::<EndpointSlice>("default").await;
        slices.iter().all(|slice| !slice.name_any().starts_with("web-")).then_some(())?;
        home.found::<Endpoints>("default", "web").await.is_none().then_some(())
    })
    .await;
}
