//! LIKE: `%` is any number of characters, `_` is one.

/// A pattern, cut at its `%` into segments that must follow one another.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Like {
    /// What the text begins with; all of it where the pattern has no `%`.
    first: Segment,
    /// What follows somewhere behind it, in this order, and then what the text ends with.
    rest: Option<(Vec<Segment>, Segment)>,
}

impl Like {
    /// Reads a pattern. After `escape`, a character stands for itself; none where there is no character after it.
    pub fn read(pattern: &str, escape: Option<char>) -> Option<Like> {
        let mut segments = vec![Vec::new()];
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            let place = match c {
                c if Some(c) == escape => Some(chars.next()?),
                '%' => {
                    segments.push(Vec::new());
                    continue;
                }
                '_' => None,
                c => Some(c),
            };
            segments.last_mut()?.push(place);
        }
        let mut segments = segments.into_iter().map(Segment::of);
        let first = segments.next()?;
        let mut middle: Vec<_> = segments.collect();
        let rest = middle.pop().map(|last| {
            middle.retain(|segment| !segment.is_empty());
            (middle, last)
        });
        Some(Like { first, rest })
    }

    /// Whether the whole text is as the pattern says.
    ///
    /// Each segment takes the first place where it fits: what is left is then longest. The text is gone over once, with
    /// as many steps for a character as there are words of 64 places in a segment that has `_`.
    pub fn is_met_by(&self, text: &str) -> bool {
        let Some(text) = self.first.behind_start(text) else { return false };
        let Some((middle, last)) = &self.rest else { return text.is_empty() };
        let Some(mut text) = last.before_end(text) else { return false };
        middle.iter().all(|segment| match segment.behind(text) {
            Some(behind) => {
                text = behind;
                true
            }
            None => false,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Segment {
    Text(String),
    Gaps(Gaps),
}

impl Segment {
    /// None stands for any character.
    fn of(places: Vec<Option<char>>) -> Segment {
        let text: Option<String> = places.iter().copied().collect();
        text.map_or_else(|| Segment::Gaps(Gaps::of(places)), Segment::Text)
    }

    fn is_empty(&self) -> bool {
        matches!(self, Segment::Text(text) if text.is_empty())
    }

    /// What follows the segment where the text begins with it.
    fn behind_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Segment::Text(wanted) => text.strip_prefix(wanted.as_str()),
            Segment::Gaps(gaps) => {
                let mut chars = text.chars();
                let fits = gaps.places.iter().all(|place| fits(*place, chars.next()));
                fits.then_some(chars.as_str())
            }
        }
    }

    /// What comes before the segment where the text ends with it.
    fn before_end<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Segment::Text(wanted) => text.strip_suffix(wanted.as_str()),
            Segment::Gaps(gaps) => {
                let mut chars = text.chars();
                let fits = gaps.places.iter().rev().all(|place| fits(*place, chars.next_back()));
                fits.then_some(chars.as_str())
            }
        }
    }

    /// What follows the first place where the segment is found.
    fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Segment::Text(wanted) => text.find(wanted.as_str()).map(|at| &text[at + wanted.len()..]),
            Segment::Gaps(gaps) => gaps.behind(text),
        }
    }
}

fn fits(place: Option<char>, found: Option<char>) -> bool {
    found.is_some() && (place.is_none() || place == found)
}

/// A segment with `_` in it, and the places that each character can stand at: place n is bit n.
#[derive(Debug, Clone, PartialEq)]
struct Gaps {
    places: Vec<Option<char>>,
    /// In the order of the characters.
    by_char: Vec<(char, Vec<u64>)>,
    /// Where all other characters can stand.
    by_other: Vec<u64>,
}

impl Gaps {
    fn of(places: Vec<Option<char>>) -> Gaps {
        let mut chars: Vec<char> = places.iter().flatten().copied().collect();
        chars.sort_unstable();
        chars.dedup();
        let by_char = chars.into_iter().map(|c| (c, bits(&places, Some(c)))).collect();
        Gaps { by_other: bits(&places, None), by_char, places }
    }

    /// Goes over the text once. Bit n of `met` says that the last n + 1 characters fit the first n + 1 places.
    fn behind<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut met = vec![0_u64; self.by_other.len()];
        let last = self.places.len() - 1;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            let mut carry = 1;
            for (word, possible) in met.iter_mut().zip(self.possible(c)) {
                let next = *word >> 63;
                *word = (*word << 1 | carry) & possible;
                carry = next;
            }
            if met[last / 64] >> (last % 64) & 1 == 1 {
                return Some(chars.as_str());
            }
        }
        None
    }

    fn possible(&self, c: char) -> &[u64] {
        match self.by_char.binary_search_by_key(&c, |(known, _)| *known) {
            Ok(at) => &self.by_char[at].1,
            Err(_) => &self.by_other,
        }
    }
}

/// The places that are for any character, and those for this one.
fn bits(places: &[Option<char>], of: Option<char>) -> Vec<u64> {
    let mut bits = vec![0; places.len().div_ceil(64)];
    for (at, place) in places.iter().enumerate() {
        if place.is_none() || *place == of {
            bits[at / 64] |= 1_u64 << (at % 64);
        }
    }
    bits
}
