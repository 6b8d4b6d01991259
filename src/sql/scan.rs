//! Cuts SQL text into pieces, without ever failing.
//!
//! The parser answers "what does this say"; the shell and `${NAME}` need another answer first, and
//! for text that is not finished: where are the comments, strings and names. Pieces cover the text
//! without gaps.

use std::ops::Range;

use super::lexer::dollar_tag;

/// What a [`Piece`] of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// White space.
    Space,
    /// `-- ...` or `/* ... */`; not a hint, whose inside is scanned like other text.
    Comment,
    /// `'...'`.
    String,
    /// `` `...` `` or `"..."`.
    Quoted,
    /// `$$ ... $$`: the code of a function.
    Code,
    /// `12`, `1.5e3`.
    Number,
    /// A keyword or name.
    Word,
    /// `${NAME}` outside of quotes.
    Variable,
    /// Anything else, one character or one of `/*+` and `*/`.
    Symbol,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Bytes of the text.
    pub range: Range<usize>,
    /// False for a string, quoted name, code or comment without its end.
    pub closed: bool,
}

/// Cuts text into pieces.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let (kind, length, closed) = piece(rest, first);
        pieces.push(Piece { kind, range: at..at + length, closed });
        at += length;
    }
    pieces
}

fn piece(rest: &str, first: char) -> (PieceKind, usize, bool) {
    let run =
        |accept: &dyn Fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len()).max(first.len_utf8());
    if first.is_whitespace() {
        (PieceKind::Space, run(&char::is_whitespace), true)
    } else if rest.starts_with("--") {
        (PieceKind::Comment, rest.find('\n').unwrap_or(rest.len()), true)
    } else if rest.starts_with("/*+") {
        (PieceKind::Symbol, 3, true)
    } else if let Some(inside) = rest.strip_prefix("/*") {
        match inside.find("*/") {
            Some(end) => (PieceKind::Comment, end + 4, true),
            None => (PieceKind::Comment, rest.len(), false),
        }
    } else if rest.starts_with("*/") {
        (PieceKind::Symbol, 2, true)
    } else if matches!(first, '\'' | '`' | '"') {
        let kind = if first == '\'' { PieceKind::String } else { PieceKind::Quoted };
        let (length, closed) = quoted(rest, first);
        (kind, length, closed)
    } else if first.is_ascii_digit() {
        (PieceKind::Number, number(rest), true)
    } else if first.is_alphabetic() || first == '_' {
        (PieceKind::Word, run(&|c| c.is_alphanumeric() || c == '_' || c == '$'), true)
    } else if let Some(tag) = dollar_tag(rest) {
        match rest[tag.len()..].find(tag) {
            Some(length) => (PieceKind::Code, 2 * tag.len() + length, true),
            None => (PieceKind::Code, rest.len(), false),
        }
    } else if let Some(found) = placeholder(rest) {
        (PieceKind::Variable, found.length, true)
    } else {
        (PieceKind::Symbol, first.len_utf8(), true)
    }
}

/// Length of a quoted piece; a doubled quote stands for itself.
fn quoted(rest: &str, quote: char) -> (usize, bool) {
    let mut at = 1;
    while let Some(found) = rest[at..].find(quote) {
        at += found + 1;
        if !rest[at..].starts_with(quote) {
            return (at, true);
        }
        at += 1;
    }
    (rest.len(), false)
}

fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

/// A `${NAME}` or `${NAME:-default}` in a text.
pub struct Placeholder<'a> {
    /// The variable.
    pub name: &'a str,
    /// What stands for it when it has no value.
    pub default: Option<&'a str>,
    /// Bytes from `$` to `}`.
    pub length: usize,
}

/// The placeholder that `rest` begins with.
pub fn placeholder(rest: &str) -> Option<Placeholder<'_>> {
    let inside = rest.strip_prefix("${")?;
    let inside = &inside[..inside.find('}')?];
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    is_name(name).then_some(Placeholder { name, default, length: inside.len() + 3 })
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    let first = chars.next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The name of a `${NAME}` that `rest` begins with.
pub fn variable(rest: &str) -> Option<&str> {
    let inside = rest.strip_prefix("${")?;
    let name = &inside[..inside.find('}')?];
    is_name(name).then_some(name)
}

/// Whether a shell may submit the text: nothing is left open, and it ends with a semicolon (behind the
/// END of a statement set), or is a command of the shell. Wrong text counts as complete: it is to be
/// submitted, so that its error is seen.
pub fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('\\') {
        return true;
    }
    // `.help` of other shells: a statement never begins with a point and a letter.
    let mut chars = trimmed.chars();
    if chars.next() == Some('.') && chars.next().is_some_and(char::is_alphabetic) {
        return true;
    }
    if ["quit", "exit", "help", "clear", "q", ":q", "?"].iter().any(|word| trimmed.eq_ignore_ascii_case(word))
    {
        return true;
    }
    let pieces = pieces(text);
    if pieces.iter().any(|p| !p.closed) {
        return false;
    }
    let code: Vec<&str> = pieces
        .iter()
        .filter(|p| !matches!(p.kind, PieceKind::Space | PieceKind::Comment))
        .map(|p| &text[p.range.clone()])
        .collect();
    match code.last() {
        None => true,
        Some(&";") => !open_statement_set(&code),
        Some(_) => false,
    }
}

/// `STATEMENT SET BEGIN` or `BEGIN STATEMENT SET` without `END` behind it.
fn open_statement_set(code: &[&str]) -> bool {
    let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
    let opening = code.windows(3).rposition(|w| {
        (is(w[0], "STATEMENT") && is(w[1], "SET") && is(w[2], "BEGIN"))
            || (is(w[0], "BEGIN") && is(w[1], "STATEMENT") && is(w[2], "SET"))
    });
    match opening {
        Some(at) => !code[at + 3..].windows(2).any(|w| w[0] == ";" && is(w[1], "END")),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(PieceKind, &str)> {
        let all = pieces(text);
        assert_eq!(all.iter().map(|p| &text[p.range.clone()]).collect::<String>(), text, "no gaps");
        all.into_iter()
            .filter(|p| p.kind != PieceKind::Space)
            .map(|p| (p.kind, &text[p.range.clone()]))
            .collect()
    }

    #[test]
    fn text_is_cut() {
        use PieceKind::*;
        assert_eq!(
            kinds("a1 'it''s' `x``y` 1.5e-3 -- c\n/* d */ ${V} é"),
            [
                (Word, "a1"),
                (String, "'it''s'"),
                (Quoted, "`x``y`"),
                (Number, "1.5e-3"),
                (Comment, "-- c"),
                (Comment, "/* d */"),
                (Variable, "${V}"),
                (Word, "é"),
            ]
        );
        assert_eq!(
            kinds("/*+ X('--') */1e"),
            [
                (Symbol, "/*+"),
                (Word, "X"),
                (Symbol, "("),
                (String, "'--'"),
                (Symbol, ")"),
                (Symbol, "*/"),
                (Number, "1"),
                (Word, "e"),
            ]
        );
    }

    #[test]
    fn completeness() {
        for complete in
            ["", "  ", "SELECT 1;", "SELECT 1; -- x", "\\d t", "quit", "SELEC 1;", "-- only", "SELECT ')';"]
        {
            assert!(is_complete(complete), "{complete:?}");
        }
        for open in ["SELECT 1", "SELECT 'a;", "SELECT 1 /* ;", "SELECT `a;", "-- x\nSELECT 1", "a ';'"] {
            assert!(!is_complete(open), "{open:?}");
        }
    }

    #[test]
    fn statement_sets_end_with_end() {
        assert!(!is_complete("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1;"));
        assert!(is_complete("EXECUTE STATEMENT SET BEGIN INSERT INTO a SELECT 1; END;"));
        assert!(!is_complete("BEGIN STATEMENT SET; INSERT INTO a SELECT 1;"));
        assert!(is_complete("BEGIN STATEMENT SET; INSERT INTO a SELECT CASE WHEN x THEN 1 END; END;"));
    }
}
