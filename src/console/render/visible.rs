//! Text that is safe to show: nothing that a stream or an API sends may steer the terminal.
//!
//! Control characters become visible pictures of themselves, `␛` for an escape and `↵` for a line
//! feed; characters that reorder or hide their neighbours become `\u{202e}`.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character must not reach a terminal as it is.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The replacement of an unsafe character.
fn push_visible(c: char, out: &mut String) {
    match c {
        '\n' => out.push('↵'),
        '\u{7f}' => out.push('␡'),
        c if (c as u32) < 0x20 => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('␀')),
        c => out.extend(c.escape_unicode()),
    }
}

/// Appends `text` with unsafe characters made visible.
pub fn push_text(text: &str, out: &mut String) {
    if !text.chars().any(is_unsafe) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        if is_unsafe(c) { push_visible(c, out) } else { out.push(c) }
    }
}

/// The same, for text of several lines: line feeds and tabs stay.
pub fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) && !matches!(c, '\n' | '\t') { push_visible(c, &mut out) } else { out.push(c) }
    }
    out
}

/// The same, one character for each, so that columns stay what they are.
pub fn same_columns(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => out.push(c),
            c if is_unsafe(c) => {
                let mut picture = String::new();
                push_visible(c, &mut picture);
                out.push(
                    picture.chars().next().filter(|_| picture.chars().count() == 1).unwrap_or('\u{fffd}'),
                );
            }
            c => out.push(c),
        }
    }
    out
}

/// JSON text in which only ASCII escapes stand for unsafe characters; the same value to a reader.
pub fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if is_unsafe(c) && c != '\n' {
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// CSV text with its line ends, else as [`lines`].
pub fn csv(text: &str) -> String {
    text.split('\n').map(lines).collect::<Vec<_>>().join("\n")
}

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Appends at most `width` columns of `text`, the end replaced by `...` when there is more, and gives
/// the columns used.
pub fn push_cut(text: &str, width: usize, out: &mut String) -> usize {
    let full = text.width();
    if full <= width {
        out.push_str(text);
        return full;
    }
    let dots = width.min(3);
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w > width - dots {
            break;
        }
        out.push(c);
        used += w;
    }
    out.push_str(&"..."[..dots]);
    used + dots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str) -> String {
        let mut out = String::new();
        push_text(input, &mut out);
        out
    }

    #[test]
    fn control_characters_are_seen_not_obeyed() {
        assert_eq!(text("a\u{1b}[31mred\nb\t\u{0}\u{7f}"), "a␛[31mred↵b␉␀␡");
        assert_eq!(text("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(text("x\u{202e}y\u{200b}"), "x\\u{202e}y\\u{200b}");
        assert_eq!(lines("a\n\u{1b}b"), "a\n␛b");
        assert_eq!(same_columns("a\u{1b}\u{9b}b"), "a␛\u{fffd}b");
        assert_eq!(json("{\"a\":\"\u{9b}\u{202e}\"}\n"), "{\"a\":\"\\u009b\\u202e\"}\n");
    }

    #[test]
    fn text_is_cut_by_columns() {
        let cut = |text, width| {
            let mut out = String::new();
            let used = push_cut(text, width, &mut out);
            (out, used)
        };
        assert_eq!(cut("abcdef", 6), ("abcdef".into(), 6));
        assert_eq!(cut("abcdefg", 6), ("abc...".into(), 6));
        assert_eq!(cut("日本語テキスト", 8), ("日本...".into(), 7));
        assert_eq!(cut("abcdef", 2), ("..".into(), 2));
    }
}
