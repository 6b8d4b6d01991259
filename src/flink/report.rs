//! What `affluent flink check` shows.

use std::fmt::Write as _;

use serde_json::json;

use super::export::{Export, Fate, Note, NoteKind, Part};
use super::import::Import;
use super::target::Target;

fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Taken => "as it is",
        Fate::Translated => "translated",
        Fate::Refused => "cannot go",
    }
}

/// A block for each statement.
fn blocks(parts: &[Part], word: impl Fn(Fate) -> &'static str, out: &mut String) {
    let width = parts.iter().map(|part| place(part).len()).max().unwrap_or(0);
    for part in parts {
        let _ = writeln!(out, "{:width$}  {}: {}", place(part), part.title, word(part.fate));
        for note in &part.notes {
            let sign = match note.kind {
                NoteKind::How => "",
                NoteKind::Lost => "lost: ",
                NoteKind::Refused => "refused: ",
            };
            let at = match note.span == part.span {
                true => String::new(),
                false => format!(" (line {})", note.span.start.line),
            };
            let _ = writeln!(out, "{:width$}    {sign}{}{at}", "", note.text);
            if let Some(hint) = &note.hint {
                let _ = writeln!(out, "{:width$}      {hint}", "");
            }
        }
    }
}

fn statements(count: usize) -> String {
    format!("{count} statement{}", if count == 1 { "" } else { "s" })
}

/// For people: a block for each statement, and a summary.
pub fn text(export: &Export, target: &Target) -> String {
    let mut out = String::new();
    blocks(&export.parts, word, &mut out);
    let _ = writeln!(
        out,
        "{}: {} for Flink {}: {} as {}, {} translated, {} cannot go",
        export.name,
        statements(export.parts.len()),
        target.version,
        export.count(Fate::Taken),
        if export.count(Fate::Taken) == 1 { "it is" } else { "they are" },
        export.count(Fate::Translated),
        export.count(Fate::Refused)
    );
    if !export.jars.is_empty() {
        let jars: Vec<&str> = export.jars.iter().map(String::as_str).collect();
        let _ = writeln!(out, "lib/ of the cluster needs: {}", jars.join("; "));
    }
    if !export.open.is_empty() {
        let names: Vec<String> = export.open.iter().map(|n| format!("${{{n}}}")).collect();
        let _ = writeln!(out, "stays to be put in: {}", names.join(", "));
    }
    out
}

/// For people: what became of a file of Flink's.
pub fn imported(import: &Import) -> String {
    let mut out = String::new();
    let word = |fate| if fate == Fate::Refused { "not here" } else { word(fate) };
    blocks(&import.parts, word, &mut out);
    let _ = writeln!(
        out,
        "{}: {}: {} as they are, {} translated, {} not here",
        import.name,
        statements(import.parts.len()),
        import.count(Fate::Taken),
        import.count(Fate::Translated),
        import.count(Fate::Refused)
    );
    out
}

fn place(part: &Part) -> String {
    format!("{}:{}", part.span.start.line, part.span.start.column)
}

/// For programs: one object for each statement.
pub fn json(export: &Export) -> String {
    json_of(&export.name, &export.parts)
}

/// The same of statements of a file.
pub fn json_of(name: &str, parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        let fate = match part.fate {
            Fate::Taken => "taken",
            Fate::Translated => "translated",
            Fate::Refused => "refused",
        };
        let note = |note: &Note| {
            let kind = match note.kind {
                NoteKind::How => "how",
                NoteKind::Lost => "lost",
                NoteKind::Refused => "refused",
            };
            json!({"kind": kind, "message": note.text, "hint": note.hint, "line": note.span.start.line,
                   "column": note.span.start.column})
        };
        let object = json!({"file": name, "line": part.span.start.line, "column": part.span.start.column,
            "statement": part.title, "fate": fate, "notes": part.notes.iter().map(note).collect::<Vec<_>>(),
            "sql": part.sql});
        let _ = writeln!(out, "{object}");
    }
    out
}
