//! The commands with a backslash, and what else one does with a running stream.

use crate::terminal::{ENDLESS, PROMPT, Terminal, content};

#[test]
fn results_go_to_a_file_and_back() {
    let mut terminal = Terminal::plain();
    let (json, csv) = (terminal.path("rows.json"), terminal.path("rows.csv"));
    terminal.line(&format!("\\o {}", json.display()));
    terminal.expect("Results go to ");
    terminal.expect(PROMPT);
    terminal.line("SELECT 1 AS one;");
    terminal.line(&format!("\\o {}", csv.display()));
    terminal.expect("Results go to ");
    terminal.line("SELECT 2 AS two; SHOW TABLES;");
    terminal.line("\\o");
    terminal.line("SELECT 3 AS three;");
    terminal.expect("Received a total of 1 row");
    terminal.expect(PROMPT);
    assert_eq!(content(&json, |t| !t.is_empty()), "{\"op\":\"+I\",\"one\":1}\n");
    assert_eq!(content(&csv, |t| t.contains("table name")), "op,two\n+I,2\ntable name\n");
    terminal.line("\\o /no/such/folder/x.json");
    terminal.expect("cannot write '/no/such/folder/x.json'");
    terminal.quit();
}

#[test]
fn results_go_through_a_command() {
    let mut terminal = Terminal::plain();
    let path = terminal.path("counted");
    terminal.line(&format!("\\o | wc -l > {}", path.display()));
    terminal.expect("Results go to | wc");
    terminal.line("SELECT x FROM (VALUES (1), (2), (3)) AS t(x);");
    terminal.line("\\o");
    assert_eq!(content(&path, |t| !t.is_empty()).trim(), "3");
    terminal.quit();
}

#[test]
fn a_command_that_stops_reading_stops_the_query() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    let path = terminal.path("first");
    terminal.line(&format!("\\o | head -n 1 > {}", path.display()));
    terminal.expect("Results go to | head");
    terminal.line("SELECT n FROM ticks;");
    terminal.expect("reads no more: results are shown here again");
    terminal.expect(PROMPT);
    assert_eq!(content(&path, |t| !t.is_empty()).lines().count(), 1);
    terminal.line("SELECT 5 AS five;");
    terminal.expect("five |");
    terminal.expect("Received a total of 1 row");
    terminal.quit();
}

#[test]
fn a_statement_is_watched() {
    let mut terminal = Terminal::plain();
    terminal.line("\\watch");
    terminal.expect("no statement yet that can be run again");
    terminal.line("SELECT 1 AS one;");
    terminal.expect("Received a total of 1 row");
    terminal.expect(PROMPT);
    terminal.line("\\watch 0.05");
    terminal.expect("Every 0.05 s: SELECT 1 AS one");
    terminal.expect("Received a total of 1 row");
    terminal.expect("Every 0.05 s: SELECT 1 AS one");
    terminal.expect("Received a total of 1 row");
    terminal.interrupt();
    terminal.expect(PROMPT);
    terminal.line("\\watch INSERT INTO a SELECT 1");
    terminal.expect("is no time between two runs");
    terminal.line("\\watch 1 SELECT nonsense");
    terminal.expect("'nonsense'");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn jobs_are_watched_and_described() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.statement("CREATE TABLE sink (n BIGINT) WITH ('connector' = 'blackhole');");
    terminal.line("INSERT INTO sink SELECT n FROM ticks;");
    terminal.expect("Job 1 runs in the background.");
    terminal.expect(PROMPT);
    terminal.line("\\jobs");
    terminal.expect("Every 1 s: SHOW JOBS");
    terminal.expect("RUNNING");
    terminal.expect("1 row in set");
    terminal.interrupt();
    terminal.expect(PROMPT);
    terminal.line("\\jobs 1");
    terminal.expect("Every 1 s: DESCRIBE JOB '1'");
    terminal.expect("Source: ");
    terminal.expect("rows in set");
    terminal.interrupt();
    terminal.expect(PROMPT);
    terminal.line("DESCRIBE JOB '9';");
    terminal.expect("job '9' is not known");
    terminal.expect(PROMPT);
    terminal.line("STOP JOB '1';");
    terminal.expect("job 1 stopped");
    terminal.quit();
}

#[test]
fn bars() {
    let mut terminal = Terminal::plain();
    terminal.line("SELECT k, v FROM (VALUES ('a', 1), ('b', -2)) AS t(k, v);");
    terminal.expect("Received a total of 2 rows");
    terminal.expect(PROMPT);
    terminal.line("\\plot bar k v");
    terminal.expect("v by k · 2 rows");
    terminal.expect("█");
    terminal.expect(" -2");
    terminal.expect(PROMPT);
    terminal.line("\\plot bar k nope");
    terminal.expect("the result has no column 'nope'");
    terminal.line("\\plot hist v SELECT v FROM (VALUES (1), (2), (CAST(NULL AS INT))) AS t(v);");
    terminal.expect("distribution of v · 2 rows · 1 left out");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn a_live_line() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.line("\\plot line n m SELECT n, MOD(n, 10) AS m FROM ticks;");
    terminal.expect("m by n");
    // It is painted again in place.
    terminal.expect("\x1b[J");
    terminal.expect("m by n");
    terminal.interrupt();
    terminal.expect("Query terminated");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn a_line_per_column() {
    let mut terminal = Terminal::plain();
    terminal.line("\\x");
    terminal.expect("A line per column is on.");
    terminal.line("SELECT 1 AS one, 'b' AS two;");
    terminal.expect("-[ 1 +I ]-");
    terminal.expect("one | 1");
    terminal.expect("two | b");
    terminal.line("SHOW JOBS;");
    terminal.expect("job id   | 1");
    terminal.line("\\x off");
    terminal.expect("A line per column is off.");
    terminal.quit();
}

#[test]
fn long_results_are_paged() {
    let mut terminal = Terminal::with_pager(100, &["--color", "never"], "sed 's/^/paged /'");
    terminal.expect(PROMPT);
    terminal.line("SHOW FUNCTIONS;");
    terminal.expect("paged | ");
    terminal.expect("rows in set");
    terminal.expect(PROMPT);
    terminal
        .statement("CREATE TABLE hundred (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '100');");
    terminal.line("SELECT n FROM hundred;");
    terminal.expect("paged | +I |");
    terminal.expect("paged Received a total of 100 rows");
    terminal.expect(PROMPT);
    terminal.line("SELECT 1 AS one;");
    terminal.expect("\n| +I |");
    terminal.expect("\nReceived a total of 1 row");
    terminal.line("\\pager off");
    terminal.expect("The pager is off.");
    terminal.line("SELECT n FROM hundred;");
    terminal.expect("\nReceived a total of 100 rows");
    terminal.quit();
}

#[test]
fn leaving_the_pager_ends_the_result() {
    let mut terminal = Terminal::with_pager(100, &["--color", "never"], "head -n 1 > /dev/null");
    terminal.expect(PROMPT);
    terminal
        .statement("CREATE TABLE many (n INT) WITH ('connector' = 'datagen', 'number-of-rows' = '1000000');");
    terminal.line("SELECT n FROM many;");
    terminal.line("SELECT 1 AS one;");
    terminal.expect("one |");
    terminal.expect("Received a total of 1 row");
    terminal.quit();
}

#[test]
fn an_analysis_ends() {
    let mut terminal = Terminal::plain();
    terminal
        .statement("CREATE TABLE ticks (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '100');");
    terminal.line("EXPLAIN ANALYZE SELECT n FROM ticks LIMIT 5;");
    terminal.expect("ended after");
    terminal.expect("Source: ");
    terminal.expect(PROMPT);
    terminal.statement("SET 'affluent.explain-analyze.time' = '50 ms';");
    terminal.line("EXPLAIN ANALYZE SELECT n FROM ticks;");
    terminal.expect("does not end by itself: stopped after");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn tab_knows_the_options_of_a_connector() {
    let mut terminal = Terminal::plain();
    terminal.session_send("CREATE TABLE t (id INT) WITH ('connector' = 'datag\t");
    terminal.expect("datagen");
    terminal.session_send("', 'rows-per\t");
    terminal.expect("rows-per-second");
    terminal.interrupt();
    terminal.expect(PROMPT);
    terminal.session_send("SELECT /*+ LOOKUP('output-mode' = 'allow\t");
    terminal.expect("allow_unordered");
    terminal.interrupt();
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn init_files_run_before_the_prompt() {
    let mut terminal = Terminal::knowing(100, "CREATE VIEW v AS SELECT 1 AS one; SELEC;");
    terminal.line("\\dt");
    terminal.expect("Empty set");
    terminal.quit();
    let mut terminal = Terminal::knowing(100, "CREATE VIEW v AS SELECT 1 AS one;");
    terminal.line("\\dt");
    terminal.expect("| v ");
    terminal.quit();
}
