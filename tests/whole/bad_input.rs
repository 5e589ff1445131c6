//! What people get wrong gets a clear message, and nothing is lost.
use irori_testkit::{Home, Machine, Options, binary};

fn up(home: &Home) -> irori_testkit::Said {
    home.irori(&["up", home.file().to_str().unwrap()])
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place_and_changes_nothing() {
    let home = Home::new(Options::default());
    home.edit("replicas: 2", "replcias: 2");
    let said = up(&home);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("home.yaml:9:31: an app has no field `replcias`"), "{}", said.err);
    assert!(said.err.contains("did you mean `replicas`?"), "{}", said.err);
    assert!(!home.data().exists());
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let home = Home::new(Options::default());
    let mut squatter =
        home.machine.command("python3").args(["-m", "http.server", "8443", "--bind", "127.0.0.1"]).spawn().unwrap();
    let said = irori_testkit::eventually("the port is taken", std::time::Duration::from_secs(10), || {
        let open = home.machine.run("curl", &["-s", "-o", "/dev/null", "http://127.0.0.1:8443/"]);
        if open.ok() { Ok(up(&home)) } else { Err(open.err) }
    });
    squatter.kill().unwrap();
    squatter.wait().unwrap();
    assert_eq!(said.code, Some(3));
    assert!(said.err.contains("127.0.0.1:8443 is in use (needed for the gateway)"), "{}", said.err);
    assert!(!home.data().exists());
}

#[test]
fn without_root_and_without_containerd_the_machine_is_told_what_it_lacks() {
    let home = Home::new(Options::default());
    // A folder for tests is its owner's alone; nobody has to be able to read the file.
    let file = std::path::Path::new("/tmp").join(format!("irori-home-{}.yaml", std::process::id()));
    let program = file.with_extension("bin");
    std::fs::copy(home.file(), &file).unwrap();
    std::fs::copy(binary(), &program).unwrap();
    let words = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        program.to_str().unwrap(),
        "up",
        file.to_str().unwrap(),
        "--data-dir",
        "/tmp/irori-nobody",
    ];
    let said = home.machine.run("setpriv", &words);
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(&program).unwrap();
    assert_eq!(said.code, Some(3));
    assert!(said.err.contains("root (needed for containers"), "{}", said.err);
    assert!(said.err.contains("run the same command with sudo"), "{}", said.err);
}

#[test]
fn commands_beside_no_home_say_so() {
    let machine = Machine::new();
    for command in ["status", "kubeconfig", "ca", "down"] {
        let said = machine.run(binary(), &[command, "--data-dir", "/nonexistent/irori"]);
        assert_eq!(said.code, Some(4), "{command}: {}", said.err);
        assert!(said.err.contains("no home in"), "{command}: {}", said.err);
    }
}
