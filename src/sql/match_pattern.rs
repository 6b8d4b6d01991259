//! `PATTERN (A B+? C{2,3})` of MATCH_RECOGNIZE: which rows follow which.
//!
//! `sqlparser` reads neither reluctant quantifiers nor WITHIN. The pattern is read here and handed over as one name
//! that carries it; what stands around it keeps its place.

use sqlparser::tokenizer::Token;

use super::cursor::{range_of, span_of};
use super::lexer::{Class, Lexeme};
use crate::error::{Error, Result, Span};

/// Begins the name that carries a pattern.
pub(crate) const PATTERN_PREFIX: &str = "$pattern:";

/// The name under which DEFINE carries the interval of WITHIN.
pub(crate) const WITHIN: &str = "$within";

/// The call that carries a query in front of MATCH_RECOGNIZE.
pub(crate) const ROWS: &str = "$rows";

/// Variables of one pattern, at most.
pub(crate) const MOST_VARIABLES: usize = 63;

/// Rows that a quantifier asks for, at most: each of them is a state of its own.
const MOST_REPEATED: u32 = 1_000;

/// A variable of a pattern with its quantifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PatternElement {
    /// Its name.
    pub variable: String,
    /// Rows that it takes at least.
    pub least: u32,
    /// Rows that it takes at most; `None`: any number.
    pub most: Option<u32>,
    /// As few rows as possible.
    pub reluctant: bool,
}

impl PatternElement {
    /// `A?`, which is neither greedy nor reluctant: both ways are followed.
    pub fn is_optional_once(&self) -> bool {
        self.least == 0 && self.most == Some(1)
    }

    /// It takes rows as long as it can, and leaves them to nobody else.
    pub fn is_greedy(&self) -> bool {
        !self.reluctant && !self.is_optional_once() && self.most != Some(self.least)
    }

    /// As it is written.
    pub fn text(&self) -> String {
        let quantifier = match (self.least, self.most) {
            (1, Some(1)) => String::new(),
            (0, Some(1)) => "?".into(),
            (0, None) => "*".into(),
            (1, None) => "+".into(),
            (least, None) => format!("{{{least},}}"),
            (least, Some(most)) if least == most => format!("{{{least}}}"),
            (least, Some(most)) => format!("{{{least},{most}}}"),
        };
        format!("{}{quantifier}{}", self.variable, if self.reluctant { "?" } else { "" })
    }
}

/// The name that carries a pattern.
pub(crate) fn carrier(elements: &[PatternElement]) -> Result<String> {
    let text = serde_json::to_string(elements).map_err(|e| Error::internal(format!("a pattern: {e}")))?;
    Ok(format!("{PATTERN_PREFIX}{text}"))
}

/// The pattern that a name carries.
pub(crate) fn carried(name: &str) -> Result<Vec<PatternElement>> {
    let text =
        name.strip_prefix(PATTERN_PREFIX).ok_or_else(|| Error::internal("a pattern was not carried"))?;
    serde_json::from_str(text).map_err(|e| Error::internal(format!("a pattern: {e}")))
}

/// Gives the characters that mean something in a pattern alone their meaning there.
pub(super) fn mark_patterns(lexemes: &mut [Lexeme], text: &str) {
    let (mut armed, mut depth) = (false, 0usize);
    for i in 0..lexemes.len() {
        if depth == 0 {
            armed |= lexemes[i].is_word("MATCH_RECOGNIZE");
            if armed && i > 0 && lexemes[i - 1].is_word("PATTERN") && lexemes[i].is(&Token::LParen) {
                (armed, depth) = (false, 1);
            }
            continue;
        }
        let lexeme = &mut lexemes[i];
        if lexeme.is(&Token::LParen) {
            depth += 1;
        } else if lexeme.is(&Token::RParen) {
            depth -= 1;
        } else if let Class::Bad(_, false) = lexeme.class {
            let token = match text.get(lexeme.range.clone()) {
                Some("?") => Token::Placeholder("?".into()),
                Some("$") => Token::Placeholder("$".into()),
                Some("{") => Token::LBrace,
                Some("}") => Token::RBrace,
                Some("^") => Token::Caret,
                Some("|") => Token::Pipe,
                _ => continue,
            };
            (lexeme.class, lexeme.token) = (Class::Symbol, token);
        }
    }
}

/// Reads what stands between the parentheses of PATTERN.
pub(super) fn read_pattern(text: &str, lexemes: &[Lexeme], around: Span) -> Result<Vec<PatternElement>> {
    let mut reader = Reader { text, lexemes, at: 0, around, elements: Vec::new(), spans: Vec::new() };
    reader.concatenation(0)?;
    if reader.at < lexemes.len() {
        return Err(Error::syntax("')' closes nothing").at(lexemes[reader.at].span));
    }
    reader.check()?;
    Ok(reader.elements)
}

struct Reader<'a> {
    text: &'a str,
    lexemes: &'a [Lexeme],
    at: usize,
    around: Span,
    elements: Vec<PatternElement>,
    spans: Vec<Span>,
}

fn unsupported(what: &str) -> Error {
    Error::unsupported(format!("{what} in PATTERN is not supported"))
}

impl Reader<'_> {
    fn eat(&mut self, token: &Token) -> bool {
        let found = self.lexemes.get(self.at).is_some_and(|l| l.is(token));
        self.at += usize::from(found);
        found
    }

    fn is_question(&self) -> bool {
        self.lexemes.get(self.at).is_some_and(|l| l.is(&Token::Placeholder("?".into())))
    }

    fn here(&self) -> Span {
        self.lexemes.get(self.at).map_or(self.around, |l| l.span)
    }

    /// Elements up to a closing parenthesis.
    fn concatenation(&mut self, depth: usize) -> Result<()> {
        const DEPTH: usize = 64;
        if depth > DEPTH {
            return Err(Error::syntax("the pattern is nested too deeply").at(self.here()));
        }
        let first = self.at;
        while let Some(lexeme) = self.lexemes.get(self.at) {
            let span = lexeme.span;
            if lexeme.is(&Token::RParen) {
                break;
            }
            match (&lexeme.class, &lexeme.token) {
                (Class::Symbol, Token::LParen) => {
                    self.at += 1;
                    self.concatenation(depth + 1)?;
                    if !self.eat(&Token::RParen) {
                        return Err(Error::syntax("'(' is not closed").at(span));
                    }
                    let behind = self.here();
                    if self.quantifier()?.is_some() {
                        return Err(unsupported("a quantifier after a group")
                            .with_hint("repeat single variables: A+ B+")
                            .at(behind));
                    }
                }
                (Class::Symbol, Token::Pipe | Token::StringConcat) => {
                    return Err(unsupported("alternation '|'")
                        .with_hint("define one variable with OR: DEFINE A AS A.x = 1 OR A.y = 2")
                        .at(span));
                }
                (Class::Symbol, Token::Caret | Token::Placeholder(_)) => {
                    return Err(unsupported("an anchor '^' or '$'")
                        .with_hint("a stream has no first and no last row that is known")
                        .at(span));
                }
                (Class::Symbol, Token::LBrace) => {
                    return Err(unsupported("exclusion '{- -}'")
                        .with_hint("leave the variable out of MEASURES")
                        .at(span));
                }
                (Class::Word, _) if lexeme.is_word("PERMUTE") && self.is_call() => {
                    return Err(unsupported("PERMUTE")
                        .with_hint("write one query for each order, and UNION ALL")
                        .at(span));
                }
                (Class::Word | Class::Quoted, Token::Word(word)) => {
                    let variable = word.value.clone();
                    self.at += 1;
                    self.element(variable, span)?;
                }
                _ => {
                    let found = self.text.get(lexeme.range.clone()).unwrap_or_default();
                    return Err(
                        Error::syntax(format!("expected a pattern variable, found '{found}'")).at(span)
                    );
                }
            }
        }
        if first == self.at {
            return Err(Error::syntax("the pattern is empty")
                .at(self.here())
                .with_hint("write PATTERN (A B+ C)"));
        }
        Ok(())
    }

    fn is_call(&self) -> bool {
        self.lexemes.get(self.at + 1).is_some_and(|l| l.is(&Token::LParen))
    }

    fn element(&mut self, variable: String, span: Span) -> Result<()> {
        let (least, most) = self.quantifier()?.unwrap_or((1, Some(1)));
        let quantified = (least, most) != (1, Some(1));
        let mark = self.here();
        let reluctant = quantified && self.is_question();
        self.at += usize::from(reluctant);
        if reluctant && (least, most) == (0, Some(1)) {
            return Err(unsupported("a reluctant optional variable").at(mark));
        }
        if self.elements.iter().any(|e| e.variable == variable) {
            return Err(unsupported(&format!("variable '{variable}' twice"))
                .with_hint("give it another name, and define that one alike")
                .at(span));
        }
        let before = self.elements.last().is_some_and(PatternElement::is_greedy);
        // `{0,n}` is let through, as Flink does it.
        if before && least == 0 && matches!(most, None | Some(1)) {
            return Err(unsupported("an optional variable after a greedy one")
                .with_hint("make the one before it reluctant: A+? B*")
                .at(span));
        }
        self.elements.push(PatternElement { variable, least, most, reluctant });
        self.spans.push(span);
        Ok(())
    }

    /// `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`
    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>> {
        if self.eat(&Token::Mul) {
            return Ok(Some((0, None)));
        }
        if self.eat(&Token::Plus) {
            return Ok(Some((1, None)));
        }
        if self.is_question() {
            self.at += 1;
            return Ok(Some((0, Some(1))));
        }
        let open = self.here();
        let exclusion = self.lexemes.get(self.at + 1).is_some_and(|l| l.is(&Token::Minus));
        if exclusion || !self.eat(&Token::LBrace) {
            return Ok(None);
        }
        let least = self.number()?;
        let comma = self.eat(&Token::Comma);
        let most = if comma { self.number()? } else { least };
        let behind = self.here();
        if !self.eat(&Token::RBrace) || (least.is_none() && most.is_none()) {
            return Err(Error::syntax("expected a quantifier such as {2}, {2,} or {2,3}").at(behind));
        }
        let Some(least) = least else {
            return Err(unsupported("a quantifier without its least number")
                .with_hint("write {0,n}")
                .at(open));
        };
        match most {
            Some(0) => Err(Error::plan("a variable that takes no row at all").at(open)),
            Some(most) if most < least => {
                Err(Error::plan(format!("the quantifier takes at least {least} and at most {most} rows"))
                    .at(open))
            }
            Some(n) if n > MOST_REPEATED => Err(too_many(open)),
            _ if least > MOST_REPEATED => Err(too_many(open)),
            _ => Ok(Some((least, most))),
        }
    }

    fn number(&mut self) -> Result<Option<u32>> {
        let Some(lexeme) = self.lexemes.get(self.at) else { return Ok(None) };
        if lexeme.class != Class::Number {
            return Ok(None);
        }
        self.at += 1;
        let text = self.text.get(lexeme.range.clone()).unwrap_or_default();
        match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Error::syntax(format!("'{text}' is no number of rows")).at(lexeme.span)),
        }
    }

    /// What concerns the pattern as a whole.
    fn check(&self) -> Result<()> {
        let all = span_of(self.lexemes).unwrap_or(self.around);
        if self.elements.len() > MOST_VARIABLES {
            return Err(unsupported(&format!("more than {MOST_VARIABLES} variables")).at(all));
        }
        let rows: u64 = self.elements.iter().map(|e| u64::from(e.most.unwrap_or(e.least).max(1))).sum();
        if rows > u64::from(MOST_REPEATED) * 4 {
            return Err(too_many(all));
        }
        if self.elements.iter().all(|e| e.least == 0) {
            return Err(unsupported("a match without any row")
                .with_detail(format!("every variable of '{}' may be missing", self.written()))
                .with_hint("at least one variable takes a row: A+ instead of A*")
                .at(all));
        }
        if let (Some(last), Some(span)) = (self.elements.last(), self.spans.last())
            && last.is_greedy()
        {
            return Err(unsupported("a greedy quantifier at the end")
                .with_detail(format!("'{}' could always take one more row", last.text()))
                .with_hint("end with a plain variable, or with a reluctant quantifier: B+?")
                .at(*span));
        }
        Ok(())
    }

    fn written(&self) -> &str {
        self.text.get(range_of(self.lexemes)).unwrap_or_default()
    }
}

fn too_many(span: Span) -> Error {
    Error::unsupported(format!("a quantifier in PATTERN takes at most {MOST_REPEATED} rows"))
        .with_hint("write {n,} and compare COUNT(A.x) in DEFINE")
        .at(span)
}
