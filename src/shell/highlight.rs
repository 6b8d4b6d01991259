//! Colours for what is typed, and the words that have them.

pub use crate::sql::KEYWORDS;
use crate::sql::scan::{PieceKind, pieces};

const RESET: &str = "\u{1b}[0m";

/// Text with colours. `mark` is at the start of continued lines and is drawn as `shown`.
pub fn colored(text: &str, mark: &str, shown: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for piece in pieces(text) {
        let part = &text[piece.range.clone()];
        let style = match piece.kind {
            PieceKind::Comment => "\u{1b}[2m",
            PieceKind::String => "\u{1b}[32m",
            PieceKind::Number => "\u{1b}[36m",
            PieceKind::Variable => "\u{1b}[35m",
            PieceKind::Word if is_keyword(part) => "\u{1b}[1;34m",
            _ => "",
        };
        out.push_str(style);
        if part.contains(mark) {
            out.push_str(&part.replace(mark, &format!("{RESET}\u{1b}[2m{shown}{RESET}{style}")));
        } else {
            out.push_str(part);
        }
        if !style.is_empty() {
            out.push_str(RESET);
        }
    }
    out
}

/// Whether a word is one of [`KEYWORDS`], in any case.
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.binary_search_by(|k| k.bytes().cmp(word.bytes().map(|b| b.to_ascii_uppercase()))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_found() {
        assert!(KEYWORDS.is_sorted());
        assert!(is_keyword("select") && is_keyword("SELECT") && !is_keyword("selects"));
    }

    #[test]
    fn colors() {
        assert_eq!(
            colored("SELECT 'a', 1 -- c", "#", ">"),
            "\u{1b}[1;34mSELECT\u{1b}[0m \u{1b}[32m'a'\u{1b}[0m, \u{1b}[36m1\u{1b}[0m \u{1b}[2m-- c\u{1b}[0m"
        );
        let continued = colored("'a\n#b'", "#", "->");
        assert_eq!(continued, "\u{1b}[32m'a\n\u{1b}[0m\u{1b}[2m->\u{1b}[0m\u{1b}[32mb'\u{1b}[0m");
    }
}
