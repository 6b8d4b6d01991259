//! The user functions of a session: those that statements made, and those that are found in the folder of
//! `affluent.functions.path` when they are first called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Environment, UserFunction, model};
use crate::error::{Error, Result};
use crate::sql::{SourceText, StatementKind};

/// The statement that a function's folder holds.
const FILE: &str = "function.sql";

/// User functions by name, in lower case.
#[derive(Debug, Clone, Default)]
pub struct UserFunctions {
    made: BTreeMap<String, Arc<UserFunction>>,
    folder: Option<PathBuf>,
    environment: Environment,
    /// Functions of the folder that were loaded. Clones share them: code is loaded once.
    found: Arc<Mutex<BTreeMap<PathBuf, Arc<UserFunction>>>>,
}

impl UserFunctions {
    /// Adds a function, or puts it in the place of one of its name.
    pub fn insert(&mut self, function: Arc<UserFunction>) {
        let name = function.name.to_ascii_lowercase();
        let name = if function.is_model() { model::key(&name) } else { name };
        self.made.insert(name, function);
    }

    /// Takes a function out.
    pub fn remove(&mut self, name: &str) -> Option<Arc<UserFunction>> {
        self.made.remove(&name.to_ascii_lowercase())
    }

    /// Names the folder where unknown functions are looked for.
    pub fn search(&mut self, folder: Option<PathBuf>) {
        self.folder = folder;
    }

    /// What functions take from the session.
    pub fn set_environment(&mut self, environment: Environment) {
        self.environment = environment;
    }

    /// What functions take from the session.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A function that a statement made.
    pub fn made(&self, name: &str) -> Option<&Arc<UserFunction>> {
        self.made.get(&name.to_ascii_lowercase())
    }

    /// A function by its name in any case; one of the folder is loaded.
    pub fn find(&self, name: &str) -> Result<Option<Arc<UserFunction>>> {
        if let Some(function) = self.made(name) {
            return Ok(Some(Arc::clone(function)));
        }
        let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
        let Some(folder) = self.folder.as_ref().filter(|_| plain) else { return Ok(None) };
        let exact = folder.join(name);
        let folder = match exact.join(FILE).is_file() {
            true => exact,
            false => folder.join(name.to_ascii_lowercase()),
        };
        let file = folder.join(FILE);
        if let Some(function) = self.found.lock().get(&file) {
            return Ok(Some(Arc::clone(function)));
        }
        if !file.is_file() {
            return Ok(None);
        }
        let function = Arc::new(load(&file, &folder, name, &self.environment)?);
        self.found.lock().insert(file, Arc::clone(&function));
        Ok(Some(function))
    }

    /// Reads the file of a function anew; `None` when no file of that name was loaded.
    pub fn reload_found(&self, name: &str) -> Result<Option<Arc<UserFunction>>> {
        let known =
            self.found.lock().iter().find(|(_, f)| f.name.eq_ignore_ascii_case(name)).map(|(p, _)| p.clone());
        let Some(file) = known else { return Ok(None) };
        let function =
            Arc::new(load(&file, file.parent().unwrap_or(Path::new("")), name, &self.environment)?);
        self.found.lock().insert(file, Arc::clone(&function));
        Ok(Some(function))
    }

    /// Names of the models, as they were written, sorted.
    pub fn models(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.made.values().filter(|f| f.is_model()).map(|f| f.name.clone()).collect();
        names.sort();
        names
    }

    /// Names as they were written, sorted; those of the folder are names of folders.
    pub fn names(&self) -> Vec<String> {
        let functions = self.made.values().filter(|f| !f.is_model());
        let mut names: Vec<String> = functions.map(|f| f.name.clone()).collect();
        let folders = self.folder.iter().filter_map(|folder| std::fs::read_dir(folder).ok());
        for entry in folders.flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().join(FILE).is_file() && self.made(&name).is_none() {
                names.push(name);
            }
        }
        names.sort();
        names
    }
}

/// The function that a file makes.
fn load(file: &Path, folder: &Path, name: &str, environment: &Environment) -> Result<UserFunction> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::option(format!("cannot read '{shown}'")).with_detail(e.to_string()))?;
    let source = SourceText::new(&shown, &text);
    let load = || {
        for statement in crate::sql::parse_script(&source)? {
            if let StatementKind::CreateFunction(create) = &statement.kind
                && create.name.parts.last().is_some_and(|n| n.value.eq_ignore_ascii_case(name))
            {
                return UserFunction::new(create, folder, environment);
            }
        }
        Err(Error::plan(format!("the file makes no function '{name}'"))
            .with_hint("it holds CREATE FUNCTION with the name of its folder"))
    };
    // The place is in another text than the one that calls it: it becomes part of the message.
    load().map_err(|e: Error| {
        let place = e.span().map(|s| format!(":{}:{}", s.start.line, s.start.column)).unwrap_or_default();
        let error = Error::new(e.kind(), format!("{shown}{place}: {}", e.message()));
        let error = e.detail().into_iter().fold(error, |error, detail| error.with_detail(detail));
        e.hint().into_iter().fold(error, |error, hint| error.with_hint(hint))
    })
}
