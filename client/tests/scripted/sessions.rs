//! Sessions.

use crate::peer::{Listener, Peer, SESSION_UNTIL_MS, within};
use bytes::Bytes;
use postrider_client::{ErrorCode, SessionOptions};
use postrider_protocol::reply::Reply;
use postrider_protocol::request::{OpenReceiver, Request, SessionWish};
use std::time::{Duration, UNIX_EPOCH};

#[tokio::test]
async fn a_session_has_an_id_a_lock_and_a_state() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.session_receiver("q").next().wait(Duration::from_secs(3));
    let (session, open) = tokio::join!(builder.accept(), peer.open_session("ada"));
    let session = session.unwrap();
    assert_eq!((open.session, open.wait_ms), (SessionWish::Next, 3_000));
    peer.flow().await;
    assert_eq!(session.session_id(), "ada");
    assert_eq!(session.locked_until(), UNIX_EPOCH + Duration::from_millis(SESSION_UNTIL_MS));

    let (renewed, ()) = tokio::join!(session.renew_session(), async {
        let (request, renew) = peer.next().await;
        assert_eq!(renew, Request::RenewSession { handle: open.handle });
        peer.reply(request, &Reply::SessionRenewed { locked_until_ms: SESSION_UNTIL_MS + 5 }).await;
    });
    assert_eq!(renewed.unwrap(), UNIX_EPOCH + Duration::from_millis(SESSION_UNTIL_MS + 5));
    assert_eq!(session.locked_until(), UNIX_EPOCH + Duration::from_millis(SESSION_UNTIL_MS + 5));

    let (state, ()) = tokio::join!(session.state(), async {
        let (request, get) = peer.next().await;
        assert_eq!(get, Request::GetSessionState { handle: open.handle });
        let state = Some(Bytes::from_static(b"seen 3"));
        peer.reply(request, &Reply::SessionState { state, changed_ms: 9 }).await;
    });
    assert_eq!(state.unwrap().as_deref(), Some(&b"seen 3"[..]));

    for wanted in [Some(Bytes::from_static(b"seen 4")), None] {
        let setting = async {
            match wanted.clone() {
                Some(state) => session.set_state(state).await,
                None => session.clear_state().await,
            }
        };
        let (set, ()) = tokio::join!(setting, async {
            let (request, Request::SetSessionState { stamp, state, .. }) = peer.next().await else {
                panic!()
            };
            assert!(stamp.sequence > 0 && state == wanted);
            peer.reply(request, &Reply::Done).await;
        });
        assert_eq!(set, Ok(()));
    }
    let error = session.set_state(vec![0; 2 * 1024 * 1024]).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::MessageTooLarge), "refused before it is sent");
}

#[tokio::test]
async fn a_session_goes_on_after_a_reconnect_with_what_had_no_answer() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.session_receiver("q").wait(Duration::from_secs(3));
    let (session, open) = tokio::join!(builder.accept(), peer.open_session("ada"));
    let mut session = session.unwrap();
    peer.flow().await;
    let (set, mut peer) = tokio::join!(session.set_state("x"), async {
        let (first, Request::SetSessionState { stamp, .. }) = peer.next().await else { panic!() };
        drop(peer);
        let (mut peer, _) = listener.welcome().await;
        let again = peer.open_session("ada").await;
        assert_eq!((again.session, again.wait_ms), (SessionWish::Named("ada".to_owned()), 0));
        let (second, Request::SetSessionState { stamp: same, .. }) = peer.next().await else { panic!() };
        assert_eq!((second, same), (first, stamp), "asked again behind the opening, under the same number");
        peer.reply(second, &Reply::Done).await;
        peer
    });
    assert_eq!(set, Ok(()));
    peer.flow().await;
    peer.deliver(open.handle, 5, 1..2).await;
    assert_eq!(session.receive().await.unwrap().sequence(), 1);

    // And when somebody else has it meanwhile, it is lost.
    drop(peer);
    let (mut peer, _) = listener.welcome().await;
    let (request, Request::OpenReceiver(_)) = peer.next().await else { panic!() };
    peer.refuse(request, ErrorCode::SessionCannotBeLocked).await;
    let error = within(session.receive()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::SessionLockLost));
    assert!(error.to_string().contains("accept the session again"), "{error}");
}

/// The broker may have done it or not: the session is free, and what was on its way let go, only when it says so.
#[tokio::test]
async fn a_close_without_an_answer_is_carried_out_after_the_reconnect() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    for is_still_ours in [true, false] {
        let builder = client.session_receiver("q").wait(Duration::from_secs(3));
        let (session, open) = tokio::join!(builder.accept(), peer.open_session("ada"));
        assert!(peer.flow().await.credit > 0);
        let close = Request::CloseReceiver { handle: open.handle };
        let (closed, next) = tokio::join!(session.unwrap().close(), async {
            assert_eq!(peer.next().await.1, close);
            drop(peer);
            let (mut peer, _) = listener.welcome().await;
            let (request, Request::OpenReceiver(again)) = peer.next().await else { panic!() };
            let named = SessionWish::Named("ada".to_owned());
            assert_eq!((again.handle, again.session, again.held), (open.handle, named, vec![]));
            if is_still_ours {
                peer.accept_session(request, "ada").await;
                // It wants no more messages.
                let (request, again) = peer.next().await;
                assert_eq!(again, close);
                peer.reply(request, &Reply::Done).await;
            } else {
                peer.refuse(request, ErrorCode::SessionCannotBeLocked).await;
            }
            peer
        });
        assert_eq!(closed, Ok(()));
        peer = next;
    }
}

#[tokio::test]
async fn a_session_that_cannot_be_had_is_refused_by_name() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (session, ()) = tokio::join!(client.session_receiver("q").named("ada").accept(), async {
        let (request, Request::OpenReceiver(open)) = peer.next().await else { panic!() };
        assert_eq!(open.session, SessionWish::Named("ada".to_owned()));
        peer.refuse(request, ErrorCode::SessionCannotBeLocked).await;
    });
    assert_eq!(session.unwrap_err().code(), Some(ErrorCode::SessionCannotBeLocked));
    let error = client.session_receiver("q").named("").accept().await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::InvalidArgument));
}

#[tokio::test]
async fn a_lock_is_renewed_in_the_background() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let builder = client.session_receiver("q").renew_up_to(Duration::from_secs(600));
    let (session, open) = tokio::join!(builder.accept(), peer.open_session("ada"));
    peer.flow().await;
    // The script's lock ran out long ago by this machine's clock, so that it is renewed as soon as it may be.
    let (request, renew) = peer.next().await;
    assert_eq!(renew, Request::RenewSession { handle: open.handle });
    let locked_until_ms = SESSION_UNTIL_MS + 1;
    peer.reply(request, &Reply::SessionRenewed { locked_until_ms }).await;
    peer.next().await; // Once more: the first answer was taken in.
    assert_eq!(session.unwrap().locked_until(), UNIX_EPOCH + Duration::from_millis(locked_until_ms));
}

#[tokio::test]
async fn session_after_session_is_handled() {
    let listener = Listener::new().await;
    let (client, mut peer) = listener.client().await;
    let (ids, mut handled) = tokio::sync::mpsc::channel(8);
    let work = client.session_receiver("q").for_each_session(SessionOptions::default(), move |session| {
        let ids = ids.clone();
        async move {
            ids.send(session.session_id().to_owned()).await.unwrap();
            Ok(())
        }
    });
    let (request, open) = next_opening(&mut peer).await;
    assert_eq!((open.session, open.wait_ms), (SessionWish::Next, 30_000));
    peer.refuse(request, ErrorCode::SessionCannotBeLocked).await;
    for id in ["ada", "bob"] {
        let (request, _) = next_opening(&mut peer).await;
        peer.accept_session(request, id).await;
        assert_eq!(within(handled.recv()).await.unwrap(), id);
    }
    let (stopped, ()) = tokio::join!(work.stop(), async {
        let (request, _) = next_opening(&mut peer).await;
        peer.refuse(request, ErrorCode::SessionCannotBeLocked).await;
    });
    assert_eq!(stopped, Ok(()));
}

/// The next opening. The session before is closed in the background meanwhile.
async fn next_opening(peer: &mut Peer) -> (u32, OpenReceiver) {
    loop {
        match peer.next().await {
            (request, Request::OpenReceiver(open)) => return (request, open),
            (_, Request::Flow(_)) => {}
            (request, Request::CloseReceiver { .. }) => peer.reply(request, &Reply::Done).await,
            other => panic!("not the opening of a receiver: {other:?}"),
        }
    }
}
