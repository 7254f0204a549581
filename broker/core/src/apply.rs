//! From facts to rows: blind, total, and the same everywhere.

use crate::fact::Fact;
use crate::key::{Alarm, Key, KeyRange};
use bytes::{BufMut, Bytes, BytesMut};

/// One change of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The row has this value from now on.
    Put(Key, Bytes),
    /// The row is gone.
    Delete(Key),
    /// The row, which was put exactly once, is gone.
    SingleDelete(Key),
    /// All rows of a range are gone.
    DeleteRange(KeyRange),
}

/// Hands the changes that `facts` of a shard mean to `sink`, in order.
pub fn apply(shard: u16, facts: &[Fact], sink: &mut dyn FnMut(Write)) {
    for fact in facts {
        apply_one(shard, fact, sink);
    }
}

fn apply_one(shard: u16, fact: &Fact, sink: &mut dyn FnMut(Write)) {
    match fact {
        Fact::EntityPut(entity, row) => {
            sink(Write::Put(Key::Entity(shard, *entity), laid_out(|out| row.put(out))));
        }
        Fact::EntityGone(entity) => {
            sink(Write::Delete(Key::Entity(shard, *entity)));
            KeyRange::content(shard, *entity).for_each(|range| sink(Write::DeleteRange(range)));
        }
        Fact::EntityLeft(entity) => {
            sink(Write::Delete(Key::Entity(shard, *entity)));
            KeyRange::content_but_pages(shard, *entity).for_each(|range| sink(Write::DeleteRange(range)));
        }
        Fact::RulePut(entity, rule) => {
            let key = Key::Rule(shard, *entity, rule.name.to_ascii_lowercase());
            sink(Write::Put(key, laid_out(|out| rule.put(out))));
        }
        Fact::RuleGone(entity, name) => {
            sink(Write::Delete(Key::Rule(shard, *entity, name.to_ascii_lowercase())));
        }
        Fact::SchedulePut(entity, info) => {
            let key = Key::Schedule(shard, *entity, info.schedule.name.to_ascii_lowercase());
            sink(Write::Put(key, laid_out(|out| info.put(out))));
        }
        Fact::ScheduleGone(entity, name) => {
            sink(Write::Delete(Key::Schedule(shard, *entity, name.to_ascii_lowercase())));
        }
        Fact::QueueState(queue, row) => {
            sink(Write::Put(Key::QueueState(shard, *queue), laid_out(|out| row.put(out))));
        }
        Fact::PageWritten(queue, first, page) => {
            sink(Write::Put(Key::Page(shard, *queue, *first), page.clone()));
        }
        Fact::PageState(queue, first, state) => {
            sink(Write::Put(Key::PageState(shard, *queue, *first), state.clone()));
        }
        Fact::PageGone(queue, first) => {
            sink(Write::SingleDelete(Key::Page(shard, *queue, *first)));
            sink(Write::Delete(Key::PageState(shard, *queue, *first)));
        }
        Fact::PagesGone(queue, from, to) => {
            sink(Write::DeleteRange(KeyRange::pages(shard, *queue, *from, *to)));
            sink(Write::DeleteRange(KeyRange::page_states(shard, *queue, *from, *to)));
        }
        Fact::References(page, row) => {
            sink(Write::Put(Key::References(shard, *page), laid_out(|out| row.put(out))));
        }
        Fact::ReferencesGone(page) => sink(Write::Delete(Key::References(shard, *page))),
        Fact::Leaving(queue, from, to) => {
            sink(Write::Put(Key::Leaving(shard, *queue, *from), laid_out(|out| out.put_u64(*to))));
        }
        Fact::LeavingGone(queue, from) => sink(Write::Delete(Key::Leaving(shard, *queue, *from))),
        Fact::Replay(entity, row) => {
            sink(Write::Put(Key::Replay(shard, *entity), laid_out(|out| row.put(out))));
        }
        Fact::ReplayGone(entity) => sink(Write::Delete(Key::Replay(shard, *entity))),
        Fact::Leased(lease, row) => sink(Write::Put(Key::Lease(shard, *lease), laid_out(|out| row.put(out)))),
        Fact::LeaseGone(lease) => sink(Write::Delete(Key::Lease(shard, *lease))),
        Fact::Outcomes(client, first, row) => {
            sink(Write::Put(Key::Outcomes(shard, *client, *first), laid_out(|out| row.put(out))));
        }
        Fact::OutcomesGone(client, first) => sink(Write::Delete(Key::Outcomes(shard, *client, *first))),
        Fact::AlarmSet(alarm) => sink(Write::Put(Key::Alarm(shard, *alarm), Bytes::new())),
        Fact::AlarmGone(alarm) => sink(Write::Delete(Key::Alarm(shard, *alarm))),
        Fact::Scheduled(queue, number, row) => {
            let alarm = Alarm::scheduled(row.due_ms, *queue, *number);
            sink(Write::Put(Key::Scheduled(shard, *queue, *number), laid_out(|out| row.put(out))));
            sink(Write::Put(Key::Alarm(shard, alarm), Bytes::new()));
        }
        Fact::ScheduledGone(queue, number, due_ms) => {
            sink(Write::Delete(Key::Scheduled(shard, *queue, *number)));
            sink(Write::Delete(Key::Alarm(shard, Alarm::scheduled(*due_ms, *queue, *number))));
        }
        Fact::Generation(entity, row) => {
            let before = row.number.saturating_sub(1);
            sink(Write::DeleteRange(KeyRange::seen_ids(shard, *entity, before)));
            sink(Write::Put(Key::Generation(shard, *entity), laid_out(|out| row.put(out))));
        }
        Fact::IdsSeen(entity, row) => {
            for (id, number) in &row.ids {
                let key = Key::SeenId(shard, *entity, row.generation, id.clone());
                sink(Write::Put(key, laid_out(|out| put_seen(out, row.when_ms, *number))));
            }
        }
        Fact::IdsGone(entity) => {
            sink(Write::Delete(Key::Generation(shard, *entity)));
            sink(Write::DeleteRange(KeyRange::seen_ids(shard, *entity, u64::MAX)));
        }
        Fact::SessionPut(entity, id, row) => {
            sink(Write::Put(Key::Session(shard, *entity, id.clone()), laid_out(|out| row.put(out))));
        }
        Fact::SessionGone(entity, id) => sink(Write::Delete(Key::Session(shard, *entity, id.clone()))),
        Fact::SessionMessage(entity, session, number, page, enqueued_ms) => {
            let value = laid_out(|out| [page, enqueued_ms].into_iter().for_each(|field| out.put_u64(*field)));
            sink(Write::Put(Key::SessionMessage(shard, *entity, *session, *number), value));
        }
        Fact::SessionMessageGone(entity, session, number) => {
            sink(Write::Delete(Key::SessionMessage(shard, *entity, *session, *number)));
        }
        Fact::SessionMessagesGone(entity) => {
            sink(Write::DeleteRange(KeyRange::all_session_messages(shard, *entity)));
        }
        Fact::SessionState(entity, session, state) => {
            sink(Write::Put(Key::SessionState(shard, *entity, *session), state.clone()));
        }
        Fact::SessionStateGone(entity, session) => {
            sink(Write::Delete(Key::SessionState(shard, *entity, *session)));
        }
        Fact::Parcel(to, number, parcel) => {
            sink(Write::Put(Key::Parcel(shard, *to, *number), laid_out(|out| parcel.put(out))));
        }
        Fact::ParcelGone(to, number) => sink(Write::SingleDelete(Key::Parcel(shard, *to, *number))),
        Fact::Taken(from, taken) => {
            sink(Write::Put(Key::Taken(shard, *from), laid_out(|out| taken.put(out))));
        }
        Fact::Journal(number, row) => sink(Write::Put(Key::Journal(shard, *number), row.clone())),
        Fact::JournalGone(from, to) => {
            sink(Write::DeleteRange(KeyRange::journal_part(shard, *from, *to)));
        }
        Fact::ShardState(row) => sink(Write::Put(Key::ShardState(shard), laid_out(|out| row.put(out)))),
    }
}

fn put_seen(out: &mut BytesMut, when_ms: u64, number: u64) {
    out.put_u64(when_ms);
    out.put_u64(number);
}

fn laid_out(put: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::new();
    put(&mut out);
    out.freeze()
}
