use super::*;
use irori_runtime::Shutdown;

fn told(object: &str, message: &str, at: i64) -> Told {
    Told {
        about: ObjectReference {
            kind: Some("Pod".into()),
            name: Some(object.into()),
            uid: Some(object.into()),
            ..Default::default()
        },
        r#type: EventType::Warning,
        reason: "Failed".into(),
        message: message.into(),
        at: Timestamp::from_second(at).unwrap(),
    }
}

#[test]
fn the_same_event_again_counts_up_under_its_first_name() {
    let mut memory = Memory::default();
    let first = memory.decide(told("a", "no image", 0)).unwrap();
    let second = memory.decide(told("a", "no image", 9)).unwrap();
    let other = memory.decide(told("b", "no image", 9)).unwrap();
    assert_eq!((first.count, second.count, other.count), (1, 2, 1));
    assert_eq!(first.name, second.name);
    assert_eq!((second.first, second.last), (Timestamp::from_second(0).unwrap(), Timestamp::from_second(9).unwrap()));
    assert_ne!(first.name, other.name);
}

#[test]
fn many_messages_under_one_reason_become_one_event() {
    let mut memory = Memory::default();
    let lines: Vec<_> = (0..14).map(|n| memory.decide(told("a", &format!("message {n}"), n)).unwrap()).collect();
    assert_eq!(lines[9].message, "message 9");
    assert_eq!(lines[10].message, "(combined from similar events): message 10");
    assert_eq!((lines[10].count, lines[13].count), (1, 4));
    assert_eq!(lines[10].name, lines[13].name);
}

#[test]
fn an_object_that_tells_too_much_is_silenced_and_earns_events_with_time() {
    let mut memory = Memory::default();
    let written = (0..100).filter(|_| memory.decide(told("a", "again", 0)).is_some()).count();
    assert_eq!(written, 25);
    assert!(memory.decide(told("b", "again", 0)).is_some(), "others are not silenced");
    assert!(memory.decide(told("a", "again", 299)).is_none());
    assert!(memory.decide(told("a", "again", 301)).is_some());
    assert!(memory.decide(told("a", "again", 301)).is_none());
}

#[test]
fn memory_is_bounded() {
    let mut memory = Memory::default();
    for n in 0..20_000 {
        memory.decide(told(&format!("pod-{n}"), "x", n));
    }
    assert!(
        memory.merged.len() <= REMEMBERED_MAX && memory.budgets.len() <= REMEMBERED_MAX && memory.similar.len() <= REMEMBERED_MAX
    );
}

#[tokio::test]
async fn telling_never_waits_and_drops_with_a_count() {
    let stuck = tower::service_fn(|_| std::future::pending::<Result<http::Response<irori_http::Body>, irori_http::BoxError>>());
    let tasks = Tasks::new(Shutdown::new());
    let (clock, _) = Clock::manual(Timestamp::UNIX_EPOCH);
    let recorder = Recorder::new(crate::in_process(stuck), "test", None, clock, &tasks);
    let about = ObjectReference { name: Some("a".into()), ..Default::default() };
    (0..5000).for_each(|_| recorder.event(&about, EventType::Normal, "Told", "x"));
    assert!(recorder.dropped() >= 3900, "dropped {}", recorder.dropped());
    tasks.shutdown().start();
    assert!(tasks.drain(Duration::from_secs(5)).await.is_empty());
}
