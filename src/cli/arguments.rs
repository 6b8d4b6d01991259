//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::console::output::{ColorChoice, Look};
use crate::console::render::OutputFormat;

const EXAMPLES: &str = "\
Examples:
  affluent                                   an interactive shell
  affluent -c \"SELECT 1 + 1\"                 run statements and exit
  affluent run pipeline.sql                  run a pipeline; Ctrl-C stops it cleanly
  affluent run ddl.sql query.sql -o csv      several files, one session
  affluent -i tables.sql                     a shell that knows the tables of a file
  affluent run p.sql --set enrichment.strategy=CACHED --var INPUT=data.jsonl
  cat p.sql | affluent run -                 statements from standard input, as they come

Exit status: 0 done, 1 the pipeline failed, 2 wrong SQL or arguments, 130 interrupted (SIGINT), 143 stopped by SIGTERM.";

const RUN_EXAMPLES: &str = "\
Examples:
  affluent run pipeline.sql
  affluent run ddl.sql query.sql -o json > rows.jsonl
  affluent run query.sql -i ddl.sql
  INPUT=data.jsonl affluent run pipeline.sql
  affluent run pipeline.sql --report-every '1 min' 2>> figures.log
  affluent run pipeline.sql --var INPUT=data.jsonl --set parallelism.default=2
  affluent run pipeline.sql --set execution.checkpointing.interval=10s   goes on where it was when run again
  affluent run pipeline.sql --metrics              figures at http://127.0.0.1:9464/metrics
  affluent run pipeline.sql --metrics=0.0.0.0:9464 --log-format json
  affluent run pipeline.sql --from-savepoint savepoints/savepoint-1
  affluent run pipeline.sql --otlp=http://collector:4318   metrics and traces; OTEL_EXPORTER_OTLP_ENDPOINT does the same
  affluent run pipeline.sql --record monday --record-limit '500 mb'
  affluent run edited.sql --replay monday          what it would give, without any service";

const CHECK_EXAMPLES: &str = "\
Examples:
  affluent check pipeline.sql
  affluent check ddl.sql query.sql -o json   one object a line, for editors
  affluent check --portable query.sql        what Flink would refuse, too

Exit status: 0 nothing wrong (there may be warnings), 2 errors.";

const TUNE_EXAMPLES: &str = "\
Examples:
  affluent tune pipeline.sql                       at most 50,000 calls in 60 s
  affluent tune pipeline.sql --calls 2000 --time '20 s' --html findings.html
  affluent tune pipeline.sql --rate 500            what a cache finds at 500 rows a second
  affluent tune pipeline.sql --replay monday       on recorded rows and latencies, without the service
  affluent tune pipeline.sql -o json | jq -r '.recommended[].sql'

Nothing is written: sinks keep nothing. The input is read once, for a sample.

Exit status: 0 done, 1 the service broke (what was measured before is shown), 2 wrong SQL or arguments.";

const DIFF_EXAMPLES: &str = "\
Examples:
  affluent run pipeline.sql --record monday            keep what sources and lookups say
  affluent diff pipeline.sql edited.sql --replay monday
  affluent diff pipeline.sql edited.sql --replay monday -o json | jq .change
  affluent diff old.sql new.sql --replay monday --limit 0

Exit status: 0 no row differs, 1 some do, 2 a file or the recording is wrong.";

const TEST_EXAMPLES: &str = "\
Examples:
  affluent test                              all tests below this folder
  affluent test sql/sensors.sql              those of a pipeline, in sql/sensors.test.sql
  affluent test sql -k window --watch        those that match, again whenever a file changes
  affluent test sql --update                 what was found becomes what is expected
  affluent test sql --junit results.xml --coverage
  affluent test sql -o json                  one object a line, for editors

A test stands beside its pipeline, which runs as it is:
  TEST 'a known sensor gets its brand';
  MOCK sensor_info AFTER '20 ms' RETURNS (id, brand) VALUES ('7', 'Thermix');
  INSERT INTO temperatures VALUES ('7', 21, 'OK', 1000), ('8', 22, 'OK', 2000);
  EXPECT RESULT (sensorId, brand) VALUES ('7', 'Thermix'), ('8', NULL);
  EXPECT CALLS sensor_info 2;

Exit status: 0 all passed, 1 some failed, 2 wrong test files or arguments.";

/// An embedded SQL stream processor for enrichment: reads records as they arrive, looks up what they
/// lack, and writes the enriched stream on.
#[derive(Debug, Parser)]
#[command(name = "affluent", version, after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
pub struct Cli {
    /// Run these statements, separated by semicolons, and exit
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    pub statements: Option<String>,

    /// What holds for all ways to run.
    #[command(flatten)]
    pub common: Common,

    /// What to do; without it, an interactive shell.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The arguments with the flags of all commands after the command: the parser forgets those in front of it when
/// the same flag follows it too.
pub fn gathered(arguments: Vec<OsString>) -> Vec<OsString> {
    let root = Cli::command();
    let flag = |text: &str| -> Option<(bool, bool)> {
        let long = text.strip_prefix("--").map(|t| t.split_once('=').map_or(t, |(name, _)| name));
        let found = root.get_arguments().find(|a| match long {
            Some(name) => a.get_long() == Some(name),
            None => text.chars().nth(1).is_some_and(|c| a.get_short() == Some(c)),
        })?;
        // Whether it may be moved, and whether its value is the next argument.
        let whole = text.contains('=') || (long.is_none() && text.chars().count() > 2);
        Some((found.is_global_set(), found.get_action().takes_values() && !whole))
    };
    let mut moved = Vec::new();
    let mut kept = Vec::new();
    let mut at = 1;
    while let Some(text) = arguments.get(at).and_then(|a| a.to_str()) {
        if !text.starts_with('-') {
            if root.find_subcommand(text).is_none() {
                break;
            }
            let (first, rest) = (arguments[..1].iter().chain(&kept), &arguments[at + 1..]);
            return first.chain([&arguments[at]]).chain(&moved).chain(rest).cloned().collect();
        }
        let Some((is_global, takes_next)) = flag(text) else { break };
        let end = at + 1 + usize::from(takes_next);
        let Some(parts) = arguments.get(at..end) else { break };
        if is_global { &mut moved } else { &mut kept }.extend(parts.iter().cloned());
        at = end;
    }
    arguments
}

/// Commands without a session, for which flags of sessions mean nothing.
const WITHOUT_SESSION: [&str; 5] = ["demo", "sensor-api", "options", "functions", "completions"];

/// Flags of all commands that mean nothing to one: its help does not have them.
const MEANINGLESS: [(&str, &[&str]); 5] = [
    ("check", &["verbose", "report_every"]),
    ("test", &["init", "report_every"]),
    ("diff", &["report_every"]),
    ("tune", &["report_every"]),
    ("kernel", &["init", "output", "quiet", "verbose", "report_every", "color", "log_format"]),
];

/// The same command, and those in it, with a help without these flags.
fn without_flags(command: clap::Command, flags: &[&str]) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_string()).collect();
    let command = command.mut_args(|arg| {
        let meaningless = flags.contains(&arg.get_id().as_str());
        if meaningless { arg.hide(true) } else { arg }
    });
    names
        .into_iter()
        .fold(command, |command, name| command.mut_subcommand(name, |inner| without_flags(inner, flags)))
}

/// Reads the arguments of the process. The help of a command without a session does not have the flags of sessions.
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let arguments = gathered(arguments);
    let word = |at: usize| arguments.get(at).and_then(|a| a.to_str()).unwrap_or_default();
    let help = (2..arguments.len()).map(word).find(|a| matches!(*a, "--help" | "-h"));
    let alone =
        Cli::command().find_subcommand(word(1)).filter(|_| WITHOUT_SESSION.contains(&word(1))).cloned();
    if let (Some(help), Some(alone)) = (help, alone) {
        let alone = alone.bin_name(format!("affluent {}", word(1)));
        alone.try_get_matches_from([word(1), help])?;
    }
    if let (Some(_), Some((name, flags))) = (help, MEANINGLESS.iter().find(|(name, _)| *name == word(1))) {
        let mut root = Cli::command();
        root.build();
        root.mut_subcommand(name, |command| without_flags(command, flags))
            .try_get_matches_from(&arguments)?;
    }
    Cli::try_parse_from(arguments)
}

/// Flags of all commands.
#[derive(Debug, Args, Clone)]
pub struct Common {
    /// Set a setting, as SET does, before anything else; may be given several times
    #[arg(long, value_name = "KEY=VALUE", global = true, value_parser = pair)]
    pub set: Vec<(String, String)>,

    /// A value for ${NAME} in the statements; names that are not given are taken from the environment
    #[arg(long, value_name = "NAME=VALUE", global = true, value_parser = variable)]
    pub var: Vec<(String, String)>,

    /// SQL files to run before anything else, such as definitions of tables; may be given several times
    #[arg(short, long, value_name = "FILE.sql", global = true)]
    pub init: Vec<PathBuf>,

    /// How results are written; default: tableau on a terminal, json elsewhere
    #[arg(short, long, value_name = "FORMAT", global = true)]
    pub output: Option<OutputFormat>,

    /// No progress and no notes on standard error, only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// A summary at the end even without a terminal
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Without a terminal, a line of figures on standard error so often while jobs run; 0: never
    #[arg(long, value_name = "DURATION", global = true, default_value = "10 s", value_parser = duration)]
    pub report_every: Duration,

    /// What standard error is written as: text (lines of logfmt off a terminal), or JSON, one object a line
    #[arg(long, value_name = "FORMAT", global = true, default_value = "text")]
    pub log_format: LogFormat,

    /// Colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_name = "WHEN", global = true, default_value = "auto")]
    pub color: ColorChoice,
}

impl Common {
    /// What they ask of the output.
    pub fn look(&self) -> Look {
        Look {
            format: self.output,
            color: self.color,
            quiet: self.quiet,
            verbose: self.verbose,
            report_every: self.report_every,
        }
    }
}

/// What standard error is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; lines of logfmt off a terminal
    Text,
    /// One object a line
    Json,
}

const SENSOR_API_EXAMPLES: &str = "\
Examples:
  affluent sensor-api
  affluent sensor-api --latency 200ms --slow-share 0.01 --error-rate 0.05
  affluent sensor-api --rate-limit 500 --outage-every 30s --outage-for 2s
  curl http://127.0.0.1:8080/sensors/7
  curl http://127.0.0.1:8080/stats";

#[cfg(feature = "kernel")]
const KERNEL_EXAMPLES: &str = "\
Examples:
  affluent kernel install                    for this user; then: jupyter lab
  affluent kernel install --sys-prefix       into the active Python environment
  affluent kernel install --prefix /usr/local --display-name \"Affluent SQL\"
  affluent kernel install --name slow --display-name \"Affluent, one task\" --set parallelism.default=1
  jupyter kernelspec uninstall affluent";

/// What can be done with the Jupyter kernel.
#[cfg(feature = "kernel")]
#[derive(Debug, Subcommand)]
pub enum KernelCommand {
    /// Let JupyterLab offer Affluent SQL; --set and --var hold for every notebook
    #[command(after_help = KERNEL_EXAMPLES)]
    Install {
        /// For this user (the default)
        #[arg(long, conflicts_with_all = ["prefix", "sys_prefix"])]
        user: bool,

        /// Below a prefix: PREFIX/share/jupyter/kernels
        #[arg(long, value_name = "PREFIX", conflicts_with = "sys_prefix")]
        prefix: Option<PathBuf>,

        /// Into the Python environment that is active
        #[arg(long)]
        sys_prefix: bool,

        /// Name of the kernel's folder, by which notebooks remember it
        #[arg(long, default_value = crate::notebook::install::NAME)]
        name: String,

        /// Name that people see
        #[arg(long, value_name = "NAME", default_value = crate::notebook::install::DISPLAY_NAME)]
        display_name: String,
    },

    /// Run the kernel; Jupyter calls this
    #[command(
        after_help = "Example:\n  affluent kernel run --connection-file ~/.local/share/jupyter/runtime/kernel-1.json"
    )]
    Run {
        /// Where Jupyter has written ports and key
        #[arg(long, value_name = "FILE")]
        connection_file: PathBuf,
    },
}
const DEMO_EXAMPLES: &str = "\
Examples:
  affluent demo
  affluent demo --latency 5ms --sensors 100000
  affluent demo --events 10000000 --skew 1.1";

const OPTIONS_EXAMPLES: &str = "\
Examples:
  affluent options http
  affluent options settings
  affluent options > options.md";

const FUNCTIONS_EXAMPLES: &str = "\
Examples:
  affluent functions JSON_
  affluent functions > functions.md";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  affluent completions bash > ~/.local/share/bash-completion/completions/affluent
  affluent completions zsh > ~/.zfunc/_affluent
  affluent completions fish > ~/.config/fish/completions/affluent.fish";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run pipeline files: bounded inputs end, unbounded ones run until interrupted
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// SQL files, run in order in one session; `-` is standard input
        #[arg(required = true, value_name = "FILE.sql")]
        files: Vec<PathBuf>,

        /// Start from a savepoint, as STOP JOB ... WITH SAVEPOINT printed it (execution.state-recovery.path)
        #[arg(long, value_name = "PATH", conflicts_with = "fresh")]
        from_savepoint: Option<String>,

        /// Start from the beginning, whatever an earlier run left (affluent.state-recovery.automatic = false)
        #[arg(long)]
        fresh: bool,

        /// Answer for figures at http://ADDRESS/metrics (Prometheus), and at /health and /ready; default: 127.0.0.1:9464
        #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = crate::metrics::server::DEFAULT)]
        metrics: Option<String>,

        /// Send metrics and traces to an OpenTelemetry collector, OTLP over HTTP as JSON; OTEL_* say the rest
        #[arg(long, value_name = "URL", num_args = 0..=1, require_equals = true, default_missing_value = "http://127.0.0.1:4318")]
        otlp: Option<String>,

        /// Keep in this folder what sources, lookups and functions answer, without secrets, for --replay, `diff` and tests
        #[arg(long, value_name = "FOLDER", conflicts_with = "replay")]
        record: Option<PathBuf>,

        /// About how large a recording may become; rows that come behind are left out, and that is said
        #[arg(long, value_name = "SIZE", default_value = "1 gb", value_parser = size, requires = "record")]
        record_limit: u64,

        /// Run on a recording and its clock instead of services; what would be written is shown
        #[arg(long, value_name = "FOLDER", conflicts_with_all = ["from_savepoint", "fresh", "metrics", "otlp"])]
        replay: Option<PathBuf>,

        /// What is done with a key that the recording has no answer for: fail, or count it as a miss
        #[arg(long, value_name = "HOW", default_value = "fail", requires = "replay")]
        replay_missing: super::replay::HowMissing,
    },

    /// Measure which strategy, capacity, tasks, batch and cache suit a pipeline and its service
    #[command(after_help = TUNE_EXAMPLES)]
    Tune(super::tune::TuneArguments),

    /// Which rows differ between two versions of a pipeline, on one recording
    #[command(after_help = DIFF_EXAMPLES)]
    Diff(super::replay::DiffArguments),

    /// Plan pipeline files without running them: all errors and warnings at once, with their places
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// SQL files, checked in order in one session; `-` is standard input
        #[arg(required = true, value_name = "FILE.sql")]
        files: Vec<PathBuf>,
        /// Also ask brokers whether they can be reached, and whether topics, rights and records fit
        #[arg(long)]
        connect: bool,
        /// Tell as well what Flink 2.3 would refuse of the queries
        #[arg(long)]
        portable: bool,
    },

    /// Run the tests of pipelines: given rows, mocked lookups, functions and HTTP, a mocked clock
    #[command(after_help = TEST_EXAMPLES)]
    Test(super::test::TestArguments),

    /// From one machine to many: the same file on a Flink cluster
    #[command(subcommand)]
    Flink(super::flink::FlinkCommand),

    /// The sensor network, complete: a stream, the sensor API, three strategies compared
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(crate::demo::DemoOptions),

    /// The demonstration's lookup service alone, with latency and faults as ordered
    #[command(name = "sensor-api", after_help = SENSOR_API_EXAMPLES)]
    SensorApi(crate::demo::SensorApiOptions),

    /// The Jupyter kernel: SQL in notebooks, results that follow their streams
    #[cfg(feature = "kernel")]
    #[command(subcommand, after_help = KERNEL_EXAMPLES)]
    Kernel(KernelCommand),
    /// Print every option of connectors, formats and lookups, and every setting, as Markdown
    #[command(after_help = OPTIONS_EXAMPLES)]
    Options {
        /// A connector, a format, `lookup`, `hint`, `watermark`, `test`, `settings` or `metrics`; without it, all options
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },

    /// Print every function with its arguments and result, as Markdown
    #[command(after_help = FUNCTIONS_EXAMPLES)]
    Functions {
        /// The first letters of a name; without it, all
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },

    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: CompletionShell,
    },
}

/// Shells that completions are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// Bash
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    crate::catalog::options::parse_duration(text).map_err(|e| e.to_string())
}

fn size(text: &str) -> Result<u64, String> {
    crate::catalog::options::parse_size(text).map_err(|e| e.to_string())
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((unquoted(key), unquoted(value))),
        _ => Err("expected KEY=VALUE".into()),
    }
}

/// Without the quotes that SET needs and that are easily written here too.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap_or(text).to_string()
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if crate::sql::scan::variable(&format!("${{{name}}}")).is_some() => {
            Ok((name.to_string(), value.to_string()))
        }
        Some(_) => Err("a name is made of letters, digits and _, and begins with no digit".into()),
        None => Err("expected NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        super::parse(std::iter::once(&"affluent").chain(args).map(OsString::from).collect())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_stand_anywhere() {
        let args = ["--set", "a.b=c=d", "run", "a.sql", "-", "-o", "csv", "--var", "X=1", "-q"];
        let cli = parse(&args).unwrap();
        assert_eq!(cli.common.set, [("a.b".to_string(), "c=d".to_string())]);
        assert_eq!(cli.common.var, [("X".to_string(), "1".to_string())]);
        assert_eq!(cli.common.output, Some(OutputFormat::Csv));
        assert!(cli.common.quiet && !cli.common.verbose);
        let Some(Command::Run { files, .. }) = cli.command else { panic!("run") };
        assert_eq!(files, [PathBuf::from("a.sql"), PathBuf::from("-")]);
        assert_eq!(parse(&["-c", "SELECT 1"]).unwrap().statements.as_deref(), Some("SELECT 1"));
        assert!(parse(&[]).unwrap().command.is_none());
    }

    #[test]
    fn flags_on_both_sides_of_the_command_add_up() {
        let args =
            ["--set", "a=1", "-i", "x.sql", "--var=V=1", "-q", "run", "p.sql", "--set", "b=2", "-i", "y.sql"];
        let cli = parse(&args).unwrap();
        assert_eq!(cli.common.set.len(), 2);
        assert_eq!(cli.common.init, [PathBuf::from("x.sql"), PathBuf::from("y.sql")]);
        assert!(cli.common.quiet && cli.common.var.len() == 1);
        assert_eq!(parse(&["-ojson", "run", "p.sql"]).unwrap().common.output, Some(OutputFormat::Json));
        assert!(parse(&["-c", "SELECT 1", "run", "p.sql"]).unwrap().statements.is_some(), "stays in front");
        assert!(parse(&["--set"]).is_err() && parse(&["--nonsense", "run", "p.sql"]).is_err());
    }

    #[test]
    fn init_files_and_reports() {
        let cli =
            parse(&["run", "c.sql", "-i", "a.sql", "--init", "b.sql", "--report-every", "500 ms"]).unwrap();
        assert_eq!(cli.common.init, [PathBuf::from("a.sql"), PathBuf::from("b.sql")]);
        assert_eq!(cli.common.report_every, Duration::from_millis(500));
        assert_eq!(parse(&[]).unwrap().common.report_every, Duration::from_secs(10));
    }

    #[test]
    fn help_shows_what_a_command_has() {
        let help = |args: &[&str]| parse(args).unwrap_err().to_string();
        let check = help(&["check", "--help"]);
        assert!(
            !check.contains("--report-every") && check.contains("--var") && check.contains("FILE.sql"),
            "{check}"
        );
        assert!(help(&["run", "-h"]).contains("--report-every"));
        assert!(!help(&["options", "-h"]).contains("--var"));
        #[cfg(feature = "kernel")]
        {
            let install = help(&["kernel", "install", "--help"]);
            assert!(!install.contains("--output") && install.contains("--var"), "{install}");
        }
    }

    #[test]
    fn wrong_arguments_exit_with_2() {
        for args in [
            &["run"][..],
            &["--set", "novalue"],
            &["--var", "1x=2"],
            &["-o", "xml"],
            &["nonsense"],
            &["completions", "tcsh"],
            &["-q", "-v"],
            &["--report-every", "soon"],
        ] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
        assert_eq!(parse(&["--version"]).unwrap_err().exit_code(), 0);
        assert_eq!(parse(&["--help"]).unwrap_err().exit_code(), 0);
    }
}
