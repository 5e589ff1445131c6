//! What a container may and may not.
use irori_node::runtime::*;

use super::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_has_the_user_rights_and_mounts_it_was_given() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let pod = pod("web");
        let sandbox = host.sandbox(&pod).await;
        let mount = |path: std::path::PathBuf, at: &str, read_only| Mount {
            host_path: path,
            container_path: at.to_owned(),
            read_only,
            propagation: Propagation::Private,
        };
        let (given, fixed) = (file(&host, "given", "from outside"), file(&host, "fixed", ""));
        let config = ContainerConfig {
            mounts: vec![mount(given, "/data/given", false), mount(fixed, "/data/fixed", true)],
            security: ContainerSecurity {
                capabilities_drop: vec!["ALL".into()],
                capabilities_add: vec!["NET_BIND_SERVICE".into()],
                run_as_user: Some(1234),
                run_as_group: Some(77),
                supplemental_groups: vec![88],
                read_only_root: true,
                no_new_privileges: true,
                seccomp: Seccomp::RuntimeDefault,
                ..Default::default()
            },
            working_dir: Some("/tmp".into()),
            ..script(
                &image,
                "pwd; id; grep -E 'CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; cat /data/given; echo; \
                 touch /x 2>&1; touch /data/fixed 2>&1; ls /sys/firmware | wc -l; exit 0",
            )
        };
        let id = host.run(&pod, &sandbox, &config).await;
        let status = host.ended(&id).await;
        let log = host.log(&id, LogOptions::default()).await;
        assert_eq!((status.exit_code, status.reason.as_str()), (Some(0), "Completed"), "{log}");
        for expected in [
            "/tmp\n",
            "uid=1234(web) gid=77 groups=77,88\n",
            "CapBnd:\t0000000000000400\n",
            "NoNewPrivs:\t1\n",
            "Seccomp:\t2\n",
            "from outside\n",
            "/x: Read-only file system\n",
            "/data/fixed: ",
        ] {
            assert!(log.contains(expected), "{expected:?} is missing: {log}");
        }
        assert!(log.ends_with("\n0\n"), "{log}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_over_its_memory_limit_is_killed_and_says_why() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let limits = Resources {
            memory_limit_bytes: Some(32 << 20),
            cpu_limit_millis: Some(1500),
            pids_limit: Some(50),
            ..Default::default()
        };
        let pod = SandboxConfig { resources: limits.clone(), ..pod("web") };
        let sandbox = host.sandbox(&pod).await;
        let config = ContainerConfig { resources: limits, ..script(&image, "x=aaaaaaaa; while true; do x=$x$x; done") };
        let id = host.run(&pod, &sandbox, &config).await;
        let status = host.ended(&id).await;
        assert_eq!((status.exit_code, status.oom_killed, status.reason.as_str()), (Some(137), true, "OOMKilled"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_cannot_have_more_tasks_than_its_limit_and_its_use_is_measured() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let limits = Resources { pids_limit: Some(10), cpu_request_millis: 200, ..Default::default() };
        let pod = SandboxConfig { resources: limits, ..pod("web") };
        let sandbox = host.sandbox(&pod).await;
        let text = "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; wait";
        let id = host.run(&pod, &sandbox, &script(&image, text)).await;
        let status = host.ended(&id).await;
        let log = host.log(&id, LogOptions::default()).await;
        assert!(log.contains("can't fork") && status.exit_code != Some(0), "{status:?} {log}");

        let steady = ContainerConfig { name: "steady".into(), ..script(&image, "exec sleep 1000") };
        let steady = host.run(&pod, &sandbox, &steady).await;
        let usage = host.machine.usage().await.expect("usage");
        let [of_pod] = &usage[..] else { panic!("one pod: {usage:?}") };
        assert_eq!((of_pod.pod.clone(), of_pod.containers.len()), (pod.pod.clone(), 1));
        let container = &of_pod.containers[0];
        assert_eq!((container.id.clone(), container.name.as_str()), (steady, "steady"));
        assert!(container.usage.memory_working_set_bytes > 0 && container.usage.pids == 1, "{container:?}");
        assert!(of_pod.usage.cpu_nanos >= container.usage.cpu_nanos && of_pod.usage.pids >= 2, "{of_pod:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_of_the_host_network_needs_no_plugin_and_a_shared_pid_namespace_has_a_reaper() {
    on_a_machine(async |host: Host| {
        let image = host.busybox().await;
        let namespaces = Namespaces { network: NamespaceMode::Node, pid: NamespaceMode::Pod, ipc: NamespaceMode::Pod };
        let pod = SandboxConfig { namespaces, ..pod("web") };
        let sandbox = host.sandbox(&pod).await;
        assert!(host.machine.sandbox(&sandbox).await.expect("status").ips.is_empty());
        let id = host.run(&pod, &sandbox, &script(&image, "exec sleep 1000")).await;
        // An orphan ends: the first process of the namespace has to collect it.
        host.exec(&id, "(sleep 0.01 & exec true) ; sleep 0.2").await;
        let processes = String::from_utf8(host.exec(&id, "ps -o pid,stat,args").await.stdout.to_vec()).expect("text");
        assert!(processes.contains("/pause") && !processes.contains(" Z "), "{processes}");
        let inside = host.exec(&id, "readlink /proc/self/ns/net").await.stdout;
        let outside = std::fs::read_link("/proc/self/ns/net").expect("read");
        assert_eq!(String::from_utf8_lossy(&inside).trim(), outside.to_string_lossy());
    })
    .await;
}
