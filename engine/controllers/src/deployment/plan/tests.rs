use super::*;
use crate::builders::{at, deployment, pod};
use k8s_openapi::{
    api::apps::v1::{DeploymentStrategy, ReplicaSetStatus, RollingUpdateDeployment},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::ResourceExt;

/// A deployment, its sets, and how many pods of each are available: a cluster as this controller sees it.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: i64,
    deleted: Vec<String>,
}

impl World {
    fn of(deployment: Deployment) -> Self {
        Self { deployment, sets: Vec::new(), now: 0, deleted: Vec::new() }
    }

    fn spec(&mut self, change: impl FnOnce(&mut k8s_openapi::api::apps::v1::DeploymentSpec)) {
        change(self.deployment.spec.as_mut().unwrap());
        *self.deployment.metadata.generation.as_mut().unwrap() += 1;
    }

    fn image(&mut self, image: &str) {
        self.spec(|spec| spec.template.spec.as_mut().unwrap().containers[0].image = Some(image.to_owned()));
    }

    fn plan(&self) -> Plan {
        plan(&self.deployment, self.sets.iter().cloned().map(Arc::new).collect(), &[], at(self.now))
    }

    /// Plans and applies once; returns whether anything but the status was to be done.
    fn step(&mut self) -> bool {
        self.now += 1;
        let plan = self.plan();
        let acts = plan.create.is_some() || !plan.update.is_empty() || !plan.delete.is_empty() || plan.revision.is_some();
        if let Some(mut set) = plan.create {
            assert!(self.sets.iter().all(|other| other.name_any() != set.name_any()), "a name twice");
            set.metadata.uid = Some(format!("uid-{}", set.name_any()));
            set.metadata.creation_timestamp = Some(pods::stamp(at(self.now)));
            set.status = Some(ReplicaSetStatus::default());
            self.sets.push(set);
        }
        for member in plan.update {
            let stored = self.sets.iter_mut().find(|set| set.name_any() == member.set.name_any()).unwrap();
            *stored = member.set;
        }
        for gone in plan.delete {
            self.deleted.push(gone.name_any());
            self.sets.retain(|set| set.name_any() != gone.name_any());
        }
        if let Some(revision) = plan.revision {
            fleet::annotate(&mut self.deployment.metadata, fleet::REVISION, revision);
        }
        self.deployment.status = Some(plan.status);
        acts
    }

    /// The sets' own controller: pods exist as asked, those of `works` sets become available, `at_most` of them in this step.
    fn pods_follow(&mut self, works: impl Fn(&ReplicaSet) -> bool, at_most: i32) {
        for set in &mut self.sets {
            let wanted = set.spec.as_ref().unwrap().replicas.unwrap();
            let able = works(set);
            let status = set.status.as_mut().unwrap();
            let before = status.available_replicas.unwrap_or(0);
            let now = if able { wanted.min(before + at_most) } else { before.min(wanted) };
            status.replicas = wanted;
            status.ready_replicas = Some(now);
            status.available_replicas = Some(now);
        }
    }

    fn available(&self) -> i32 {
        self.sets.iter().filter_map(|set| set.status.as_ref()?.available_replicas).sum()
    }

    fn sizes(&self) -> Vec<i32> {
        self.sets.iter().map(|set| set.spec.as_ref().unwrap().replicas.unwrap()).collect()
    }

    /// Runs to rest; every pod that is asked for becomes available.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let acted = self.step();
            let before = self.sets.clone();
            self.pods_follow(|_| true, 1);
            if !acted && before == self.sets {
                return;
            }
        }
        panic!("does not come to rest: {:?}", self.sizes());
    }

    fn progressing(&self) -> (String, String) {
        let status = self.deployment.status.clone().unwrap();
        let condition = status.conditions.unwrap().into_iter().find(|c| c.type_ == "Progressing").unwrap();
        (condition.status, condition.reason.unwrap())
    }
}

fn set_image(set: &ReplicaSet) -> &str {
    set.spec.as_ref().unwrap().template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image.as_deref().unwrap()
}

#[test]
fn a_first_rollout_makes_one_set_with_all_pods() {
    let mut world = World::of(deployment(3, "one"));
    let plan = world.plan();
    let set = plan.create.unwrap();
    assert_eq!(set.spec.as_ref().unwrap().replicas, Some(3));
    assert_eq!(fleet::annotation(&set.metadata, fleet::REVISION), Some("1"));
    assert_eq!(fleet::annotation(&set.metadata, fleet::MOST), Some("5"));
    let hash = &set.labels()[fleet::HASH];
    assert_eq!(set.name_any(), format!("web-{hash}"));
    assert_eq!(set.spec.as_ref().unwrap().selector.match_labels.as_ref().unwrap()[fleet::HASH], *hash);
    world.step();
    assert_eq!(world.progressing().1, "NewReplicaSetCreated");
    world.settle();
    assert_eq!(world.sizes(), [3]);
    assert_eq!(world.progressing(), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
    let status = world.deployment.status.clone().unwrap();
    assert_eq!((status.updated_replicas, status.available_replicas, status.observed_generation), (Some(3), Some(3), Some(1)));
    assert!(!world.step() && !world.step(), "at rest nothing is written");
    assert!(status::same_status(Some(&status), &world.plan().status));
}

/// However slowly pods come, whatever the limits: never too many pods, never too few available ones, and it ends.
#[test]
fn a_rollout_never_leaves_its_limits() {
    for (replicas, surge, unavailable) in [(1, 1, 0), (4, 2, 0), (4, 0, 1), (10, 3, 2), (3, 0, 0), (7, 1, 7), (5, 10, 5)] {
        let mut world = World::of(deployment(replicas, "one"));
        world.spec(|spec| {
            spec.strategy = Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(surge)),
                    max_unavailable: Some(IntOrString::Int(unavailable)),
                }),
            });
        });
        world.settle();
        world.image("two");
        let limits = Limits::of(&world.deployment);
        for _ in 0..200 {
            world.step();
            let total: i32 = world.sizes().iter().sum();
            assert!(total <= limits.most(), "{total} pods of {limits:?}");
            // What shrinks loses unavailable pods first; the worst case is that it loses available ones.
            world.pods_follow(|_| false, 0);
            assert!(world.available() >= limits.least(), "{} available of {limits:?}", world.available());
            world.pods_follow(|_| true, 1);
        }
        assert_eq!(world.sizes(), [0, replicas], "{limits:?}");
        assert_eq!(world.progressing().1, "NewReplicaSetAvailable");
    }
}

#[test]
fn a_rollout_that_fails_keeps_the_old_pods_and_is_reported_stuck() {
    let mut world = World::of(deployment(3, "one"));
    world.settle();
    world.image("broken");
    for _ in 0..20 {
        world.step();
        world.pods_follow(|set| set_image(set) != "broken", 1);
    }
    assert_eq!(world.sizes(), [3, 2]);
    assert_eq!(world.progressing().0, "True");
    let look_again = world.plan().look_again.expect("a time to judge it");
    world.now = look_again.as_second();
    world.step();
    assert_eq!(world.progressing(), ("False".to_owned(), "ProgressDeadlineExceeded".to_owned()));
    assert!(world.plan().look_again.is_none());
    world.image("one");
    world.settle();
    assert_eq!(world.sizes(), [3, 0]);
    assert_eq!(world.progressing().1, "NewReplicaSetAvailable");
}

#[test]
fn a_rollback_takes_the_old_set_again_under_a_new_revision() {
    let mut world = World::of(deployment(2, "one"));
    world.settle();
    world.image("two");
    world.settle();
    assert_eq!(fleet::annotation(&world.deployment.metadata, fleet::REVISION), Some("2"));
    world.image("one");
    world.settle();
    assert_eq!(world.sizes(), [2, 0]);
    assert_eq!(fleet::annotation(&world.deployment.metadata, fleet::REVISION), Some("3"));
    assert_eq!(fleet::annotation(&world.sets[0].metadata, fleet::REVISION), Some("3"));
    assert_eq!(fleet::annotation(&world.sets[0].metadata, fleet::REVISION_HISTORY), Some("1"));
}

#[test]
fn history_is_kept_up_to_its_limit() {
    let mut world = World::of(deployment(1, "v0"));
    for version in 1..=5 {
        world.settle();
        world.image(&format!("v{version}"));
    }
    world.settle();
    let images: Vec<_> = world.sets.iter().map(set_image).collect();
    assert_eq!(images, ["v3", "v4", "v5"]);
    assert_eq!(world.deleted.len(), 3);
}

#[test]
fn a_paused_deployment_scales_but_does_not_roll() {
    let mut world = World::of(deployment(2, "one"));
    world.settle();
    world.spec(|spec| spec.paused = Some(true));
    world.image("two");
    world.spec(|spec| spec.replicas = Some(5));
    world.settle();
    assert_eq!(world.sizes(), [5]);
    assert_eq!(world.progressing(), ("Unknown".to_owned(), "DeploymentPaused".to_owned()));
    world.spec(|spec| spec.paused = Some(false));
    world.settle();
    assert_eq!(world.sizes(), [0, 5]);
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_the_proportions() {
    let mut world = World::of(deployment(10, "one"));
    world.settle();
    world.image("two");
    for _ in 0..3 {
        world.step();
        world.pods_follow(|set| set_image(set) != "two", 10);
    }
    assert_eq!(world.sizes(), [10, 2]);
    world.spec(|spec| spec.replicas = Some(20));
    world.step();
    assert_eq!(world.sizes(), [18, 4], "22 of 12, shared as 10 to 2");
    world.settle();
    assert_eq!(world.sizes(), [0, 20]);
}

#[test]
fn scaling_to_nothing_and_back_works() {
    let mut world = World::of(deployment(3, "one"));
    world.settle();
    for replicas in [0, 4] {
        world.spec(|spec| spec.replicas = Some(replicas));
        world.settle();
        assert_eq!(world.sizes(), [replicas]);
        assert_eq!(world.progressing().1, "NewReplicaSetAvailable");
    }
}

#[test]
fn recreation_waits_for_the_last_old_pod() {
    let mut world = World::of(deployment(2, "one"));
    world.spec(|spec| spec.strategy = Some(DeploymentStrategy { type_: Some("Recreate".to_owned()), rolling_update: None }));
    world.settle();
    world.image("two");
    world.step();
    assert_eq!(world.sizes(), [0]);
    world.pods_follow(|_| true, 10);
    let old = world.sets[0].name_any();
    let sets: Vec<_> = world.sets.iter().cloned().map(Arc::new).collect();
    let dying = [pod("dying").owned_by(&old).on("n1").terminating().done()];
    assert!(plan(&world.deployment, sets.clone(), &dying, at(world.now)).create.is_none(), "a terminating pod still runs");
    let finished = [pod("dead").owned_by(&old).phase("Failed").done()];
    assert!(plan(&world.deployment, sets, &finished, at(world.now)).create.is_some());
    world.settle();
    assert_eq!(world.sizes(), [0, 2]);
}

#[test]
fn a_selector_that_selects_everything_is_refused_aloud() {
    let mut world = World::of(deployment(2, "one"));
    world.spec(|spec| spec.selector.match_labels = None);
    let plan = world.plan();
    assert!(plan.selects_all && plan.create.is_none());
    assert_eq!(plan.status.observed_generation, Some(2));
}

#[test]
fn the_hash_label_and_server_defaults_of_emptiness_do_not_make_a_template_another() {
    let deployment = deployment(1, "one");
    let a = deployment.spec.unwrap().template;
    let mut b = a.clone();
    b.metadata.as_mut().unwrap().labels.as_mut().unwrap().insert(fleet::HASH.to_owned(), "x".to_owned());
    b.metadata.as_mut().unwrap().annotations = Some(Default::default());
    assert!(fleet::same_template(&a, &b));
    b.spec.as_mut().unwrap().containers[0].image = Some("two".to_owned());
    assert!(!fleet::same_template(&a, &b));
}

#[test]
fn a_taken_name_leads_to_another() {
    let mut deployment = deployment(1, "one");
    let limits = Limits::of(&deployment);
    let first = fleet::new_set(&deployment, 1, 1, limits).unwrap().name_any();
    deployment.status = Some(DeploymentStatus { collision_count: Some(1), ..Default::default() });
    assert_ne!(fleet::new_set(&deployment, 1, 1, limits).unwrap().name_any(), first);
}
