#![allow(clippy::unwrap_used, clippy::panic)]
use jupyter_protocol::{ExecuteRequest, JupyterMessageContent as Content, MediaType, Stdio};

use super::*;
use crate::console::interrupt::Scope;
use crate::notebook::output::{Published, channel};

/// A kernel without sockets.
struct Notebook {
    cells: Cells,
    output: CellOutput,
    published: Published,
    interrupts: Arc<Interrupts>,
}

impl Notebook {
    fn new() -> Self {
        let session = Arc::new(Session::new().unwrap());
        let interrupts = Interrupts::listen(session.clone(), Scope::Shell);
        let variables = Variables::new([("N".to_string(), "3".to_string())]);
        let (publisher, published) = channel();
        let request = ExecuteRequest::new(String::new()).into();
        let output = CellOutput::new(publisher, Arc::new(request), false);
        Self { cells: Cells::new(session, variables, interrupts.clone()), output, published, interrupts }
    }

    /// What a cell that succeeds shows at its end: displays replaced, in the order of their appearance.
    fn shown(&mut self, code: &str) -> Vec<String> {
        match self.cells.run("In [1]", code, &self.output) {
            Outcome::Done => self.pictures(),
            Outcome::Failed(e) => panic!("{code}: {}", e.traceback.join("\n")),
        }
    }

    fn pictures(&mut self) -> Vec<String> {
        let mut shown: Vec<(Option<String>, String)> = Vec::new();
        let plain = |media: &jupyter_protocol::Media| {
            let text = media.content.iter().find_map(|m| match m {
                MediaType::Plain(text) => Some(text.clone()),
                _ => None,
            });
            text.unwrap()
        };
        while let Some(message) = self.published.try_next() {
            match message.content {
                Content::DisplayData(d) => {
                    shown.push((d.transient.and_then(|t| t.display_id), plain(&d.data)));
                }
                Content::UpdateDisplayData(d) => {
                    // A job of an earlier cell may be told of, too.
                    match shown.iter_mut().find(|s| s.0 == d.transient.display_id) {
                        Some(place) => place.1 = plain(&d.data),
                        None => shown.push((d.transient.display_id, plain(&d.data))),
                    }
                }
                Content::StreamContent(s) => {
                    let name = if matches!(s.name, Stdio::Stdout) { "out" } else { "err" };
                    shown.push((None, format!("{name}: {}", s.text)));
                }
                other => panic!("{other:?}"),
            }
        }
        shown.into_iter().map(|s| s.1).collect()
    }

    fn error(&mut self, code: &str) -> (String, String) {
        match self.cells.run("In [1]", code, &self.output) {
            Outcome::Failed(e) => (e.ename, plain(&e.traceback.join("\n"))),
            Outcome::Done => panic!("{code} has no error"),
        }
    }
}

/// Without colours.
fn plain(text: &str) -> String {
    let colour = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    colour.replace_all(text, "").into_owned()
}

const NUMBERS: &str = "CREATE TABLE n (id BIGINT) WITH ('connector' = 'datagen', 'number-of-rows' = '100',
    'rows-per-second' = '0', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '100');";

#[test]
fn statements_one_after_the_other() {
    let mut notebook = Notebook::new();
    let shown =
        notebook.shown(&format!("{NUMBERS} --%rows 2\nSELECT id FROM n WHERE id > ${{N}}; SHOW TABLES;"));
    assert_eq!(shown.len(), 2, "{shown:?}");
    let expected = "... 95 earlier\n+-----+\n| id  |\n+-----+\n|  99 |\n| 100 |\n+-----+\nfinished after ";
    assert!(shown[0].starts_with(expected), "{}", shown[0]);
    assert!(shown[0].contains(" · 97 rows · 100 rows read"), "{}", shown[0]);
    assert!(shown[1].contains("| n "), "{}", shown[1]);
    let state =
        notebook.shown("SELECT MOD(id, 2) AS k, COUNT(*) AS c FROM n GROUP BY MOD(id, 2)").pop().unwrap();
    assert!(state.contains("| 1 | 50 |") && state.contains("| 0 | 50 |"), "{state}");
    let changes = notebook.shown(
        "SET 'sql-client.execution.result-mode' = 'changelog'; SELECT COUNT(*) AS c FROM n HAVING COUNT(*) > 99",
    );
    assert!(changes.iter().any(|c| c.contains("| +I | 100 |")), "{changes:?}");
}

#[test]
fn nothing_of_a_cell_with_a_mistake_in_its_syntax_runs() {
    let mut notebook = Notebook::new();
    let (name, text) = notebook.error(&format!("{NUMBERS}\nSELEC 1;\nSELECT FROM;"));
    assert_eq!(name, "SyntaxError");
    assert!(text.contains("found SELEC\n --> In [1]:3:1\n  |\n3 | SELEC 1;\n  | ^^^^^"), "{text}");
    assert!(text.contains("In [1]:4:"), "all mistakes are told: {text}");
    assert!(notebook.cells.session.table_names().is_empty());
    let (name, text) = notebook.error("SELECT 1;\nSELECT x FROM nope;\nSELECT 2;");
    assert_eq!((name.as_str(), notebook.pictures().len()), ("PlanError", 1));
    assert!(text.contains("In [1]:2:15"), "{text}");
    assert!(notebook.error("SELECT ${NOT_SET_ANYWHERE}").1.contains("NOT_SET_ANYWHERE"));
    assert!(notebook.error("--%chart line x=a y=b\nSELECT 1 AS a, 2 AS c").1.contains("no column 'b'"));
    assert!(notebook.error("--%rows 3\nSHOW TABLES").1.contains("directives are for queries"));
    assert_eq!(notebook.error("QUIT").0, "UnsupportedError");
    assert_eq!(notebook.shown(" -- nothing\n"), [""; 0]);
    assert!(notebook.shown("HELP")[0].contains("--%chart line|bar|point|histogram"));
}

#[test]
fn a_failure_while_rows_flow_is_told_with_what_came_before() {
    let mut notebook = Notebook::new();
    notebook.shown(NUMBERS);
    let (name, text) = notebook.error("SELECT 10 / (id - 100) AS q FROM n");
    assert_eq!(name, "ExecutionError");
    assert!(text.contains("division by zero"), "{text}");
    let shown = notebook.pictures();
    assert!(
        shown[0].contains("\nfailed after ") || shown[0].starts_with("Empty set\nfailed after "),
        "{shown:?}"
    );
}

#[test]
fn jobs_go_on_or_are_waited_for() {
    let mut notebook = Notebook::new();
    let sink = "CREATE TABLE s WITH ('connector' = 'blackhole') LIKE n (EXCLUDING OPTIONS);";
    let shown = notebook
        .shown(&format!("{NUMBERS} {sink} SET 'table.dml-sync' = 'true'; INSERT INTO s SELECT * FROM n"));
    assert!(shown[0].starts_with("job 1 (insert-into_s) finished after "), "{shown:?}");
    assert!(shown[0].contains(" · 100 rows written · 100 rows read"), "{shown:?}");
    assert_eq!(notebook.cells.session.setting(DML_SYNC), "true");

    notebook.shown("RESET 'table.dml-sync'; CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen')");
    let shown = notebook.shown("INSERT INTO s SELECT * FROM g");
    assert!(shown[0].contains("running") && shown[0].contains("STOP JOB '2'; stops it"), "{shown:?}");
    let jobs = notebook.shown("SHOW JOBS");
    assert!(jobs.iter().any(|j| j.contains("RUNNING")), "{jobs:?}");
    assert!(notebook.shown("STOP JOB '2'").iter().any(|line| line == "out: job 2 stopped\n"));
    let (name, _) =
        notebook.error("SET 'table.dml-sync' = 'true'; INSERT INTO s SELECT 1 / (id - id) FROM g");
    assert_eq!(name, "ExecutionError");
}

#[test]
fn an_interrupt_ends_the_query_and_what_follows() {
    let mut notebook = Notebook::new();
    notebook.shown("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000')");
    // Interrupts when the first row is there.
    let interrupt = |code: &str, notebook: &mut Notebook| {
        let (cells, output, interrupts) = (&notebook.cells, &notebook.output, &notebook.interrupts);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| cells.run("In [1]", code, output));
            while !cells.session.jobs().last().is_some_and(|job| {
                job.state() == JobState::Running
                    && job.metrics.rows_out.load(std::sync::atomic::Ordering::Relaxed) > 0
            }) {
                std::thread::yield_now();
            }
            interrupts.clone().interrupted();
            running.join().unwrap()
        })
    };
    let outcome = interrupt("SELECT * FROM g", &mut notebook);
    assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
    assert!(notebook.cells.was_interrupted());
    let shown = notebook.pictures();
    assert!(shown[0].contains("\nstopped after "), "{shown:?}");
    let Outcome::Failed(e) = interrupt("SELECT * FROM g; SELECT 1; SELECT 2", &mut notebook) else {
        panic!()
    };
    assert_eq!(
        (e.ename.as_str(), e.evalue.as_str()),
        ("Interrupted", "2 statements of the cell were not executed")
    );
    assert_eq!(notebook.pictures().len(), 1);
    // A cell that comes later is not concerned.
    assert_eq!(notebook.shown("SELECT 1").len(), 1);
    assert!(!notebook.cells.was_interrupted());
}

#[test]
fn a_query_in_the_background_leaves_the_cell() {
    let mut notebook = Notebook::new();
    notebook.shown("CREATE TABLE g (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000')");
    notebook.shown("--%background\nSELECT COUNT(*) AS n FROM g");
    notebook.shown("STOP JOB '1'");
    let job = notebook.cells.session.jobs().remove(0);
    assert_eq!(job.state(), JobState::Cancelled);
}

#[test]
fn a_result_goes_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's.arrow");
    let quoted = path.display().to_string().replace('\'', "''");
    let mut notebook = Notebook::new();
    notebook.shown(NUMBERS);
    for (query, rows) in
        [("SELECT * FROM n", 100), ("SELECT MOD(id, 7) AS k, SUM(id) AS s FROM n GROUP BY MOD(id, 7)", 7)]
    {
        let shown = notebook.shown(&format!("--%arrow '{quoted}'\n{query}"));
        assert!(shown.last().unwrap().contains(&format!(" · {rows} rows written to ")), "{shown:?}");
        let reader =
            arrow::ipc::reader::FileReader::try_new(std::fs::File::open(&path).unwrap(), None).unwrap();
        assert_eq!(reader.map(|b| b.unwrap().num_rows()).sum::<usize>(), rows);
    }
    let before = std::fs::read(&path).unwrap();
    notebook.error(&format!("--%arrow '{quoted}'\nSELECT 1 / (id - 100) FROM n"));
    assert_eq!(std::fs::read(&path).unwrap(), before, "a failure leaves the old file");
    assert_eq!(notebook.error("--%arrow /nowhere/x.arrow\nSELECT 1").0, "IoError");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
