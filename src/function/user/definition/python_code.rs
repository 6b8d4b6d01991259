//! Functions in Python: where their code is, and what it says.

use std::path::Path;

use super::super::python::{self, PythonFunction};
use super::{Environment, Parameter, Returns};
use crate::catalog::options::Options;
use crate::error::{Error, Result};
use crate::sql::{CreateFunction, FunctionBody, SqlType};

/// Loads a function in Python.
pub(super) fn python_function(
    statement: &CreateFunction,
    name: &str,
    folder: &Path,
    options: &Options,
    environment: &Environment,
) -> Result<PythonFunction> {
    let place = statement.name.span();
    let here = || std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let folder =
        if folder.as_os_str().is_empty() { std::env::current_dir().unwrap_or_default() } else { here() };
    let mut path = vec![folder.clone()];
    let more = environment.python_files.iter().flat_map(|files| files.split(','));
    path.extend(more.map(str::trim).filter(|f| !f.is_empty()).map(|f| folder.join(f)));
    let interpreter = python::interpreter(options, environment.python.as_deref(), &folder);
    let mut source = python::Source {
        export: name.to_string(),
        code: None,
        file: "statement".to_string(),
        folder: folder.clone(),
        path,
        interpreter,
        span: place,
    };
    match (&statement.body, statement.using.as_slice()) {
        (Some(FunctionBody::Code { text, start }), []) => source.code = Some((text.clone(), *start)),
        (Some(FunctionBody::Code { .. }), [(_, file), ..]) => {
            return Err(Error::plan("the code is given twice: after AS and in a file").at(file.span));
        }
        (Some(FunctionBody::Identifier(export)), []) => {
            source.export = export.value.clone();
            source.span = export.span;
            // The module's file, as far as it is found where modules are looked for first.
            let module = export.value.rsplit_once('.').map_or("", |(module, _)| module).replace('.', "/");
            let file = source.path.iter().map(|p| p.join(format!("{module}.py"))).find(|f| f.is_file());
            source.file = file.unwrap_or_else(|| folder.join(format!("{module}.py"))).display().to_string();
        }
        (body, [(_, file)]) => {
            let path = folder.join(&file.value);
            if !path.is_file() {
                return Err(Error::option(format!("cannot read '{}'", path.display()))
                    .with_hint("the path is relative to the file that holds the statement")
                    .at(file.span));
            }
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            source.export = match body {
                Some(FunctionBody::Identifier(export)) if export.value.contains('.') => export.value.clone(),
                Some(FunctionBody::Identifier(export)) => format!("{stem}.{}", export.value),
                _ => format!("{stem}.{name}"),
            };
            if let Some(parent) = path.parent() {
                source.path.insert(0, parent.to_path_buf());
            }
            source.file = path.display().to_string();
            source.span = file.span;
        }
        (_, [_, (_, second), ..]) => {
            return Err(Error::unsupported("USING takes one file").at(second.span));
        }
        _ => {
            return Err(Error::plan(format!("function '{name}' has no code"))
                .with_hint("write AS 'module.function', AS $$ def f(x): ... $$, or USING FILE 'path'")
                .at(place));
        }
    }
    PythonFunction::load(name, source, options)
}

/// What the code says that its function returns.
pub(super) fn returned(about: &python::About) -> Option<Returns> {
    match (about.kind.as_str(), about.result.as_slice()) {
        (_, []) => None,
        ("table", [SqlType::Row(columns)]) => Some(Returns::Rows(columns.clone())),
        ("table", types) => {
            let columns = types.iter().enumerate().map(|(i, t)| (format!("f{i}"), t.clone()));
            Some(Returns::Rows(columns.collect()))
        }
        (_, [only, ..]) => Some(Returns::Value(only.clone())),
    }
}

/// The statement and the code say the same.
pub(super) fn check_python(
    statement: &CreateFunction,
    name: &str,
    python: &PythonFunction,
    parameters: &[Parameter],
    returns: &Returns,
) -> Result<()> {
    let about = python.about();
    let place = statement.name.span();
    let table = matches!(returns, Returns::Rows(_));
    let wrong = match (about.kind.as_str(), statement.aggregate, table) {
        ("aggregate", _, false) => None,
        (_, true, _) => Some(
            "is declared AGGREGATE; its code is no class with create_accumulator, accumulate and get_value",
        ),
        ("table", _, false) => {
            Some("returns rows, but is declared to return one value: RETURNS TABLE (column type, ...)")
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(Error::plan(format!("function '{name}' {wrong}")).at(place));
    }
    if about.kind == "aggregate"
        && let Some(any) = parameters.iter().find(|p| p.any)
    {
        return Err(Error::plan(format!(
            "the type of parameter '{}' of aggregate '{name}' is not known",
            any.name
        ))
        .with_hint("declare the parameters in the statement, or input_types in the code")
        .at(place));
    }
    if statement.parameters.is_some()
        && about.parameters.len() < parameters.len()
        && !about.parameters.is_empty()
    {
        return Err(Error::plan(format!(
            "function '{name}' is declared with {} parameters, its code takes {}",
            parameters.len(),
            about.parameters.len()
        ))
        .at(place));
    }
    Ok(())
}
