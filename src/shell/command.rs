//! What the shell understands beside SQL.

use crate::error::{Error, Result};

/// Text of HELP.
pub const HELP: &str = "\
Statements end with a semicolon and may span lines:
  CREATE TABLE, CREATE VIEW, DROP, INSERT INTO, EXECUTE STATEMENT SET, SELECT, EXPLAIN
  SHOW TABLES | VIEWS | FUNCTIONS | COLUMNS FROM t | CREATE TABLE t | JOBS, DESCRIBE t
  SET; lists the settings, SET 'key' = 'value'; changes one, RESET 'key'; undoes it
  STOP JOB 'id'; stops a job that INSERT started
  HELP; CLEAR; QUIT;

Commands of the shell:
  \\?          this text
  \\dt         tables and views
  \\d table    columns of a table
  \\i file     runs a script
  \\timing     shows how long statements take, or no longer
  \\q          leaves

Keys:
  Tab         completes keywords, tables, columns, functions and settings
  Ctrl-C      stops a query; at the prompt, drops the line
  Ctrl-R      searches the history
  Ctrl-D      leaves; jobs that still run are cancelled";

/// A command of the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShellCommand {
    /// `\q`
    Quit,
    /// `\?`
    Help,
    /// `CLEAR`
    Clear,
    /// `\dt`
    Tables,
    /// `\d table`
    Describe(String),
    /// `\timing`
    Timing,
    /// `\i file`
    Include(String),
}

/// The commands with a backslash, for completion.
pub const COMMANDS: &[&str] = &["\\?", "\\d", "\\dt", "\\i", "\\q", "\\timing"];

impl ShellCommand {
    /// The command that a line is, or `None` for SQL.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let text = text.trim();
        if !text.starts_with('\\') {
            let word = text.trim_end_matches([';', ' ']).to_ascii_lowercase();
            return Ok(match word.as_str() {
                "quit" | "exit" => Some(Self::Quit),
                "help" => Some(Self::Help),
                "clear" => Some(Self::Clear),
                _ => None,
            });
        }
        let text = text.trim_end_matches(';').trim_end();
        let (word, argument) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let argument = argument.trim();
        let command = match (word, argument) {
            ("\\q", "") => Self::Quit,
            ("\\?" | "\\h", "") => Self::Help,
            ("\\dt" | "\\d", "") => Self::Tables,
            ("\\d", table) => Self::Describe(table.to_string()),
            ("\\timing", "") => Self::Timing,
            ("\\i", "") => return Err(Error::syntax("\\i needs the name of a file")),
            ("\\i", file) => Self::Include(file.trim_matches('\'').to_string()),
            _ => {
                return Err(Error::syntax(format!("'{text}' is no command of the shell"))
                    .with_hint("\\? shows what there is"));
            }
        };
        Ok(Some(command))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn commands() {
        let parse = |text| ShellCommand::parse(text).unwrap();
        assert_eq!(parse("\\q"), Some(ShellCommand::Quit));
        assert_eq!(parse(" \\d  t ;"), Some(ShellCommand::Describe("t".into())));
        assert_eq!(parse("\\d"), Some(ShellCommand::Tables));
        assert_eq!(parse("\\i a b.sql"), Some(ShellCommand::Include("a b.sql".into())));
        assert_eq!(parse("quit"), Some(ShellCommand::Quit));
        assert_eq!(parse("Help ;"), Some(ShellCommand::Help));
        assert_eq!(parse("SELECT 1; quit"), None);
        assert!(ShellCommand::parse("\\x").is_err());
        assert!(ShellCommand::parse("\\i").is_err());
    }
}
