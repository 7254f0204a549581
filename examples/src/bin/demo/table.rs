//! The table at the end.

use crate::check::Line;
use crate::play::Played;
use comfy_table::{CellAlignment, Table, presets};

/// Draws it.
pub fn render(played: &Played, lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(["", "found", "expected", ""]);
    for line in lines {
        let expected = line.expected.map(grouped).unwrap_or_default();
        let mark = if line.is_right() { "" } else { "WRONG" };
        table.add_row([line.what.clone(), grouped(line.found), expected, mark.to_owned()]);
    }
    let seconds = played.time.as_secs_f64();
    let rate = played.evidence.orders.len() as f64 / seconds;
    table.add_row(["time", &format!("{seconds:.2} s")]);
    let away = format!("{:.2} s", played.away.as_secs_f64());
    table.add_row([&format!("  without a broker, killed {} x", played.kills), &away]);
    table.add_row(["rate", &format!("{} orders/s", grouped(rate as usize))]);
    for column in 1..=2 {
        table.column_mut(column).into_iter().for_each(|column| {
            column.set_cell_alignment(CellAlignment::Right);
        });
    }
    table
}

/// A number with a comma between each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(
            [0, 999, 1_000, 100_000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "100,000", "1,234,567"]
        );
    }
}
