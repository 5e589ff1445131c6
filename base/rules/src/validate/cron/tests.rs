use serde_json::{Value, json};

use super::{read, time_zone};
use crate::{
    tree::set,
    validate::tests::{changed, created},
};

const CRON: (&str, &str) = ("batch", "cronjobs");

fn cron(schedule: &str) -> Value {
    json!({"metadata": {"name": "x", "namespace": "n"}, "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {"spec": {
        "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}}})
}

#[test]
fn schedules_are_read_as_cron_reads_them() {
    for good in [
        "* * * * *",
        "*/5 0-4/2 ? jan-mar MON",
        ", * * * *",
        "1,,2 * * * *",
        "*-5 * * * *",
        "5/15 * * * *",
        "@daily",
        "@every 1h",
        "TZ=UTC 0 0 * * *",
        "CRON_TZ=Europe/Berlin @hourly",
    ] {
        assert_eq!(read(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("*/-1 * * * *", "negative number (-1) not allowed: -1"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("* * * */jan *", "failed to parse int from jan: strconv.Atoi: parsing \"jan\": invalid syntax"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* 5-4 * * *", "beginning of range (5) beyond end of range (4): 5-4"),
        (
            "99999999999999999999 * * * *",
            "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range",
        ),
        ("@every abc", "failed to parse duration @every abc: time: invalid duration \"abc\""),
        ("@never", "unrecognized descriptor: @never"),
        ("TZ=Bad/Zone * * * * *", "provided bad location Bad/Zone: unknown time zone Bad/Zone"),
    ] {
        assert_eq!(read(bad), Err(why.to_owned()), "{bad}");
    }
}

#[test]
fn zones_are_those_of_the_iana_database() {
    for (zone, faults) in [
        ("Europe/Berlin", 0),
        ("UTC", 0),
        ("America/Argentina/Buenos_Aires", 0),
        ("", 1),
        ("Foo", 1),
        ("Local", 1),
        ("local", 2),
        ("europe/berlin", 1),
    ] {
        let mut errors = irori_api::field::ErrorList::default();
        time_zone(zone, &irori_api::field::FieldPath::new("z"), &mut errors);
        assert_eq!(errors.len(), faults, "{zone}: {errors}");
    }
}

/// https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#unsupported-timezone-specification
#[test]
fn a_stored_schedule_with_a_zone_may_stay() {
    let zoned = cron("TZ=UTC 0 0 * * *");
    let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
    let refused = format!("spec.schedule: Invalid value: \"TZ=UTC 0 0 * * *\": {why}");
    assert_eq!(created(CRON, zoned.clone()), std::slice::from_ref(&refused));
    assert_eq!(changed(CRON, zoned.clone(), zoned.clone()), [""; 0]);
    assert_eq!(changed(CRON, cron("0 0 * * *"), zoned.clone()), [refused]);
    let mut both = zoned.clone();
    set(&mut both, &["spec", "timeZone"], "UTC");
    let told = changed(CRON, zoned, both);
    assert_eq!(told.len(), 1);
    assert!(told[0].ends_with("cannot use both timeZone field and TZ or CRON_TZ in schedule"), "{told:?}");
}

#[test]
fn what_is_stored_is_not_held_to_newer_rules() {
    let mut old = cron("@daily");
    set(&mut old, &["metadata", "name"], "x".repeat(60));
    set(&mut old, &["spec", "timeZone"], "Foo");
    assert_eq!(created(CRON, old.clone()).len(), 2);
    assert_eq!(changed(CRON, old.clone(), old), [""; 0]);
}

#[test]
fn the_selector_of_the_job_is_made_by_itself() {
    let with = |field: &str, value: Value| {
        let mut job = cron("@daily");
        set(&mut job, &["spec", "jobTemplate", "spec", field], value);
        created(CRON, job)
    };
    let at = "spec.jobTemplate.spec";
    assert_eq!(with("selector", json!({})), [format!("{at}.selector: Invalid value: {{}}: `selector` will be auto-generated")]);
    assert_eq!(
        with("manualSelector", json!(true)),
        [format!("{at}.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"")]
    );
    assert_eq!(with("manualSelector", json!(false)), [""; 0]);
}
