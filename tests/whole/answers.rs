//! The main job: one command, one file, containers answering over https.
use irori_testkit::{Home, Options};

/// Both apps answer 200 over https with the home's own CA, from containers with network namespaces of their own.
#[test]
fn a_home_answers_over_https_from_containers() {
    let mut home = Home::up(Options::default());
    let (status, page) = home.https("home.arpa", "/");
    assert_eq!((status, page.as_str()), (200, "<h1>Welcome home</h1>"));
    let (status, said) = home.https("whoami.home.arpa", "/hello?x=1");
    assert_eq!(status, 200, "{said}");
    assert!(said.contains("IP: 10.42.0.") && said.contains("GET /hello?x=1"), "{said}");
    assert!(said.contains("x-forwarded-proto: https"), "{said}");

    // Both replicas take their turns.
    let names: std::collections::BTreeSet<String> = (0..8)
        .map(|_| home.https("whoami.home.arpa", "/").1)
        .filter_map(|said| said.lines().find_map(|line| line.strip_prefix("Pod: ").map(str::to_owned)))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");

    // A container's network namespace is not the machine's.
    let pod = names.first().unwrap();
    let inside = home.kubectl(&["exec", "-n", "apps", pod, "--", "/builtin"]);
    assert_eq!(inside.code, Some(2), "the builtin says its usage: {inside:?}");

    redirects_and_unknown_names(&home);
    a_second_run_changes_nothing(&home);
    an_app_that_left_the_file_is_pruned(&home);
    home.expect_clean_log();
    home.interrupt();
    assert!(home.said().contains("Ctrl-C ends irori; the pods stay"));
}

fn redirects_and_unknown_names(home: &Home) {
    let plain = home.machine.run(
        "curl",
        &["-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Host: home.arpa", "http://127.0.0.1:8080/a?b"],
    );
    assert_eq!(plain.out, "308 https://home.arpa:8443/a?b");
    let (status, _) = home.https("nobody.home.arpa", "/");
    assert_eq!(status, 0, "the handshake is refused");
}

fn a_second_run_changes_nothing(home: &Home) {
    let before = home.get(&["deployments,services,ingresses,configmaps", "-n", "apps"]);
    let again = home.irori(&["up", home.file().to_str().unwrap(), "--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&again.expect_ok()).unwrap();
    assert_eq!(answer["applied"], serde_json::json!({"created": [], "changed": [], "pruned": [], "kept": []}));
    assert_eq!(answer["apps"][1]["state"], "ready", "{answer}");
    let after = home.get(&["deployments,services,ingresses,configmaps", "-n", "apps"]);
    assert_eq!(versions(&before), versions(&after));
}

fn versions(list: &serde_json::Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap();
    let version = |item: &serde_json::Value| {
        format!("{} {} {}", item["kind"], item["metadata"]["name"], item["metadata"]["resourceVersion"])
    };
    // The deployment's status may still move; what the file made may not.
    items.iter().filter(|item| item["kind"] != "Deployment").map(version).collect()
}

fn an_app_that_left_the_file_is_pruned(home: &Home) {
    home.edit("    whoami: {builtin: whoami, replicas: 2}\n", "");
    home.irori(&["up", home.file().to_str().unwrap()]).expect_ok();
    let left = home.get(&["deployments,services,ingresses", "-n", "apps"]);
    let names: Vec<&str> =
        left["items"].as_array().unwrap().iter().filter_map(|item| item["metadata"]["name"].as_str()).collect();
    assert_eq!(names, ["welcome", "welcome", "welcome"]);
    assert_eq!(home.https("home.arpa", "/").0, 200);
}
