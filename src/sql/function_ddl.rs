//! CREATE, DROP and ALTER FUNCTION, in the spellings of Flink, PostgreSQL and RisingWave: behind the name and the
//! parameters, the clauses come in any order.

use sqlparser::tokenizer::Token;

use super::cursor::{Cursor, range_of};
use super::lexer::{Class, Lexeme, dollar_tag};
use super::query::{expression_length, read_expression, read_query};
use super::type_parser::read_type;
use super::{
    CreateFunction, DropFunction, FunctionBody, FunctionParameter, FunctionReturns, Name, StatementKind,
};
use crate::error::{Error, Position, Result};
use crate::nearest::nearest;

/// Prefix of the names of models among those of functions; the name of a function never has it.
pub const MODEL_PREFIX: &str = "model:";

/// The name of a model among the functions.
pub fn model_key(name: &str) -> String {
    format!("{MODEL_PREFIX}{name}")
}

/// Words that begin a clause behind the parameters.
const CLAUSES: &[&str] = &[
    "AS",
    "CALLED",
    "COMMENT",
    "DETERMINISTIC",
    "IMMUTABLE",
    "LANGUAGE",
    "NOT",
    "RETURN",
    "RETURNS",
    "STABLE",
    "STRICT",
    "USING",
    "VOLATILE",
    "WITH",
];

/// Whether a CREATE, DROP or ALTER is about a function.
pub(crate) fn is_function(cursor: &Cursor<'_>) -> bool {
    let mut cursor = cursor.clone();
    cursor.next();
    cursor.eat_words(&["OR", "REPLACE"]);
    if cursor.eat_word("TEMPORARY") {
        cursor.eat_word("SYSTEM");
    }
    cursor.eat_word("AGGREGATE");
    cursor.is_word("FUNCTION") || cursor.is_word("MODEL")
}

/// `CREATE ... FUNCTION ...`
pub(crate) fn read_create(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    let from = cursor.position();
    cursor.expect_word("CREATE")?;
    let or_replace = cursor.eat_words(&["OR", "REPLACE"]);
    let temporary = cursor.eat_word("TEMPORARY");
    let system = temporary && cursor.eat_word("SYSTEM");
    if !system && cursor.is_word("MODEL") {
        return model(cursor, from, or_replace, temporary);
    }
    let aggregate = cursor.eat_word("AGGREGATE");
    cursor.expect_word("FUNCTION")?;
    let if_not_exists = cursor.is_word("IF");
    if if_not_exists {
        cursor.expect_words(&["IF", "NOT", "EXISTS"])?;
    }
    let name = cursor.table_name("the function's name")?;
    let mut function = CreateFunction {
        name,
        or_replace,
        temporary,
        system,
        aggregate,
        if_not_exists,
        parameters: None,
        returns: None,
        body: None,
        language: None,
        deterministic: None,
        strict: None,
        using: Vec::new(),
        comment: None,
        options: Vec::new(),
        span: Default::default(),
    };
    if cursor.eat(&Token::LParen) {
        function.parameters = Some(parameters(cursor)?);
    }
    while !cursor.is_done() {
        clause(cursor, &mut function)?;
    }
    function.span = cursor.span_since(from);
    Ok(StatementKind::CreateFunction(Box::new(function)))
}

/// `CREATE MODEL m INPUT (column type, ...) OUTPUT (column type, ...) [COMMENT '...'] WITH (...)`: a function in
/// the language of models.
fn model(cursor: &mut Cursor<'_>, from: usize, or_replace: bool, temporary: bool) -> Result<StatementKind> {
    cursor.expect_word("MODEL")?;
    let if_not_exists = cursor.is_word("IF");
    if if_not_exists {
        cursor.expect_words(&["IF", "NOT", "EXISTS"])?;
    }
    let name = cursor.table_name("the model's name")?;
    let language = Some(Name { value: "MODEL".to_string(), span: name.span() });
    let mut function = CreateFunction {
        name,
        or_replace,
        temporary,
        system: false,
        aggregate: false,
        if_not_exists,
        parameters: None,
        returns: None,
        body: None,
        language,
        deterministic: None,
        strict: None,
        using: Vec::new(),
        comment: None,
        options: Vec::new(),
        span: Default::default(),
    };
    cursor.expect_word("INPUT")?;
    cursor.expect(&Token::LParen)?;
    let inputs = columns(cursor)?;
    let parameter = |(name, data_type)| FunctionParameter { name: Some(name), data_type, default: None };
    function.parameters = Some(inputs.into_iter().map(parameter).collect());
    cursor.expect_word("OUTPUT")?;
    cursor.expect(&Token::LParen)?;
    let outputs = columns(cursor)?.into_iter().map(|(name, t)| (name.value, t)).collect();
    function.returns = Some(FunctionReturns::Value(super::SqlType::Row(outputs)));
    if cursor.eat_word("COMMENT") {
        function.comment = Some(cursor.string("the comment")?.value);
    }
    cursor.expect_word("WITH")?;
    function.options = options(cursor)?;
    if !cursor.is_done() {
        return Err(cursor.expected("the end of the statement"));
    }
    function.span = cursor.span_since(from);
    Ok(StatementKind::CreateFunction(Box::new(function)))
}

/// A model by its name among the functions.
pub(crate) fn model_name(cursor: &mut Cursor<'_>) -> Result<super::TableName> {
    let mut name = cursor.table_name("a model's name")?;
    if let Some(last) = name.parts.last_mut() {
        last.value = model_key(&last.value);
    }
    Ok(name)
}

/// `DROP [TEMPORARY [SYSTEM]] [AGGREGATE] FUNCTION [IF EXISTS] name`
pub(crate) fn read_drop(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("DROP")?;
    if cursor.eat_word("TEMPORARY") {
        cursor.eat_word("SYSTEM");
    }
    let model = cursor.is_word("MODEL");
    if model {
        cursor.next();
    } else {
        cursor.eat_word("AGGREGATE");
        cursor.expect_word("FUNCTION")?;
    }
    let if_exists = cursor.is_word("IF");
    if if_exists {
        cursor.expect_words(&["IF", "EXISTS"])?;
    }
    if model {
        return Ok(StatementKind::DropFunction(DropFunction { name: model_name(cursor)?, if_exists }));
    }
    let name = cursor.table_name("a function's name")?;
    Ok(StatementKind::DropFunction(DropFunction { name, if_exists }))
}

/// `ALTER FUNCTION name RELOAD`
pub(crate) fn read_alter(cursor: &mut Cursor<'_>) -> Result<StatementKind> {
    cursor.expect_word("ALTER")?;
    if cursor.eat_word("TEMPORARY") {
        cursor.eat_word("SYSTEM");
    }
    if cursor.is_word("MODEL") {
        return Err(Error::unsupported("ALTER MODEL is not supported")
            .with_hint("CREATE OR REPLACE MODEL changes a model")
            .at(cursor.here()));
    }
    cursor.expect_word("FUNCTION")?;
    let name = cursor.table_name("a function's name")?;
    if !cursor.eat_word("RELOAD") {
        return Err(cursor.expected("RELOAD").with_hint("CREATE OR REPLACE FUNCTION changes a function"));
    }
    Ok(StatementKind::ReloadFunction(name))
}

fn parameters(cursor: &mut Cursor<'_>) -> Result<Vec<FunctionParameter>> {
    let mut parameters: Vec<FunctionParameter> = Vec::new();
    if cursor.eat(&Token::RParen) {
        return Ok(parameters);
    }
    loop {
        // PostgreSQL's form has types alone: a word that ends the parameter is one.
        let alone = cursor.peek_at(1).is_none_or(|l| {
            l.is(&Token::Comma) || l.is(&Token::RParen) || l.is(&Token::LParen) || l.is(&Token::Lt)
        });
        let name = match alone {
            true => None,
            false => Some(cursor.name("a parameter's name")?),
        };
        let data_type = read_type(cursor)?;
        let default = match cursor.eat_word("DEFAULT") || cursor.eat(&Token::Eq) {
            true => {
                let length = expression_length(cursor.rest());
                let behind = cursor.here();
                Some(read_expression(cursor.text(), cursor.take(length), behind)?)
            }
            false => None,
        };
        if let Some(name) = &name
            && parameters.iter().flat_map(|p| &p.name).any(|p| p.value == name.value)
        {
            return Err(
                Error::plan(format!("the parameter '{}' is declared twice", name.value)).at(name.span)
            );
        }
        parameters.push(FunctionParameter { name, data_type, default });
        if !cursor.eat(&Token::Comma) {
            cursor.close_list()?;
            return Ok(parameters);
        }
    }
}

fn clause(cursor: &mut Cursor<'_>, function: &mut CreateFunction) -> Result<()> {
    let word = cursor.peek().and_then(Lexeme::word).unwrap_or_default().to_ascii_uppercase();
    let place = cursor.here();
    let twice = |set: bool, what: &str| match set {
        true => Err(Error::syntax(format!("{what} is given twice")).at(place)),
        false => Ok(()),
    };
    match word.as_str() {
        "RETURNS" if cursor.eat_words(&["RETURNS", "NULL", "ON", "NULL", "INPUT"]) => {
            twice(function.strict.is_some(), "what NULL arguments do")?;
            function.strict = Some(true);
        }
        "RETURNS" => {
            cursor.next();
            twice(function.returns.is_some(), "RETURNS")?;
            function.returns = Some(returns(cursor)?);
        }
        "AS" => {
            cursor.next();
            twice(function.body.is_some(), "the function's body")?;
            function.body = Some(code(cursor)?);
        }
        "RETURN" => {
            cursor.next();
            twice(function.body.is_some(), "the function's body")?;
            function.body = Some(returned(cursor)?);
        }
        "LANGUAGE" => {
            cursor.next();
            twice(function.language.is_some(), "LANGUAGE")?;
            function.language = Some(cursor.name("a language")?);
        }
        "DETERMINISTIC" | "IMMUTABLE" => {
            cursor.next();
            twice(function.deterministic.is_some(), "whether the function is deterministic")?;
            function.deterministic = Some(true);
        }
        "STABLE" | "VOLATILE" => {
            cursor.next();
            twice(function.deterministic.is_some(), "whether the function is deterministic")?;
            function.deterministic = Some(false);
        }
        "NOT" => {
            cursor.next();
            cursor.expect_word("DETERMINISTIC")?;
            twice(function.deterministic.is_some(), "whether the function is deterministic")?;
            function.deterministic = Some(false);
        }
        "STRICT" => {
            cursor.next();
            twice(function.strict.is_some(), "what NULL arguments do")?;
            function.strict = Some(true);
        }
        "CALLED" => {
            cursor.expect_words(&["CALLED", "ON", "NULL", "INPUT"])?;
            twice(function.strict.is_some(), "what NULL arguments do")?;
            function.strict = Some(false);
        }
        "USING" => {
            cursor.next();
            twice(!function.using.is_empty(), "USING")?;
            function.using = files(cursor)?;
        }
        "COMMENT" => {
            cursor.next();
            function.comment = Some(cursor.string("the comment")?.value);
        }
        "WITH" => {
            cursor.next();
            twice(!function.options.is_empty(), "WITH")?;
            function.options = options(cursor)?;
        }
        _ => {
            let error = cursor.expected("a clause of CREATE FUNCTION or the end of the statement");
            return Err(match nearest(&word, CLAUSES.iter().copied()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint(format!("the clauses are {}", CLAUSES.join(", "))),
            });
        }
    }
    Ok(())
}

fn returns(cursor: &mut Cursor<'_>) -> Result<FunctionReturns> {
    if !cursor.is_word("TABLE") {
        return read_type(cursor).map(FunctionReturns::Value);
    }
    cursor.next();
    cursor.expect(&Token::LParen)?;
    columns(cursor).map(FunctionReturns::Rows)
}

/// `column type, ...)`
fn columns(cursor: &mut Cursor<'_>) -> Result<Vec<(Name, super::SqlType)>> {
    let mut columns: Vec<(Name, _)> = Vec::new();
    loop {
        let name = cursor.name("a column's name")?;
        if columns.iter().any(|(other, _)| other.value == name.value) {
            return Err(Error::plan(format!("column '{}' is declared twice", name.value)).at(name.span));
        }
        columns.push((name, read_type(cursor)?));
        if !cursor.eat(&Token::Comma) {
            cursor.close_list()?;
            return Ok(columns);
        }
    }
}

/// `'identifier'` or `$$ code $$`.
fn code(cursor: &mut Cursor<'_>) -> Result<FunctionBody> {
    let written = cursor.peek().filter(|l| l.class == Class::Text);
    let tag = written.and_then(|l| dollar_tag(cursor.text().get(l.range.clone())?));
    match (written, tag) {
        (Some(lexeme), Some(tag)) => {
            let Position { line, column } = lexeme.span.start;
            let start = Position { line, column: column + tag.chars().count() as u32 };
            cursor.string("the function's code").map(|text| FunctionBody::Code { text: text.value, start })
        }
        _ => cursor
            .string("an identifier")
            .map(FunctionBody::Identifier)
            .map_err(|e| e.with_hint("code is written between dollars: AS $$ ... $$")),
    }
}

/// `RETURN expression`, up to a word that begins another clause.
fn returned(cursor: &mut Cursor<'_>) -> Result<FunctionBody> {
    let length = returned_length(cursor.rest());
    let behind = cursor.here();
    let text = cursor.text();
    let lexemes = cursor.take(length);
    let is_query = lexemes.iter().find(|l| !l.is(&Token::LParen));
    let is_query = is_query.is_some_and(|l| ["SELECT", "WITH", "VALUES"].iter().any(|w| l.is_word(w)));
    if is_query {
        let written = text.get(range_of(lexemes)).unwrap_or_default().to_string();
        let query = read_query(&mut Cursor::new(text, lexemes))?;
        return Ok(FunctionBody::Query { query, text: written });
    }
    read_expression(text, lexemes, behind).map(|e| FunctionBody::Expression(Box::new(e)))
}

fn returned_length(lexemes: &[Lexeme]) -> usize {
    let mut depth = 0usize;
    let next_is = |i: usize, word: &str| lexemes.get(i + 1).is_some_and(|l| l.is_word(word));
    for (i, lexeme) in lexemes.iter().enumerate() {
        match &lexeme.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ if depth > 0 || i == 0 => {}
            _ => {
                let options = || {
                    lexemes.get(i + 1).is_some_and(|l| l.is(&Token::LParen))
                        && lexemes.get(i + 2).is_some_and(|l| l.class == Class::Text)
                };
                let word = lexeme.word().unwrap_or_default().to_ascii_uppercase();
                let ends = match word.as_str() {
                    "LANGUAGE" => lexemes.get(i + 1).is_some_and(|l| l.class == Class::Word),
                    "NOT" => next_is(i, "DETERMINISTIC"),
                    "CALLED" => next_is(i, "ON"),
                    "RETURNS" => true,
                    "WITH" => options(),
                    "DETERMINISTIC" | "IMMUTABLE" | "STABLE" | "VOLATILE" | "STRICT" => true,
                    "COMMENT" => lexemes.get(i + 1).is_some_and(|l| l.class == Class::Text),
                    _ => false,
                };
                if ends {
                    return i;
                }
            }
        }
    }
    lexemes.len()
}

/// `{FILE | ARTIFACT | LINK | JAR} 'path', ...`
fn files(cursor: &mut Cursor<'_>) -> Result<Vec<(Name, Name)>> {
    const KINDS: [&str; 4] = ["FILE", "ARTIFACT", "LINK", "JAR"];
    let mut files = Vec::new();
    loop {
        let span = cursor.here();
        let Some(kind) = KINDS.iter().find(|kind| cursor.eat_word(kind)) else {
            return Err(cursor.expected("FILE, ARTIFACT, LINK or JAR and a path"));
        };
        files.push((Name { value: kind.to_string(), span }, cursor.string("a path")?));
        if !cursor.eat(&Token::Comma) {
            return Ok(files);
        }
    }
}

/// `('key' = 'value', ...)`; RisingWave's keys have no quotes, and its values may be words and numbers.
fn options(cursor: &mut Cursor<'_>) -> Result<Vec<super::OptionEntry>> {
    cursor.expect(&Token::LParen)?;
    let mut entries = Vec::new();
    if cursor.eat(&Token::RParen) {
        return Ok(entries);
    }
    loop {
        let key = option_word(cursor, "an option's key")?;
        cursor.expect(&Token::Eq)?;
        let value = option_word(cursor, "an option's value")?;
        entries.push(super::OptionEntry { key, value, written: None });
        if !cursor.eat(&Token::Comma) {
            cursor.close_list()?;
            return Ok(entries);
        }
    }
}

fn option_word(cursor: &mut Cursor<'_>, what: &str) -> Result<Name> {
    match cursor.peek() {
        Some(Lexeme { class: Class::Word | Class::Number, range, span, .. }) => {
            let value = cursor.text().get(range.clone()).unwrap_or_default().to_string();
            let span = *span;
            cursor.next();
            Ok(Name { value, span })
        }
        _ => cursor.string(what),
    }
}
