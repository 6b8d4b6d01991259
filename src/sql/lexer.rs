//! Tokens with their places, comments left out, hints kept.

use std::ops::Range;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use super::dialect::FlinkDialect;
use crate::error::{Error, Result, Span};

/// A token, its place, and its bytes in the text.
#[derive(Debug, Clone)]
pub struct Lexeme {
    /// The token; a hint is the comment that carries it.
    pub token: Token,
    /// Place.
    pub span: Span,
    /// Bytes.
    pub range: Range<usize>,
}

impl Lexeme {
    /// The text of a hint, without `/*+` and `*/`.
    pub fn hint(&self) -> Option<&str> {
        match &self.token {
            Token::Whitespace(Whitespace::MultiLineComment(text)) => text.strip_prefix('+'),
            _ => None,
        }
    }

    /// An unquoted word equal to `keyword`, which is upper case.
    pub fn is(&self, keyword: &str) -> bool {
        matches!(&self.token, Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(keyword))
    }

    /// The same for `sqlparser`, somewhere in the same place.
    pub fn with_token(&self, token: Token) -> TokenWithSpan {
        let location = |p: crate::error::Position| {
            sqlparser::tokenizer::Location::new(u64::from(p.line), u64::from(p.column))
        };
        TokenWithSpan {
            token,
            span: sqlparser::tokenizer::Span::new(location(self.span.start), location(self.span.end)),
        }
    }
}

/// A word token that no keyword matches.
pub fn quoted_word(value: String) -> Token {
    Token::Word(Word { value, quote_style: Some('`'), keyword: Keyword::NoKeyword })
}

/// Byte offsets of the lines of a text.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { text, starts }
    }

    /// The byte offset of a line and column, both from 1.
    fn offset(&self, line: u64, column: u64) -> usize {
        let Some(&start) = self.starts.get((line as usize).saturating_sub(1)) else { return self.text.len() };
        let rest = &self.text[start..];
        rest.char_indices()
            .nth((column as usize).saturating_sub(1))
            .map_or(self.text.len(), |(i, _)| start + i)
    }
}

/// Cuts a text into tokens.
pub fn lex(text: &str) -> Result<Vec<Lexeme>> {
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize_with_location().map_err(|e| {
        let (line, column) = (e.location.line as u32, e.location.column as u32);
        let error = Error::syntax(e.message.to_lowercase()).at(Span::new((line, column), (line, column + 1)));
        if e.message.contains("Unterminated") { error.with_hint("close the quote or comment") } else { error }
    })?;
    let lines = Lines::new(text);
    let mut lexemes = Vec::with_capacity(tokens.len() / 2);
    for TokenWithSpan { token, span } in tokens {
        let is_hint =
            matches!(&token, Token::Whitespace(Whitespace::MultiLineComment(c)) if c.starts_with('+'));
        if matches!(token, Token::Whitespace(_) | Token::EOF) && !is_hint {
            continue;
        }
        let start = lines.offset(span.start.line, span.start.column);
        let end = lines.offset(span.end.line, span.end.column);
        let place = Span::new(
            (span.start.line as u32, span.start.column as u32),
            (span.end.line as u32, span.end.column as u32),
        );
        if matches!(token, Token::DoubleQuotedString(_) | Token::Char('"')) {
            return Err(Error::syntax("'\"' does not start a string or name here")
                .with_hint("strings stand in single quotes, names in backticks")
                .at(place));
        }
        lexemes.push(Lexeme { token, span: place, range: start..end });
    }
    Ok(lexemes)
}
