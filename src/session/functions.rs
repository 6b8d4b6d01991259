//! CREATE, DROP, ALTER, SHOW and DESCRIBE FUNCTION.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::show::text_table;
use super::{Response, Session};
use crate::catalog::ddl::plain_name;
use crate::error::{Error, Result};
use crate::function::user::{Returns, UserFunction, model};
use crate::sql::{CreateFunction, DropFunction, TableName};

impl Session {
    /// Relative paths in CREATE FUNCTION start from the folder of the file that holds the statement.
    fn folder(&self) -> PathBuf {
        let state = self.state.lock();
        let parent = state.origin.as_deref().and_then(|file| Path::new(file).parent());
        parent.map_or_else(PathBuf::new, Path::to_path_buf)
    }

    pub(super) fn create_function(&self, statement: &CreateFunction) -> Result<Response> {
        let name = plain_name(&statement.name)?;
        let span = statement.name.span();
        let is_model = statement.language.as_ref().is_some_and(|l| l.value == "MODEL");
        let what = if is_model { "model" } else { "function" };
        let key = if is_model { model::key(name) } else { name.to_string() };
        let known = self.state.lock().user_functions.made(&key).is_some();
        if known && statement.if_not_exists {
            return Ok(Response::Done(format!("{what} '{name}' exists already")));
        }
        if known && !statement.or_replace {
            let upper = what.to_ascii_uppercase();
            return Err(Error::plan(format!("{what} '{name}' exists already"))
                .with_hint(format!("write CREATE OR REPLACE, or drop it first: DROP {upper} {name}"))
                .at(span));
        }
        let planner = self.planner();
        if !is_model && !statement.system && planner.is_built_in(name) {
            return Err(Error::plan(format!("'{name}' is a built-in function"))
                .with_hint(
                    "choose another name; CREATE TEMPORARY SYSTEM FUNCTION replaces a built-in function",
                )
                .at(span));
        }
        let function = UserFunction::new(statement, &self.folder(), planner.user_functions().environment())?;
        planner.check_function(&function)?;
        self.state.lock().user_functions.insert(Arc::new(function));
        if statement.temporary || statement.system {
            return Ok(Response::Done(String::new()));
        }
        // A catalog in a file keeps it.
        let current = self.catalog().current().catalog.clone();
        self.change_catalog(&current, |catalog| {
            let named = catalog.named_mut(&current, span)?;
            if named.file.is_some() {
                named.functions.insert(name.to_string());
            }
            Ok(Response::Done(String::new()))
        })
    }

    /// Makes a function of the program known, made of closures (see [`crate::udf`]): statements call it like those that
    /// CREATE FUNCTION makes. A table function:
    ///
    /// ```
    #[doc = include_str!("../../tests/embedding/table.rs")]
    /// ```
    /// An asynchronous function, whose calls are lookups:
    ///
    /// ```
    #[doc = include_str!("../../tests/embedding/call.rs")]
    /// ```
    pub fn add_function(&self, function: crate::function::user::native::RustFunction) -> Result<()> {
        let function = UserFunction::of_program(function)?;
        let name = function.name.clone();
        if self.planner().is_built_in(&name) {
            return Err(
                Error::plan(format!("'{name}' is a built-in function")).with_hint("choose another name")
            );
        }
        let mut state = self.state.lock();
        if state.user_functions.made(&name).is_some() {
            return Err(Error::plan(format!("function '{name}' exists already")));
        }
        state.user_functions.insert(Arc::new(function));
        Ok(())
    }

    pub(super) fn drop_function(&self, statement: &DropFunction) -> Result<Response> {
        let name = plain_name(&statement.name)?;
        let removed = self.state.lock().user_functions.remove(name);
        match removed {
            Some(_) => {
                let keeps = |c: &str| {
                    self.catalog().named(c, Default::default()).is_ok_and(|n| n.functions.contains(name))
                };
                let all: Vec<String> = self.catalog().catalogs().map(str::to_string).collect();
                for catalog in all.into_iter().filter(|c| keeps(c)) {
                    self.change_catalog(&catalog, |all| {
                        all.named_mut(&catalog, statement.name.span())?.functions.remove(name);
                        Ok(())
                    })?;
                }
                Ok(Response::Done(String::new()))
            }
            None if statement.if_exists => {
                let shown =
                    name.strip_prefix(model::PREFIX).map(|n| ("model", n)).unwrap_or(("function", name));
                Ok(Response::Done(format!("{} '{}' does not exist", shown.0, shown.1)))
            }
            None => Err(self.unknown_function(name).at(statement.name.span())),
        }
    }

    pub(super) fn reload_function(&self, name: &TableName) -> Result<Response> {
        let plain = plain_name(name)?;
        let made = self.state.lock().user_functions.made(plain).cloned();
        if let Some(function) = made {
            let function = Arc::new(function.reloaded()?);
            self.planner().check_function(&function)?;
            self.state.lock().user_functions.insert(function);
            return Ok(Response::Done(String::new()));
        }
        match self.planner().user_functions().reload_found(plain)? {
            Some(_) => Ok(Response::Done(String::new())),
            None => Err(self.unknown_function(plain).at(name.span())),
        }
    }

    pub(super) fn show_create_function(&self, name: &TableName) -> Result<Response> {
        Ok(Response::Text(self.known_function(name)?.show_create()))
    }

    pub(super) fn describe_function(&self, name: &TableName, extended: bool) -> Result<Response> {
        let plain = plain_name(name)?;
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        let mut row = |key: &str, value: String| {
            keys.push(Some(key.to_string()));
            values.push(Some(value));
        };
        let Ok(function) = self.known_function(name) else {
            let help = self.function_help(plain);
            let Some(help) = help else { return Err(self.unknown_function(plain).at(name.span())) };
            row("is system function", "true".to_string());
            row("signature", help);
            return text_table(&[("info name", keys), ("info value", values)]);
        };
        row("is system function", function.system.to_string());
        row("is temporary", function.statement.temporary.to_string());
        let kind = match (&function.returns, function.aggregate) {
            (_, true) => "AGGREGATE",
            (Returns::Rows(_), _) => "TABLE",
            (Returns::Value(_), _) => "SCALAR",
        };
        let kind = if function.is_model() { "MODEL" } else { kind };
        row("kind", kind.to_string());
        row("function language", function.language().to_string());
        row("signature", function.signature());
        if let Some(comment) = &function.statement.comment {
            row("comment", comment.clone());
        }
        if extended {
            let deterministic = match function.deterministic {
                Some(declared) => declared.to_string(),
                None => "as its body".to_string(),
            };
            row("is deterministic", deterministic);
            row("returns NULL on NULL input", function.strict.to_string());
            for (kind, path) in &function.statement.using {
                row(
                    &kind.value.to_ascii_lowercase(),
                    function.folder.join(&path.value).display().to_string(),
                );
            }
            for option in &function.statement.options {
                let value = crate::catalog::ddl::redacted(
                    &option.key.value,
                    option.written.as_ref().unwrap_or(&option.value.value),
                )
                .into_owned();
                row(&option.key.value, value);
            }
            row("failed calls that returned NULL", function.failures().to_string());
        }
        text_table(&[("info name", keys), ("info value", values)])
    }

    fn known_function(&self, name: &TableName) -> Result<Arc<UserFunction>> {
        let plain = plain_name(name)?;
        let found = self.planner().user_functions().find(plain).map_err(|e| e.at(name.span()))?;
        found.ok_or_else(|| self.unknown_function(plain).at(name.span()))
    }

    fn unknown_function(&self, name: &str) -> Error {
        if let Some(model) = name.strip_prefix(model::PREFIX) {
            let models = self.planner().user_functions().models();
            let error = Error::plan(format!("model '{model}' is not known"));
            return match crate::nearest::nearest(model, models.iter().map(String::as_str)) {
                Some(near) => error.with_hint(format!("did you mean '{near}'?")),
                None => error.with_hint("SHOW MODELS lists what there is"),
            };
        }
        let names = self.planner().user_functions().names();
        let upper = name.to_ascii_uppercase();
        if self.planner().is_built_in(&upper) {
            return Error::plan(format!("'{name}' is a built-in function")).with_hint("it has no statement");
        }
        let error = Error::plan(format!("function '{name}' is not known"));
        match crate::nearest::nearest(name, names.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => error.with_hint("SHOW USER FUNCTIONS lists what there is"),
        }
    }
}
