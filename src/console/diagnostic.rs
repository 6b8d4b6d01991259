//! Errors as they are shown, and the exit status they lead to.

use super::output::complain;
use super::render::visible;
use crate::error::{Error, ErrorKind};
use crate::sql::SourceText;
use crate::sql::variables::Script;

/// The pipeline failed.
pub const FAILED: u8 = 1;
/// The SQL or the arguments are wrong.
pub const USAGE: u8 = 2;

/// Exit status after an error of a statement or argument.
pub fn status(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Cancelled => super::interrupt::INTERRUPTED,
        kind if kind.is_usage() => USAGE,
        _ => FAILED,
    }
}

/// Shows an error with its place in the script.
pub fn show(error: &Error, script: &Script, color: bool) {
    complain(text(error, script, color));
}

/// An error with its place in the script, as it is shown.
pub fn text(error: &Error, script: &Script, color: bool) -> String {
    let error = safe(&script.relocate(error.clone()));
    let source = SourceText::new(
        &visible::same_columns(&script.written.name),
        &visible::same_columns(&script.written.text),
    );
    error.render(&source, color).trim_end().to_string()
}

/// Shows an error that has no place in a text.
pub fn show_plain(error: &Error, color: bool) {
    complain(format_args!("{}: {}", crate::error::label(color), safe(error)));
}

/// The same error without anything that could steer a terminal: records and answers of APIs are quoted
/// in errors.
fn safe(error: &Error) -> Error {
    let mut safe = Error::new(error.kind(), visible::lines(error.message()));
    if let Some(detail) = error.detail() {
        safe = safe.with_detail(visible::lines(detail));
    }
    if let Some(hint) = error.hint() {
        safe = safe.with_hint(visible::lines(hint));
    }
    match error.span() {
        Some(span) => safe.at(span),
        None => safe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Span;

    #[test]
    fn exit_status() {
        for (error, expected) in [
            (Error::syntax("x"), 2),
            (Error::plan("x"), 2),
            (Error::option("x"), 2),
            (Error::unsupported("x"), 2),
            (Error::io("x"), 1),
            (Error::decode("x"), 1),
            (Error::lookup("x"), 1),
            (Error::execution("x"), 1),
            (Error::internal("x"), 1),
            (Error::cancelled(), 130),
        ] {
            assert_eq!(status(&error), expected, "{error:?}");
        }
    }

    #[test]
    fn the_place_is_marked() {
        let source = SourceText::new("p.sql", "SELECT 1;\nSELECT '日本', nope FROM t");
        let error = Error::plan("column 'nope' is not known")
            .with_hint("did you mean 'note'?")
            .at(Span::new((2, 14), (2, 18)));
        let expected = "\
error: column 'nope' is not known
 --> p.sql:2:14
  |
2 | SELECT '日本', nope FROM t
  |                ^^^^
  |
  = help: did you mean 'note'?";
        assert_eq!(error.render(&source, false), expected);
    }

    #[test]
    fn errors_do_not_steer_the_terminal() {
        let error = Error::decode("bad \u{1b}[2J").with_detail("a\nb\u{9b}").with_hint("\u{7}");
        let shown = safe(&error);
        assert_eq!(shown.to_string(), "bad ␛[2J\n  detail: a\nb\\u{9b}\n  hint: ␇");
    }
}
