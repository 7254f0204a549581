//! Schedules: messages that come again and again.

use super::{next, queue, refused, text};
use postrider_client::{ErrorCode, Message};

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_goes_on_after_a_kill_until_it_is_deleted() {
    let (mut broker, client) = queue(&[]).await;
    let admin = client.admin();
    let message = Message::new("tick").with_subject("Tick");
    admin.put_schedule("q", "Often", "* * * * * *", "UTC", &message).await.expect("stored");
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let first = next(&mut receiver).await;
    assert_eq!((text(&first), first.message().subject.as_deref()), ("tick", Some("Tick")));
    first.complete().await.expect("locked");

    broker.kill9();
    broker.restart();
    let listed = admin.schedules("q").await.expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].schedule.name.as_str(), listed[0].schedule.zone.as_str()), ("Often", "UTC"));
    next(&mut receiver).await.complete().await.expect("locked");

    admin.delete_schedule("q", "often").await.expect("names do not differ by case");
    assert!(admin.schedules("q").await.expect("a list").is_empty());
    refused(admin.delete_schedule("q", "often").await, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_schedule_cannot_be_is_refused_by_name() {
    let (_broker, client) = queue(&[]).await;
    let admin = client.admin();
    let message = Message::new("x");
    for (name, cron, zone) in [
        ("", "* * * * *", "UTC"),
        ("n", "61 * * * *", "UTC"),
        ("n", "", "UTC"),
        ("n", "* * * * *", "Mars/Base"),
    ] {
        refused(admin.put_schedule("q", name, cron, zone, &message).await, ErrorCode::InvalidArgument);
    }
    refused(admin.put_schedule("missing", "n", "* * * * *", "UTC", &message).await, ErrorCode::NotFound);
}
