//! The values of a sample, each as text, with its line.

use super::decoder::begins_document;
use super::message::EXCERPT;
use super::scan::{Fault, Text};

/// The records of a sample, each on its line: elements of arrays count one by one. What is wrong ends it: the line
/// and what was expected. The last record may be cut off when `cut`.
pub(in crate::format) fn sample_values(sample: &[u8], cut: bool) -> Result<Vec<(u64, &str)>, (u64, String)> {
    let text = match std::str::from_utf8(sample) {
        Ok(text) => text,
        Err(e) if e.error_len().is_none() => {
            std::str::from_utf8(&sample[..e.valid_up_to()]).unwrap_or_default()
        }
        Err(e) => {
            let before = &sample[..e.valid_up_to()];
            return Err((newlines(before) + 1, "bytes that are not UTF-8".into()));
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut values = Vec::new();
    if begins_document(text.as_bytes(), !cut) == Some(true) {
        collect(Text::document(text), 1, cut, &mut values)?;
        return Ok(values);
    }
    let lines: Vec<&str> = text.split('\n').collect();
    let whole = if cut && lines.len() > 1 { lines.len() - 1 } else { lines.len() };
    for (number, line) in lines[..whole].iter().enumerate() {
        collect(Text::lines(line), number as u64 + 1, cut && lines.len() == 1, &mut values)?;
    }
    Ok(values)
}

fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn collect<'a>(
    text: Text<'a>,
    line: u64,
    cut: bool,
    values: &mut Vec<(u64, &'a str)>,
) -> Result<(), (u64, String)> {
    let end = text.bytes().len();
    let line_of = |at: usize| line + newlines(&text.bytes()[..at.min(end)]);
    let wrong = |fault: &Fault| {
        let found: String = text.part(fault.at.min(end), end).chars().take(EXCERPT).collect();
        let found = found.lines().next().unwrap_or_default().to_string();
        let found = if found.is_empty() { "the end".into() } else { found };
        (line_of(fault.at), format!("not JSON: expected {}, found {found}", fault.expected))
    };
    let mut at = text.skip_space(0);
    let mut in_array = false;
    while at < end {
        match text.peek(at) {
            b'[' if !in_array => (in_array, at) = (true, at + 1),
            b']' if in_array => (in_array, at) = (false, at + 1),
            b',' if in_array => at += 1,
            _ => match text.value_end(at) {
                Ok(next) => {
                    values.push((line_of(at), text.part(at, next)));
                    at = next;
                }
                Err(fault) if cut && fault.at >= end => return Ok(()),
                Err(fault) => return Err(wrong(&fault)),
            },
        }
        at = text.skip_space(at);
    }
    if in_array && !cut {
        return Err(wrong(&Fault::syntax(end, "',' or ']'")));
    }
    Ok(())
}
