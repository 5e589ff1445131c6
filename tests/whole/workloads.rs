//! Deployments and what belongs to them, as people change them.
use irori_testkit::{BOX, Home, Options, SOON, eventually};
use serde_json::Value;

fn deployment(name: &str, more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: 2\n{more}  selector: {{matchLabels: {{app: {name}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      terminationGracePeriodSeconds: 1\n      containers:\n      - {{name: main, \
         image: {BOX}, command: [sleep, \"100000\"], env: [{{name: A, value: \"1\"}}]}}\n"
    )
}

#[test]
fn workloads_change_without_losing_anything() {
    let home = Home::up(Options::default());
    home.import_box();
    a_rollout_fails_no_request(&home);
    recreating_never_runs_old_and_new_together(&home);
    rolling_back_and_scaling(&home);
    deletions_take_what_they_say(&home);
    home.expect_clean_log();
}

#[test]
fn namespaces_places_and_what_is_not_there_yet() {
    let home = Home::up(Options::default());
    home.import_box();
    namespaces(&home);
    places(&home);
    kinds_that_nobody_looks_after(&home);
    home.expect_clean_log();
}

fn rolled_out(home: &Home, name: &str) {
    home.kubectl(&["rollout", "status", "deployment", name, "--timeout=50s"]).expect_ok();
}

/// Requests through the gateway, one after the other without a pause, while every pod is replaced twice.
fn a_rollout_fails_no_request(home: &Home) {
    let ask = "for i in $(seq 1 100000); do [ -e codes -a ! -e stop ] || exit; curl -sS -m 20 -o /dev/null -w '%{http_code}\\n' --cacert data/trust/root.crt \
               --resolve whoami.home.arpa:8443:127.0.0.1 https://whoami.home.arpa:8443/ 2>&1; done > codes";
    let mut asking = home.machine.command("sh").args(["-c", ask]).current_dir(home.folder()).spawn().unwrap();
    for _ in 0..2 {
        eventually("another restart, which kubectl refuses within a second", SOON, || {
            let said = home.kubectl(&["rollout", "restart", "deployment/whoami", "-n", "apps"]);
            if said.ok() { Ok(()) } else { Err(said.err) }
        });
        home.kubectl(&["rollout", "status", "deployment/whoami", "-n", "apps", "--timeout=50s"]).expect_ok();
    }
    let answers = || std::fs::read_to_string(home.folder().join("codes")).unwrap();
    let so_far = answers().lines().count();
    eventually("requests go on after the rollout", SOON, || {
        let now = answers().lines().count();
        if now > so_far + 20 { Ok(()) } else { Err(format!("{now} requests")) }
    });
    std::fs::write(home.folder().join("stop"), "").unwrap();
    asking.wait().unwrap();
    let answers = answers();
    let failed: Vec<&str> = answers.lines().filter(|code| *code != "200").collect();
    assert!(failed.is_empty(), "{} of {} requests failed: {failed:?}", failed.len(), answers.lines().count());
}

/// Which value of A the pods of a deployment have, as far as they have not ended.
fn values(home: &Home, app: &str) -> Vec<String> {
    let pods = home.get(&["pods", "-l", &format!("app={app}")]);
    let value = |pod: &Value| pod["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap().to_owned();
    let lives = |pod: &&Value| !["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap());
    pods["items"].as_array().unwrap().iter().filter(lives).map(value).collect()
}

fn recreating_never_runs_old_and_new_together(home: &Home) {
    home.apply(&deployment("anew", "  strategy: {type: Recreate}\n")).expect_ok();
    rolled_out(home, "anew");
    home.kubectl(&["set", "env", "deployment/anew", "A=2"]).expect_ok();
    eventually("all pods are new", SOON, || {
        let values = values(home, "anew");
        assert!(!(values.contains(&"1".to_owned()) && values.contains(&"2".to_owned())), "{values:?}");
        if values == ["2", "2"] { Ok(()) } else { Err(format!("{values:?}")) }
    });
    rolled_out(home, "anew");
}

fn rolling_back_and_scaling(home: &Home) {
    home.kubectl(&["rollout", "undo", "deployment/anew"]).expect_ok();
    rolled_out(home, "anew");
    assert_eq!(values(home, "anew"), ["1", "1"]);
    let sets = home.get(&["replicasets", "-l", "app=anew"]);
    assert_eq!(sets["items"].as_array().unwrap().len(), 2, "the old set is taken again: {sets}");
    let history = home.kubectl(&["rollout", "history", "deployment/anew"]).expect_ok();
    assert!(history.contains("\n2 ") && history.contains("\n3 ") && !history.contains("\n1 "), "{history}");

    home.kubectl(&["scale", "deployment/anew", "--replicas=0"]).expect_ok();
    eventually("no pod is left", SOON, || {
        let left = values(home, "anew");
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    home.kubectl(&["scale", "deployment/anew", "--replicas=2"]).expect_ok();
    rolled_out(home, "anew");
    let status = home.get(&["deployment", "anew"]);
    assert_eq!((&status["status"]["readyReplicas"], &status["status"]["availableReplicas"]), (&2.into(), &2.into()));

    home.kubectl(&["rollout", "pause", "deployment/anew"]).expect_ok();
    home.kubectl(&["set", "env", "deployment/anew", "A=3"]).expect_ok();
    home.kubectl(&["rollout", "resume", "deployment/anew"]).expect_ok();
    rolled_out(home, "anew");
    assert_eq!(values(home, "anew"), ["3", "3"]);
    // An image that is not there: the rollout stops, and the old pods of a rolling update stay.
    home.apply(&deployment("stuck", "  progressDeadlineSeconds: 3\n")).expect_ok();
    rolled_out(home, "stuck");
    home.kubectl(&["set", "image", "deployment/stuck", "main=127.0.0.1:1/none:1"]).expect_ok();
    let said = home.kubectl(&["rollout", "status", "deployment/stuck", "--timeout=50s"]);
    assert!(!said.ok() && said.err.contains("exceeded its progress deadline"), "{said:?}");
    let ready = home.get(&["deployment", "stuck"])["status"]["readyReplicas"].clone();
    assert_eq!(ready, 2);
    home.kubectl(&["delete", "deployment", "stuck"]).expect_ok();
}

/// `kind/name` of everything of an app.
fn left(home: &Home, app: &str) -> Vec<String> {
    let list = home.kubectl(&["get", "deployments,replicasets,pods", "-l", &format!("app={app}"), "-o", "name"]).expect_ok();
    list.lines().map(str::to_owned).collect()
}

fn deletions_take_what_they_say(home: &Home) {
    // Labelled as its pods, so that one question shows all.
    let labelled = || deployment("gone", "").replace("metadata: {name: gone}", "metadata: {name: gone, labels: {app: gone}}");
    home.apply(&labelled()).expect_ok();
    rolled_out(home, "gone");
    let before = left(home, "gone");
    home.kubectl(&["delete", "deployment", "gone", "--cascade=orphan"]).expect_ok();
    let orphans = left(home, "gone");
    assert_eq!(orphans, before[1..], "all but the deployment stay as they are");
    let owner =
        |home: &Home| home.get(&["replicasets", "-l", "app=gone"])["items"][0]["metadata"]["ownerReferences"][0]["name"].clone();
    assert_eq!(owner(home), Value::Null);

    // The same deployment again takes its set and its pods back.
    home.apply(&labelled()).expect_ok();
    rolled_out(home, "gone");
    assert_eq!(owner(home), "gone");
    assert_eq!(left(home, "gone"), before);

    home.kubectl(&["delete", "deployment", "gone", "--cascade=foreground"]).expect_ok();
    assert!(left(home, "gone").is_empty(), "the deployment goes last");

    home.apply(&labelled()).expect_ok();
    rolled_out(home, "gone");
    home.kubectl(&["delete", "deployment", "gone", "--cascade=background"]).expect_ok();
    eventually("sets and pods follow", SOON, || {
        let left = left(home, "gone");
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });

    // A pod that fits a set is adopted; one that does not fit any more is let go and replaced.
    home.apply(&deployment("own", "").replace("replicas: 2", "replicas: 1")).expect_ok();
    rolled_out(home, "own");
    let pods = home.get(&["pods", "-l", "app=own"]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    home.kubectl(&["label", "pod", pod, "app=free", "--overwrite"]).expect_ok();
    eventually("another pod takes its place", SOON, || {
        let now = home.get(&["pods", "-l", "app=own"]);
        if now["items"].as_array().unwrap().len() == 1 { Ok(()) } else { Err(now.to_string()) }
    });
    assert_eq!(home.get(&["pod", pod])["metadata"]["ownerReferences"], Value::Null);
}

fn namespaces(home: &Home) {
    home.kubectl(&["create", "namespace", "team"]).expect_ok();
    eventually("a new namespace has its account and the root CA", SOON, || {
        let said = home.kubectl(&["get", "serviceaccount/default", "configmap/kube-root-ca.crt", "-n", "team"]);
        if said.ok() { Ok(()) } else { Err(said.err) }
    });
    let ca = home.get(&["configmap", "kube-root-ca.crt", "-n", "team"])["data"]["ca.crt"].as_str().unwrap().to_owned();
    assert_eq!(ca, std::fs::read_to_string(home.data().join("trust/root.crt")).unwrap());
    home.kubectl_with(&["apply", "-n", "team", "-f", "-"], deployment("inner", "").as_bytes()).expect_ok();
    home.kubectl(&["rollout", "status", "deployment/inner", "-n", "team", "--timeout=50s"]).expect_ok();
    home.kubectl(&["create", "secret", "generic", "s", "-n", "team", "--from-literal=a=b"]).expect_ok();
    home.kubectl(&["expose", "deployment", "inner", "-n", "team", "--port=80"]).expect_ok();
    home.kubectl(&["delete", "namespace", "team"]).expect_ok();
    let after = home.kubectl(&["get", "all,secrets,configmaps,serviceaccounts,endpointslices", "-n", "team", "-o", "name"]);
    assert_eq!(after.out, "", "{after:?}");
    let told = home.kubectl(&["create", "configmap", "late", "-n", "team"]);
    assert!(told.err.contains("namespaces \"team\" not found"), "{told:?}");
    // Nobody tried to fill it while it went.
    assert!(!home.said().contains("being terminated"), "controllers wrote into a namespace that was going");
}

fn places(home: &Home) {
    let pod = |name: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 1\n{spec}  containers: [{{name: main, image: {BOX}, command: [sleep, \"100000\"]}}]\n---\n"
        )
    };
    let node = home.get(&["nodes"])["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    home.kubectl(&["taint", "node", &node, "kept=yes:NoSchedule"]).expect_ok();
    let huge = pod("huge", "").replace("command:", "resources: {requests: {cpu: \"1000\"}}, command:");
    let all = [
        pod("picky", "  nodeSelector: {disk: ssd}\n  tolerations: [{operator: Exists}]\n"),
        pod("shut-out", ""),
        pod("let-in", "  tolerations: [{key: kept, operator: Equal, value: \"yes\", effect: NoSchedule}]\n"),
        huge.replace("  containers", "  tolerations: [{operator: Exists}]\n  containers"),
    ];
    home.apply(&all.concat()).expect_ok();
    for (name, why) in [
        ("picky", "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."),
        ("shut-out", "0/1 nodes are available: 1 node(s) had untolerated taint {kept: yes}."),
        ("huge", "0/1 nodes are available: 1 Insufficient cpu."),
    ] {
        let told = |pod: &Value| {
            let condition = &pod["status"]["conditions"][0];
            condition["reason"] == "Unschedulable" && condition["message"].as_str().is_some_and(|text| text.starts_with(why))
        };
        home.wait_pod(name, why, told);
        assert!(home.events_of(name).contains("FailedScheduling: "));
    }
    home.wait_pod_ready("let-in");
    home.kubectl(&["label", "node", &node, "disk=ssd"]).expect_ok();
    home.wait_pod_ready("picky");
    home.kubectl(&["taint", "node", &node, "kept-"]).expect_ok();
    home.wait_pod_ready("shut-out");
    home.kubectl(&["cordon", &node]).expect_ok();
    home.apply(&pod("cordoned", "")).expect_ok();
    home.wait_pod("cordoned", "unschedulable", |pod| pod["status"].to_string().contains("1 node(s) were unschedulable"));
    home.kubectl(&["uncordon", &node]).expect_ok();
    home.wait_pod_ready("cordoned");
    home.kubectl(&["delete", "pod", "--all", "--wait=false"]).expect_ok();
}

fn kinds_that_nobody_looks_after(home: &Home) {
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed}\nspec: {podSelector: {}}\n";
    let said = home.apply(policy);
    assert!(
        said.ok() && said.err.contains("Warning: NetworkPolicy is stored, but this server has no controller for it yet"),
        "{said:?}"
    );
    let said = home.kubectl(&["create", "job", "j", "--image", BOX]);
    assert!(said.ok() && said.err.contains("Warning: Job is stored, but this server has no controller for it yet"), "{said:?}");

    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: foos.example.test}\nspec: {group: example.test, \
               names: {kind: Foo, plural: foos}, scope: Namespaced, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}\n";
    let hook =
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {name: h}\nwebhooks: []\n";
    for (kind, yaml) in [("CustomResourceDefinition", crd), ("ValidatingWebhookConfiguration", hook)] {
        let said = home.apply(yaml);
        assert!(!said.ok() && said.err.contains(&format!("{kind} is not implemented by irori yet")), "{said:?}");
    }
    // An apply that makes something is told the same.
    home.kubectl(&["delete", "networkpolicy", "closed"]).expect_ok();
    let said = home.kubectl_with(&["apply", "--server-side", "-f", "-"], policy.as_bytes());
    assert!(said.ok() && said.err.contains("Warning: NetworkPolicy is stored"), "{said:?}");
}
