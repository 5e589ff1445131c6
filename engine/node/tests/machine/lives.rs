//! Sandboxes and containers from their start to their end.
use irori_node::runtime::*;

use super::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_in_its_sandbox_writes_a_log_and_tells_its_exit_code() {
    on_a_machine(async |host: Host| {
        let begin = std::time::Instant::now();
        let (pod, sandbox, id) =
            host.start_script("echo $GREETING from $(hostname) $FROM_IMAGE; echo oops >&2; cat /etc/resolv.conf; exit 3").await;
        let took = begin.elapsed();
        let status = host.ended(&id).await;
        assert_eq!((status.exit_code, status.reason.as_str(), status.oom_killed), (Some(3), "Error", false));
        assert_eq!((status.pod, status.name.as_str(), status.image_ref.as_str()), (pod.pod.clone(), "main", IMAGE));
        assert_eq!(status.annotations["restarts"], "0");
        assert!(status.started_at.is_some() && status.finished_at >= status.started_at);
        let log = host.log(&id, LogOptions::default()).await;
        assert!(
            log.contains("hello from web yes\n") && log.contains("oops\n") && log.contains("nameserver 10.96.0.10\n"),
            "{log}"
        );
        let stderr = LogOptions { stream: Some(LogSource::Stderr), ..Default::default() };
        assert_eq!(host.log(&id, stderr).await, "oops\n");
        let status = host.machine.sandbox(&sandbox).await.expect("status");
        assert_eq!(status.state, SandboxState::Ready);
        assert_eq!(status.ips, ["192.0.2.7".parse::<std::net::IpAddr>().expect("an address")]);
        assert!(status.netns.is_some_and(|path| path.starts_with(host.path())), "namespaces are kept in the data directory");
        assert_eq!(host.machine.ensure_sandbox(&pod).await.expect("repeat"), sandbox);
        eprintln!("image, sandbox and container took {took:?}");
    })
    .await;
}
