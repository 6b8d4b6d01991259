//! Functions in Python as modules of PyFlink.
//!
//! ```text
//!  CREATE FUNCTION f(x DOUBLE) RETURNS DOUBLE          f_flink.py:  <the code>
//!  LANGUAGE PYTHON AS $$ def f(x): ... $$;                          f_flink = udf(f, [DOUBLE()], DOUBLE())
//!                                                      CREATE TEMPORARY FUNCTION f AS 'f_flink.f_flink' LANGUAGE PYTHON
//! ```
//! One that is a function of PyFlink already goes as it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::export::Request;
use crate::error::{Error, Result};
use crate::function::user::python::PythonFunction;
use crate::function::user::{Implementation, Returns, UserFunction};
use crate::sql::{FunctionBody, SqlType};

fn code(function: &UserFunction) -> Option<&PythonFunction> {
    match &function.implementation {
        Implementation::Call(callable) => callable.as_any().downcast_ref::<PythonFunction>(),
        _ => None,
    }
}

/// The file that holds its code, if that is not in the statement.
fn file(function: &UserFunction) -> Option<PathBuf> {
    match &function.implementation {
        Implementation::Call(callable) => callable.files().into_iter().next(),
        _ => None,
    }
}

/// Whether the code is made for PyFlink: it decorates the function itself.
fn is_flinks(function: &UserFunction) -> bool {
    let text = match &function.statement.body {
        Some(FunctionBody::Code { text, .. }) => text.clone(),
        _ => file(function).and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default(),
    };
    text.contains("pyflink")
}

/// Why it cannot go, and the way out.
pub(super) fn refused(function: &UserFunction) -> Option<(String, String)> {
    let about = code(function)?.about();
    if is_flinks(function) {
        return None;
    }
    let name = &function.name;
    if about.waits {
        return Some((
            format!("function '{name}' is async, and functions of PyFlink are not"),
            "wait in a plain function, or make a lookup table of the service: 'connector' = 'http'"
                .to_string(),
        ));
    }
    if function.aggregate {
        return Some((
            format!("aggregate '{name}' is not one of PyFlink"),
            "derive its class from pyflink.table.AggregateFunction and make it one by udaf(): it runs here as well"
                .to_string(),
        ));
    }
    match about.mode.as_str() {
        "rows" | "" | "pandas" | "series" => None,
        mode => Some((
            format!(
                "function '{name}' takes columns as {mode}, and functions of PyFlink take values or pandas.Series"
            ),
            "annotate the parameters with pandas.Series, or with the types of values".to_string(),
        )),
    }
}

/// What it loses.
pub(super) fn lost(function: &UserFunction) -> Option<String> {
    let options: Vec<&str> = function.options().iter().map(|(key, _)| key).collect();
    if !options.is_empty() {
        return Some(format!(
            "options of function '{}': {}; PyFlink has none",
            function.name,
            options.join(", ")
        ));
    }
    let text = file(function).and_then(|f| std::fs::read_to_string(f).ok())?;
    text.contains("__file__").then(|| {
        format!(
            "function '{}' reads files beside its code: they must lie beside it on the cluster, too",
            function.name
        )
    })
}

/// Modules beside a file that it imports, and those that they import.
fn beside(path: &std::path::Path, text: &str, files: &mut BTreeMap<String, String>) {
    for line in text.lines() {
        let mut words = line.split([' ', ',', '.']).filter(|w| !w.is_empty());
        let (Some("from" | "import"), Some(module)) = (words.next(), words.next()) else { continue };
        let name = format!("{module}.py");
        let place = path.with_file_name(&name);
        if line.starts_with(['f', 'i'])
            && !files.contains_key(&name)
            && let Ok(text) = std::fs::read_to_string(&place)
        {
            files.insert(name, text.clone());
            beside(&place, &text, files);
        }
    }
}

/// Name of the module in front of the code.
fn module(function: &UserFunction) -> String {
    format!("{}_flink", function.name.to_ascii_lowercase())
}

/// `CREATE FUNCTION`, without a semicolon.
pub(super) fn statement(function: &UserFunction) -> String {
    let name = &function.name;
    let target = match (&function.statement.body, is_flinks(function)) {
        (Some(FunctionBody::Identifier(export)), true) if export.value.contains('.') => export.value.clone(),
        (_, true) => format!("{}.{name}", stem(function)),
        (_, false) => format!("{0}.{0}", module(function)),
    };
    format!("CREATE TEMPORARY FUNCTION `{}` AS '{target}' LANGUAGE PYTHON", name.replace('`', "``"))
}

fn stem(function: &UserFunction) -> String {
    let stem = file(function).and_then(|f| f.file_stem().map(|s| s.to_string_lossy().into_owned()));
    stem.unwrap_or_else(|| module(function))
}

/// Names of the files that go with it.
pub(super) fn names(function: &UserFunction, _request: &Request<'_>) -> Vec<String> {
    let mut names = Vec::new();
    if !is_flinks(function) || file(function).is_none() {
        names.push(format!("{}.py", module(function)));
    }
    if file(function).is_some() {
        names.push(format!("{}.py", stem(function)));
    }
    names
}

/// The files: the module that makes it a function of PyFlink, and its own.
pub(super) fn files(function: &UserFunction, _request: &Request<'_>) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let own = match file(function) {
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|e| {
                Error::option(format!("cannot read '{}'", path.display())).with_detail(e.to_string())
            })?;
            files.insert(format!("{}.py", stem(function)), text.clone());
            beside(&path, &text, &mut files);
            None
        }
        None => match &function.statement.body {
            Some(FunctionBody::Code { text, .. }) => Some(text.as_str()),
            _ => return Err(Error::plan(format!("the code of function '{}' is in no file", function.name))),
        },
    };
    let wrapper = module(function);
    let name = &function.name;
    if is_flinks(function) {
        if let Some(code) = own {
            files.insert(format!("{wrapper}.py"), dedented(code));
        }
        return Ok(files);
    }
    let export = match (&function.statement.body, own) {
        (Some(FunctionBody::Identifier(export)), _) => {
            export.value.rsplit_once('.').map_or(export.value.clone(), |(_, f)| f.to_string())
        }
        _ => name.clone(),
    };
    let inputs = function.parameters.iter().map(|p| data_type(&p.data_type)).collect::<Vec<_>>().join(", ");
    let series = code(function).is_some_and(|c| matches!(c.about().mode.as_str(), "pandas" | "series"));
    let series = if series { ", func_type=\"pandas\"" } else { "" };
    let code = match own {
        Some(code) => dedented(code),
        None => format!("from {} import {export}\n", stem(function)),
    };
    let (maker, made) = match &function.returns {
        Returns::Value(t) => {
            ("udf", format!("udf({export}, input_types=[{inputs}], result_type={}{series})", data_type(t)))
        }
        Returns::Rows(columns) => {
            let types = columns.iter().map(|(_, t)| data_type(t)).collect::<Vec<_>>().join(", ");
            ("udtf", format!("udtf({export}, input_types=[{inputs}], result_types=[{types}])"))
        }
    };
    let text = format!(
        "\"\"\"Function {name} for PyFlink, made by affluent flink export.\"\"\"\nfrom pyflink.table import DataTypes\nfrom \
         pyflink.table.udf import {maker}\n\n{code}\n\n{wrapper} = {made}\n"
    );
    files.insert(format!("{wrapper}.py"), text);
    Ok(files)
}

/// Code without the spaces that all of its lines begin with.
fn dedented(code: &str) -> String {
    let lines: Vec<&str> = code.lines().collect();
    let indent = |l: &&str| l.len() - l.trim_start().len();
    let common = lines.iter().filter(|l| !l.trim().is_empty()).map(indent).min().unwrap_or(0);
    let lines = lines.iter().map(|l| l.get(common..).unwrap_or_default().trim_end());
    let text = lines.collect::<Vec<_>>().join("\n");
    format!("{}\n", text.trim_matches('\n'))
}

/// A type as PyFlink writes it.
fn data_type(t: &SqlType) -> String {
    let inner = match t {
        SqlType::Boolean => "BOOLEAN()".to_string(),
        SqlType::TinyInt => "TINYINT()".to_string(),
        SqlType::SmallInt => "SMALLINT()".to_string(),
        SqlType::Int => "INT()".to_string(),
        SqlType::BigInt => "BIGINT()".to_string(),
        SqlType::Float => "FLOAT()".to_string(),
        SqlType::Double => "DOUBLE()".to_string(),
        SqlType::Decimal(p, s) => format!("DECIMAL({p}, {s})"),
        SqlType::Char(_) | SqlType::Varchar(_) | SqlType::String => "STRING()".to_string(),
        SqlType::Binary(_) | SqlType::Varbinary(_) | SqlType::Bytes => "BYTES()".to_string(),
        SqlType::Date => "DATE()".to_string(),
        SqlType::Time(p) => format!("TIME({p})"),
        SqlType::Timestamp(p) => format!("TIMESTAMP({p})"),
        SqlType::TimestampLtz(p) => format!("TIMESTAMP_LTZ({p})"),
        SqlType::IntervalYearMonth => "INTERVAL(DataTypes.YEAR(), DataTypes.MONTH())".to_string(),
        SqlType::IntervalDayTime => "INTERVAL(DataTypes.DAY(), DataTypes.SECOND(3))".to_string(),
        SqlType::Array(t) => format!("ARRAY({})", data_type(t)),
        SqlType::Map(k, v) => format!("MAP({}, {})", data_type(k), data_type(v)),
        SqlType::Multiset(t) => format!("MULTISET({})", data_type(t)),
        SqlType::Row(fields) => {
            let field =
                |(name, t): &(String, SqlType)| format!("DataTypes.FIELD({name:?}, {})", data_type(t));
            format!("ROW([{}])", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    };
    format!("DataTypes.{inner}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_code() {
        let row = SqlType::Row(vec![("a".into(), SqlType::Array(Box::new(SqlType::Int)))]);
        assert_eq!(
            data_type(&row),
            "DataTypes.ROW([DataTypes.FIELD(\"a\", DataTypes.ARRAY(DataTypes.INT()))])"
        );
        assert_eq!(dedented("\n    def f(x):\n\n        return x\n  "), "def f(x):\n\n    return x\n");
    }
}
