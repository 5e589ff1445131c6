use super::*;

fn wants(name: &str, priority: i32) -> Arc<Wants> {
    Arc::new(Wants { key: Key::new("ns", name), uid: name.to_owned(), priority, ..Wants::default() })
}

fn key(name: &str) -> Key {
    Key::new("ns", name)
}

fn taken(queue: &mut Queue) -> Option<String> {
    queue.take().map(|wants| wants.key.name.clone())
}

#[test]
fn the_most_urgent_comes_first_then_the_oldest() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0), ("d", 5)] {
        queue.put(wants(name, priority));
    }
    let order: Vec<_> = std::iter::from_fn(|| taken(&mut queue)).collect();
    assert_eq!(order, ["b", "d", "a", "c"]);
}

#[test]
fn a_parked_pod_waits_for_a_change_that_may_help_and_for_its_backoff() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    queue.put(wants("a", 0));
    queue.take();
    queue.park(&key("a"), Wake::FREED, start);
    queue.wake(Wake::NODES, start + Duration::from_secs(60));
    assert!(!queue.has_ready(), "a node does not help");
    queue.wake(Wake::FREED, start);
    assert!(!queue.has_ready(), "not before the backoff");
    assert_eq!(queue.next_due(), Some(start + Duration::from_secs(1)));
    queue.due(start + Duration::from_secs(1));
    assert_eq!(taken(&mut queue).unwrap(), "a");
    queue.park(&key("a"), Wake::FREED, start);
    queue.wake(Wake::FREED, start + Duration::from_secs(2));
    assert_eq!(taken(&mut queue).unwrap(), "a", "two seconds after the second failure it is ready at once");
}

#[test]
fn backoff_grows_to_ten_seconds() {
    let (mut queue, start) = (Queue::default(), Instant::now());
    queue.put(wants("a", 0));
    let waits: Vec<_> = (0..6)
        .map(|_| {
            queue.take();
            queue.retry(&key("a"), start);
            let due = queue.next_due().unwrap();
            queue.due(due);
            due.duration_since(start).as_secs()
        })
        .collect();
    assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
}

#[test]
fn the_same_again_changes_nothing_but_new_wants_are_tried_at_once() {
    let mut queue = Queue::default();
    queue.put(wants("a", 0));
    queue.take();
    queue.park(&key("a"), Wake::default(), Instant::now());
    queue.put(wants("a", 0));
    assert!(!queue.has_ready());
    queue.put(wants("a", 1));
    assert!(queue.has_ready());
}

#[test]
fn a_removed_pod_is_forgotten_in_every_state() {
    let (mut queue, now) = (Queue::default(), Instant::now());
    for state in 0..4 {
        queue.put(wants("a", 0));
        if state > 0 {
            queue.take();
        }
        match state {
            2 => queue.park(&key("a"), Wake::NODES, now),
            3 => queue.retry(&key("a"), now),
            _ => {}
        }
        queue.remove(&key("a"));
        queue.wake(Wake::NODES, now);
        queue.due(now + Duration::from_secs(60));
        assert!(taken(&mut queue).is_none() && queue.next_due().is_none(), "state {state}");
    }
}

#[test]
fn the_same_message_is_told_once() {
    let mut queue = Queue::default();
    queue.put(wants("a", 0));
    assert_eq!(queue.tell(&key("a"), "full"), Some(News::First));
    assert_eq!(queue.tell(&key("a"), "full"), None);
    assert_eq!(queue.tell(&key("a"), "fuller"), Some(News::Changed));
    assert_eq!(queue.tell(&key("gone"), "full"), None);
}
