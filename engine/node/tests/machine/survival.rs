//! What outlives what.
use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use irori_node::{containerd::Machine, runtime::*};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use tokio::io::AsyncReadExt;

use super::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_irori_and_are_found_again() {
    on_a_machine(async |host: Host| {
        let (pod, sandbox, id) = host.start_script("while read line < /tmp/none; do :; done; exec sleep 1000").await;
        let before = host.machine.container(&id).await.expect("status");
        let containerd = host.pid_of_containerd();
        let host = host.restart().await;
        assert_eq!(host.pid_of_containerd(), containerd, "containerd is left alone");
        let after = host.machine.container(&id).await.expect("status");
        assert_eq!((after.state, after.started_at), (ContainerState::Running, before.started_at));
        let [listed] = &host.machine.sandboxes().await.expect("list")[..] else { panic!("one sandbox") };
        assert_eq!((listed.id.clone(), listed.pod.clone(), listed.state), (sandbox, pod.pod, SandboxState::Ready));
        let [listed] = &host.machine.containers().await.expect("list")[..] else { panic!("one container") };
        assert_eq!((listed.id.clone(), listed.sandbox.is_some(), listed.attempt), (id.clone(), true, 0));
        assert_eq!(host.exec(&id, "exit 5").await.exit_code, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_containerd_comes_back_and_nothing_that_happened_meanwhile_is_lost() {
    on_a_machine(async |host: Host| {
        let (_, _, stays) = host.start_script("exec sleep 1000").await;
        let image = host.busybox().await;
        let other = pod("short");
        let sandbox = host.sandbox(&other).await;
        let ends = host.run(&other, &sandbox, &script(&image, "read line < /data/gate; exit 9")).await;
        let started = host.machine.container(&stays).await.expect("status").started_at;
        // A command that runs over the restart goes on, and its exit code is told.
        let request = ExecRequest {
            command: ["/bin/busybox", "sh", "-c", "yes | head -c 30000000; exit 7"].map(str::to_owned).to_vec(),
            stdout: true,
            ..Default::default()
        };
        let mut session = host.machine.exec(&stays, request).await.expect("exec");
        let mut events = host.machine.events();
        assert_eq!(events.next().await, Some(RuntimeEvent::Relist));
        let first = host.pid_of_containerd();
        kill(Pid::from_raw(first.cast_signed()), Signal::SIGKILL).expect("kill");
        let back = async { while events.next().await != Some(RuntimeEvent::Relist) {} };
        tokio::time::timeout(LONG, back).await.expect("containerd comes back");
        assert_ne!(host.pid_of_containerd(), first);
        let status = host.machine.container(&stays).await.expect("status");
        assert_eq!((status.state, status.started_at), (ContainerState::Running, started));
        let mut output = Vec::new();
        session.stdout.take().expect("asked for").read_to_end(&mut output).await.expect("readable");
        assert_eq!((output.len(), session.process.wait().await.expect("exit")), (30_000_000, 7));
        assert_eq!(host.exec(&stays, "exit 6").await.exit_code, 6);
        assert!(host.ended(&ends).await.exit_code.is_some());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_asks_first_and_kills_after_the_grace_time() {
    on_a_machine(async |host: Host| {
        let (pod, sandbox, polite) = host.start_script("trap 'echo bye; exit 4' TERM; while true; do sleep 0.05; done").await;
        let image = host.busybox().await;
        let deaf = ContainerConfig { name: "deaf".into(), ..script(&image, "trap '' TERM; while true; do sleep 0.05; done") };
        let deaf = host.run(&pod, &sandbox, &deaf).await;
        host.exec(&deaf, "sleep 0.2").await;
        host.machine.stop_container(&polite, LONG).await.expect("stop");
        assert_eq!(host.machine.container(&polite).await.expect("status").exit_code, Some(4));
        assert_eq!(host.log(&polite, LogOptions::default()).await, "bye\n");
        let begin = std::time::Instant::now();
        host.machine.stop_container(&deaf, Duration::from_secs(1)).await.expect("stop");
        assert!(begin.elapsed() >= Duration::from_millis(900), "the grace time is waited for: {:?}", begin.elapsed());
        assert_eq!(host.machine.container(&deaf).await.expect("status").exit_code, Some(137));

        host.machine.stop_container(&deaf, LONG).await.expect("stopping again is fine");
        let log = host.machine.container(&deaf).await.expect("status").log_path.expect("it has one");
        assert!(log.exists());
        for id in [&polite, &deaf] {
            host.machine.remove_container(id).await.expect("remove");
            host.machine.remove_container(id).await.expect("removing again is fine");
        }
        assert!(!log.exists(), "the log goes with its container");
        host.machine.stop_sandbox(&sandbox).await.expect("stop");
        host.machine.remove_sandbox(&sandbox).await.expect("remove");
        host.machine.remove_sandbox(&sandbox).await.expect("removing again is fine");
        assert!(host.machine.sandboxes().await.expect("list").is_empty());
        assert!(!log.parent().and_then(|path| path.parent()).expect("a pod's directory").exists());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_misses_nothing_while_the_log_is_rotated_and_ends_with_the_container() {
    const LINES: usize = 20_000;
    on_a_machine(async |host: Host| {
        let text = format!("n=0; while [ $n -lt {LINES} ]; do n=$((n+1)); echo line $n; done; sleep 0.5; echo last");
        let (_, _, id) = host.start_script(&text).await;
        let log = host.log(&id, LogOptions { follow: true, ..Default::default() }).await;
        let expected: String = (1..=LINES).map(|n| format!("line {n}\n")).chain(["last\n".to_owned()]).collect();
        assert!(log == expected, "{} of {} bytes came", log.len(), expected.len());
        let path = host.machine.container(&id).await.expect("status").log_path.expect("it has one");
        let files = std::fs::read_dir(path.parent().expect("a directory")).expect("read").count();
        assert!((2..=5).contains(&files), "{files} files: rotated, and no more kept than allowed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_made_in_memory_is_taken_in_once_and_one_that_is_nowhere_is_refused() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        assert_eq!(host.busybox().await.id, image.id);
        let found = host.machine.image(IMAGE).await.expect("look").expect("it is there");
        assert_eq!(
            (found.id.clone(), &found.config.env[..]),
            (image.id, &["PATH=/bin".to_owned(), "FROM_IMAGE=yes".to_owned()][..])
        );
        assert!(host.machine.image("irori.dev/none:1").await.expect("look").is_none());
        let name = "127.0.0.1:1/none:1";
        let error = host.machine.pull_image(name, None).await.expect_err("nobody listens there");
        assert_eq!(error.reason, PullReason::RegistryUnavailable, "{error}");
        let error = host.machine.pull_image("Not A Name", None).await.expect_err("no name");
        assert_eq!(error.reason, PullReason::InvalidImageName, "{error}");
        host.machine.remove_image(IMAGE).await.expect("remove");
        host.machine.remove_image(IMAGE).await.expect("removing again is fine");
        assert!(host.machine.image(IMAGE).await.expect("look").is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reboot_what_ran_is_known_to_have_ended_and_the_pod_starts_again() {
    on_a_machine(async |host: Host| {
        let (pod, sandbox, id) = host.start_script("exec sleep 1000").await;
        host.pretend_reboot().await;
        let host = host.restart().await;
        assert_eq!(host.machine.sandbox(&sandbox).await.expect("status").state, SandboxState::NotReady);
        let status = host.machine.container(&id).await.expect("status");
        assert!(status.state == ContainerState::Exited && status.exit_code != Some(0), "{status:?}");
        host.machine.stop_sandbox(&sandbox).await.expect("stop");
        host.machine.remove_sandbox(&sandbox).await.expect("remove");
        let again = SandboxConfig { attempt: 1, ..pod };
        let sandbox = host.sandbox(&again).await;
        let image = host.machine.image(IMAGE).await.expect("look").expect("images outlive a reboot");
        let id = host.run(&again, &sandbox, &script(&image, "exit 0")).await;
        assert_eq!(host.ended(&id).await.exit_code, Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_goes_on_when_its_caller_goes_away() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let pod = pod("web");
        let sandbox = host.sandbox(&pod).await;
        host.slow_runc(1);
        let leave = async |name: &str| {
            let config = ContainerConfig { name: name.into(), ..script(&image, "exec sleep 1000") };
            let id = host.machine.create_container(&sandbox, &config, &pod).await.expect("create");
            let start = tokio::time::timeout(Duration::from_millis(200), host.machine.start_container(&id)).await;
            assert!(start.is_err(), "it takes longer");
            id
        };
        let (id, other) = (leave("main").await, leave("other").await);
        // Who asks again waits for the same start.
        host.machine.start_container(&other).await.expect("started");
        assert_eq!(host.machine.container(&other).await.expect("status").state, ContainerState::Running);
        // The end of irori waits for it.
        let host = host.restart().await;
        assert_eq!(host.machine.container(&id).await.expect("status").state, ContainerState::Running);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_being_started_when_irori_was_killed_can_be_removed() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let pod = pod("web");
        let sandbox = host.sandbox(&pod).await;
        let mut attempts = 0..;
        for killed_after in [100, 200, 300].map(Duration::from_millis) {
            // So many at once keep containerd busy: it gives up in the midst of its own tidying up.
            let mut started = Vec::new();
            for attempt in attempts.by_ref().take(16) {
                let config = ContainerConfig { attempt, ..script(&image, "trap '' TERM; while true; do sleep 1; done") };
                started.push(host.machine.create_container(&sandbox, &config, &pod).await.expect("create"));
            }
            let ids = started.clone();
            let start = async move |machine: Arc<Machine>| {
                futures::future::join_all(ids.iter().map(|id| machine.start_container(id))).await;
            };
            host.another_is_killed(killed_after, start).await;
            for id in &started {
                // Refused while containerd still works at the start.
                let removed = async {
                    while host.machine.remove_container(id).await.is_err() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                tokio::time::timeout(LONG, removed).await.expect("it goes");
                host.gone(id, "it ends with its container").await;
            }
        }
    })
    .await;
}
