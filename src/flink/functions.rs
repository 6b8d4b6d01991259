//! Functions of users: those in SQL are expanded where they are called, those in Python go as modules of PyFlink.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use sqlparser::ast::Function;
use sqlparser::tokenizer::Token;

use super::edit::Piece;
use super::export::{NoteKind, Request, Work};
use super::python;
use crate::error::{Result, Span};
use crate::function::user::{Implementation, UserFunction};
use crate::sql::{Class, CreateFunction, Lexeme, lex, span_from};

/// Aggregates that Flink has.
const AGGREGATES: &[&str] = &[
    "ARRAY_AGG",
    "AVG",
    "COLLECT",
    "COUNT",
    "CUME_DIST",
    "DENSE_RANK",
    "FIRST_VALUE",
    "JSON_ARRAYAGG",
    "JSON_OBJECTAGG",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "LISTAGG",
    "MAX",
    "MIN",
    "NTILE",
    "PERCENTILE",
    "PERCENT_RANK",
    "RANK",
    "ROW_NUMBER",
    "STDDEV",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "SUM",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
];

/// Functions within functions.
const DEPTH: usize = 32;

/// The functions of the user that an export has met.
#[derive(Debug, Default)]
pub(super) struct Functions {
    /// Those that the file makes, with the index of their statement.
    declared: BTreeMap<String, usize>,
    /// Those in Python that are called.
    python: BTreeMap<String, Arc<UserFunction>>,
    /// The first statement that calls one.
    first: Option<usize>,
}

impl Functions {
    /// A CREATE FUNCTION.
    pub fn declared(&mut self, function: &CreateFunction, part: usize) {
        if let Some(name) = function.name.parts.last() {
            self.declared.insert(name.value.to_ascii_lowercase(), part);
        }
    }

    /// The statement in front of which the functions are made.
    pub fn first(&self) -> Option<usize> {
        self.first
    }

    /// CREATE FUNCTION for what is called, without semicolons.
    pub fn statements(&self) -> Vec<String> {
        self.python.values().map(|f| python::statement(f)).collect()
    }

    /// The modules.
    pub fn files(&self, request: &Request<'_>) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        for function in self.python.values() {
            files.extend(python::files(function, request)?);
        }
        Ok(files)
    }
}

impl Work<'_> {
    /// A call that gives a value.
    pub fn call(&mut self, function: &Function) {
        let [part] = function.name.0.as_slice() else { return };
        let Some(ident) = part.as_ident() else { return };
        let span = span_from(ident.span);
        // What the parser makes of Flink's own grammar has names of ours and no place.
        if ident.value.starts_with('$') || span == Span::default() {
            return;
        }
        let Some(found) = self.called(&ident.value, span, false) else { return };
        let Implementation::Sql(_) = &found.implementation else { return };
        let start = self.script.expanded.range(span).start;
        let Some(at) = self.lexemes.iter().position(|l| l.range.start == start) else { return };
        let Some(close) = self.closing(at + 1) else { return };
        let arguments = arguments(&self.lexemes, at + 1, close);
        let range = self.lexemes[at].range.start..self.lexemes[close].range.end;
        match self.expanded(&found, &arguments) {
            Ok(pieces) => {
                let pieces = pieces
                    .into_iter()
                    .map(|piece| match piece {
                        Piece::Source(part) => Piece::Source(self.bytes(part)),
                        text => text,
                    })
                    .collect();
                let range = self.bytes(range);
                self.edits.build(range, pieces);
                self.how(format!("{}() is its expression", found.name));
            }
            Err((text, hint)) => self.refuse(text, hint, span),
        }
    }

    /// A call by its name: the user's function, if it is one that is expanded. What cannot go is refused.
    pub fn called(&mut self, name: &str, span: Span, in_from: bool) -> Option<Arc<UserFunction>> {
        let planner = self.session.planner();
        let upper = name.to_ascii_uppercase();
        let Ok(Some(function)) = planner.user_functions().find(name) else {
            let is_aggregate = crate::function::aggregate::aggregate_names().contains(&upper);
            if !in_from && is_aggregate && !AGGREGATES.contains(&upper.as_str()) {
                self.refuse(
                    format!("Flink has no aggregate {upper}"),
                    "write it with those that are there, such as COUNT, SUM, AVG, MIN, MAX, PERCENTILE",
                    span,
                );
            }
            return None;
        };
        match &function.implementation {
            Implementation::Sql(_) if !in_from => return Some(function),
            Implementation::Sql(_) | Implementation::SqlQuery(_) => self.refuse(
                format!("function '{name}' is a query, and Flink has no functions in SQL"),
                "put the query in the place of the call, or make a view of it",
                span,
            ),
            Implementation::JavaScript(_) => self.refuse(
                format!("function '{name}' is in JavaScript, which Flink does not run"),
                "write it in SQL (RETURN expression) or in Python (LANGUAGE PYTHON): both go",
                span,
            ),
            Implementation::Inline(code) if code.language() == "WASM" => self.refuse(
                format!("function '{name}' is in WASM, which Flink does not run"),
                "write it in SQL (RETURN expression) or in Python (LANGUAGE PYTHON): both go",
                span,
            ),
            Implementation::Model => {}
            Implementation::Call(callable) if callable.language() == "PYTHON" => {
                if let Some((text, hint)) = python::refused(&function) {
                    self.refuse(text, hint, span);
                } else if self.needs("language of functions", "python", span) {
                    let part = self.parts.len() - 1;
                    let first = &mut self.functions.first;
                    *first = Some(first.map_or(part, |f| f.min(part)));
                    let files = python::names(&function, self.request).join(", ");
                    self.how(format!(
                        "{name}() is a function of PyFlink: {files} goes with the job, by 'python.files'"
                    ));
                    if let Some(lost) = python::lost(&function) {
                        self.note(NoteKind::Lost, lost, None, span);
                    }
                    self.functions.python.insert(name.to_ascii_lowercase(), function);
                }
            }
            _ => self.refuse(
                format!("function '{name}' is of the program, and Flink does not have it"),
                "write it in SQL or in Python",
                span,
            ),
        }
        None
    }

    /// The expression of a function, its parameters replaced by what the call passes.
    fn expanded(
        &mut self,
        function: &Arc<UserFunction>,
        arguments: &[(Option<String>, Range<usize>)],
    ) -> Result<Vec<Piece>, (String, String)> {
        let mut values: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
        for (place, (name, range)) in arguments.iter().enumerate() {
            let parameter = match name {
                Some(name) => function.parameters.iter().find(|p| p.name == *name),
                None => function.parameters.get(place),
            };
            let Some(parameter) = parameter else { continue };
            let text = self.script.expanded.text.get(range.clone()).unwrap_or_default();
            let cast = |text: &str| Piece::Text(text.to_string());
            let value = vec![
                cast("CAST("),
                Piece::Source(range.clone()),
                Piece::Text(format!(" AS {})", parameter.data_type)),
            ];
            let random =
                ["RAND(", "RAND_INTEGER(", "UUID("].iter().any(|f| text.to_ascii_uppercase().contains(f));
            if random && uses(function, &parameter.name) > 1 {
                return Err((
                    format!(
                        "the expression of '{}' has its parameter '{}' more than once, and the call passes a random value",
                        function.name, parameter.name
                    ),
                    "compute the value in a subquery".to_string(),
                ));
            }
            values.insert(parameter.name.clone(), value);
        }
        self.body(function, &values, 0)
    }

    fn body(
        &mut self,
        function: &Arc<UserFunction>,
        values: &BTreeMap<String, Vec<Piece>>,
        depth: usize,
    ) -> Result<Vec<Piece>, (String, String)> {
        let Implementation::Sql(expression) = &function.implementation else {
            return Err((format!("function '{}' is not in SQL", function.name), String::new()));
        };
        if depth > DEPTH {
            return Err((
                format!("functions call each other {DEPTH} deep"),
                "write the expression out".to_string(),
            ));
        }
        let mut values = values.clone();
        for parameter in &function.parameters {
            if let (false, Some(default)) = (values.contains_key(&parameter.name), &parameter.default) {
                let text = format!("CAST({} AS {})", default.text, parameter.data_type);
                values.insert(parameter.name.clone(), vec![Piece::Text(text)]);
            }
        }
        let returns = match &function.returns {
            crate::function::user::Returns::Value(t) => t.to_string(),
            crate::function::user::Returns::Rows(_) => {
                return Err((format!("function '{}' returns rows", function.name), String::new()));
            }
        };
        let text = expression.text.clone();
        let lexemes: Vec<Lexeme> = lex(&text).into_iter().filter(|l| l.class != Class::Comment).collect();
        let mut out = Vec::new();
        if function.strict && !function.parameters.is_empty() {
            out.push(Piece::Text("CASE WHEN ".into()));
            for (index, parameter) in function.parameters.iter().enumerate() {
                out.push(Piece::Text(if index > 0 { " AND ".into() } else { String::new() }));
                out.extend(values.get(&parameter.name).cloned().unwrap_or_default());
                out.push(Piece::Text(" IS NOT NULL".into()));
            }
            out.push(Piece::Text(" THEN ".into()));
        }
        out.push(Piece::Text("CAST((".into()));
        let whole = 0..lexemes.len();
        self.substituted(&text, &lexemes, whole, &values, depth, &mut out)?;
        out.push(Piece::Text(format!(") AS {returns})")));
        if function.strict && !function.parameters.is_empty() {
            out.push(Piece::Text(" END".into()));
        }
        Ok(out)
    }

    /// Lexemes of an expression with the values of parameters, and calls of other functions expanded.
    fn substituted(
        &mut self,
        text: &str,
        lexemes: &[Lexeme],
        range: Range<usize>,
        values: &BTreeMap<String, Vec<Piece>>,
        depth: usize,
        out: &mut Vec<Piece>,
    ) -> Result<(), (String, String)> {
        let mut at = range.start;
        let mut copied = lexemes.get(at).map_or(0, |l| l.range.start);
        let end = lexemes.get(range.end.saturating_sub(1)).map_or(copied, |l| l.range.end);
        let copy = |from: usize, to: usize, out: &mut Vec<Piece>| {
            out.push(Piece::Text(text.get(from..to).unwrap_or_default().to_string()));
        };
        while at < range.end {
            let lexeme = &lexemes[at];
            let name = match (&lexeme.class, &lexeme.token) {
                (Class::Word | Class::Quoted, Token::Word(w)) => Some(w.value.clone()),
                _ => None,
            };
            let called =
                lexemes.get(at + 1).is_some_and(|l| l.is(&Token::LParen)) && lexeme.class == Class::Word;
            let member = at > range.start && lexemes[at - 1].is(&Token::Period);
            match name {
                Some(name) if called && !member => {
                    if let Some(inner) = self.called(&name, Span::default(), false) {
                        let close = closing_of(lexemes, at + 1)
                            .ok_or((format!("call of '{name}'"), String::new()))?;
                        let mut inner_values = BTreeMap::new();
                        for (place, argument) in split(lexemes, at + 1, close).into_iter().enumerate() {
                            let Some(parameter) = inner.parameters.get(place) else { continue };
                            let mut value = vec![Piece::Text("CAST(".into())];
                            self.substituted(text, lexemes, argument, values, depth, &mut value)?;
                            value.push(Piece::Text(format!(" AS {})", parameter.data_type)));
                            inner_values.insert(parameter.name.clone(), value);
                        }
                        copy(copied, lexeme.range.start, out);
                        out.extend(self.body(&inner, &inner_values, depth + 1)?);
                        copied = lexemes[close].range.end;
                        at = close + 1;
                        continue;
                    }
                }
                Some(name) if !member && values.contains_key(&name) => {
                    copy(copied, lexeme.range.start, out);
                    out.extend(values.get(&name).cloned().unwrap_or_default());
                    copied = lexeme.range.end;
                }
                _ => {}
            }
            at += 1;
        }
        copy(copied, end, out);
        Ok(())
    }
}

/// How often an expression names a parameter.
fn uses(function: &UserFunction, name: &str) -> usize {
    let Implementation::Sql(expression) = &function.implementation else { return 0 };
    let is_it =
        |l: &Lexeme| matches!(&l.token, Token::Word(w) if w.value == name && l.class != Class::Comment);
    lex(&expression.text).iter().filter(|l| is_it(l)).count()
}

fn closing_of(lexemes: &[Lexeme], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, lexeme) in lexemes.iter().enumerate().skip(open) {
        if lexeme.is(&Token::LParen) {
            depth += 1;
        } else if lexeme.is(&Token::RParen) {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

/// The arguments between two parentheses, as ranges of lexemes.
fn split(lexemes: &[Lexeme], open: usize, close: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut depth, mut from) = (0usize, open + 1);
    for (at, lexeme) in lexemes.iter().enumerate().take(close).skip(open + 1) {
        match &lexeme.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 => {
                found.push(from..at);
                from = at + 1;
            }
            _ => {}
        }
    }
    if from < close {
        found.push(from..close);
    }
    found
}

/// The arguments as bytes of the text, with the names that they are passed by.
fn arguments(lexemes: &[Lexeme], open: usize, close: usize) -> Vec<(Option<String>, Range<usize>)> {
    let mut found = Vec::new();
    for range in split(lexemes, open, close) {
        let (mut name, mut first) = (None, range.start);
        if let (Some(word), Some(arrow)) = (lexemes.get(first), lexemes.get(first + 1))
            && matches!(arrow.token, Token::RArrow)
            && let Token::Word(w) = &word.token
        {
            name = Some(w.value.clone());
            first += 2;
        }
        if let (Some(from), Some(to)) = (lexemes.get(first), lexemes.get(range.end - 1)) {
            found.push((name, from.range.start..to.range.end));
        }
    }
    found
}
