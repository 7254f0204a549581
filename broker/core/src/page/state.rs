//! What became of a page's records.

use super::Page;
use crate::context::Damage;
use bytes::{BufMut, Bytes, BytesMut};
use postrider_protocol::wire::{self, Malformed, Read, Reader};
use std::collections::BTreeMap;

const VERSION: u8 = 1;

/// What became of a page's records, as far as it outlives a lock.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageState {
    /// For each record, the failed deliveries it has had; `None` when it is gone.
    pub attempts: Vec<Option<u32>>,
    /// Records that were set aside.
    pub deferred: Vec<u32>,
    /// Records that wait, and until when, UTC milliseconds.
    pub delayed: Vec<(u32, u64)>,
    /// Records whose properties consumers have changed: a list of (text name, value).
    pub changed: BTreeMap<u32, Bytes>,
}

impl PageState {
    /// The state of a page of so many records that nothing has happened to.
    pub fn fresh(records: usize) -> Self {
        PageState { attempts: vec![Some(0); records], ..PageState::default() }
    }

    /// The state of `page` as it was stored, or as it is where nothing was stored. What does not add up is damage.
    pub fn of(page: &Page, stored: Option<Bytes>) -> Result<Self, Damage> {
        let mut state = stored.map_or_else(|| Ok(PageState::fresh(page.len())), PageState::decode)?;
        if state.attempts.len() != page.len() {
            let (has, knows) = (page.len(), state.attempts.len());
            return Err(Damage::new(format!("a page has {has} records, its state {knows}")));
        }
        let holes = (0..page.len()).filter(|at| page.size(*at) == 0);
        holes.for_each(|at| state.attempts[at] = None);
        Ok(state)
    }

    /// The state's bytes.
    pub fn encode(&self) -> Bytes {
        let records = self.attempts.len();
        let mut out = BytesMut::with_capacity(24 + records / 8);
        out.put_u8(VERSION);
        out.put_u32(records as u32);
        for chunk in self.attempts.chunks(8) {
            let bit = |(at, attempts): (usize, &Option<u32>)| u8::from(attempts.is_none()) << at;
            out.put_u8(chunk.iter().enumerate().map(bit).sum());
        }
        let tried: Vec<_> = self.tried().collect();
        wire::put_list(&mut out, &tried, |out, (at, attempts)| {
            out.put_u32(*at);
            out.put_u32(*attempts);
        });
        wire::put_list(&mut out, &self.deferred, |out, at| out.put_u32(*at));
        wire::put_list(&mut out, &self.delayed, |out, (at, until_ms)| {
            out.put_u32(*at);
            out.put_u64(*until_ms);
        });
        wire::put_count(&mut out, self.changed.len());
        for (at, properties) in &self.changed {
            out.put_u32(*at);
            wire::put_blob(&mut out, properties);
        }
        out.freeze()
    }

    fn tried(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        let records = (0..).zip(&self.attempts);
        records.filter_map(|(at, attempts)| Some((at, attempts.filter(|tried| *tried > 0)?)))
    }

    /// Reads a state that was stored. What does not add up is damage.
    pub fn decode(bytes: Bytes) -> Result<Self, Damage> {
        Self::read(bytes).map_err(|malformed| Damage::new(format!("a page's state: {malformed}")))
    }

    fn read(bytes: Bytes) -> Read<Self> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(Malformed::new("version", format!("is {version}, this version reads {VERSION}")));
        }
        let records = reader.u32("records")? as usize;
        let bitmap = reader.take("bitmap", records.div_ceil(8))?;
        let gone = |at: usize| bitmap[at / 8] & (1 << (at % 8)) != 0;
        let mut state = PageState {
            attempts: (0..records).map(|at| (!gone(at)).then_some(0)).collect(),
            ..PageState::default()
        };
        for _ in 0..reader.count("attempts", 8, records)? {
            let (at, tried) = (state.read_index(&mut reader)?, reader.u32("attempts")?);
            state.attempts[at as usize] = Some(tried);
        }
        for _ in 0..reader.count("deferred", 4, records)? {
            let at = state.read_index(&mut reader)?;
            state.deferred.push(at);
        }
        for _ in 0..reader.count("delayed", 12, records)? {
            let at = state.read_index(&mut reader)?;
            state.delayed.push((at, reader.u64("until_ms")?));
        }
        for _ in 0..reader.count("changed", 8, records)? {
            let at = state.read_index(&mut reader)?;
            state.changed.insert(at, reader.blob("properties")?);
        }
        reader.finish()?;
        Ok(state)
    }

    /// Reads the index of a record that is there.
    fn read_index(&self, reader: &mut Reader) -> Read<u32> {
        let at = reader.u32("index")?;
        match self.attempts.get(at as usize) {
            Some(Some(_)) => Ok(at),
            _ => Err(Malformed::new("index", format!("{at} is not a record that is there"))),
        }
    }
}
