//! What nobody wants and everybody gets: bad input, small terminals, odd values.

use expectrl::Expect;

use crate::terminal::{ENDLESS, PROMPT, Terminal};

#[test]
fn a_syntax_error_among_good_statements() {
    let mut terminal = Terminal::plain();
    terminal.line("SELECT 1 AS one; SELEC 2; SELECT 3 AS three;");
    let before = terminal.before("expected a statement");
    assert!(!before.contains("| +I |"), "nothing runs before all is understood: {before}");
    terminal.expect("did you mean SELECT?");
    terminal.expect(PROMPT);
    terminal.line("SELECT 4 AS four;");
    terminal.expect("four |");
    terminal.expect("Received a total of 1 row");
    terminal.quit();
}

#[test]
fn a_paste_of_ten_thousand_lines() {
    let mut terminal = Terminal::plain();
    let mut text = String::from("SELECT COUNT(*) AS pasted FROM (VALUES (0)\r");
    (1..10_000).for_each(|i| text.push_str(&format!("-- line {i}\r")));
    text.push_str(", (1)) AS t(x);");
    // As a terminal marks what is pasted.
    terminal.session_send(&format!("\x1b[200~{text}\x1b[201~"));
    terminal.expect("-- line 9999");
    terminal.session_send("\r");
    terminal.expect("pasted |");
    terminal.expect("Received a total of");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn twenty_columns() {
    let mut terminal = Terminal::knowing(20, "CREATE VIEW v AS SELECT 1 AS a, 'some text' AS b, 3.5 AS c;");
    terminal.line("SELECT * FROM v;");
    terminal.expect("| op |");
    terminal.expect("1 of 3 columns fi...");
    terminal.expect("left out: b, c");
    terminal.expect("Received a total of 1 row");
    terminal.line("\\x");
    terminal.line("SELECT * FROM v;");
    terminal.expect("-[ 1 +I ]-----------\r\na | 1\r\nb | some text");
    terminal.line("\\plot b a");
    terminal.expect("a by b");
    terminal.expect("█");
    terminal.line("SHOW JOBS;");
    terminal.expect("job id");
    terminal.expect("in set");
    terminal.quit();
}

#[test]
fn a_resize_in_the_middle() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.statement("SET 'sql-client.execution.result-mode' = 'table';");
    terminal.line("SELECT COUNT(*) AS rows_so_far, 'a long text that needs its place' AS words FROM ticks;");
    terminal.expect("Ctrl-C stops\r\n");
    terminal.resize(23, 10);
    terminal.expect("\x1b[H\x1b[2J");
    terminal.expect("1 of 2 columns fit, ...");
    terminal.resize(100, 40);
    terminal.expect("\x1b[H\x1b[2J");
    terminal.expect("a long text that needs its place");
    terminal.interrupt();
    terminal.expect("Query terminated");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn a_query_that_never_gives_a_row() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.line("SELECT n FROM ticks WHERE n < 0;");
    terminal.expect("| op |");
    terminal.interrupt();
    terminal.expect("Query terminated, received a total of 0 rows");
    terminal.expect(PROMPT);
    terminal.line("\\plot line SELECT n, n AS m FROM ticks WHERE n < 0;");
    terminal.expect("nothing to draw yet");
    terminal.interrupt();
    terminal.expect("Query terminated");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn an_interrupt_at_once() {
    let mut terminal = Terminal::knowing(100, &wide_view());
    // It finds the line editor, the planner or the query: each gives the prompt back.
    for _ in 0..3 {
        terminal.line("SELECT * FROM wide;");
        terminal.signal("INT");
    }
    // A signal that is taken in late takes the line that is being typed: then it is typed again.
    let answered = (0..4).any(|_| {
        terminal.line("SELECT 6 AS six;");
        terminal.sees("six |")
    });
    assert!(answered, "the shell does not answer any more");
    terminal.expect("Received a total of 1 row");
    terminal.quit();
}

fn wide_view() -> String {
    let columns: Vec<String> = (0..500).map(|i| format!("{i} AS c{i}")).collect();
    format!("CREATE VIEW wide AS SELECT {};", columns.join(", "))
}

#[test]
fn five_hundred_columns() {
    let mut terminal = Terminal::knowing(100, &wide_view());
    terminal.line("SELECT * FROM wide;");
    terminal.expect("of 500 columns fit, \\x or -o vertical shows all");
    terminal.expect("left out: c");
    terminal.expect("Received a total of 1 row");
    terminal.line("\\x");
    terminal.line("SELECT * FROM wide;");
    terminal.expect("c499 | 499");
    terminal.expect("Received a total of 1 row");
    terminal.line("\\x");
    terminal.line("DESCRIBE wide;");
    terminal.expect("500 rows in set");
    terminal.quit();
}

#[test]
fn values_do_not_steer_the_terminal() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("odd.json");
    let rows = "{\"k\":\"\\u001b[31mred\\u001b]0;title\\u0007\",\"v\":\"a\\nb\\r\\tc\"}\n\
                {\"k\":\"\\u202eevil\\u200b\",\"v\":\"日本語 عربى\"}\n";
    std::fs::write(&file, rows).expect("a file");
    let table = format!(
        "CREATE TABLE odd (k STRING, v STRING) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'json');",
        file.display()
    );
    let mut terminal = Terminal::knowing(100, &table);
    for (command, marks) in [
        ("SELECT * FROM odd;", ["␛[31mred␛]0;title␇", "a↵b␍␉c", "\\u{202e}evil\\u{200b}", "日本語 عربى"]),
        ("\\plot bar k SELECT k FROM odd;", ["␛[31mred␛]0;title␇", "█", "\\u{202e}evil\\u{200b}", "█"]),
    ] {
        terminal.line(command);
        let mut shown = String::new();
        for mark in marks {
            shown.push_str(&terminal.before(mark));
        }
        shown.push_str(&terminal.before(PROMPT));
        // What the line editor and the chart send themselves ends with a letter that moves the cursor.
        for odd in ["\x1b[31m", "\x1b]0;", "\u{7}", "\u{202e}", "\u{200b}"] {
            assert!(!shown.contains(odd), "{odd:?} in {shown:?}");
        }
    }
    terminal.line("SET 'sql-client.execution.result-mode' = 'table';");
    terminal.line("SELECT * FROM odd;");
    terminal.expect("␛[31mred␛]0;title␇");
    terminal.expect("2 rows in set");
    terminal.quit();
}

#[test]
fn q_leaves_a_table_that_is_repainted() {
    let mut terminal = Terminal::plain();
    terminal.statement("SET 'sql-client.execution.result-mode' = 'table';");
    terminal.statement(ENDLESS);
    terminal.line("SELECT COUNT(*) AS c FROM ticks;");
    terminal.expect("q or Ctrl-C stops\r\n");
    terminal.session.send("q").expect("a key");
    terminal.expect("Query terminated");
    terminal.expect(PROMPT);
    // The terminal is as it was: a line is edited and echoed again.
    terminal.line("SELECT 40 + 2 AS answer;");
    terminal.expect("42");
    terminal.expect(PROMPT);
    terminal.quit();
}

#[test]
fn a_query_without_rows_says_how_far_it_is_and_how_to_stop_it() {
    let mut terminal = Terminal::plain();
    terminal.statement(ENDLESS);
    terminal.line("SELECT n FROM ticks WHERE n < 0;");
    terminal.expect(" rows in ");
    terminal.expect("/s · Ctrl-C stops");
    terminal.interrupt();
    terminal.expect("Query terminated");
    terminal.expect(PROMPT);
    terminal.line("SUMMARIZE SELECT 7 AS seven;");
    terminal.expect("| seven  | INT  |");
    terminal.expect(PROMPT);
    terminal.quit();
}
