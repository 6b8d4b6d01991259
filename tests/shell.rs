//! The shell on a pseudo-terminal.
#![allow(missing_docs)]

#[path = "shell/commands.rs"]
mod commands;
#[path = "shell/input.rs"]
mod input;
#[path = "shell/terminal.rs"]
mod terminal;

use std::process::Command;

use expectrl::{ControlCode, Expect};
use terminal::{ENDLESS, PROMPT, Terminal};

#[test]
fn banner_prompt_and_control_d() {
    let mut terminal = Terminal::start(100, &[]);
    terminal.expect(concat!("Affluent ", env!("CARGO_PKG_VERSION")));
    terminal.expect(PROMPT);
    terminal.key(ControlCode::EndOfTransmission);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn quiet_has_no_banner() {
    let mut terminal = Terminal::start(100, &["--quiet", "--color", "never"]);
    let found = terminal.session.expect(PROMPT).expect("the prompt");
    assert!(!String::from_utf8_lossy(found.before()).contains("Affluent"));
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn help_and_quit() {
    let mut terminal = Terminal::plain();
    terminal.line("HELP;");
    terminal.expect("\\timing");
    terminal.expect(PROMPT);
    terminal.line("\\timing");
    terminal.expect("Timing is on.");
    terminal.expect("Time: ");
    terminal.line("QUIT;");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn wrong_sql_is_shown_and_the_shell_goes_on() {
    let mut terminal = Terminal::plain();
    terminal.line("SELEC 1;");
    terminal.expect("error: ");
    terminal.expect(PROMPT);
    terminal.line("\\nonsense");
    terminal.expect("is no command of the shell");
    terminal.expect(PROMPT);
    terminal.line("\\i no-such-file.sql");
    terminal.expect("cannot read 'no-such-file.sql'");
    terminal.expect(PROMPT);
    terminal.key(ControlCode::EndOfTransmission);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn control_c_drops_the_line() {
    let mut terminal = Terminal::plain();
    terminal.session.send("SELECT nonsense").expect("the shell reads");
    terminal.expect("nonsense");
    terminal.key(ControlCode::EndOfText);
    terminal.expect(PROMPT);
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_termination_ends_the_shell() {
    let terminal = Terminal::plain();
    let pid = terminal.session.get_process().pid().to_string();
    assert!(Command::new("kill").arg("-TERM").arg(pid).status().expect("kill").success());
    assert_eq!(terminal.end(), 143);
}

#[test]
fn an_incomplete_statement_continues() {
    let mut terminal = Terminal::start(100, &["--color", "always"]);
    terminal.expect(PROMPT);
    terminal.line("SELEC 'a");
    terminal.expect("       -> ");
    terminal.line("b'");
    terminal.expect("       -> ");
    terminal.line("; -- the end");
    terminal.expect("error");
    terminal.expect(PROMPT);
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn backspace_joins_lines() {
    let mut terminal = Terminal::start(100, &["--color", "always"]);
    terminal.expect(PROMPT);
    terminal.line("SELEC");
    terminal.expect("       -> ");
    terminal.session.send("x\u{7f}\u{7f} 1;").expect("the shell reads");
    terminal.line("");
    terminal.expect("error");
    terminal.expect(PROMPT);
    let history = terminal.state.path().join("affluent/history");
    let history = std::fs::read_to_string(history).expect("the history");
    assert!(history.contains("\nSELEC 1;\n"), "{history:?}");
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn tab_completes() {
    let mut terminal = Terminal::plain();
    terminal.session.send("descri\t").expect("the shell reads");
    terminal.expect("describe");
    terminal.key(ControlCode::EndOfText);
    terminal.expect(PROMPT);
    terminal.session.send("SET 'enrich\t").expect("the shell reads");
    terminal.expect("enrichment.strategy");
    terminal.key(ControlCode::EndOfText);
    terminal.expect(PROMPT);
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn the_history_outlives_the_shell() {
    let mut terminal = Terminal::plain();
    terminal.line("HELP;");
    terminal.expect(PROMPT);
    let history = terminal.state.path().join("affluent/history");
    assert!(std::fs::read_to_string(history).expect("the history").contains("HELP;"));
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn select_one() {
    let mut terminal = Terminal::plain();
    terminal.line("SELECT 1 AS one;");
    terminal.expect("| op |");
    terminal.expect("one |");
    terminal.expect("| +I |");
    terminal.expect("Received a total of 1 row");
    terminal.expect(PROMPT);
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn control_c_stops_a_query_and_the_shell_goes_on() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.line("SELECT n FROM ticks;");
    terminal.expect("| op |");
    terminal.expect("| +I |");
    terminal.key(ControlCode::EndOfText);
    terminal.expect("Query terminated, received a total of");
    terminal.expect(PROMPT);
    terminal.line("SELECT 2 AS two; SELECT 3 AS three;");
    terminal.expect("two |");
    terminal.expect("three |");
    terminal.expect("Received a total of 1 row");
    terminal.expect(PROMPT);
    terminal.key(ControlCode::EndOfTransmission);
    assert_eq!(terminal.end(), 0);
}

#[test]
fn a_background_job_is_cancelled_at_the_end() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.statement("CREATE TABLE sink (n BIGINT) WITH ('connector' = 'blackhole');");
    terminal.line("INSERT INTO sink SELECT n FROM ticks;");
    terminal.expect("Job 1 runs in the background.");
    terminal.expect(PROMPT);
    terminal.line("SHOW JOBS;");
    terminal.expect("1 row in set");
    terminal.expect(PROMPT);
    terminal.key(ControlCode::EndOfTransmission);
    terminal.expect("Job 1 is still running: it is cancelled.");
    terminal.expect("was cancelled");
    assert_eq!(terminal.end(), 0);
}

#[test]
fn tables_and_columns() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.line("\\dt");
    terminal.expect("ticks");
    terminal.expect(PROMPT);
    terminal.line("\\d ticks");
    terminal.expect("BIGINT");
    terminal.expect(PROMPT);
    terminal.session.send("SELECT * FROM ti\t").expect("the shell reads");
    terminal.expect("ticks");
    terminal.key(ControlCode::EndOfText);
    terminal.expect(PROMPT);
    terminal.line("\\q");
    assert_eq!(terminal.end(), 0);
}
