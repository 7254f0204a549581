//! LIKE: `%` is any number of characters, `_` is one.

use std::str::Chars;

enum Piece {
    Many,
    One,
    Exactly(char),
}

/// Whether the whole text is as the pattern says. After `escape`, a character of the pattern stands for itself.
///
/// Takes at most (characters of the text) x (characters of the pattern) steps: only the last `%` ever has to take one
/// character more, since what the pieces before it found can stay where it is.
pub(super) fn is_like(text: &str, pattern: &str, escape: Option<char>) -> bool {
    let mut text = text.chars();
    let mut pattern = pattern.chars();
    let mut retry: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let fits = match piece(&mut pattern, escape) {
            Some(Piece::Many) => {
                retry = Some((text.clone(), pattern.clone()));
                continue;
            }
            Some(Piece::One) => text.next().is_some(),
            Some(Piece::Exactly(wanted)) => text.next() == Some(wanted),
            None if text.as_str().is_empty() => return true,
            None => false,
        };
        if fits {
            continue;
        }
        let Some((after, rest)) = &mut retry else { return false };
        if after.next().is_none() {
            return false;
        }
        text = after.clone();
        pattern = rest.clone();
    }
}

fn piece(pattern: &mut Chars<'_>, escape: Option<char>) -> Option<Piece> {
    Some(match pattern.next()? {
        c if Some(c) == escape => Piece::Exactly(pattern.next()?),
        '%' => Piece::Many,
        '_' => Piece::One,
        c => Piece::Exactly(c),
    })
}

/// Whether every escape character of the pattern has a character behind it.
pub(super) fn is_whole(pattern: &str, escape: char) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c == escape && chars.next().is_none() {
            return false;
        }
    }
    true
}
