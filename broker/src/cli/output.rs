//! Results for people and for programs, from one description: a row is a list of names and values.

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, Table, Width, presets};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    // Aligned columns, for people.
    Table,
    // One JSON document.
    Json,
    // One JSON document a line.
    Jsonl,
}

/// Where a field is shown. JSON has them all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A column of lists.
    Column,
    /// Only where one thing is shown by itself.
    Detail,
    /// Only in JSON.
    Data,
}

struct Field {
    name: &'static str,
    value: Value,
    place: Place,
}

/// One thing to show: names, which never change, and values.
#[derive(Default)]
pub struct Row(Vec<Field>);

impl Row {
    /// A row without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field that is a column of lists.
    pub fn column(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.with(Place::Column, name, value)
    }

    /// Adds a field that tables show only where the row is shown by itself.
    pub fn detail(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.with(Place::Detail, name, value)
    }

    /// Adds a field that tables never show.
    pub fn data(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.with(Place::Data, name, value)
    }

    fn with(mut self, place: Place, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push(Field { name, value: value.into(), place });
        self
    }

    /// All fields as one JSON object.
    pub fn json(&self) -> Value {
        Value::Object(
            self.0.iter().map(|field| (field.name.to_owned(), field.value.clone())).collect::<Map<_, _>>(),
        )
    }

    fn columns(&self) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(|field| field.place == Place::Column)
    }

    fn shown_alone(&self) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(|field| field.place != Place::Data)
    }
}

/// Shows rows, all at once or as they come.
pub struct Printer<W> {
    output: Output,
    out: W,
    rows: usize,
    /// Widths of a table's columns so far, so that later parts stand below earlier ones.
    widths: Vec<u16>,
}

impl<W: Write> Printer<W> {
    /// Shows rows on `out`.
    pub fn new(output: Output, out: W) -> Self {
        Printer { output, out, rows: 0, widths: Vec::new() }
    }

    /// Shows one thing by itself.
    pub fn one(&mut self, row: &Row) -> io::Result<()> {
        match self.output {
            Output::Table => self.out.write_all(upright(row).as_bytes()),
            Output::Json => writeln!(self.out, "{:#}", row.json()),
            Output::Jsonl => writeln!(self.out, "{}", row.json()),
        }?;
        self.out.flush()
    }

    /// Shows one thing: a text of several lines to people, a row to programs.
    pub fn told(&mut self, text: &str, row: &Row) -> io::Result<()> {
        if self.output != Output::Table {
            return self.one(row);
        }
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Says that something was done: a sentence to people, a row to programs.
    pub fn done(&mut self, sentence: &str, row: &Row) -> io::Result<()> {
        if self.output != Output::Table {
            return self.one(row);
        }
        writeln!(self.out, "{sentence}")?;
        self.out.flush()
    }

    /// Shows a whole list; `nothing` tells people that it is empty.
    pub fn list(&mut self, rows: &[Row], nothing: &str) -> io::Result<()> {
        self.part(rows)?;
        self.finish(nothing)
    }

    /// Shows the next rows of a list.
    pub fn part(&mut self, rows: &[Row]) -> io::Result<()> {
        match self.output {
            Output::Table => self.table(rows)?,
            Output::Json => self.elements(rows)?,
            Output::Jsonl => rows.iter().try_for_each(|row| writeln!(self.out, "{}", row.json()))?,
        }
        self.rows += rows.len();
        self.out.flush()
    }

    /// Ends a list.
    pub fn finish(&mut self, nothing: &str) -> io::Result<()> {
        match self.output {
            Output::Table if self.rows == 0 => eprintln!("{nothing}"),
            Output::Json if self.rows == 0 => writeln!(self.out, "[]")?,
            Output::Json => writeln!(self.out, "\n]")?,
            Output::Table | Output::Jsonl => {}
        }
        self.out.flush()
    }

    /// Elements of one array, a line each.
    fn elements(&mut self, rows: &[Row]) -> io::Result<()> {
        for (at, row) in rows.iter().enumerate() {
            let before = if self.rows + at == 0 { "[" } else { "," };
            write!(self.out, "{before}\n  {}", row.json())?;
        }
        Ok(())
    }

    fn table(&mut self, rows: &[Row]) -> io::Result<()> {
        let Some(first) = rows.first() else { return Ok(()) };
        let mut table = plain();
        if self.rows == 0 {
            table.set_header(
                first.columns().map(|field| heading(field).set_alignment(alignment(&field.value))),
            );
        }
        table.add_rows(rows.iter().map(|row| row.columns().map(cell).collect::<Vec<_>>()));
        self.widen(&mut table);
        writeln!(self.out, "{}", table.trim_fmt())
    }

    /// Gives the table at least the widths that were shown before, and remembers its own.
    fn widen(&mut self, table: &mut Table) {
        let widths = table.column_max_content_widths();
        self.widths.resize(widths.len(), 0);
        for (index, (known, width)) in self.widths.iter_mut().zip(widths).enumerate() {
            *known = width.max(*known);
            if let Some(column) = table.column_mut(index) {
                column
                    .set_padding((0, GAP))
                    .set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(*known + GAP)));
            }
        }
    }
}

/// So many messages, in words.
pub fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// Blanks between columns.
const GAP: u16 = 2;

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// A row by itself: a line a field.
fn upright(row: &Row) -> String {
    let mut table = plain();
    table.add_rows(row.shown_alone().map(|field| vec![heading(field), Cell::new(text(&field.value))]));
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, GAP));
    });
    table.trim_fmt() + "\n"
}

fn heading(field: &Field) -> Cell {
    Cell::new(field.name.to_uppercase())
}

fn cell(field: &Field) -> Cell {
    Cell::new(text(&field.value)).set_alignment(alignment(&field.value))
}

fn alignment(value: &Value) -> CellAlignment {
    if value.is_number() { CellAlignment::Right } else { CellAlignment::Left }
}

/// A value in a table: one line, nothing that could command the terminal, and not too long.
fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == CELL_CHARS {
            shown.push('…');
            break;
        }
        show(c, &mut shown);
    }
    shown
}

/// A text with nothing in it that could command the terminal, or break the line.
pub fn harmless(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        show(c, &mut shown);
        shown
    })
}

fn show(c: char, shown: &mut String) {
    if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
}

/// Characters of a value that tables show; JSON shows all of it.
const CELL_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, active: u64| {
            Row::new()
                .column("name", name)
                .column("active", active)
                .detail("lock_duration_ms", 60_000)
                .data("kind", "queue")
        };
        vec![row("email-queue", 5), row("q", 1200)]
    }

    fn shown(output: Output, show: impl Fn(&mut Printer<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        show(&mut Printer::new(output, &mut out)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_plain() {
        let table = shown(Output::Table, |printer| printer.list(&rows(), ""));
        assert_eq!(table, "NAME         ACTIVE\nemail-queue       5\nq              1200\n");
    }

    #[test]
    fn later_parts_stand_below_earlier_ones() {
        let rows = rows();
        let table = shown(Output::Table, |printer| {
            printer.part(&rows[..1])?;
            printer.part(&rows[1..])?;
            printer.finish("")
        });
        assert_eq!(table, "NAME         ACTIVE\nemail-queue       5\nq              1200\n");
    }

    #[test]
    fn one_row_stands_upright() {
        let table = shown(Output::Table, |printer| printer.one(&rows()[0]));
        assert_eq!(table, "NAME              email-queue\nACTIVE            5\nLOCK_DURATION_MS  60000\n");
    }

    #[test]
    fn json_is_one_document_with_all_fields_in_order() {
        let first = r#"{"name":"email-queue","active":5,"lock_duration_ms":60000,"kind":"queue"}"#;
        let second = r#"{"name":"q","active":1200,"lock_duration_ms":60000,"kind":"queue"}"#;
        let json = shown(Output::Json, |printer| printer.list(&rows(), ""));
        assert_eq!(json, format!("[\n  {first},\n  {second}\n]\n"));
        assert_eq!(shown(Output::Jsonl, |printer| printer.list(&rows(), "")), format!("{first}\n{second}\n"));
        assert_eq!(shown(Output::Json, |printer| printer.list(&[], "")), "[]\n");
        assert_eq!(shown(Output::Jsonl, |printer| printer.one(&rows()[0])), format!("{first}\n"));
    }

    #[test]
    fn a_cell_is_harmless_and_short() {
        assert_eq!(text(&Value::from("a\u{1b}[2J\nb")), "a\\u{1b}[2J\\nb");
        assert_eq!(text(&Value::from("x".repeat(100))), "x".repeat(80) + "…");
        assert_eq!(text(&Value::Null), "-");
    }
}
