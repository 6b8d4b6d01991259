//! The code of a function or model: where it stands, and what loads it.

use std::path::Path;
use std::sync::Arc;

use super::{Implementation, Parameter};
use crate::catalog::options::Options;
use crate::error::{Error, Position, Result, Span};
use crate::function::user::Returns;
use crate::function::user::javascript::{self, Limits};
use crate::sql::{CreateFunction, FunctionBody};

#[cfg(feature = "onnx")]
pub(super) fn onnx(
    name: &str,
    options: &Options,
    parameters: &[Parameter],
    returns: &Returns,
    folder: &Path,
    span: Span,
) -> Result<Implementation> {
    let model =
        crate::function::user::onnx::OnnxModel::new(name, options, parameters, returns, folder, span)?;
    Ok(Implementation::Call(Arc::new(model)))
}

#[cfg(not(feature = "onnx"))]
pub(super) fn onnx(
    name: &str,
    options: &Options,
    _parameters: &[Parameter],
    _returns: &Returns,
    _folder: &Path,
    _span: Span,
) -> Result<Implementation> {
    let error = crate::features::not_in_this_build("provider", "onnx");
    let error = error.unwrap_or_else(|| Error::unsupported("provider 'onnx' is not supported"));
    Err(error.context(format!("model '{name}'")).at(options.span("provider")))
}

pub(super) fn implementation(
    statement: &CreateFunction,
    name: &str,
    parameters: &[Parameter],
    returns: &Returns,
    (limits, secrets): (Limits, javascript::Secrets),
    folder: &Path,
) -> Result<Implementation> {
    let place = statement.name.span();
    let language = statement.language.as_ref().map(|l| l.value.to_ascii_uppercase());
    let returned = matches!(&statement.body, Some(FunctionBody::Expression(_) | FunctionBody::Query { .. }));
    match language.as_deref() {
        None | Some("SQL") if returned => sql(statement, name, returns),
        Some("SQL") => Err(Error::plan(format!("function '{name}' has no expression"))
            .with_hint("write RETURN and an expression: CREATE FUNCTION f(c DOUBLE) RETURNS DOUBLE RETURN c * 1.8 + 32")
            .at(place)),
        Some(_) if returned => {
            Err(Error::plan("RETURN belongs to functions in SQL; code of other languages follows AS").at(place))
        }
        Some("JAVASCRIPT" | "JS") => {
            let source = javascript_source(statement, name, parameters, folder, secrets)?;
            let library = javascript::load(source, name, statement.aggregate, returns, limits)?;
            Ok(Implementation::JavaScript(Arc::new(library)))
        }
        Some(other @ ("JAVA" | "SCALA")) => Err(refused(statement, other)
            .with_hint("there is no JVM in this process: write it in JavaScript or SQL, or call a service with 'connector' = 'http'")),
        #[cfg(feature = "wasm")]
        Some("WASM") => {
            let limits = crate::function::user::wasm::Limits { time: limits.time, memory: limits.memory };
            let library = crate::function::user::wasm::load(statement, name, parameters, returns, limits, folder)?;
            Ok(Implementation::Inline(Arc::new(library)))
        }
        #[cfg(not(feature = "wasm"))]
        Some("WASM") => Err(crate::features::not_in_this_build("LANGUAGE", "WASM")
            .unwrap_or_else(|| refused(statement, "WASM"))
            .at(place)),
        Some("RUST") => Err(refused(statement, "RUST").with_hint(
            "a Rust program adds its own with Session::add_function; LANGUAGE WASM runs a module that Rust was compiled to",
        )),
        None if statement.using.iter().any(|(kind, _)| kind.value == "JAR") || !returned && is_identifier(statement) => {
            Err(Error::unsupported("functions in Java are not supported, and no other LANGUAGE is given")
                .with_hint("write LANGUAGE JAVASCRIPT after the code, or RETURN and an expression in SQL")
                .at(place))
        }
        None => Err(Error::plan(format!("the language of function '{name}' is not known"))
            .with_hint("write LANGUAGE JAVASCRIPT, or RETURN and an expression in SQL")
            .at(place)),
        Some(other) => {
            let error = refused(statement, other);
            Err(match crate::nearest::nearest(other, ["SQL", "JAVASCRIPT", "PYTHON", "WASM"].into_iter()) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error.with_hint("the languages are SQL, JAVASCRIPT, PYTHON and WASM"),
            })
        }
    }
}

pub(super) fn is_identifier(statement: &CreateFunction) -> bool {
    matches!(statement.body, Some(FunctionBody::Identifier(_)))
}

fn refused(statement: &CreateFunction, language: &str) -> Error {
    let span = statement.language.as_ref().map_or_else(|| statement.name.span(), |l| l.span);
    Error::unsupported(format!("functions in {language} are not supported")).at(span)
}

fn sql(statement: &CreateFunction, name: &str, returns: &Returns) -> Result<Implementation> {
    let place = statement.name.span();
    if statement.aggregate {
        return Err(Error::unsupported("aggregate functions in SQL are not supported")
            .with_hint("LANGUAGE JAVASCRIPT has them")
            .at(place));
    }
    if let Some((_, file)) = statement.using.first() {
        return Err(Error::plan("functions in SQL use no files").at(file.span));
    }
    match (&statement.body, returns) {
        (Some(FunctionBody::Expression(expression)), Returns::Value(_)) => {
            Ok(Implementation::Sql(expression.clone()))
        }
        (Some(FunctionBody::Query { query, .. }), Returns::Rows(_)) => {
            Ok(Implementation::SqlQuery(query.clone()))
        }
        (Some(FunctionBody::Query { .. }), _) => Err(Error::plan(format!(
            "function '{name}' returns a query, but is declared to return one value"
        ))
        .with_hint("write RETURNS TABLE (column type, ...)")
        .at(place)),
        (_, Returns::Rows(_)) => {
            Err(Error::plan(format!("function '{name}' returns rows, which an expression cannot"))
                .with_hint("write RETURN SELECT ...")
                .at(place))
        }
        _ => Err(Error::internal("a function in SQL without an expression")),
    }
}

/// The code with its place: in the statement, or in the file that USING names.
fn javascript_source(
    statement: &CreateFunction,
    name: &str,
    parameters: &[Parameter],
    folder: &Path,
    secrets: javascript::Secrets,
) -> Result<javascript::Source> {
    let names: Vec<String> = parameters.iter().map(|p| p.name.clone()).collect();
    let place = statement.name.span();
    match (&statement.body, statement.using.as_slice()) {
        (Some(FunctionBody::Code { text, start }), []) => Ok(javascript::Source {
            file: None,
            modules: javascript::gather(text, folder)?,
            text: text.clone(),
            start: *start,
            export: name.to_string(),
            names,
            secrets,
        }),
        (body, [(_, path)]) => {
            let export = match body {
                Some(FunctionBody::Identifier(export)) => export.value.clone(),
                None => name.to_string(),
                Some(_) => {
                    return Err(Error::plan("the code is given twice: after AS and in a file").at(path.span));
                }
            };
            let file = folder.join(&path.value);
            let text = std::fs::read_to_string(&file).map_err(|e| {
                Error::option(format!("cannot read '{}'", file.display()))
                    .with_detail(e.to_string())
                    .with_hint("the path is relative to the file that holds the statement")
                    .at(path.span)
            })?;
            let start = Position { line: 1, column: 1 };
            let modules = javascript::gather(&text, file.parent().unwrap_or(folder))?;
            let file = Some(file.display().to_string());
            Ok(javascript::Source { file, modules, text, start, export, names, secrets })
        }
        (_, [_, (_, second), ..]) => Err(Error::unsupported("USING takes one file").at(second.span)),
        (Some(FunctionBody::Identifier(export)), []) => {
            Err(Error::plan("the identifier needs a file to be found in")
                .with_hint("write USING FILE 'functions.js', or the code itself: AS $$ ... $$")
                .at(export.span))
        }
        _ => Err(Error::plan(format!("function '{name}' has no code"))
            .with_hint("write AS $$ ... $$, or USING FILE 'path'")
            .at(place)),
    }
}
