//! Leaving in order: links that are closed once nothing before them waits, and the end of the connection.

use super::actor::{Actor, End, Farewell, Leaving, Live};
use super::links::{Event, ReceiverLink, ReceiverState};
use super::operation::Answer;
use super::unanswered::Waiting;
use crate::error::Error;
use bytes::Buf;
use postrider_protocol::request::Request;

impl Actor {
    pub(super) fn leave(&mut self, handle: u32, after_taken: u64, answer: Option<Answer<()>>) {
        self.leaving.push_back(Leaving { handle, after_taken, after_request: None, answer });
    }

    /// Closes a link that nobody has asked anything of.
    pub(super) fn leave_at_once(&mut self, handle: u32) {
        self.leave(handle, 0, None);
    }

    /// Closes the links whose turn it is: everything that was asked for before is answered.
    pub(super) fn close_leaving(&mut self, live: &Live) {
        if self.leaving.is_empty() || live.resuming.is_some() {
            return;
        }
        for mut leaving in std::mem::take(&mut self.leaving) {
            if self.may_leave(&mut leaving) {
                self.close_link(leaving.handle, leaving.answer);
            } else {
                self.leaving.push_back(leaving);
            }
        }
    }

    fn may_leave(&self, leaving: &mut Leaving) -> bool {
        if self.taken < leaving.after_taken && !self.exhausted {
            return false;
        }
        let handle = leaving.handle;
        let last = *leaving.after_request.get_or_insert(self.outgoing.unanswered.last());
        let is_sender = self.links.senders.contains_key(&handle);
        self.outgoing.unanswered.none_up_to(last, |waiting| match waiting {
            Waiting::Publish { sender, .. } => *sender == handle,
            Waiting::Settle { .. } => !is_sender,
            Waiting::Open { handle: opening, .. } | Waiting::Reopen { handle: opening } => *opening == handle,
            _ => false,
        })
    }

    fn close_link(&mut self, handle: u32, answer: Option<Answer<()>>) {
        if let Some(link) = self.links.receivers.remove(&handle) {
            link.tell(Event::Closed(Error::Closed));
            if link.state == ReceiverState::Open {
                let waiting = Waiting::CloseReceiver { link: Box::new(link), answer };
                return self.outgoing.ask(Request::CloseReceiver { handle }, waiting);
            }
        } else if self.links.senders.remove(&handle).is_some_and(|link| link.refused.is_none()) {
            return self.outgoing.ask(Request::CloseSender { handle }, Waiting::Close(answer));
        }
        drop(answer.map(|answer| answer.send(Ok(()))));
    }

    /// The connection was lost before a receiver was closed: it is to be opened once more, wants nothing, and leaves.
    pub(super) fn leave_again(&mut self, mut link: ReceiverLink, answer: Option<Answer<()>>) {
        let handle = link.open.handle;
        link.outstanding = 0;
        self.links.receivers.insert(handle, link);
        self.leave(handle, 0, answer);
    }

    /// Once nothing is asked for any more and everything is answered: closes the receivers, says goodbye, ends.
    pub(super) fn say_farewell(&mut self, live: &Live) -> Result<(), End> {
        let idle = self.exhausted && live.resuming.is_none() && self.outgoing.unanswered.is_empty();
        if !idle || self.outgoing.queue.has_remaining() {
            return Ok(());
        }
        match self.farewell {
            Farewell::NotYet => {
                self.farewell = Farewell::LinksClosed;
                let receivers: Vec<u32> = self.links.receivers.keys().copied().collect();
                receivers.into_iter().for_each(|handle| self.close_link(handle, None));
                self.say_farewell(live)
            }
            Farewell::LinksClosed => {
                self.farewell = Farewell::Said;
                self.outgoing.tell(&Request::Goodbye);
                Ok(())
            }
            Farewell::Said => Err(End::Finished),
        }
    }
}
