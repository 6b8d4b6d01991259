//! A reader over lexemes: what the statement and type parsers are written with.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::lexer::{Class, Lexeme};
use super::{Name, OptionEntry, TableName};
use crate::error::{Error, Result, Span};

/// Words that begin or separate clauses and so cannot be names without backticks.
const RESERVED: &[&str] = &[
    "ALL",
    "AND",
    "AS",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "FOR",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "PRIMARY",
    "RIGHT",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "UNION",
    "UNIQUE",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Reads a statement from left to right.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    lexemes: &'a [Lexeme],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Over lexemes of a text, without comments.
    pub fn new(text: &'a str, lexemes: &'a [Lexeme]) -> Self {
        Self { text, lexemes, at: 0 }
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The next lexeme.
    pub fn peek(&self) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at)
    }

    /// The lexeme after `n` more.
    pub fn peek_at(&self, n: usize) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at + n)
    }

    /// Takes the next lexeme.
    pub fn next(&mut self) -> Option<&'a Lexeme> {
        let lexeme = self.lexemes.get(self.at)?;
        self.at += 1;
        Some(lexeme)
    }

    /// How many have been taken.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    /// What is left.
    pub fn rest(&self) -> &'a [Lexeme] {
        self.lexemes.get(self.at..).unwrap_or_default()
    }

    /// Takes `n` lexemes.
    pub fn take(&mut self, n: usize) -> &'a [Lexeme] {
        let end = (self.at + n).min(self.lexemes.len());
        let taken = &self.lexemes[self.at..end];
        self.at = end;
        taken
    }

    /// The place of the next lexeme, or just behind the last.
    pub fn here(&self) -> Span {
        match (self.peek(), self.lexemes.last()) {
            (Some(lexeme), _) => lexeme.span,
            (None, Some(last)) => Span { start: last.span.end, end: last.span.end },
            (None, None) => Span::default(),
        }
    }

    /// The place of what was taken since `from`.
    pub fn span_since(&self, from: usize) -> Span {
        span_of(self.lexemes.get(from..self.at).unwrap_or_default()).unwrap_or_else(|| self.here())
    }

    /// Whether the next lexeme is this word.
    pub fn is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|l| l.is_word(word))
    }

    /// Whether the next lexemes are these words.
    pub fn are_words(&self, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, w)| self.peek_at(i).is_some_and(|l| l.is_word(w)))
    }

    /// Takes a word if it is next.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    /// Takes words if all of them are next.
    pub fn eat_words(&mut self, words: &[&str]) -> bool {
        let found = self.are_words(words);
        if found {
            self.at += words.len();
        }
        found
    }

    /// Takes a symbol if it is next.
    pub fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|l| l.is(token));
        self.at += usize::from(found);
        found
    }

    /// Takes a word or says that it was expected.
    pub fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    /// Takes words or says which one was expected.
    pub fn expect_words(&mut self, words: &[&str]) -> Result<()> {
        words.iter().try_for_each(|w| self.expect_word(w))
    }

    /// Takes a symbol or says that it was expected.
    pub fn expect(&mut self, token: &Token) -> Result<()> {
        if self.eat(token) { Ok(()) } else { Err(self.expected(&format!("'{token}'"))) }
    }

    /// An error: this was expected, that was found.
    pub fn expected(&self, what: &str) -> Error {
        match self.peek() {
            Some(Lexeme { class: Class::Bad(error, _), .. }) => error.clone(),
            Some(lexeme) => {
                let error = Error::syntax(format!("expected {what}, found {}", shown(self.text, lexeme)));
                let error = error.at(lexeme.span);
                match what.ends_with("the end of the statement") {
                    true => with_likely_cause(error, self.lexemes, self.at),
                    false => error,
                }
            }
            None => Error::syntax(format!("expected {what}, found the end of the statement")).at(self.here()),
        }
    }

    /// Nothing may follow.
    pub fn expect_end(&self) -> Result<()> {
        if self.is_done() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }

    /// A name.
    pub fn name(&mut self, what: &str) -> Result<Name> {
        let Some(lexeme) = self.peek() else { return Err(self.expected(what)) };
        let Token::Word(word) = &lexeme.token else {
            let error = self.expected(what);
            return Err(match lexeme.class {
                Class::Text => error.with_hint("quote strings with '...', and names with `...`"),
                _ => error,
            });
        };
        if lexeme.class == Class::Word && RESERVED.iter().any(|r| word.value.eq_ignore_ascii_case(r)) {
            return Err(self.expected(what).with_hint(format!(
                "{} is a keyword; as a name it is written `{}`",
                word.value.to_uppercase(),
                word.value
            )));
        }
        self.at += 1;
        Ok(Name { value: word.value.clone(), span: lexeme.span })
    }

    /// `t`, `db.t` or `catalog.db.t`.
    pub fn table_name(&mut self, what: &str) -> Result<TableName> {
        let mut parts = vec![self.name(what)?];
        while self.eat(&Token::Period) {
            parts.push(self.name(what)?);
        }
        let name = TableName { parts };
        if name.parts.len() > 3 {
            return Err(Error::syntax(format!("the name of {what} has more than three parts"))
                .at(name.span())
                .with_hint("a name is table, database.table or catalog.database.table"));
        }
        Ok(name)
    }

    /// A string literal.
    pub fn string(&mut self, what: &str) -> Result<Name> {
        match self.peek() {
            Some(Lexeme { token: Token::SingleQuotedString(value), span, .. }) => {
                self.at += 1;
                Ok(Name { value: value.clone(), span: *span })
            }
            _ => Err(self.expected(&format!("{what} in single quotes"))),
        }
    }

    /// `(a, b, ...)`
    pub fn names(&mut self, what: &str) -> Result<Vec<Name>> {
        self.expect(&Token::LParen)?;
        let mut names = vec![self.name(what)?];
        while self.eat(&Token::Comma) {
            names.push(self.name(what)?);
        }
        self.close_list()?;
        Ok(names)
    }

    /// `('key' = 'value', ...)`
    pub fn options(&mut self) -> Result<Vec<OptionEntry>> {
        self.expect(&Token::LParen)?;
        let mut entries = Vec::new();
        if self.eat(&Token::RParen) {
            return Ok(entries);
        }
        loop {
            let key = self.string("an option's key")?;
            self.expect(&Token::Eq)?;
            let value = self.string("an option's value")?;
            entries.push(OptionEntry { key, value, written: None });
            if !self.eat(&Token::Comma) {
                self.close_list()?;
                return Ok(entries);
            }
        }
    }

    /// The parenthesis behind a list.
    pub fn close_list(&mut self) -> Result<()> {
        if self.eat(&Token::RParen) { Ok(()) } else { Err(self.expected("',' or ')'")) }
    }
}

/// Words that begin a clause of a query.
const CLAUSES: &[&str] = &[
    "CROSS",
    "EXCEPT",
    "FETCH",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEFT",
    "LIMIT",
    "OFFSET",
    "ORDER",
    "PARTITIONED",
    "UNION",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Where a statement should have ended, what stands there instead (at `at`) says what is wrong: a clause's word
/// misspelt, there or just before, taken for a name; a word without its BY; the next statement.
pub(crate) fn with_likely_cause(error: Error, lexemes: &[Lexeme], at: usize) -> Error {
    let word = |i: usize| lexemes.get(i).and_then(Lexeme::word);
    let Some(found) = lexemes.get(at) else { return error };
    if let Some(word) = found.word() {
        if ["GROUP", "ORDER", "PARTITIONED"].iter().any(|w| word.eq_ignore_ascii_case(w)) {
            return error.with_hint(format!("write {} BY", word.to_uppercase()));
        }
        let leads = super::parse::LEADING.iter().any(|lead| word.eq_ignore_ascii_case(lead));
        if leads && !CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause)) {
            return error.with_hint(format!("a ';' is missing before {}", word.to_uppercase()));
        }
    }
    let misspelt = |word: &str| {
        let known = CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause));
        let close = |clause: &&str| strsim::damerau_levenshtein(&word.to_uppercase(), clause) == 1;
        if known || word.len() < 3 { None } else { CLAUSES.iter().copied().find(close) }
    };
    let before = at.checked_sub(1).and_then(word);
    match word(at).and_then(misspelt).or_else(|| before.and_then(misspelt)) {
        Some(near) => error.with_hint(format!("did you mean {near}?")),
        None => error,
    }
}

/// From the first lexeme to the last.
pub(crate) fn span_of(lexemes: &[Lexeme]) -> Option<Span> {
    Some(lexemes.first()?.span.union(lexemes.last()?.span))
}

/// From the first lexeme to the last, in bytes.
pub(crate) fn range_of(lexemes: &[Lexeme]) -> Range<usize> {
    match (lexemes.first(), lexemes.last()) {
        (Some(first), Some(last)) => first.range.start..last.range.end,
        _ => 0..0,
    }
}

/// A lexeme as written, shortened; strings keep their quotes.
pub(crate) fn shown(text: &str, lexeme: &Lexeme) -> String {
    // It may be the value of a secret whose sign was forgotten.
    let text = crate::secret::option::masked(text);
    let written = text.get(lexeme.range.clone()).unwrap_or_default();
    let short: String = match written.char_indices().nth(40) {
        Some((cut, _)) => format!("{}...", &written[..cut]),
        None => written.to_string(),
    };
    let short = short.replace(['\n', '\r'], " ");
    match lexeme.class {
        Class::Symbol => format!("'{short}'"),
        _ => short,
    }
}
