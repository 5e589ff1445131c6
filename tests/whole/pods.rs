//! Pods as people write them: what a pod asks for, its containers get.
use irori_testkit::{BOX, Home, Options, SOON, condition, eventually};
use serde_json::Value;

/// One pod with every form of environment and volume, its limits and its confinement.
const FULL: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: cm}
data: {color: red, shape: round}
---
apiVersion: v1
kind: Secret
metadata: {name: sec}
stringData: {password: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: full, labels: {app: full}, annotations: {note: hello}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 1234, runAsGroup: 1235, fsGroup: 2000, supplementalGroups: [3000]}
  hostAliases: [{ip: 192.0.2.77, hostnames: [alias.test]}]
  containers:
  - name: main
    image: example.test/box:1
    command: [sleep, "100000"]
    resources: {requests: {cpu: 50m, memory: 16Mi}, limits: {cpu: 200m, memory: 32Mi}}
    securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}
    envFrom:
    - {prefix: CM_, configMapRef: {name: cm}}
    - {secretRef: {name: sec}}
    - {configMapRef: {name: none, optional: true}}
    env:
    - {name: PLAIN, value: x}
    - {name: EXPANDED, value: "$(PLAIN)-$(CM_color)-$$(PLAIN)-$(NOPE)"}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: cm, key: color}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: sec, key: password}}}
    - {name: OPTIONAL, valueFrom: {secretKeyRef: {name: nosec, key: password, optional: true}}}
    - {name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
    - {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
    - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    - {name: MEMORY, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
    volumeMounts:
    - {name: cm, mountPath: /cm}
    - {name: cm, mountPath: /one/color, subPath: color}
    - {name: sec, mountPath: /sec, readOnly: true}
    - {name: all, mountPath: /all}
    - {name: scratch, mountPath: /scratch}
    - {name: mem, mountPath: /mem}
    - {name: down, mountPath: /down}
  volumes:
  - {name: cm, configMap: {name: cm, defaultMode: 0440}}
  - {name: sec, secret: {secretName: sec, items: [{key: password, path: deep/pw, mode: 0400}]}}
  - {name: scratch, emptyDir: {}}
  - {name: mem, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - name: down
    downwardAPI:
      items:
      - {path: labels, fieldRef: {fieldPath: metadata.labels}}
      - {path: note, fieldRef: {fieldPath: "metadata.annotations['note']"}}
      - {path: cpu, resourceFieldRef: {containerName: main, resource: limits.cpu, divisor: 1m}}
  - name: all
    projected:
      sources:
      - configMap: {name: cm}
      - secret: {name: sec}
      - downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}
      - serviceAccountToken: {path: token, audience: other, expirationSeconds: 600}
"#;

#[test]
fn what_a_pod_asks_for_its_containers_get() {
    let home = Home::up(Options::default());
    home.import_box();
    drive(&home);
    home.expect_clean_log();
}

/// Also run with server, node and gateway apart.
pub fn drive(home: &Home) {
    home.apply(FULL).expect_ok();
    let pod = home.wait_pod_ready("full");
    environment(home, &pod);
    volumes(home);
    confinement(home);
    volumes_follow_their_sources(home);
}

fn environment(home: &Home, pod: &Value) {
    let said = home.inside("full", "env");
    let ip = format!("IP={}", pod["status"]["podIP"].as_str().unwrap());
    let lines: Vec<&str> = said.lines().collect();
    for wanted in [
        "FROM_IMAGE=yes",
        "HOSTNAME=full",
        "CM_color=red",
        "CM_shape=round",
        "password=s3cret",
        "EXPANDED=x-red-$(PLAIN)-$(NOPE)",
        "COLOR=red",
        "PASSWORD=s3cret",
        "POD=full",
        &ip,
        "HOST=192.0.2.10",
        "LABEL=full",
        "ACCOUNT=default",
        "CPU=200",
        "MEMORY=32",
        "KUBERNETES_SERVICE_HOST=10.96.0.1",
        "HOME=/tmp",
    ] {
        assert!(lines.contains(&wanted), "`{wanted}` in\n{said}");
    }
    assert!(!said.contains("OPTIONAL="), "{said}");
}

fn volumes(home: &Home) {
    assert_eq!(
        home.inside("full", "cat /cm/color /cm/shape /sec/deep/pw /one/color /all/password /all/name"),
        "redrounds3cretreds3cretfull"
    );
    assert_eq!(home.inside("full", "cat /down/labels /down/note /down/cpu"), "app=\"full\"hello200");
    assert_eq!(home.inside("full", "stat -L -c %a:%g /cm/color /sec/deep/pw"), "440:2000\n440:2000\n");
    assert_eq!(home.inside("full", "touch /scratch/a; stat -c %u:%g /scratch/a"), "1234:2000\n");
    let claims = home.inside("full", "cut -d. -f2 /all/token | tr _- /+ | (cat; echo ===) | base64 -d 2> /dev/null; true");
    assert!(claims.contains(r#""aud":["other"]"#) && claims.contains("system:serviceaccount:default:default"), "{claims}");
    let full = home.script("full", "dd if=/dev/zero of=/mem/x bs=1M count=3");
    assert!(full.err.contains("No space left on device"), "{full:?}");
    for refused in ["/cm/new", "/sec/new", "/x"] {
        assert_ne!(home.script("full", &format!("touch {refused}")).code, Some(0), "{refused} can be written");
    }
    let hosts = home.inside("full", "cat /etc/hosts");
    assert!(hosts.contains("192.0.2.77\talias.test"), "{hosts}");
}

fn confinement(home: &Home) {
    assert_eq!(home.inside("full", "id -u; id -g; id -G"), "1234\n1235\n1235 2000 3000\n");
    let status = home.inside("full", "cat /proc/self/status");
    for wanted in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1"] {
        assert!(status.contains(wanted), "`{wanted}` in\n{status}");
    }
    let limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2> /dev/null || cat /sys/fs/cgroup/memory.max";
    assert_eq!(home.inside("full", limit), "33554432\n");
    let quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2> /dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
    assert_eq!(home.inside("full", quota), "20000\n");
}

/// A change of a ConfigMap, a Secret or the pod's own labels reaches its volumes, whole; a subPath stays as it was.
fn volumes_follow_their_sources(home: &Home) {
    home.kubectl(&["patch", "configmap", "cm", "--type=merge", "-p", r#"{"data":{"color":"blue","size":"big","shape":null}}"#])
        .expect_ok();
    home.kubectl(&["patch", "secret", "sec", "-p", r#"{"stringData":{"password":"changed"}}"#]).expect_ok();
    home.kubectl(&["label", "pod", "full", "more=yes"]).expect_ok();
    eventually("volumes follow their sources", SOON, || {
        let seen = home.script("full", "cat /cm/color /all/color /cm/size /sec/deep/pw /all/password /down/labels").out;
        if seen == "bluebluebigchangedchangedapp=\"full\"\nmore=\"yes\"" { Ok(()) } else { Err(seen) }
    });
    assert_eq!(home.inside("full", "cat /one/color; ls /cm"), "redcolor\nsize\n");
}

fn pod(name: &str, spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n{spec}  containers:\n  - name: main\n    \
         image: {BOX}\n{container}---\n"
    )
}

fn runs(script: &str) -> String {
    format!("    command: [sh, -c, \"{script}\"]\n")
}

/// State and last state of the only container.
fn states(pod: &Value) -> (&Value, &Value) {
    let status = &pod["status"]["containerStatuses"][0];
    (&status["state"], &status["lastState"])
}

#[test]
fn a_pod_lives_and_ends_by_its_rules() {
    let home = Home::up(Options::default());
    home.import_box();
    let never = "  restartPolicy: Never\n";
    let all = [
        inits(),
        pod(
            "bad-init",
            &format!("{never}  initContainers: [{{name: a, image: {BOX}, command: [sh, -c, exit 3]}}]\n"),
            &runs("exit 0"),
        ),
        pod(
            "live",
            "",
            &(runs("touch /tmp/ok; sleep 2; rm /tmp/ok; sleep 1000")
                + "    livenessProbe: {exec: {command: [test, -e, /tmp/ok]}, periodSeconds: 1, failureThreshold: 2}\n"),
        ),
        pod("crash", "", &runs("echo run; echo why > /dev/termination-log; exit 7")),
        pod(
            "again",
            "  restartPolicy: OnFailure\n  volumes: [{name: d, emptyDir: {}}]\n",
            &(runs("[ -e /d/x ] && exit 0; touch /d/x; exit 1") + "    volumeMounts: [{name: d, mountPath: /d}]\n"),
        ),
        pod("deadline", "  activeDeadlineSeconds: 2\n", &runs("sleep 1000")),
        pod("oom", never, &(runs("exec tail /dev/zero") + "    resources: {limits: {memory: 16Mi}}\n")),
        pod("many", never, &runs("i=0; while [ $i -lt 5000 ]; do sleep 1000 & i=$((i+1)); done; echo all")),
        pod("words", never, &(runs("echo last words; exit 5") + "    terminationMessagePolicy: FallbackToLogsOnError\n")),
        pod("no-image", "", "").replace(BOX, "example.test/nothing:1\n    imagePullPolicy: Never"),
        pod("bad-pull", "", "").replace(BOX, "127.0.0.1:1/nothing:1"),
        pod("bad-name", "", "").replace(BOX, "Not A Name"),
        pod("no-field", "  volumes: [{name: v, nfs: {server: x, path: /x}}]\n", ""),
        pod("no-config", "", "    envFrom: [{configMapRef: {name: missing}}]\n"),
        pod(
            "no-volume",
            "  volumes: [{name: v, secret: {secretName: missing}}]\n",
            "    volumeMounts: [{name: v, mountPath: /v}]\n",
        ),
        pod("no-root", "", "    securityContext: {runAsNonRoot: true}\n"),
        pod("no-command", never, "    command: [/nope]\n"),
    ];
    home.apply(&all.concat()).expect_ok();
    ends(&home);
    refusals(&home);
    restarts(&home);
    another_image(&home);
    home.kubectl(&["delete", "pod", "--all", "--wait=false"]).expect_ok();
    probes(&home);
    endings(&home);
    home.expect_clean_log();
}

fn inits() -> String {
    let init = |name: &str, more: &str, script: &str| {
        format!(
            "  - {{name: {name}, {more}image: {BOX}, command: [sh, -c, \"{script}\"], volumeMounts: [{{name: w, mountPath: /w}}]}}\n"
        )
    };
    let spec = [
        "  restartPolicy: Never\n  volumes: [{name: w, emptyDir: {}}]\n  initContainers:\n",
        &init("a", "", "echo a >> /w/o; sleep 0.5; echo a2 >> /w/o"),
        &init(
            "side",
            "restartPolicy: Always, ",
            "echo side >> /w/o; touch /w/up; trap 'exit 0' TERM; while :; do sleep 0.1; done",
        ),
        &init("b", "", "while [ ! -e /w/up ]; do sleep 0.1; done; echo b >> /w/o"),
    ]
    .concat();
    pod("inits", &spec, &(runs("cat /w/o") + "    volumeMounts: [{name: w, mountPath: /w}]\n"))
}

fn ends(home: &Home) {
    let pod = home.wait_pod_ended("inits");
    assert_eq!(pod["status"]["phase"], "Succeeded", "{}", pod["status"]);
    assert_eq!(home.kubectl(&["logs", "inits", "-c", "main"]).expect_ok(), "a\na2\nside\nb\n");

    let pod = home.wait_pod_ended("bad-init");
    assert_eq!(pod["status"]["phase"], "Failed");
    assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    assert_eq!(states(&pod).0["waiting"]["reason"], "PodInitializing");

    let pod = home.wait_pod_ended("again");
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["containerStatuses"][0]["restartCount"]),
        (&"Succeeded".into(), &1.into())
    );
    let pod = home.wait_pod_ended("deadline");
    assert_eq!((&pod["status"]["phase"], &pod["status"]["reason"]), (&"Failed".into(), &"DeadlineExceeded".into()));
    let pod = home.wait_pod_ended("oom");
    assert_eq!(
        (&states(&pod).0["terminated"]["reason"], &states(&pod).0["terminated"]["exitCode"]),
        (&"OOMKilled".into(), &137.into())
    );
    // 4,096 processes a pod; one more is refused, and the machine is none the worse for it.
    let pod = home.wait_pod_ended("many");
    assert_eq!(pod["status"]["phase"], "Failed");
    let log = home.kubectl(&["logs", "many", "--tail=1"]).expect_ok();
    assert!(log.contains("can't fork"), "{log}");
    let pod = home.wait_pod_ended("words");
    assert_eq!(
        (&states(&pod).0["terminated"]["message"], &states(&pod).0["terminated"]["exitCode"]),
        (&"last words\n".into(), &5.into())
    );
    let pod = home.wait_pod_ended("no-command");
    assert_eq!(states(&pod).0["terminated"]["reason"], "StartError", "{}", pod["status"]);
    assert!(states(&pod).0["terminated"]["message"].as_str().unwrap().contains("/nope"), "{}", pod["status"]);
}

fn refusals(home: &Home) {
    for (name, reason, message) in [
        ("no-image", "ErrImageNeverPull", "is not present with pull policy of Never"),
        ("bad-pull", "ImagePullBackOff", "connection refused"),
        ("bad-name", "InvalidImageName", "Not A Name"),
        ("no-config", "CreateContainerConfigError", "configmap \"missing\" not found"),
        ("no-root", "CreateContainerConfigError", "runAsNonRoot"),
    ] {
        let pod = home.wait_pod(name, reason, |pod| states(pod).0["waiting"]["reason"] == reason);
        let told = states(&pod).0["waiting"]["message"].as_str().unwrap_or("").to_owned();
        assert!(told.contains(message), "{name}: {told}");
    }
    home.wait_pod("no-volume", "waiting", |pod| states(pod).0["waiting"]["reason"] == "ContainerCreating");
    eventually("the missing secret is named", SOON, || {
        let events = home.events_of("no-volume");
        if events.contains("FailedMount: ") && events.contains("missing") { Ok(()) } else { Err(events) }
    });
    let pod = home.wait_pod("no-field", "refused", |pod| condition(pod, "irori.dev/Supported") == "False");
    assert!(pod["status"].to_string().contains("spec.volumes[0].nfs"), "{}", pod["status"]);
    // What was missing comes, and the pod runs.
    home.kubectl(&["create", "configmap", "missing", "--from-literal=a=b"]).expect_ok();
    home.wait_pod("no-config", "started", |pod| pod["status"]["phase"] == "Running");
}

fn restarts(home: &Home) {
    let crashed = home.wait_pod("crash", "backing off", |pod| states(pod).0["waiting"]["reason"] == "CrashLoopBackOff");
    let last = &states(&crashed).1["terminated"];
    assert_eq!((&last["exitCode"], &last["message"], &last["reason"]), (&7.into(), &"why\n".into(), &"Error".into()));
    let told = states(&crashed).0["waiting"]["message"].as_str().unwrap();
    let waits = [10, 20, 40].map(|wait| format!("back-off {wait}s restarting failed container=main pod=crash_default("));
    assert!(waits.iter().any(|wait| told.starts_with(wait)), "{told}");
    assert_eq!(home.kubectl(&["logs", "crash", "--previous"]).expect_ok(), "run\n");
    let live =
        home.wait_pod("live", "restarted", |pod| pod["status"]["containerStatuses"][0]["restartCount"].as_u64() >= Some(1));
    assert_eq!(states(&live).1["terminated"]["exitCode"], 137, "{}", live["status"]);
    let events = home.events_of("live");
    assert!(events.contains("Unhealthy: Liveness probe failed") && events.contains("Killing: "), "{events}");
}

/// The image of a pod that runs may be changed: its container is ended and started anew, even where nothing else would restart it.
fn another_image(home: &Home) {
    home.tag_box("example.test/box:2");
    home.apply(&pod("swap", "  restartPolicy: Never\n", &runs("exec sleep 100000"))).expect_ok();
    home.wait_pod_ready("swap");
    home.kubectl(&["set", "image", "pod/swap", "main=example.test/box:2"]).expect_ok();
    let again = |pod: &Value| pod["status"]["containerStatuses"][0]["restartCount"] == 1 && states(pod).0["running"].is_object();
    let pod = home.wait_pod("swap", "running again", again);
    assert_eq!(pod["status"]["containerStatuses"][0]["image"], "example.test/box:2", "{}", pod["status"]);
    home.wait_pod_ready("swap");
    assert!(home.events_of("swap").contains("Killing: Container main definition changed, will be restarted"));
}

fn probes(home: &Home) {
    let container =
        runs("mkdir /tmp/w; touch /tmp/w/ok; while [ ! -e /tmp/go ]; do sleep 0.1; done; exec httpd -f -p 8080 -h /tmp/w")
            + "    ports: [{name: web, containerPort: 8080}]\n\
        \x20   startupProbe: {httpGet: {path: /ok, port: web}, periodSeconds: 1, failureThreshold: 60}\n\
        \x20   readinessProbe: {httpGet: {path: /ready, port: web}, periodSeconds: 1}\n\
        \x20   livenessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}\n";
    home.apply(&pod("probes", "", &container)).expect_ok();
    home.wait_pod("probes", "running", |pod| states(pod).0["running"].is_object());
    eventually("the startup probe fails", SOON, || {
        let events = home.events_of("probes");
        if events.contains("Unhealthy: Startup probe failed") { Ok(()) } else { Err(events) }
    });
    let started = |pod: &Value| pod["status"]["containerStatuses"][0]["started"] == true;
    assert!(!home.wait_pod("probes", "there", |_| true)["status"].to_string().contains("\"started\":true"));
    home.inside("probes", "touch /tmp/go");
    let pod = home.wait_pod("probes", "started", started);
    assert_eq!(condition(&pod, "Ready"), "False");
    home.inside("probes", "touch /tmp/w/ready");
    home.wait_pod_ready("probes");
    home.inside("probes", "rm /tmp/w/ready");
    let pod = home.wait_pod("probes", "not ready", |pod| condition(pod, "Ready") == "False");
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// preStop, then SIGTERM; SIGKILL after the grace period.
fn endings(home: &Home) {
    let seen = home.folder().join("seen");
    let mount = "    volumeMounts: [{name: s, mountPath: /s}]\n";
    let spec = format!("  volumes: [{{name: s, hostPath: {{path: {}, type: DirectoryOrCreate}}}}]\n", seen.display());
    let hooks = "    lifecycle:\n      postStart: {exec: {command: [sh, -c, echo post >> /s/o]}}\n      preStop: {exec: {command: [sh, -c, echo pre >> /s/o]}}\n";
    let polite = runs("trap 'echo term >> /s/o; exit 0' TERM; while :; do sleep 0.1; done") + hooks + mount;
    let stubborn = runs("trap 'echo ignored >> /s/p' TERM; touch /s/up; while :; do sleep 0.1; done") + mount;
    let graces = |yaml: String| yaml.replace("PeriodSeconds: 1", "PeriodSeconds: 3");
    home.apply(&(graces(pod("polite", &spec, &polite)) + &graces(pod("stubborn", &spec, &stubborn)))).expect_ok();
    home.wait_pod_ready("polite");
    home.wait_pod_ready("stubborn");
    eventually("its trap is set", SOON, || if seen.join("up").exists() { Ok(()) } else { Err("no file".to_owned()) });
    home.kubectl(&["delete", "pod", "polite"]).expect_ok();
    assert_eq!(std::fs::read_to_string(seen.join("o")).unwrap(), "post\npre\nterm\n");
    let before = std::time::Instant::now();
    home.kubectl(&["delete", "pod", "stubborn"]).expect_ok();
    let took = before.elapsed().as_secs();
    assert!((3..15).contains(&took), "killed after its grace of 3 s, gone after {took} s");
    assert_eq!(std::fs::read_to_string(seen.join("p")).unwrap(), "ignored\n");
}
