//! `${NAME}` in what is exported: what may be a secret stays as it is written.
//!
//! A value that `--var` gives, or a default, is put in, unless the option or the variable has the name of a secret. What
//! the environment would give stays: whoever runs the export has an environment of their own.

use std::collections::BTreeSet;

use super::export::Request;
use crate::secret::option::{is_sensitive_name, redacted};
use crate::sql::scan::{PieceKind, Placeholder, pieces, placeholder};

/// The text with the values that may be shown; the names that stay are noted.
pub(super) fn settle(text: &str, request: &Request<'_>, open: &mut BTreeSet<String>) -> String {
    if !text.contains("${") {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    let mut key: Option<String> = None;
    let mut equals = false;
    for piece in pieces(text) {
        let part = &text[piece.range.clone()];
        match piece.kind {
            PieceKind::Space | PieceKind::Comment => out.push_str(part),
            PieceKind::String | PieceKind::Quoted | PieceKind::Variable => {
                let quote = part.chars().next().filter(|c| matches!(c, '\'' | '`'));
                let of = key.take().filter(|_| equals);
                put_in(part, quote, of.as_deref(), request, open, &mut out);
                (key, equals) = (Some(part.trim_matches('\'').to_string()), false);
            }
            PieceKind::Symbol if part == "=" => {
                equals = true;
                out.push_str(part);
            }
            _ => {
                (key, equals) = (None, false);
                out.push_str(part);
            }
        }
    }
    out
}

fn put_in(
    part: &str,
    quote: Option<char>,
    key: Option<&str>,
    request: &Request<'_>,
    open: &mut BTreeSet<String>,
    out: &mut String,
) {
    let mut rest = part;
    while let Some(at) = rest.find("${") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let Some(Placeholder { name, default, length }) = placeholder(rest) else {
            out.push_str("${");
            rest = &rest[2..];
            continue;
        };
        // A URL may have a password in it.
        let is_secret = is_sensitive_name(name)
            || key.is_some_and(|key| redacted(key, "value") != "value" || key.contains(".header."));
        let value = match request.filled || quote.is_none() {
            true => request.variables.value(name),
            false => request.variables.given(name).map(str::to_string).filter(|_| !is_secret),
        };
        let set_elsewhere = value.is_none() && request.variables.value(name).is_some();
        let default = default.filter(|_| !is_secret && !set_elsewhere).map(|d| d.to_string());
        match (value.or(default), quote) {
            (Some(value), Some(quote)) => {
                out.push_str(&value.replace(quote, &format!("{quote}{quote}")));
            }
            (Some(value), None) => out.push_str(&value),
            (None, _) => {
                open.insert(name.to_string());
                out.push_str(&format!("${{{name}}}"));
            }
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
}
