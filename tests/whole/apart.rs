//! Server, node and gateway as processes of their own pass the same suite.
use irori_testkit::{Home, Options};

#[test]
fn kubectl_drives_a_home_whose_parts_run_apart() {
    let mut home = Home::new(Options::default());
    let _neighbour = crate::network::with_a_resolver(&home);
    home.start_apart();
    assert_eq!(home.https("home.arpa", "/").0, 200);
    // Beside a server of its own it need not say so often that it lives.
    assert_eq!(crate::kubectl::node_lease_seconds(&home), "40");
    crate::kubectl::drive(&home);
    crate::network::drive(&home);
    crate::execs::drive(&home);
    crate::pods::drive(&home);
    home.expect_clean_log();
}
