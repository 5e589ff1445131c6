//! Whatever the world does, and in whatever order it answers, some things never happen, and a deleted pod always ends.
use proptest::prelude::*;

use super::*;
use crate::{pods::effect::StartFailure, runtime::ContainerState};

#[derive(Clone, Debug)]
enum Turn {
    /// The n-th effect is answered with success.
    Answer(usize),
    /// The n-th effect fails.
    Fail(usize),
    /// The n-th running container ends.
    Crash(usize, i32),
    Pass(u64),
    SandboxDies,
    /// irori is restarted: effects under way are lost, the world stays.
    Restart,
    Relist,
    Delete,
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        8 => (0..8usize).prop_map(Turn::Answer),
        2 => (0..8usize).prop_map(Turn::Fail),
        3 => ((0..4usize), prop_oneof![Just(0), Just(1), Just(137)]).prop_map(|(n, code)| Turn::Crash(n, code)),
        3 => (1..400u64).prop_map(Turn::Pass),
        1 => Just(Turn::SandboxDies),
        1 => Just(Turn::Restart),
        1 => Just(Turn::Relist),
        1 => Just(Turn::Delete),
    ];
    prop::collection::vec(turn, 0..80)
}

fn spec(policy: &'static str, init: bool, sidecar: bool) -> serde_json::Value {
    let mut first = Vec::new();
    if sidecar {
        first.push(json!({ "name": "side", "image": "x", "restartPolicy": "Always" }));
    }
    if init {
        first.push(json!({ "name": "init", "image": "x" }));
    }
    let probe = json!({ "exec": { "command": ["x"] }, "periodSeconds": 5, "failureThreshold": 1 });
    json!({ "restartPolicy": policy, "initContainers": first, "terminationGracePeriodSeconds": 10,
        "containers": [{ "name": "a", "image": "x", "livenessProbe": probe }, { "name": "b", "image": "x" }] })
}

fn failed(effect: Effect) -> Event {
    let failure = Failure::new("Test", "it fails");
    match effect {
        Effect::Tell(_) => Event::Tick,
        Effect::PrepareVolumes => Event::Volumes(Err(failure)),
        Effect::EnsureSandbox { .. } => Event::SandboxUp(Err(failure)),
        Effect::StopSandbox { id } => Event::SandboxRemoval { id, removed: false, result: Err(failure) },
        Effect::RemoveSandbox { id } => Event::SandboxRemoval { id, removed: true, result: Err(failure) },
        Effect::EnsureImage { container } => Event::Image { container, result: Err(failure) },
        Effect::Start { container, attempt, .. } => {
            Event::Started { container, attempt, result: Err(StartFailure { failure, id: None }) }
        }
        Effect::PostStart { container, id } => Event::PostStarted { container, id, result: Err("no".to_owned()) },
        Effect::Stop { container, id, .. } => Event::Stopped { container, id, result: Err(failure) },
        Effect::RemoveContainer { id } => Event::Removed { id, result: Err(failure) },
        Effect::Probe { container, id, kind } => {
            Event::Probed { container, id, kind, result: ProbeResult::Failure("no".to_owned()) }
        }
        Effect::Cleanup => Event::Cleaned(Err(failure)),
        Effect::Delete => Event::Deleted(Err(failure)),
    }
}

fn turn(world: &mut World, turn: Turn) {
    match turn {
        Turn::Answer(n) if !world.effects.is_empty() => {
            let effect = world.effects.remove(n % world.effects.len());
            before(world, &effect);
            let event = world.answer(effect);
            world.event(event);
        }
        Turn::Fail(n) if !world.effects.is_empty() => {
            let effect = world.effects.remove(n % world.effects.len());
            world.event(failed(effect));
        }
        Turn::Crash(n, code) => {
            let running: Vec<String> =
                world.containers.values().filter(|c| c.state == ContainerState::Running).map(|c| c.name.clone()).collect();
            if !running.is_empty() {
                world.crash(&running[n % running.len()], code);
            }
        }
        Turn::Pass(seconds) => {
            world.now.mono += Duration::from_secs(seconds);
            world.now.wall += irori_runtime::SignedDuration::from_secs(i64::try_from(seconds).expect("small"));
            world.event(Event::Tick);
        }
        Turn::SandboxDies => {
            if let Some(present) = world.life.sandbox.present.clone() {
                if let Some(sandbox) = world.sandboxes.get_mut(&present.id.0) {
                    sandbox.state = crate::runtime::SandboxState::NotReady;
                }
                world.event(Event::SandboxSeen { id: present.id, ready: false });
            }
        }
        Turn::Restart => {
            world.forget_life();
            world.event(Event::Pod(world.object.clone()));
            world.observe();
        }
        Turn::Relist => world.observe(),
        Turn::Delete => world.delete(10),
        Turn::Answer(_) | Turn::Fail(_) => {}
    }
}

/// What must hold when an effect is about to be carried out.
fn before(world: &World, effect: &Effect) {
    let Effect::Start { container, attempt, .. } = effect else { return };
    assert!(world.running(container).is_none(), "{container} would run twice");
    let used = world.containers.values().any(|c| c.name == *container && c.attempt == *attempt);
    assert!(!used, "{container} uses number {attempt} twice");
    let is_app = container == "a" || container == "b";
    if is_app && world.object.spec.as_ref().is_some_and(|s| s.init_containers.iter().flatten().any(|c| c.name == "init")) {
        let done = world.containers.values().any(|c| c.name == "init" && c.exit_code == Some(0));
        assert!(done, "{container} would start before the init container has succeeded");
    }
}

fn always(world: &World) {
    let mut once: Vec<String> =
        world.effects.iter().filter(|e| !matches!(e, Effect::Stop { .. })).map(|e| format!("{e:?}")).collect();
    let all = once.len();
    once.sort();
    once.dedup();
    assert_eq!(all, once.len(), "something is asked for twice at once: {:?}", world.effects);
    if let Some(status) = crate::status::status(&world.life, &[]) {
        assert!(matches!(status.phase.as_deref(), Some("Pending" | "Running" | "Succeeded" | "Failed")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_pod_never_runs_twice_and_a_deleted_one_always_ends(
        policy in prop_oneof![Just("Always"), Just("OnFailure"), Just("Never")],
        init: bool,
        sidecar: bool,
        turns in turns(),
    ) {
        let mut world = World::new(spec(policy, init, sidecar));
        for each in turns {
            turn(&mut world, each);
            always(&world);
        }
        world.delete(10);
        for _ in 0..400 {
            if world.life.is_over() {
                break;
            }
            turn(&mut world, Turn::Answer(0));
            turn(&mut world, Turn::Pass(200));
            always(&world);
        }
        prop_assert!(world.life.is_over(), "still there: {:?}", world.life);
        prop_assert!(world.containers.is_empty() && world.sandboxes.is_empty(), "left behind");
    }
}
