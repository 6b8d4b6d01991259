//! Reads lexemes one after the other, with errors that say what was expected.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use super::lexer::Lexeme;
use super::statement::Name;
use crate::error::{Error, Result, Span};

/// A position in the lexemes of one statement.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    lexemes: &'a [Lexeme],
    at: usize,
    text: &'a str,
}

impl<'a> Cursor<'a> {
    pub fn new(lexemes: &'a [Lexeme], text: &'a str) -> Self {
        Self { lexemes, at: 0, text }
    }

    pub fn peek(&self) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at)
    }

    pub fn peek_at(&self, ahead: usize) -> Option<&'a Lexeme> {
        self.lexemes.get(self.at + ahead)
    }

    pub fn next(&mut self) -> Option<&'a Lexeme> {
        let lexeme = self.lexemes.get(self.at)?;
        self.at += 1;
        Some(lexeme)
    }

    /// Everything that is left; the cursor is at the end then.
    pub fn rest(&mut self) -> &'a [Lexeme] {
        let rest = &self.lexemes[self.at..];
        self.at = self.lexemes.len();
        rest
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.lexemes.len()
    }

    /// Place of the next lexeme, or behind the last one.
    pub fn place(&self) -> Span {
        match self.peek().or(self.lexemes.last()) {
            Some(l) if self.is_done() => Span { start: l.span.end, end: l.span.end },
            Some(l) => l.span,
            None => Span::default(),
        }
    }

    /// The text of some lexemes as written.
    pub fn text_of(&self, lexemes: &[Lexeme]) -> String {
        match (lexemes.first(), lexemes.last()) {
            (Some(first), Some(last)) => self.text[first.range.start..last.range.end].to_string(),
            _ => String::new(),
        }
    }

    /// "expected ..., found ...".
    pub fn expected<T>(&self, what: &str) -> Result<T> {
        let found = match self.peek() {
            Some(l) => format!("found '{}'", &self.text[l.range.clone()]),
            None => "the statement ends".to_string(),
        };
        Err(Error::syntax(format!("expected {what}, {found}")).at(self.place()))
    }

    /// Takes these words if they come next.
    pub fn words(&mut self, words: &str) -> bool {
        let mut ahead = 0;
        for word in words.split(' ') {
            if !self.peek_at(ahead).is_some_and(|l| l.is(word)) {
                return false;
            }
            ahead += 1;
        }
        self.at += ahead;
        true
    }

    pub fn expect_words(&mut self, words: &str) -> Result<()> {
        if self.words(words) { Ok(()) } else { self.expected(words) }
    }

    pub fn takes(&mut self, token: &Token) -> bool {
        let found = self.peek().is_some_and(|l| l.token == *token);
        self.at += usize::from(found);
        found
    }

    pub fn expect(&mut self, token: &Token) -> Result<()> {
        if self.takes(token) { Ok(()) } else { self.expected(&format!("'{token}'")) }
    }

    /// An identifier; words that Flink reserves need backticks.
    pub fn name(&mut self, what: &str) -> Result<Name> {
        const RESERVED: [Keyword; 22] = [
            Keyword::SELECT,
            Keyword::FROM,
            Keyword::WHERE,
            Keyword::WITH,
            Keyword::AS,
            Keyword::TABLE,
            Keyword::PRIMARY,
            Keyword::CONSTRAINT,
            Keyword::LIKE,
            Keyword::ON,
            Keyword::JOIN,
            Keyword::ORDER,
            Keyword::GROUP,
            Keyword::INSERT,
            Keyword::INTO,
            Keyword::CREATE,
            Keyword::TIMESTAMP,
            Keyword::VALUES,
            Keyword::USER,
            Keyword::VALUE,
            Keyword::AND,
            Keyword::OR,
        ];
        let Some(Lexeme { token: Token::Word(word), span, .. }) = self.peek() else {
            return self.expected(what);
        };
        if word.quote_style.is_none() && RESERVED.contains(&word.keyword) {
            return Err(Error::syntax(format!("'{}' is a reserved word, expected {what}", word.value))
                .with_hint(format!("write it in backticks: `{}`", word.value))
                .at(*span));
        }
        if word.value.starts_with('$') {
            return Err(Error::syntax("a name does not start with '$'").at(*span));
        }
        self.at += 1;
        Ok(Name { value: word.value.clone(), span: *span })
    }

    /// A string literal.
    pub fn string(&mut self, what: &str) -> Result<Name> {
        match self.peek() {
            Some(Lexeme {
                token: Token::SingleQuotedString(s) | Token::UnicodeStringLiteral(s),
                span,
                ..
            }) => {
                self.at += 1;
                Ok(Name { value: s.clone(), span: *span })
            }
            _ => self.expected(what),
        }
    }

    /// A whole number.
    pub fn number(&mut self) -> Result<Option<(u64, Span)>> {
        let Some(Lexeme { token: Token::Number(digits, _), span, .. }) = self.peek() else { return Ok(None) };
        let Ok(n) = digits.parse() else { return self.expected("a whole number") };
        self.at += 1;
        Ok(Some((n, *span)))
    }

    /// `( name, name )`.
    pub fn names(&mut self, what: &str) -> Result<Vec<Name>> {
        self.expect(&Token::LParen)?;
        let mut names = vec![self.name(what)?];
        while self.takes(&Token::Comma) {
            names.push(self.name(what)?);
        }
        self.expect(&Token::RParen)?;
        Ok(names)
    }

    /// The lexemes up to a comma or closing parenthesis of this level, or one of these words.
    pub fn until(&mut self, stops: &[&str]) -> &'a [Lexeme] {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(l) = self.peek() {
            match &l.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                Token::Comma if depth == 0 => break,
                _ if depth == 0 && stops.iter().any(|s| l.is(s)) => break,
                _ => {}
            }
            self.at += 1;
        }
        &self.lexemes[start..self.at]
    }
}
