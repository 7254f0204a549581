//! Messages that come from other entities.

use crate::context::{Context, Damage};
use crate::effect::Effect;
use crate::fact::Fact;
use crate::outbox::Parcel;
use crate::shard::Shard;
use crate::verbs::publish::Coming;
use bytes::Bytes;
use postrider_protocol::error::{ErrorCode, Refusal};
use postrider_protocol::message::{Incoming, Record};
use postrider_protocol::name::EntityName;
use postrider_protocol::reply::Published;

impl Shard {
    /// Takes parcels of another shard, those that came before not again, and says what was taken.
    pub(crate) fn take(
        &mut self,
        cx: &Context<'_>,
        from: u16,
        parcels: Vec<(u64, Parcel)>,
    ) -> Result<(), Damage> {
        let Some(first) = parcels.first().map(|(number, _)| *number) else { return Ok(()) };
        let mut taken = self.taken.remove(&from).unwrap_or_default();
        let before = taken.last;
        // What came earlier has its receipt, or it would have come again.
        taken.returned.retain(|returned| returned.parcel >= first);
        for (number, parcel) in parcels.into_iter().filter(|(number, _)| *number > before) {
            for (index, record) in (0..).zip(parcel.records) {
                if let Err(refusal) = self.arrive(cx, &parcel.to, record)? {
                    taken.give_back(number, index, reason_of(refusal.code), &refusal.message);
                }
            }
            taken.last = number;
        }
        if taken.last > before {
            self.remember(Fact::Taken(from, taken.clone()));
        }
        self.turn.effects.push(Effect::Receipt { to: from, taken: taken.clone() });
        self.taken.insert(from, taken);
        Ok(())
    }

    /// Takes in a message from another entity as if it was sent, with what it brings.
    fn arrive(&mut self, cx: &Context<'_>, to: &str, record: Bytes) -> Result<Result<(), Refusal>, Damage> {
        let damaged =
            |what: &dyn std::fmt::Display| Damage::new(format!("a record that was passed on: {what}"));
        let moved = Record::decode(record).map_err(|malformed| damaged(&malformed))?;
        let incoming = Incoming::parse(moved.message.clone()).map_err(|refusal| damaged(&refusal))?;
        let target = EntityName::new(to).and_then(|name| self.target(&name));
        let checked = target.and_then(|entity| self.check_incoming(entity, &incoming).map(|()| entity));
        let entity = match checked {
            Ok(entity) => entity,
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.use_entity(entity);
        let coming = Coming::moved(&incoming, &moved);
        Ok(match self.publish_one(cx, entity, coming)? {
            Published::Refused(refusal) => Err(refusal),
            Published::Accepted(_) | Published::Duplicate(_) | Published::Underway => Ok(()),
        })
    }
}

/// How a refusal is called among the transfer dead letters.
fn reason_of(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::QuotaExceeded => "QueueFull",
        code => code.name(),
    }
}
