//! Everything that happens by time: heartbeats, and trying again what was refused for the moment.

use super::actor::{Actor, End, Live};
use super::links::ReceiverState;
use postrider_protocol::request::Request;
use std::task::Context;
use tokio::time::Instant;

impl Actor {
    /// Makes sure that the timer fires at `at` or earlier.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |wake_at| wake_at.min(at)));
    }

    /// Heartbeats, refused requests that are due again, and receivers that wait to be opened again.
    ///
    /// Traffic only moves heartbeats back, so the timer is left to fire early and set anew then.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>, live: &mut Live) -> Result<bool, End> {
        if let Some(wanted) = self.wake_at.filter(|wanted| *wanted < live.timer.deadline()) {
            live.timer.as_mut().reset(wanted);
        }
        if live.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        let now = Instant::now();
        self.beat(live, now)?;
        self.retry(now);
        self.wake_at =
            self.outgoing.unanswered.next_retry().into_iter().chain(self.links.next_deadline()).min();
        let quiet = live.last_received.min(live.last_sent).max(live.last_ping);
        let next = (quiet + live.heartbeat).min(live.last_received + 2 * live.heartbeat);
        live.timer.as_mut().reset(next);
        Ok(true)
    }

    /// Pings after silence in either direction: ours, that the broker hears us; its own, that it must answer.
    fn beat(&mut self, live: &mut Live, now: Instant) -> Result<(), End> {
        if now >= live.last_received + 2 * live.heartbeat {
            return Err(End::Lost(format!("nothing was heard for {:?}", 2 * live.heartbeat)));
        }
        let quiet = live.last_received.min(live.last_sent).max(live.last_ping);
        if now >= quiet + live.heartbeat {
            live.last_ping = now;
            self.outgoing.tell(&Request::Ping);
        }
        Ok(())
    }

    fn retry(&mut self, now: Instant) {
        self.outgoing.unanswered.due(now).into_iter().for_each(|frame| self.outgoing.queue.push(frame));
        let due = |state: ReceiverState| matches!(state, ReceiverState::Waiting { until } if until <= now);
        let waiting = self.links.receivers.iter().filter(|(_, link)| due(link.state));
        let handles: Vec<u32> = waiting.map(|(handle, _)| *handle).collect();
        handles.into_iter().for_each(|handle| self.reopen_receiver(handle));
    }
}
