//! Flink's own grammar of some functions, read into plain calls.
//!
//! [`parse_prefix`] and [`parse_infix`] belong into the methods of the same names of the parser's [dialect](super::dialect).
//! Names that begin with `$` are ours and cannot be written by a user.

use sqlparser::ast::{
    Expr as Ast, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, UnaryOperator, Value,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::Token;

/// A call of a function.
pub(crate) fn call(name: &str, args: Vec<Ast>) -> Ast {
    Ast::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.into_iter().map(|a| FunctionArg::Unnamed(FunctionArgExpr::Expr(a))).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// A literal text.
pub(crate) fn text(s: impl Into<String>) -> Ast {
    Ast::value(Value::SingleQuotedString(s.into()))
}

/// NULL.
pub(crate) fn null() -> Ast {
    Ast::value(Value::Null)
}

/// Takes the next token if it is this word.
pub(super) fn word(parser: &mut Parser<'_>, word: &str) -> bool {
    let found = matches!(&parser.peek_token_ref().token,
        Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word));
    if found {
        parser.next_token();
    }
    found
}

pub(super) fn words(parser: &mut Parser<'_>, all: &[&str]) -> bool {
    let found = all.iter().enumerate().all(|(i, word)| {
        matches!(parser.peek_nth_token_ref(i).token, Token::Word(ref w)
            if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    });
    if found {
        all.iter().for_each(|_| {
            parser.next_token();
        });
    }
    found
}

fn expect(parser: &mut Parser<'_>, all: &[&str]) -> Result<(), ParserError> {
    if words(parser, all) {
        return Ok(());
    }
    parser.expected_ref(&all.join(" "), parser.peek_token_ref())
}

/// Reads what begins with a word of Flink's own: JSON functions with clauses, `MAP[...]`. `None` leaves the
/// rest to `sqlparser`.
pub fn parse_prefix(parser: &mut Parser<'_>) -> Option<Result<Ast, ParserError>> {
    let Token::Word(first) = &parser.peek_token_ref().token else { return None };
    if first.quote_style.is_some() {
        return None;
    }
    let next = &parser.peek_nth_token_ref(1).token;
    // N'...' is a literal like others.
    if first.value.eq_ignore_ascii_case("N")
        && let Token::SingleQuotedString(s) = next
    {
        let literal = text(s.clone());
        parser.next_token();
        parser.next_token();
        return Some(Ok(literal));
    }
    let read: fn(&mut Parser<'_>) -> Result<Ast, ParserError> =
        match (first.value.to_ascii_uppercase().as_str(), next) {
            ("JSON_VALUE", Token::LParen) => json_value,
            ("JSON_QUERY", Token::LParen) => json_query,
            ("JSON_EXISTS", Token::LParen) => json_exists,
            ("JSON_OBJECT", Token::LParen) => json_object,
            ("JSON_ARRAY", Token::LParen) => json_array,
            ("JSON_OBJECTAGG", Token::LParen) => json_objectagg,
            ("JSON_ARRAYAGG", Token::LParen) => json_arrayagg,
            ("MAP", Token::LBracket) => map_literal,
            ("TRIM", Token::LParen) if trims_spaces(parser) => trim_spaces,
            ("POSITION", Token::LParen) => position,
            _ => return None,
        };
    parser.next_token();
    parser.next_token();
    Some(read(parser))
}

/// Reads `x IS [NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR]`.
pub fn parse_infix(parser: &mut Parser<'_>, expr: &Ast) -> Option<Result<Ast, ParserError>> {
    let negated = if words(parser, &["IS", "NOT", "JSON"]) {
        true
    } else if words(parser, &["IS", "JSON"]) {
        false
    } else {
        return None;
    };
    let kind =
        ["VALUE", "OBJECT", "ARRAY", "SCALAR"].into_iter().find(|k| word(parser, k)).unwrap_or("VALUE");
    let test = call("$is_json", vec![expr.clone(), text(kind)]);
    Some(Ok(if negated { Ast::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) } } else { test }))
}

fn json_start(parser: &mut Parser<'_>) -> Result<(Ast, Ast), ParserError> {
    let document = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok((document, parser.parse_expr()?))
}

/// The type behind RETURNING, STRING without one.
fn returning(parser: &mut Parser<'_>) -> Result<String, ParserError> {
    if !word(parser, "RETURNING") {
        return Ok("STRING".into());
    }
    let data_type = parser.parse_data_type()?;
    let data_type =
        crate::sql::cast_type(&data_type).map_err(|e| ParserError::ParserError(e.message().into()))?;
    Ok(data_type.to_string())
}

fn json_value(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let (document, path) = json_start(parser)?;
    let returning = returning(parser)?;
    let mut behaviours = [("NULL", null()), ("NULL", null())];
    loop {
        let behaviour = if word(parser, "NULL") {
            ("NULL", null())
        } else if word(parser, "ERROR") {
            ("ERROR", null())
        } else if word(parser, "DEFAULT") {
            ("DEFAULT", parser.parse_expr()?)
        } else {
            break;
        };
        expect(parser, &["ON"])?;
        if word(parser, "EMPTY") {
            behaviours[0] = behaviour;
        } else {
            expect(parser, &["ERROR"])?;
            behaviours[1] = behaviour;
        }
    }
    parser.expect_token(&Token::RParen)?;
    let [(empty, empty_value), (error, error_value)] = behaviours;
    Ok(call(
        "json_value",
        vec![document, path, text(returning), text(empty), empty_value, text(error), error_value],
    ))
}

fn json_query(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let (document, path) = json_start(parser)?;
    let returning = returning(parser)?;
    let mut wrapper = "WITHOUT";
    if word(parser, "WITHOUT") {
        word(parser, "ARRAY");
        expect(parser, &["WRAPPER"])?;
    } else if word(parser, "WITH") {
        wrapper = if word(parser, "CONDITIONAL") { "CONDITIONAL" } else { "WITH" };
        word(parser, "UNCONDITIONAL");
        word(parser, "ARRAY");
        expect(parser, &["WRAPPER"])?;
    }
    let (mut empty, mut error) = ("NULL", "NULL");
    loop {
        let behaviour = if word(parser, "NULL") {
            "NULL"
        } else if word(parser, "ERROR") {
            "ERROR"
        } else if words(parser, &["EMPTY", "ARRAY"]) {
            "[]"
        } else if words(parser, &["EMPTY", "OBJECT"]) {
            "{}"
        } else {
            break;
        };
        expect(parser, &["ON"])?;
        if word(parser, "EMPTY") {
            empty = behaviour;
        } else {
            expect(parser, &["ERROR"])?;
            error = behaviour;
        }
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("json_query", vec![document, path, text(returning), text(wrapper), text(empty), text(error)]))
}

fn json_exists(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let (document, path) = json_start(parser)?;
    let error = ["TRUE", "FALSE", "UNKNOWN", "ERROR"].into_iter().find(|k| word(parser, k));
    if error.is_some() {
        expect(parser, &["ON", "ERROR"])?;
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call("json_exists", vec![document, path, text(error.unwrap_or("FALSE"))]))
}

/// Whether NULLs are kept, as the two constructors say it.
fn on_null(parser: &mut Parser<'_>, default: &'static str) -> &'static str {
    if words(parser, &["NULL", "ON", "NULL"]) {
        "NULL"
    } else if words(parser, &["ABSENT", "ON", "NULL"]) {
        "ABSENT"
    } else {
        default
    }
}

/// `r` for what is JSON already and is put in as it is, `v` for other values.
pub(crate) fn form(value: &Ast) -> char {
    let name = match value {
        Ast::Function(f) => f.name.to_string().to_ascii_lowercase(),
        Ast::Nested(inner) => return form(inner),
        _ => String::new(),
    };
    if matches!(name.as_str(), "$json_object" | "$json_array" | "json_query" | "json")
        || name.contains("json_objectagg")
        || name.contains("json_arrayagg")
    {
        'r'
    } else {
        'v'
    }
}

/// The key of a member: what stands behind a colon is its value.
fn json_key(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
    parser.parse_subexpr(GenericDialect {}.prec_value(Precedence::Colon))
}

fn json_object(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let mut forms = String::new();
    let mut args = vec![null(), null()];
    let mut nulls = on_null(parser, "");
    if nulls.is_empty() && !parser.consume_token(&Token::RParen) {
        loop {
            let keyword = word(parser, "KEY");
            args.push(json_key(parser)?);
            if !(word(parser, "VALUE") || (!keyword && parser.consume_token(&Token::Colon))) {
                return parser.expected_ref("VALUE", parser.peek_token_ref());
            }
            let value = parser.parse_expr()?;
            forms.push(form(&value));
            args.push(value);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        nulls = on_null(parser, "NULL");
        parser.expect_token(&Token::RParen)?;
    } else if !nulls.is_empty() {
        parser.expect_token(&Token::RParen)?;
    }
    args[0] = text(nulls);
    args[1] = text(forms);
    Ok(call("$json_object", args))
}

fn json_array(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let mut forms = String::new();
    let mut args = vec![null(), null()];
    let mut nulls = on_null(parser, "");
    if nulls.is_empty() && parser.peek_token_ref().token != Token::RParen {
        loop {
            let value = parser.parse_expr()?;
            forms.push(form(&value));
            args.push(value);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        nulls = on_null(parser, "ABSENT");
    }
    parser.expect_token(&Token::RParen)?;
    args[0] = text(nulls);
    args[1] = text(forms);
    Ok(call("$json_array", args))
}

/// `FILTER (WHERE ...)` behind an aggregate call.
fn filtered(parser: &mut Parser<'_>, name: &str, args: Vec<Ast>) -> Result<Ast, ParserError> {
    let mut aggregate = call(name, args);
    if words(parser, &["FILTER"]) {
        parser.expect_token(&Token::LParen)?;
        expect(parser, &["WHERE"])?;
        let condition = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        if let Ast::Function(function) = &mut aggregate {
            function.filter = Some(Box::new(condition));
        }
    }
    Ok(aggregate)
}

fn json_objectagg(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let keyword = word(parser, "KEY");
    let key = json_key(parser)?;
    if !(word(parser, "VALUE") || (!keyword && parser.consume_token(&Token::Colon))) {
        return parser.expected_ref("VALUE", parser.peek_token_ref());
    }
    let value = parser.parse_expr()?;
    let absent = on_null(parser, "NULL") == "ABSENT";
    parser.expect_token(&Token::RParen)?;
    let name = json_name(true, absent, form(&value) == 'r');
    filtered(parser, name, vec![key, value])
}

/// The name in expressions of a JSON aggregate with what its syntax says beside the arguments. Plain names
/// mean what Flink does without: `JSON_OBJECTAGG` keeps NULLs, `JSON_ARRAYAGG` does not.
fn json_name(object: bool, absent: bool, raw: bool) -> &'static str {
    match (object, absent, raw) {
        (true, false, false) => "json_objectagg",
        (true, false, true) => "$json_objectagg_raw",
        (true, true, false) => "$json_objectagg_absent",
        (true, true, true) => "$json_objectagg_absent_raw",
        (false, true, false) => "json_arrayagg",
        (false, true, true) => "$json_arrayagg_raw",
        (false, false, false) => "$json_arrayagg_null",
        (false, false, true) => "$json_arrayagg_null_raw",
    }
}

fn json_arrayagg(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let value = parser.parse_expr()?;
    let absent = on_null(parser, "ABSENT") == "ABSENT";
    parser.expect_token(&Token::RParen)?;
    let name = json_name(false, absent, form(&value) == 'r');
    filtered(parser, name, vec![value])
}

/// Whether `TRIM(BOTH FROM` or `TRIM(FROM` comes, without the characters that are trimmed.
fn trims_spaces(parser: &Parser<'_>) -> bool {
    let is = |n: usize, words: &[&str]| {
        matches!(&parser.peek_nth_token_ref(n).token, Token::Word(w)
            if w.quote_style.is_none() && words.iter().any(|word| w.value.eq_ignore_ascii_case(word)))
    };
    is(2, &["FROM"]) || is(2, &["BOTH", "LEADING", "TRAILING"]) && is(3, &["FROM"])
}

fn trim_spaces(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let name = ["LEADING", "TRAILING", "BOTH"].into_iter().find(|k| word(parser, k));
    expect(parser, &["FROM"])?;
    let value = parser.parse_expr()?;
    parser.expect_token(&Token::RParen)?;
    Ok(call(
        match name {
            Some("LEADING") => "ltrim",
            Some("TRAILING") => "rtrim",
            _ => "trim",
        },
        vec![value],
    ))
}

/// `POSITION(part IN text [FROM start])`
fn position(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    use sqlparser::dialect::{Dialect, GenericDialect, Precedence};
    let part = parser.parse_subexpr(GenericDialect {}.prec_value(Precedence::Between))?;
    expect(parser, &["IN"])?;
    let mut args = vec![part, parser.parse_expr()?];
    if word(parser, "FROM") {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(call(if args.len() == 3 { "locate" } else { "position" }, args))
}

fn map_literal(parser: &mut Parser<'_>) -> Result<Ast, ParserError> {
    let entries = if parser.peek_token_ref().token == Token::RBracket {
        Vec::new()
    } else {
        parser.parse_comma_separated(Parser::parse_expr)?
    };
    parser.expect_token(&Token::RBracket)?;
    Ok(call("$map", entries))
}
