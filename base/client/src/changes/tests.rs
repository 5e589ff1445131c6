use super::*;
use futures::{FutureExt, StreamExt};

fn stream(mailbox: &Arc<Mailbox<u32>>) -> ChangeStream<u32> {
    ChangeStream { mailbox: mailbox.clone(), _watch: Arc::new(()) }
}

fn change(name: &str, old: Option<u32>, new: Option<u32>) -> Change<u32> {
    Change { key: Key::cluster(name), old: old.map(Arc::new), new: new.map(Arc::new) }
}

fn taken(stream: &mut ChangeStream<u32>) -> Option<(String, Option<u32>, Option<u32>)> {
    let change = stream.next().now_or_never()??;
    Some((change.key.name, change.old.map(|v| *v), change.new.map(|v| *v)))
}

#[test]
fn a_stream_starts_with_what_is_there_as_creations() {
    let mailbox = Mailbox::new([(Key::cluster("a"), Arc::new(1))].into_iter());
    assert_eq!(taken(&mut stream(&mailbox)), Some(("a".to_owned(), None, Some(1))));
}

#[test]
fn changes_that_a_slow_reader_missed_are_one_from_what_it_saw_to_what_is() {
    let mailbox = Mailbox::new(std::iter::empty());
    for step in 0..1000 {
        mailbox.put(change("a", Some(step), Some(step + 1)));
    }
    mailbox.put(change("b", Some(7), None));
    let mut stream = stream(&mailbox);
    assert_eq!(taken(&mut stream), Some(("a".to_owned(), Some(0), Some(1000))));
    assert_eq!(taken(&mut stream), Some(("b".to_owned(), Some(7), None)));
    assert_eq!(taken(&mut stream), None);
}

#[test]
fn what_was_made_and_deleted_unseen_is_not_told() {
    let mailbox = Mailbox::new(std::iter::empty());
    mailbox.put(change("a", None, Some(1)));
    mailbox.put(change("a", Some(1), None));
    assert_eq!(taken(&mut stream(&mailbox)), None);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_a_change_and_by_the_end() {
    let mailbox = Mailbox::new(std::iter::empty());
    let mut reader = stream(&mailbox);
    let reading = tokio::spawn(async move { (reader.next().await.map(|c| c.key), reader.next().await.map(|c| c.key)) });
    tokio::task::yield_now().await;
    mailbox.put(change("a", None, Some(1)));
    tokio::task::yield_now().await;
    mailbox.close();
    assert_eq!(reading.await.unwrap(), (Some(Key::cluster("a")), None));
}
