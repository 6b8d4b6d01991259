//! Text → lexemes: the tokens `sqlparser` wants, with places in the whole script and byte ranges.
//!
//! `sqlparser`'s own tokenizer gives up at the first ill-formed token and reads the literals of a dozen
//! databases (`E'..'`, `"..."` as text). This one never fails: what is ill-formed becomes a
//! lexeme of class [`Class::Bad`] that carries its error, so that one bad statement hides no other
//! and a shell can colour a line that is still being typed.

use std::ops::Range;

use sqlparser::tokenizer::{Location, Span as TokenSpan, Token, TokenWithSpan};

use super::hints::HINT_PREFIX;
use super::match_pattern::PATTERN_PREFIX;
use super::type_parser::TYPE_PREFIX;
use crate::error::{Error, Position, Span};

/// What sort of lexeme it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Class {
    /// A keyword or a name without quotes.
    Word,
    /// A name in backticks.
    Quoted,
    /// A string literal.
    Text,
    /// A number.
    Number,
    /// An operator or punctuation.
    Symbol,
    /// `-- ...` or `/* ... */`.
    Comment,
    /// `/*+ ... */`.
    Hint,
    /// Ill-formed, with the reason; `true` when the text ends inside of it.
    Bad(Error, bool),
}

/// A token with its place.
#[derive(Debug, Clone)]
pub(crate) struct Lexeme {
    pub class: Class,
    /// The token; meaningless for comments, hints and what is bad.
    pub token: Token,
    pub span: Span,
    /// Bytes of the script.
    pub range: Range<usize>,
}

impl Lexeme {
    /// Whether it is this keyword, in any case.
    pub fn is_word(&self, word: &str) -> bool {
        self.word().is_some_and(|w| w.eq_ignore_ascii_case(word))
    }

    /// The word, when it has no quotes.
    pub fn word(&self) -> Option<&str> {
        match (&self.class, &self.token) {
            (Class::Word, Token::Word(w)) => Some(&w.value),
            _ => None,
        }
    }

    /// Whether it is this operator or punctuation.
    pub fn is(&self, token: &Token) -> bool {
        self.class == Class::Symbol && self.token == *token
    }

    /// For `sqlparser`.
    pub fn with_span(&self) -> TokenWithSpan {
        TokenWithSpan::new(self.token.clone(), token_span(self.span))
    }
}

/// A place as `sqlparser` writes it.
pub(crate) fn token_span(span: Span) -> TokenSpan {
    let location = |p: Position| Location::new(p.line.into(), p.column.into());
    TokenSpan::new(location(span.start), location(span.end))
}

/// All lexemes of a text, comments and hints included.
pub(crate) fn lex(text: &str) -> Vec<Lexeme> {
    let mut lexemes = Lexer { text, at: 0, here: Position { line: 1, column: 1 }, end: text.len() }.run();
    super::match_pattern::mark_patterns(&mut lexemes, text);
    lexemes
}

/// The lexemes inside of a hint, with places in the whole script.
pub(crate) fn lex_hint(text: &str, hint: &Lexeme) -> Vec<Lexeme> {
    let mut here = hint.span.start;
    here.column += 3;
    Lexer { text, at: hint.range.start + 3, here, end: hint.range.end - 2 }.run()
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    here: Position,
    end: usize,
}

/// What a scanner found: class and token.
type Found = (Class, Token);

impl<'a> Lexer<'a> {
    fn run(mut self) -> Vec<Lexeme> {
        let mut lexemes = Vec::new();
        loop {
            self.skip_while(char::is_whitespace);
            let (start, at) = (self.here, self.at);
            let Some(c) = self.peek() else { return lexemes };
            let (mut class, token) = self.scan(c);
            let span = Span { start, end: self.here };
            if let Class::Bad(error, _) = &mut class {
                *error = error.clone().at(span);
            }
            lexemes.push(Lexeme { class, token, span, range: at..self.at });
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.here = Position { line: self.here.line.saturating_add(1), column: 1 };
        } else {
            self.here.column = self.here.column.saturating_add(1);
        }
        Some(c)
    }

    fn skip(&mut self, chars: usize) {
        for _ in 0..chars {
            self.bump();
        }
    }

    fn skip_while(&mut self, matches: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&matches) {
            self.bump();
        }
    }

    fn scan(&mut self, c: char) -> Found {
        let rest = self.rest();
        if rest.starts_with("--") {
            self.skip_while(|c| c != '\n');
            return (Class::Comment, Token::EOF);
        }
        if rest.starts_with("/*") {
            return self.block_comment(rest.starts_with("/*+"));
        }
        match c {
            '\'' => self.text_literal(),
            '`' => self.quoted_name(),
            '"' => self.double_quotes(),
            'x' | 'X' if rest[1..].starts_with('\'') => self.hex_literal(),
            'u' | 'U' if rest[1..].starts_with("&'") => self.unicode_literal(),
            '$' if let Some(tag) = dollar_tag(rest) => self.dollar_quoted(tag.len()),
            c if c.is_alphabetic() || c == '_' => {
                let from = self.at;
                self.skip_while(|c| c.is_alphanumeric() || c == '_' || c == '$');
                (Class::Word, Token::make_word(&self.text[from..self.at], None))
            }
            c if c.is_ascii_digit() => self.number(),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            _ => self.symbol(c),
        }
    }

    fn block_comment(&mut self, hint: bool) -> Found {
        match self.rest()[2..].find("*/") {
            Some(length) => {
                let end = self.at + 2 + length + 2;
                while self.at < end {
                    self.bump();
                }
                (if hint && length > 0 { Class::Hint } else { Class::Comment }, Token::EOF)
            }
            None => {
                self.skip_while(|_| true);
                bad_at_end(Error::syntax("the comment is not closed").with_hint("comments end with */"))
            }
        }
    }

    /// What stands between two quotes, doubled ones taken as one; `None` when the text ends before.
    fn quoted(&mut self, quote: char) -> Option<String> {
        self.bump();
        let mut value = String::new();
        while let Some(c) = self.bump() {
            if c != quote {
                value.push(c);
            } else if self.peek() == Some(quote) {
                self.bump();
                value.push(quote);
            } else {
                return Some(value);
            }
        }
        None
    }

    fn text_literal(&mut self) -> Found {
        match self.quoted('\'') {
            Some(value) => (Class::Text, Token::SingleQuotedString(value)),
            None => bad_at_end(
                Error::syntax("the string is not closed")
                    .with_hint("strings end with a quote; a quote inside of one is written twice: 'it''s'"),
            ),
        }
    }

    /// `$$ ... $$` or `$tag$ ... $tag$`: the text between, as it is.
    fn dollar_quoted(&mut self, tag: usize) -> Found {
        let rest = self.rest();
        let (open, inside) = rest.split_at(tag);
        match inside.find(open) {
            Some(length) => {
                let value = inside[..length].to_string();
                let end = self.at + 2 * tag + length;
                while self.at < end {
                    self.bump();
                }
                (Class::Text, Token::SingleQuotedString(value))
            }
            None => {
                let open = open.to_string();
                self.skip_while(|_| true);
                bad_at_end(Error::syntax("the code is not closed").with_hint(format!("it ends with {open}")))
            }
        }
    }

    fn quoted_name(&mut self) -> Found {
        match self.quoted('`') {
            Some(value) if value.is_empty() => bad(Error::syntax("a name is empty")),
            Some(value)
                if [HINT_PREFIX, TYPE_PREFIX, PATTERN_PREFIX].iter().any(|p| value.starts_with(p)) =>
            {
                bad(Error::syntax(format!(
                    "a name may not start with '{HINT_PREFIX}', '{TYPE_PREFIX}' or '{PATTERN_PREFIX}'"
                )))
            }
            Some(value) => (Class::Quoted, Token::make_word(&value, Some('`'))),
            None => bad_at_end(Error::syntax("the quoted name is not closed").with_hint("names end with `")),
        }
    }

    fn double_quotes(&mut self) -> Found {
        let hint = "write 'text' for strings and `name` for names";
        match self.quoted('"') {
            Some(_) => bad(Error::syntax("double quotes are not used in this dialect").with_hint(hint)),
            None => bad_at_end(Error::syntax("double quotes are not used in this dialect").with_hint(hint)),
        }
    }

    fn hex_literal(&mut self) -> Found {
        self.bump();
        match self.quoted('\'') {
            None => bad_at_end(Error::syntax("the binary literal is not closed")),
            Some(value) if value.len() % 2 == 0 && value.bytes().all(|b| b.is_ascii_hexdigit()) => {
                (Class::Text, Token::HexStringLiteral(value))
            }
            Some(_) => bad(Error::syntax("a binary literal needs an even number of hexadecimal digits")),
        }
    }

    /// `U&'d\0061t\+000061' [UESCAPE '!']`
    fn unicode_literal(&mut self) -> Found {
        self.skip(2);
        let Some(raw) = self.quoted('\'') else {
            return bad_at_end(Error::syntax("the string is not closed"));
        };
        let mut escape = '\\';
        let (here, at) = (self.here, self.at);
        self.skip_while(char::is_whitespace);
        if self.rest().get(..7).is_some_and(|w| w.eq_ignore_ascii_case("UESCAPE")) {
            self.skip(7);
            self.skip_while(char::is_whitespace);
            let mut given = match self.peek() {
                Some('\'') => self.quoted('\'').unwrap_or_default(),
                _ => String::new(),
            };
            match (given.pop(), given.is_empty()) {
                (Some(c), true) if !c.is_ascii_hexdigit() && !"+'\" ".contains(c) => escape = c,
                _ => return bad(Error::syntax("UESCAPE needs one character in quotes")),
            }
        } else {
            (self.here, self.at) = (here, at);
        }
        match decode_unicode(&raw, escape) {
            Some(value) => (Class::Text, Token::SingleQuotedString(value)),
            None => bad(Error::syntax("the string has an ill-formed unicode escape")
                .with_hint(format!("write {escape}XXXX or {escape}+XXXXXX with hexadecimal digits"))),
        }
    }

    fn number(&mut self) -> Found {
        let from = self.at;
        let digit = |c: char| c.is_ascii_digit();
        self.skip_while(digit);
        if self.peek() == Some('.') {
            self.bump();
            self.skip_while(digit);
        }
        let mut after = self.rest().chars();
        if matches!(after.next(), Some('e' | 'E')) {
            let sign_or_digit = after.next();
            let signed = matches!(sign_or_digit, Some('+' | '-'));
            let first = if signed { after.next() } else { sign_or_digit };
            if first.is_some_and(digit) {
                self.skip(1 + usize::from(signed));
                self.skip_while(digit);
            }
        }
        (Class::Number, Token::Number(self.text[from..self.at].to_string(), false))
    }

    fn symbol(&mut self, c: char) -> Found {
        let next = self.rest()[c.len_utf8()..].chars().next();
        let (length, token) = match (c, next) {
            ('<', Some('>')) | ('!', Some('=')) => (2, Token::Neq),
            ('<', Some('=')) => (2, Token::LtEq),
            ('>', Some('=')) => (2, Token::GtEq),
            ('=', Some('>')) => (2, Token::RArrow),
            ('|', Some('|')) => (2, Token::StringConcat),
            ('<', _) => (1, Token::Lt),
            ('>', _) => (1, Token::Gt),
            ('=', _) => (1, Token::Eq),
            ('+', _) => (1, Token::Plus),
            ('-', _) => (1, Token::Minus),
            ('*', _) => (1, Token::Mul),
            ('/', _) => (1, Token::Div),
            ('%', _) => (1, Token::Mod),
            ('(', _) => (1, Token::LParen),
            (')', _) => (1, Token::RParen),
            ('[', _) => (1, Token::LBracket),
            (']', _) => (1, Token::RBracket),
            (',', _) => (1, Token::Comma),
            ('.', _) => (1, Token::Period),
            (';', _) => (1, Token::SemiColon),
            (':', Some(':')) => {
                self.skip(2);
                return bad(Error::syntax("'::' is not an operator of this dialect")
                    .with_hint("write CAST(value AS type)"));
            }
            (':', _) => (1, Token::Colon),
            _ => {
                self.bump();
                return bad(Error::syntax(format!(
                    "the character '{}' has no meaning here",
                    c.escape_debug()
                )));
            }
        };
        self.skip(length);
        (Class::Symbol, token)
    }
}

/// The `$$` or `$tag$` that a text starts with.
pub(crate) fn dollar_tag(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('$')?;
    let length = inside.find('$')?;
    let name = &inside[..length];
    let starts = !name.starts_with(|c: char| c.is_ascii_digit());
    let plain = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (starts && plain).then(|| &text[..length + 2])
}

fn bad(error: Error) -> Found {
    (Class::Bad(error, false), Token::EOF)
}

fn bad_at_end(error: Error) -> Found {
    (Class::Bad(error, true), Token::EOF)
}

fn decode_unicode(raw: &str, escape: char) -> Option<String> {
    let mut value = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    let mut high: Option<u32> = None;
    while let Some(c) = chars.next() {
        if c != escape || chars.peek() == Some(&escape) {
            if c == escape {
                chars.next();
            }
            if high.is_some() {
                return None;
            }
            value.push(c);
            continue;
        }
        let digits = if chars.next_if_eq(&'+').is_some() { 6 } else { 4 };
        let mut code = 0;
        for _ in 0..digits {
            code = code * 16 + chars.next()?.to_digit(16)?;
        }
        match (high.take(), code) {
            (None, 0xD800..=0xDBFF) => high = Some(code),
            (Some(h), 0xDC00..=0xDFFF) => {
                value.push(char::from_u32(0x10000 + ((h - 0xD800) << 10) + (code - 0xDC00))?);
            }
            (Some(_), _) => return None,
            (None, _) => value.push(char::from_u32(code)?),
        }
    }
    high.is_none().then_some(value)
}
