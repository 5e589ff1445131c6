//! The whole home starts by itself whatever the clock says.
use irori_testkit::{Home, Options};

const DAY: i64 = 24 * 3600;

fn answers(offset: i64) {
    let home = Home::up(Options { clock_offset: offset, ..Options::default() });
    // curl judges certificates by the machine's clock, which is not shifted: without that check it sees that the app answers.
    let said = home.machine.run("curl", &["-sk", "--resolve", "home.arpa:8443:127.0.0.1", "https://home.arpa:8443/"]);
    assert_eq!(said.out, "<h1>Welcome home</h1>", "{}", said.err);
    home.expect_clean_log();
}

#[test]
fn a_home_starts_400_days_ahead() {
    answers(400 * DAY);
}

#[test]
fn a_home_starts_11_years_ahead() {
    answers(11 * 365 * DAY);
}

#[test]
fn a_home_starts_in_1970() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    answers(-i64::try_from(now).unwrap());
}

/// The same data, made today, with the clock 400 days later: certificates have expired, tokens have, and nothing needs a hand.
#[test]
fn a_home_comes_back_after_400_days() {
    let mut home = Home::up(Options::default());
    home.kill();
    home.options.clock_offset = 400 * DAY;
    home.start();
    home.wait_ready();
    let said = home.machine.run("curl", &["-sk", "--resolve", "home.arpa:8443:127.0.0.1", "https://home.arpa:8443/"]);
    assert_eq!(said.out, "<h1>Welcome home</h1>", "{}", said.err);
}
