//! Server, node and gateway as processes of their own pass the same suite.
use irori_testkit::{Home, Options};

#[test]
fn kubectl_drives_a_home_whose_parts_run_apart() {
    let home = Home::apart(Options::default());
    assert_eq!(home.https("home.arpa", "/").0, 200);
    crate::kubectl::drive(&home);
    home.expect_clean_log();
}
