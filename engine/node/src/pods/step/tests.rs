//! The life of a pod against a pure world that answers, fails, crashes and forgets as it is told.
mod random;
mod world;

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use serde_json::json;

use super::*;
use crate::pods::{
    effect::{Failure, ProbeResult},
    facts::ProbeKind,
    life::Cause,
};
use world::World;

fn one(policy: &str) -> serde_json::Value {
    json!({ "restartPolicy": policy, "terminationGracePeriodSeconds": 30, "containers": [{ "name": "app", "image": "x" }] })
}

fn reason(world: &World, name: &str) -> String {
    let status = crate::status::status(&world.life, &[]).expect("a status");
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let state = all.into_iter().find(|c| c.name == name).and_then(|c| c.state.clone()).expect("a state");
    match (state.waiting, state.running, state.terminated) {
        (Some(waiting), ..) => waiting.reason.unwrap_or_default(),
        (_, Some(_), _) => "Running".to_owned(),
        (_, _, Some(ended)) => format!("{}:{}", ended.reason.unwrap_or_default(), ended.exit_code),
        _ => String::new(),
    }
}

fn phase(world: &World) -> String {
    crate::status::status(&world.life, &[]).expect("a status").phase.expect("a phase")
}

#[test]
fn a_pod_comes_up_and_is_ready() {
    let mut world = World::new(one("Always"));
    world.settle();
    assert_eq!((phase(&world).as_str(), reason(&world, "app").as_str()), ("Running", "Running"));
    assert!(conditions::holds(&world.life, conditions::READY));
    assert!(conditions::holds(&world.life, conditions::READY_TO_START));
}

#[test]
fn a_crash_is_restarted_at_once_then_after_ten_seconds_then_twenty() {
    let mut world = World::new(one("Always"));
    world.settle();
    let mut waits = Vec::new();
    for _ in 0..7 {
        world.crash("app", 1);
        world.settle();
        let begun = world.now.mono;
        while world.running("app").is_none() {
            assert_eq!(reason(&world, "app"), "CrashLoopBackOff");
            world.pass_to_wake();
        }
        waits.push((world.now.mono - begun).as_secs());
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300]);
    assert_eq!(world.life.slot("app").expect("there").attempt, 7);
}

#[test]
fn ten_minutes_of_running_forget_the_back_off() {
    let mut world = World::new(one("Always"));
    world.settle();
    for _ in 0..2 {
        world.crash("app", 1);
        world.settle();
    }
    assert!(world.running("app").is_none(), "the second restart waits");
    world.pass(Duration::from_secs(10));
    assert!(world.running("app").is_some());
    world.pass(Duration::from_secs(601));
    world.crash("app", 1);
    world.settle();
    assert!(world.running("app").is_some(), "as if it were the first crash");
}

#[test]
fn by_policy_an_end_is_success_failure_or_a_restart() {
    for (policy, code, expected) in [
        ("Never", 0, "Succeeded"),
        ("Never", 3, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 3, "Running"),
        ("Always", 0, "Running"),
    ] {
        let mut world = World::new(one(policy));
        world.settle();
        world.crash("app", code);
        world.settle();
        assert_eq!(phase(&world), expected, "{policy} {code}");
        let torn_down = world.life.sandbox.present.as_ref().is_some_and(|p| p.stopped);
        assert_eq!(torn_down, expected != "Running", "an ended pod keeps no network");
    }
}

#[test]
fn init_containers_run_one_after_another_and_before_the_apps() {
    let mut world = World::new(json!({ "restartPolicy": "Always",
        "initContainers": [{ "name": "one", "image": "x" }, { "name": "two", "image": "x" }],
        "containers": [{ "name": "app", "image": "x" }] }));
    world.settle();
    assert!(world.running("one").is_some() && world.running("two").is_none() && world.running("app").is_none());
    assert_eq!(reason(&world, "app"), "PodInitializing");
    world.crash("one", 1);
    world.settle();
    assert!(world.running("one").is_some(), "a failed init container runs again");
    world.crash("one", 0);
    world.settle();
    assert!(world.running("two").is_some() && world.running("app").is_none());
    world.crash("two", 0);
    world.settle();
    assert!(world.running("app").is_some());
    assert!(conditions::holds(&world.life, conditions::INITIALIZED));
    assert_eq!(reason(&world, "one"), "Completed:0");
}

#[test]
fn a_failed_init_container_fails_a_pod_that_never_restarts() {
    let mut world = World::new(json!({ "restartPolicy": "Never", "initContainers": [{ "name": "one", "image": "x" }],
        "containers": [{ "name": "app", "image": "x" }] }));
    world.settle();
    world.crash("one", 2);
    world.settle();
    assert_eq!(phase(&world), "Failed");
    assert!(world.running("app").is_none());
}

#[test]
fn a_sidecar_starts_before_the_apps_and_ends_after_them() {
    let mut world = World::new(json!({ "restartPolicy": "Never",
        "initContainers": [{ "name": "side", "image": "x", "restartPolicy": "Always" }],
        "containers": [{ "name": "app", "image": "x" }] }));
    world.settle();
    assert!(world.running("side").is_some() && world.running("app").is_some());
    world.crash("side", 1);
    world.settle();
    assert!(world.running("side").is_some(), "a sidecar is restarted whatever the pod's policy is");
    world.crash("app", 0);
    world.settle();
    assert_eq!(phase(&world), "Succeeded");
    assert_eq!(world.stopped, ["side"]);
}

#[test]
fn deletion_stops_removes_and_deletes_in_this_order() {
    let mut world = World::new(one("Always"));
    world.settle();
    world.delete(30);
    world.settle();
    assert!(world.life.is_over());
    assert!(world.sandboxes.is_empty() && world.containers.is_empty());
    assert_eq!(world.log_of_end(), ["Stop", "StopSandbox", "Cleanup", "RemoveSandbox", "Delete"]);
}

#[test]
fn the_grace_of_a_deletion_is_what_a_container_gets() {
    let mut world = World::new(one("Always"));
    world.settle();
    world.delete(7);
    let grace = world.effects.iter().find_map(|e| if let Effect::Stop { grace, .. } = e { Some(*grace) } else { None });
    assert_eq!(grace, Some(Duration::from_secs(7)));
    world.delete(3);
    let graces: Vec<_> = world
        .effects
        .iter()
        .filter_map(|e| if let Effect::Stop { grace, pre_stop, .. } = e { Some((grace.as_secs(), *pre_stop)) } else { None })
        .collect();
    assert_eq!(graces, [(7, true), (3, false)], "a shorter grace is told, the hook runs once");
}

#[test]
fn a_pod_that_was_never_known_is_torn_down_as_an_orphan() {
    let mut world = World::new(one("Always"));
    world.settle();
    world.forget_life();
    world.event(Event::Gone);
    world.observe();
    world.settle();
    assert!(world.life.is_over() && world.sandboxes.is_empty() && world.containers.is_empty());
    assert!(!world.log.iter().any(|e| matches!(e, Effect::Delete)), "there is nothing to delete in the API");
}

#[test]
fn what_ran_before_a_restart_of_irori_goes_on_untouched() {
    let mut world = World::new(one("Always"));
    world.settle();
    world.crash("app", 1);
    world.settle();
    let before = world.running("app").expect("it runs");
    let written = crate::status::status(&world.life, &[]).expect("a status");
    world.object = Arc::new(Pod { status: Some(written.clone()), ..Pod::clone(&world.object) });
    world.now.wall += irori_runtime::SignedDuration::from_secs(60);
    world.forget_life();
    world.log.clear();
    world.event(Event::Pod(world.object.clone()));
    world.observe();
    world.settle();
    assert_eq!(world.running("app"), Some(before));
    let acts = world.log.iter().filter(|e| !matches!(e, Effect::PrepareVolumes | Effect::Tell(_))).count();
    assert_eq!(acts, 0, "{:?}", world.log);
    assert_eq!(crate::status::status(&world.life, &[]), Some(written), "there is nothing new to write");
    assert_eq!(world.life.slot("app").expect("there").attempt, 1);
}

#[test]
fn nothing_happens_before_the_runtime_was_looked_at() {
    let mut world = World::new(one("Always"));
    world.forget_life();
    world.log.clear();
    world.event(Event::Pod(world.object.clone()));
    assert_eq!(world.effects, Vec::new());
    assert_eq!(world.wake, None);
}

#[test]
fn a_dead_sandbox_is_replaced_and_the_containers_start_anew_in_it() {
    let mut world = World::new(json!({ "restartPolicy": "Always", "initContainers": [{ "name": "one", "image": "x" }],
        "containers": [{ "name": "app", "image": "x" }] }));
    world.settle();
    world.crash("one", 0);
    world.settle();
    let id = world.life.sandbox.present.clone().expect("present").id;
    world.event(Event::SandboxSeen { id: id.clone(), ready: false });
    world.settle();
    assert_ne!(world.life.sandbox.present.clone().expect("present").id, id);
    assert!(world.running("one").is_some(), "init containers run again");
    world.crash("one", 0);
    world.settle();
    assert!(world.running("app").is_some());
    assert_eq!((world.sandboxes.len(), world.life.slot("app").expect("there").attempt), (1, 1));
}

#[test]
fn liveness_failures_at_the_threshold_restart_the_container() {
    let mut spec = one("Always");
    spec["containers"][0]["livenessProbe"] =
        json!({ "exec": { "command": ["x"] }, "periodSeconds": 5, "failureThreshold": 2, "initialDelaySeconds": 3 });
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(world.probes(), Vec::new());
    world.pass(Duration::from_secs(3));
    assert_eq!(world.probes(), [ProbeKind::Liveness]);
    world.answer_probes(&ProbeResult::Failure("no".to_owned()));
    world.settle();
    let before = world.running("app").expect("one failure is not two");
    world.pass(Duration::from_secs(5));
    world.answer_probes(&ProbeResult::Failure("no".to_owned()));
    world.settle();
    assert_ne!(world.running("app").expect("restarted"), before);
    assert!(world.told("Killing") && world.told("Unhealthy"));
}

#[test]
fn readiness_follows_its_probe_and_waits_for_startup() {
    let mut spec = one("Always");
    spec["containers"][0]["startupProbe"] = json!({ "exec": {}, "periodSeconds": 1, "failureThreshold": 100 });
    spec["containers"][0]["readinessProbe"] =
        json!({ "exec": {}, "periodSeconds": 1, "successThreshold": 2, "failureThreshold": 1 });
    let mut world = World::new(spec);
    world.settle();
    assert_eq!(world.probes(), [ProbeKind::Startup]);
    assert!(!conditions::holds(&world.life, conditions::READY));
    world.answer_probes(&ProbeResult::Success);
    world.settle();
    assert_eq!(world.probes(), [ProbeKind::Readiness]);
    world.answer_probes(&ProbeResult::Success);
    world.pass(Duration::from_secs(1));
    assert!(!conditions::holds(&world.life, conditions::READY), "two successes are needed");
    world.answer_probes(&ProbeResult::Success);
    assert!(conditions::holds(&world.life, conditions::READY));
    world.pass(Duration::from_secs(1));
    world.answer_probes(&ProbeResult::Failure("no".to_owned()));
    assert!(!conditions::holds(&world.life, conditions::READY));
    assert!(world.running("app").is_some(), "readiness kills nothing");
}

#[test]
fn a_timer_that_runs_out_before_it_is_looked_at_is_not_lost() {
    let mut spec = one("Always");
    spec["containers"][0]["readinessProbe"] = json!({ "exec": {}, "periodSeconds": 1 });
    let mut world = World::new(spec);
    world.settle();
    let asked = world.now.mono;
    world.now.mono += Duration::from_micros(999_999);
    world.answer_probes(&ProbeResult::Failure("no".to_owned()));
    // The machine is busy: what the step asked for is carried out a moment after the next probe is due.
    world.now.mono += Duration::from_millis(5);
    assert_eq!(world.wake, Some(asked + Duration::from_secs(1)));
    world.pass(Duration::ZERO);
    assert_eq!(world.probes(), [ProbeKind::Readiness]);
}

#[test]
fn an_image_error_becomes_a_back_off_and_is_tried_again() {
    let mut world = World::new(one("Always"));
    world.fail_image = Some(Failure::new("ErrImagePull", "no such image"));
    world.settle();
    assert_eq!((phase(&world).as_str(), reason(&world, "app").as_str()), ("Pending", "ErrImagePull"));
    world.pass(Duration::from_secs(3));
    assert_eq!(reason(&world, "app"), "ImagePullBackOff");
    world.fail_image = None;
    world.pass(Duration::from_secs(8));
    assert_eq!(reason(&world, "app"), "Running");
}

#[test]
fn a_runtime_that_could_not_be_asked_for_an_image_is_asked_again_soon() {
    let mut world = World::new(one("Always"));
    world.fail_image = Some(Failure::new("ImageInspectError", "container runtime is not available"));
    world.settle();
    assert_eq!(reason(&world, "app"), "ImageInspectError");
    world.fail_image = None;
    world.pass(Duration::from_secs(1));
    assert_eq!(reason(&world, "app"), "Running");
}

#[test]
fn another_image_ends_the_container_and_starts_it_anew_whatever_the_policy_says() {
    for policy in ["Always", "OnFailure", "Never"] {
        let mut world = World::new(one(policy));
        world.settle();
        let before = world.running("app").expect("it runs");
        world.change_image("y");
        world.settle();
        let after = world.running("app").expect("it runs again at once");
        assert_ne!(before, after);
        assert_eq!((world.stopped.as_slice(), world.containers[&after.0].image_ref.as_str()), (&["app".to_owned()][..], "y"));
        assert_eq!((phase(&world).as_str(), world.life.slot("app").expect("there").attempt), ("Running", 1), "{policy}");
        assert!(world.told("Killing"));
        // The next one is not in a hurry to be told apart from a crash: there was none.
        assert!(world.life.slot("app").expect("there").crash.wait.is_zero());
    }
}

#[test]
fn another_image_heals_a_pull_that_failed_at_once() {
    let mut world = World::new(one("Always"));
    world.fail_image = Some(Failure::new("ErrImagePull", "no such image"));
    world.settle();
    assert_eq!(reason(&world, "app"), "ErrImagePull");
    world.fail_image = None;
    world.change_image("y");
    world.settle();
    assert_eq!(reason(&world, "app"), "Running");
}

#[test]
fn an_answer_about_the_image_of_before_is_not_taken_for_the_new_one() {
    let mut world = World::new(one("Always"));
    let asked = |world: &World| world.log.iter().filter(|e| matches!(e, Effect::EnsureImage { .. })).count();
    assert_eq!(asked(&world), 1, "the first is under way");
    world.change_image("y");
    world.settle();
    assert_eq!(asked(&world), 2);
    assert_eq!(reason(&world, "app"), "Running");
}

#[test]
fn a_config_error_waits_and_goes_on_when_the_source_appears() {
    let mut world = World::new(one("Always"));
    world.fail_start = Some(Failure::new("CreateContainerConfigError", "configmap \"m\" not found"));
    world.settle();
    assert_eq!(reason(&world, "app"), "CreateContainerConfigError");
    world.fail_start = None;
    world.event(Event::SourcesChanged);
    world.settle();
    assert_eq!((reason(&world, "app").as_str(), world.life.slot("app").expect("there").attempt), ("Running", 0));
}

#[test]
fn the_active_deadline_ends_the_pod_as_failed() {
    let mut spec = one("Always");
    spec["activeDeadlineSeconds"] = json!(60);
    let mut world = World::new(spec);
    world.settle();
    world.pass(Duration::from_secs(59));
    assert_eq!(phase(&world), "Running");
    world.pass(Duration::from_secs(2));
    let status = crate::status::status(&world.life, &[]).expect("a status");
    assert_eq!((status.phase.as_deref(), status.reason.as_deref()), (Some("Failed"), Some("DeadlineExceeded")));
    assert_eq!(world.life.stop.as_ref().map(|s| s.cause.clone()), Some(Cause::DeadlineExceeded));
}

#[test]
fn a_refused_pod_starts_nothing_says_why_and_can_be_deleted() {
    let mut spec = one("Always");
    spec["volumes"] = json!([{ "name": "v", "nfs": { "server": "s", "path": "/" } }]);
    let mut world = World::new(spec);
    world.settle();
    assert_eq!((phase(&world).as_str(), reason(&world, "app").as_str()), ("Pending", "NotImplemented"));
    let condition = world.life.conditions.get(conditions::SUPPORTED).expect("there");
    assert!(!condition.status && condition.message.contains("spec.volumes[0].nfs"), "{}", condition.message);
    assert!(world.log.iter().all(|e| matches!(e, Effect::Tell(_))));
    world.delete(0);
    world.settle();
    assert!(world.life.is_over());
}

#[test]
fn a_failed_post_start_hook_ends_the_container() {
    let mut spec = one("Always");
    spec["containers"][0]["lifecycle"] = json!({ "postStart": { "exec": { "command": ["x"] } } });
    let mut world = World::new(spec);
    world.fail_post_start = true;
    world.settle_for(30);
    assert!(world.told("FailedPostStartHook"));
    assert!(!conditions::holds(&world.life, conditions::READY));
    world.fail_post_start = false;
    world.pass(Duration::from_secs(20));
    assert!(conditions::holds(&world.life, conditions::READY));
}
