//! What the shell understands beside SQL.

use std::time::Duration;

use crate::console::render::chart::{ChartKind, ChartSpec};
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::sql::scan::{Piece, PieceKind, pieces};

/// Text of HELP.
pub const HELP: &str = "\
Statements end with a semicolon and may span lines:
  CREATE TABLE, CREATE VIEW, DROP, INSERT INTO, EXECUTE STATEMENT SET, SELECT
  SUMMARIZE t | 'file' | query: type, NULLs, distinct values, least, greatest, mean of each column
  EXPLAIN [ANALYZE] shows how a query will run, or has run
  SHOW TABLES | VIEWS | FUNCTIONS | COLUMNS FROM t | CREATE TABLE t | JOBS, DESCRIBE t | JOB 'id'
  SHOW CACHES, DESCRIBE | CLEAR CACHE t, WARM CACHE t FROM (query): the answers that lookups remember
  EXPLAIN LOOKUP t FOR (key) asks for one key and shows each step
  SET; lists the settings, SET 'key' = 'value'; changes one, RESET 'key'; undoes it
  STOP JOB 'id'; stops a job that INSERT started
  HELP; CLEAR; QUIT;

Commands of the shell:
  \\?                     this text
  \\dt                    tables and views
  \\d table               columns of a table
  \\df [pattern]          functions; % and _ stand for any text and any letter
  \\g                     runs the last statement again
  \\e                     edits the last statement in EDITOR and runs it
  \\i file                runs a script
  \\o file | \\o | command  sends results to a file (.json, .csv, .txt) or a command; \\o alone: back here
  \\plot [bar|line|hist] [x] [y] [color] [query;]
                         draws the last query, or this one, as a chart that lives while rows come
  \\watch [seconds] [statement;]
                         runs the last statement, or this one, again and again until Ctrl-C
  \\jobs [id]             watches the jobs, or the operators of one
  \\x [on|off]            a line per column in place of a box
  \\pager [on|off]        long results in a pager (AFFLUENT_PAGER, PAGER, less), or not
  \\timing                shows how long statements take, or no longer
  \\q                     leaves

Keys:
  Tab         completes keywords, tables, columns, functions, settings, options and their values
  Ctrl-C      stops a query; at the prompt, drops the line
  Ctrl-R      searches the history
  Ctrl-D      leaves; jobs that still run are cancelled";

/// A command of the shell.
#[derive(Debug, Clone, PartialEq)]
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
    /// `\df [pattern]`
    Functions(Option<String>),
    /// `\g`
    Again,
    /// `\e`
    Edit,
    /// `\copy query TO 'file'`
    Copy {
        /// What is written: a query, or a table's name.
        query: String,
        /// Where to.
        to: String,
    },
    /// `\timing`
    Timing,
    /// `\i file`
    Include(String),
    /// `\o`, `\o file`, `\o | command`
    Output(Option<String>),
    /// `\watch [seconds] [statement]`
    Watch {
        /// Time between two runs.
        every: Duration,
        /// The statement; `None`: the last one.
        statement: Option<String>,
    },
    /// `\plot [kind] [x] [y] [color] [query]`
    Plot {
        /// What is drawn.
        spec: ChartSpec,
        /// The query; `None`: the last one.
        query: Option<String>,
    },
    /// `\x [on|off]`; `None`: the other way
    Vertical(Option<bool>),
    /// `\pager [on|off]`
    Pager(Option<bool>),
}

/// The commands with a backslash, for completion.
pub const COMMANDS: &[&str] = &[
    "\\?", "\\copy", "\\d", "\\df", "\\dt", "\\e", "\\g", "\\i", "\\jobs", "\\o", "\\pager", "\\plot", "\\q",
    "\\timing", "\\watch", "\\x",
];

/// Between two runs of `\watch`, if it does not say.
const WATCH: Duration = Duration::from_secs(2);
/// Between two looks of `\jobs`.
const JOBS: Duration = Duration::from_secs(1);

impl ShellCommand {
    /// The command that a line is, or `None` for SQL.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        let text = text.trim();
        if !text.starts_with('\\') {
            let word = text.trim_end_matches([';', ' ']).to_ascii_lowercase();
            return Ok(match word.as_str() {
                "quit" | "exit" | ".quit" | ".exit" | "q" | ":q" => Some(Self::Quit),
                "help" | ".help" | "?" => Some(Self::Help),
                ".tables" => Some(Self::Tables),
                _ if word.starts_with("copy ") || word.starts_with("copy(") => {
                    Some(copy(&text.trim_end_matches([';', ' '])[4..])?)
                }
                _ if word.starts_with('.') => dotted(&text.trim_end_matches([';', ' '])[1..])?,
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
            ("\\df", "") => Self::Functions(None),
            ("\\df", pattern) => Self::Functions(Some(pattern.trim_matches('\'').to_string())),
            ("\\g", "") => Self::Again,
            ("\\e", "") => Self::Edit,
            ("\\copy", argument) => copy(argument)?,
            ("\\timing", "") => Self::Timing,
            ("\\i", "") => return Err(Error::syntax("\\i needs the name of a file")),
            ("\\i", file) => Self::Include(file.trim_matches('\'').to_string()),
            ("\\o", "") => Self::Output(None),
            ("\\o", to) => Self::Output(Some(to.to_string())),
            ("\\x", argument) => Self::Vertical(switch(word, argument)?),
            ("\\pager", argument) => Self::Pager(switch(word, argument)?),
            ("\\watch", argument) => watch(argument)?,
            ("\\jobs", "") => Self::Watch { every: JOBS, statement: Some("SHOW JOBS".into()) },
            ("\\jobs", id) => {
                let id = id.trim_matches('\'').replace('\'', "''");
                Self::Watch { every: JOBS, statement: Some(format!("DESCRIBE JOB '{id}'")) }
            }
            ("\\plot", argument) => plot(argument)?,
            _ => {
                let error = Error::syntax(format!("'{text}' is no command of the shell"));
                return Err(match nearest(word, COMMANDS.iter().copied()) {
                    Some(near) if near != word => error.with_hint(format!("did you mean {near}?")),
                    _ => error.with_hint("\\? shows what there is"),
                });
            }
        };
        Ok(Some(command))
    }
}

/// `query TO 'file'`, `table TO 'file'`.
fn copy(argument: &str) -> Result<ShellCommand> {
    let usage = || {
        Error::syntax("\\copy takes a query or a table, TO and a file")
            .with_hint("\\copy SELECT * FROM t TO 'rows.json' (.json, .csv, .txt)")
    };
    let all: Vec<Piece> = pieces(argument).into_iter().filter(|p| p.kind != PieceKind::Space).collect();
    let is_to = |p: &Piece| {
        p.kind == PieceKind::Word
            && argument.get(p.range.clone()).is_some_and(|w| w.eq_ignore_ascii_case("TO"))
    };
    let Some(to) = all.iter().rev().find(|p| is_to(p)) else { return Err(usage()) };
    let query = argument.get(..to.range.start).unwrap_or_default().trim();
    let file = argument.get(to.range.end..).unwrap_or_default().trim();
    if query.is_empty() || file.is_empty() {
        return Err(usage());
    }
    let inner = query.strip_prefix('(').and_then(|q| q.strip_suffix(')')).unwrap_or(query).trim();
    let is_query = inner.split(|c: char| !c.is_alphanumeric()).next().is_some_and(begins_statement);
    Ok(ShellCommand::Copy {
        query: if is_query { inner.to_string() } else { format!("SELECT * FROM {query}") },
        to: file.trim_matches('\'').to_string(),
    })
}

/// The commands of SQLite and DuckDB, by what they are here.
fn dotted(text: &str) -> Result<Option<ShellCommand>> {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let ours = match word.to_ascii_lowercase().as_str() {
        "schema" | "columns" => "\\d",
        "read" => "\\i",
        "output" | "once" => "\\o",
        "timer" => "\\timing",
        "mode" => "\\x, or affluent -o",
        "databases" => "SHOW DATABASES;",
        _ => return Ok(None),
    };
    let _ = rest;
    Err(Error::syntax(format!("'.{word}' is {ours} here")).with_hint("\\? shows what there is"))
}

fn switch(word: &str, argument: &str) -> Result<Option<bool>> {
    match argument.to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "on" => Ok(Some(true)),
        "off" => Ok(Some(false)),
        _ => Err(Error::syntax(format!("{word} takes 'on' or 'off', not '{argument}'"))),
    }
}

/// Words that a statement begins with which `\watch` and `\plot` take.
const STATEMENTS: &[&str] =
    &["SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "SUMMARIZE", "TABLE"];

fn begins_statement(word: &str) -> bool {
    STATEMENTS.iter().any(|s| word.eq_ignore_ascii_case(s))
}

fn watch(argument: &str) -> Result<ShellCommand> {
    let (first, rest) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
    let statement = |text: &str| Some(text.trim().to_string()).filter(|t| !t.is_empty());
    if begins_statement(first) {
        return Ok(ShellCommand::Watch { every: WATCH, statement: statement(argument) });
    }
    if first.is_empty() {
        return Ok(ShellCommand::Watch { every: WATCH, statement: None });
    }
    let seconds = first.parse::<f64>().ok().filter(|s| (0.05..=86_400.0).contains(s));
    match seconds {
        Some(seconds) => {
            Ok(ShellCommand::Watch { every: Duration::from_secs_f64(seconds), statement: statement(rest) })
        }
        None => Err(Error::syntax(format!("'{first}' is no time between two runs"))
            .with_hint("\\watch 0.5 runs the last statement every half second; 0.05 to 86400")),
    }
}

/// Words, quoted or not, up to a query.
fn plot(argument: &str) -> Result<ShellCommand> {
    let mut names = Vec::new();
    let mut query = None;
    for Piece { kind, range, closed } in pieces(argument) {
        let part = &argument[range.clone()];
        match kind {
            PieceKind::Space => {}
            PieceKind::Word if begins_statement(part) => {
                query = Some(argument[range.start..].to_string());
                break;
            }
            PieceKind::Symbol if part == "(" => {
                query = Some(argument[range.start..].to_string());
                break;
            }
            PieceKind::Word => names.push((part.to_string(), false)),
            PieceKind::Quoted | PieceKind::String if closed && part.len() > 2 => {
                let quote = &part[..1];
                let name = part[1..part.len() - 1].replace(&quote.repeat(2), quote);
                names.push((name, true));
            }
            _ => {
                return Err(Error::syntax(format!("\\plot does not understand '{part}'"))
                    .with_hint("\\plot bar x y; other names than plain words go into backticks"));
            }
        }
    }
    let mut names = names.into_iter().peekable();
    let kind = match names.peek() {
        Some((word, false)) => ChartKind::parse(word),
        _ => None,
    };
    if kind.is_some() {
        names.next();
    }
    let mut next = || names.next().map(|(name, _)| name);
    let spec = ChartSpec { kind, x: next(), y: next(), color: next() };
    match names.next() {
        Some((more, _)) => {
            Err(Error::syntax(format!("\\plot takes at most three columns, '{more}' is one more"))
                .with_hint("\\plot [bar|line|hist] [x] [y] [color] [query]"))
        }
        None => Ok(ShellCommand::Plot { spec, query }),
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
        assert!(ShellCommand::parse("\\y").is_err());
        assert!(ShellCommand::parse("\\i").is_err());
        assert_eq!(parse("\\x"), Some(ShellCommand::Vertical(None)));
        assert_eq!(parse("\\pager OFF;"), Some(ShellCommand::Pager(Some(false))));
        assert!(ShellCommand::parse("\\x maybe").is_err());
        assert_eq!(parse("\\o"), Some(ShellCommand::Output(None)));
        assert_eq!(parse("\\o | wc -l"), Some(ShellCommand::Output(Some("| wc -l".into()))));
        assert_eq!(parse(".help"), Some(ShellCommand::Help));
        assert!(crate::sql::scan::is_complete(".help") && !crate::sql::scan::is_complete(".5"));
        assert_eq!(parse(".tables"), Some(ShellCommand::Tables));
        assert_eq!(parse("\\df JSON%"), Some(ShellCommand::Functions(Some("JSON%".into()))));
        let copied = |query: &str, to: &str| Some(ShellCommand::Copy { query: query.into(), to: to.into() });
        assert_eq!(parse("\\copy t TO 'a b.csv'"), copied("SELECT * FROM t", "a b.csv"));
        assert_eq!(parse("\\copy (SELECT 1) to x.json;"), copied("SELECT 1", "x.json"));
        assert_eq!(parse("COPY (SELECT 1) TO 'x.json';"), copied("SELECT 1", "x.json"));
        assert!(ShellCommand::parse("\\copy t").is_err());
        assert!(ShellCommand::parse(".schema t").is_err());
        let e = ShellCommand::parse("\\tming").unwrap_err();
        assert_eq!(e.hint(), Some("did you mean \\timing?"));
    }

    #[test]
    fn watching() {
        let watch = |text| match ShellCommand::parse(text).unwrap() {
            Some(ShellCommand::Watch { every, statement }) => {
                (every.as_millis(), statement.unwrap_or_default())
            }
            other => (0, format!("{other:?}")),
        };
        assert_eq!(watch("\\watch"), (2000, String::new()));
        assert_eq!(watch("\\watch 0.5"), (500, String::new()));
        assert_eq!(watch("\\watch SHOW JOBS;"), (2000, "SHOW JOBS".into()));
        assert_eq!(watch("\\watch 1 select 1"), (1000, "select 1".into()));
        assert_eq!(watch("\\jobs"), (1000, "SHOW JOBS".into()));
        assert_eq!(watch("\\jobs 3"), (1000, "DESCRIBE JOB '3'".into()));
        for wrong in ["\\watch 0", "\\watch -1", "\\watch NaN", "\\watch soon", "\\watch 1e99"] {
            assert!(ShellCommand::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plots() {
        let plot = |text| match ShellCommand::parse(text).unwrap() {
            Some(ShellCommand::Plot { spec, query }) => (spec, query),
            other => (ChartSpec::default(), Some(format!("{other:?}"))),
        };
        let spec = |kind, names: [Option<&str>; 3]| {
            let [x, y, color] = names.map(|n| n.map(str::to_string));
            ChartSpec { kind, x, y, color }
        };
        assert_eq!(plot("\\plot"), (ChartSpec::default(), None));
        assert_eq!(
            plot("\\plot bar brand `a b` c"),
            (spec(Some(ChartKind::Bar), [Some("brand"), Some("a b"), Some("c")]), None)
        );
        assert_eq!(
            plot("\\plot `hist` SELECT 'x y' FROM t;"),
            (spec(None, [Some("hist"), None, None]), Some("SELECT 'x y' FROM t".into()))
        );
        assert_eq!(plot("\\plot x y").0, spec(None, [Some("x"), Some("y"), None]));
        for wrong in ["\\plot a b c d", "\\plot bar 1", "\\plot `open"] {
            assert!(ShellCommand::parse(wrong).is_err(), "{wrong}");
        }
    }
}
