//! Transactions: all or nothing, once.

use super::{counters, crash, look, next, options, refused, send, text};
use postrider_client::{ErrorCode, Message, Options, Settlement};
use postrider_tests::{Broker, until};

#[tokio::test(flavor = "multi_thread")]
async fn entities_of_a_group_share_a_transaction() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    let shop = options(&[("group", "shop")]);
    for name in ["orders", "payments", "mails"] {
        admin.create_queue(name, shop.clone()).await.expect("a queue");
    }
    admin.create_queue("elsewhere", Options::new()).await.expect("a queue");
    let sent = client
        .transaction()
        .send("orders", Message::new("o1"))
        .send("payments", Message::new("p1"))
        .commit()
        .await
        .expect("done");
    assert_eq!(sent.iter().map(|outcome| outcome.sequence).collect::<Vec<_>>(), [1, 1]);
    crash(&mut broker);
    // Where the entities are is known again.
    let mut receiver = client.receiver("orders").await.expect("a receiver");
    let order = next(&mut receiver).await;
    let moved = client
        .transaction()
        .complete(&order)
        .send("payments", Message::new("p2"))
        .send("mails", Message::new("m1"));
    moved.commit().await.expect("done");
    crash(&mut broker);
    let held = [counters(&client, "orders").await, counters(&client, "payments").await];
    assert_eq!(held.map(|held| held.active), [0, 2]);
    assert_eq!(look(&client, "mails").await.len(), 1);
    let apart = client
        .transaction()
        .send("orders", Message::new("x"))
        .send("elsewhere", Message::new("y"))
        .commit()
        .await;
    refused(apart, ErrorCode::InvalidArgument);
    // A name is one entity, whatever its group.
    refused(admin.create_queue("Mails", Options::new()).await, ErrorCode::AlreadyExists);
    admin.delete("mails").await.expect("deleted");
    admin.create_queue("mails", Options::new()).await.expect("a queue, elsewhere now");
    send(&client, "mails", &["m2"]).await;
    assert_eq!(look(&client, "mails").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_and_nothing_happens() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.admin().create_queue("q", options(&[("max_messages", "3")])).await.expect("a queue");
    send(&client, "q", &["a", "b"]).await;
    let mut receiver = client.receiver("q").await.expect("a receiver");
    let (a, b) = (next(&mut receiver).await, next(&mut receiver).await);
    let full = client
        .transaction()
        .complete(&a)
        .send("q", Message::new("c"))
        .send("q", Message::new("d"))
        .commit()
        .await;
    refused(full, ErrorCode::QuotaExceeded);
    let nowhere = client.transaction().complete(&a).send("nowhere", Message::new("c")).commit().await;
    refused(nowhere, ErrorCode::NotFound);
    let twice = client.transaction().complete(&a).complete(&a).commit().await;
    refused(twice, ErrorCode::InvalidArgument);
    refused(client.transaction().commit().await, ErrorCode::InvalidArgument);
    let later = Settlement::Defer { properties: Vec::new() };
    client
        .transaction()
        .complete(&a)
        .settle(&b, later)
        .send("q", Message::new("c"))
        .commit()
        .await
        .expect("done");
    crash(&mut broker);
    let held = counters(&client, "q").await;
    assert_eq!((held.active, held.deferred), (2, 1));
    refused(client.transaction().complete(&a).commit().await, ErrorCode::LockLost);
}

#[tokio::test(flavor = "multi_thread")]
async fn complete_here_send_there_over_kills() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    let admin = client.admin();
    // The two are in different shards.
    for name in ["order-events", "email-queue"] {
        admin.create_queue(name, Options::new()).await.expect("a queue");
    }
    let texts: Vec<_> = (0..50).map(|at| at.to_string()).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    send(&client, "order-events", &texts).await;
    let mut receiver = client.receiver("order-events").await.expect("a receiver");
    for at in 0..texts.len() {
        let delivery = next(&mut receiver).await;
        let mail = Message::new(text(&delivery).to_owned());
        let sent = client.transaction().complete(&delivery).send("email-queue", mail).commit().await;
        assert_eq!(sent.expect("done")[0].sequence, 0, "it is on its way");
        if at % 10 == 9 {
            crash(&mut broker);
        }
    }
    let arrived = async || counters(&client, "email-queue").await.active == texts.len() as u64;
    until("all arrive", arrived).await;
    let seen = look(&client, "email-queue").await;
    let bodies: Vec<_> = seen.iter().map(|seen| seen.message.body.clone()).collect();
    assert_eq!(bodies, texts);
    assert_eq!(counters(&client, "order-events").await.active, 0);
}
