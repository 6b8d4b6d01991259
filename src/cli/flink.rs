//! `affluent flink`: what of a file a Flink cluster takes, and the file as it takes it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::arguments::Common;
use crate::console::diagnostic::{self, USAGE};
use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::console::render::OutputFormat;
use crate::console::script;
use crate::error::{Error, Result};
use crate::flink::gateway::Gateway;
use crate::flink::import::import;
use crate::flink::run::{Follow, run};
use crate::flink::{
    Connectors, Export, Fate, Request, Target, Version, export, json_of, report_import, report_json,
    report_text,
};
use crate::sql::SourceText;
use crate::sql::variables::Script;

const CHECK_EXAMPLES: &str = "\
Examples:
  affluent flink check sql/sensors.sql
  affluent flink check pipeline.sql --flink-version 2.1 --connectors kafka,jdbc
  affluent flink check tables.sql query.sql -o json      one object a statement

Exit status: 0 all of it can go, 2 something cannot, or the file is wrong.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  affluent flink export sql/sensors.sql                  to standard output
  affluent flink export pipeline.sql -o flink.sql        functions in Python go beside it
  affluent flink export pipeline.sql --connectors rest-lookup,kafka --var KAFKA=broker:9092

Values of --var are put in, unless they may be secrets; ${NAME} of the environment stays.
Exit status: 0 written, 2 something cannot go, and nothing is written.";

const RUN_EXAMPLES: &str = "\
Examples:
  affluent flink run pipeline.sql --gateway http://127.0.0.1:8083
  affluent flink run pipeline.sql --gateway http://flink:8083 --connectors kafka,http --detach
  affluent flink run --gateway http://127.0.0.1:8083 --stop 3d1c0e4fd0407ca3513ec027e31098a1

All statements are checked on the cluster before the first job is submitted. Ctrl-C stops the jobs with a savepoint.
Exit status: 0 the jobs have finished, 1 one has failed, 2 something cannot go or is wrong, 130 interrupted.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  affluent flink import flink.sql                        what differs, and the file to standard output
  affluent flink import flink.sql --to pipeline.sql && affluent run pipeline.sql

Exit status: 0 all of it runs here, 2 some statements do not: they are comments in what is written.";

/// What can be done for a Flink cluster.
#[derive(Debug, Subcommand)]
pub enum FlinkCommand {
    /// Tell of each statement whether Flink takes it as it is, translated, or not at all, and why
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// SQL files, in order in one session; `-` is standard input
        #[arg(required = true, value_name = "FILE.sql")]
        files: Vec<PathBuf>,
        /// The cluster.
        #[command(flatten)]
        cluster: Cluster,
    },

    /// Write the SQL that Flink takes; nothing is written when a statement cannot go
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// SQL files, in order in one session; `-` is standard input
        #[arg(required = true, value_name = "FILE.sql")]
        files: Vec<PathBuf>,
        /// The file to write; without it, standard output
        #[arg(long = "to", visible_alias = "out", value_name = "OUT.sql")]
        out: Option<PathBuf>,
        /// The cluster.
        #[command(flatten)]
        cluster: Cluster,
    },

    /// Submit it to a cluster through Flink's SQL Gateway, and follow its jobs
    #[command(after_help = RUN_EXAMPLES)]
    Run {
        /// SQL files, in order in one session; `-` is standard input
        #[arg(required_unless_present = "stop", value_name = "FILE.sql")]
        files: Vec<PathBuf>,
        /// Address of the SQL Gateway
        #[arg(long, value_name = "URL")]
        gateway: String,
        /// Address of the job manager, for figures of jobs; default: as the gateway's settings tell
        #[arg(long, value_name = "URL")]
        jobmanager: Option<String>,
        /// Connectors and formats in the cluster's lib/ beside those of the distribution
        #[arg(long, value_name = "LIST")]
        connectors: Option<String>,
        /// Submit the jobs, and leave them alone
        #[arg(long)]
        detach: bool,
        /// Stop this job with a savepoint, and do nothing else
        #[arg(long, value_name = "JOB", conflicts_with = "files")]
        stop: Option<String>,
        /// With --stop: its sources end first, so that all windows are emitted
        #[arg(long, requires = "stop")]
        drain: bool,
    },

    /// Take the other way: what of a file of Flink's runs here, and the file as it does
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// A file of Flink's; `-` is standard input
        #[arg(value_name = "FILE.sql")]
        file: PathBuf,
        /// The file to write; without it, standard output
        #[arg(long = "to", visible_alias = "out", value_name = "OUT.sql")]
        out: Option<PathBuf>,
    },
}

/// Where it is to run.
#[derive(Debug, Clone, Args)]
pub struct Cluster {
    /// Flink's version: 2.0 to 2.3
    #[arg(long, value_name = "VERSION", default_value = "2.3")]
    pub flink_version: String,

    /// Connectors and formats in the cluster's lib/ beside those of the distribution, such as kafka,jdbc,http; an empty list
    /// for none. Without it all are taken to be there, and named
    #[arg(long, value_name = "LIST")]
    pub connectors: Option<String>,
}

impl Cluster {
    fn target(&self) -> Result<Target> {
        let version = Version::parse(&self.flink_version).map_err(|e| e.context("--flink-version"))?;
        Ok(Target { version, connectors: given(self.connectors.as_deref())? })
    }
}

/// What `--connectors` says.
fn given(connectors: Option<&str>) -> Result<Connectors> {
    match connectors {
        Some(list) => Connectors::parse(list).map_err(|e| e.context("--connectors")),
        None => Ok(Connectors::default()),
    }
}

/// Runs one of them; the exit status.
pub fn flink(common: &Common, output: Output, command: FlinkCommand) -> Result<u8> {
    match command {
        FlinkCommand::Check { files, cluster } => check(common, output, &files, &cluster.target()?),
        FlinkCommand::Export { files, out, cluster } => {
            write(common, output, &files, out.as_deref(), &cluster.target()?)
        }
        FlinkCommand::Run { gateway, stop: Some(job), drain, .. } => stop(&output, &gateway, &job, drain),
        FlinkCommand::Run { files, gateway, jobmanager, connectors, detach, .. } => {
            let follow = Follow { job_manager: jobmanager, detach };
            submit(common, output, &files, &gateway, connectors.as_deref(), &follow)
        }
        FlinkCommand::Import { file, out } => take(common, output, &file, out.as_deref()),
    }
}

/// Several files are one text.
fn read(common: &Common, files: &[PathBuf]) -> Result<SourceText> {
    let all: Vec<&PathBuf> = common.init.iter().chain(files).collect();
    if let [only] = all.as_slice() {
        return script::read(only);
    }
    let (mut names, mut text) = (Vec::new(), String::new());
    for file in all {
        let source = script::read(file)?;
        names.push(source.name.to_string());
        text.push_str(&source.text);
        if !source.text.trim_end().ends_with(';') {
            text.push_str(";\n");
        }
        text.push('\n');
    }
    Ok(SourceText::new(&names.join("+"), &text))
}

/// Exports, or shows why the file is wrong.
fn exported(
    common: &Common,
    output: &Output,
    source: &SourceText,
    target: &Target,
    filled: bool,
) -> Result<Option<Export>> {
    let session = super::session(common)?;
    let variables = super::variables(common);
    let request = Request { target, variables: &variables, filled, root: std::env::current_dir()? };
    match export(&session, source.clone(), &request) {
        Ok(made) => Ok(Some(made)),
        Err(e) => {
            diagnostic::show(&e, &Script::plain(source.clone()), output.stderr_color);
            Ok(None)
        }
    }
}

fn check(common: &Common, mut output: Output, files: &[PathBuf], target: &Target) -> Result<u8> {
    let source = read(common, files)?;
    let Some(made) = exported(common, &output, &source, target, false)? else { return Ok(USAGE) };
    let is_json = output.asked() == Some(OutputFormat::Json);
    let text = if is_json { report_json(&made) } else { report_text(&made, target) };
    shown(output.line(&text))?;
    Ok(if made.refusals().next().is_some() { USAGE } else { 0 })
}

fn write(
    common: &Common,
    mut output: Output,
    files: &[PathBuf],
    out: Option<&Path>,
    target: &Target,
) -> Result<u8> {
    let source = read(common, files)?;
    let Some(made) = exported(common, &output, &source, target, false)? else { return Ok(USAGE) };
    if refused(&made, &output) {
        return Ok(USAGE);
    }
    let Some(out) = out else {
        if let Some(name) = made.files.keys().next() {
            return Err(Error::option(format!(
                "functions in Python go into files beside the SQL, such as {name}"
            ))
            .with_hint("name a file for the SQL: --to flink.sql"));
        }
        return shown(output.line(&made.sql)).map(|()| 0);
    };
    let folder = out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = |path: &Path, text: &str| {
        std::fs::write(path, text).map_err(|e| {
            Error::io(format!("cannot write '{}'", path.display()))
                .with_detail(e.to_string())
                .with_hint("--to names the file")
        })
    };
    for (name, text) in &made.files {
        place(&folder.join(name), text)?;
        output.note(format_args!("wrote {}", folder.join(name).display()));
    }
    place(out, &made.sql)?;
    output.note(format_args!("wrote {}", out.display()));
    Ok(0)
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn submit(
    common: &Common,
    mut output: Output,
    files: &[PathBuf],
    gateway: &str,
    connectors: Option<&str>,
    follow: &Follow,
) -> Result<u8> {
    let source = read(common, files)?;
    let runtime = runtime()?;
    let gateway = runtime.block_on(Gateway::open(gateway))?;
    let version = Version::parse(&gateway.version).map_err(|e| e.context(&gateway.base))?;
    let target = Target { version, connectors: given(connectors)? };
    let Some(made) = exported(common, &output, &source, &target, true)? else { return Ok(USAGE) };
    if refused(&made, &output) {
        output.note("nothing was submitted");
        return Ok(USAGE);
    }
    if let Some(name) = made.files.keys().next() {
        return Err(Error::unsupported(format!("functions in Python lie on the gateway's machine, and {name} is not there"))
            .with_hint(
                "affluent flink export --to flink.sql writes them; put them there, SET 'python.files' in flink.sql, and run that",
            ));
    }
    match runtime.block_on(run(gateway, &made, follow, &mut output)) {
        Ok(status) => Ok(status),
        Err(Fault::Closed) => Ok(0),
        Err(Fault::Error(e)) => Err(e),
    }
}

fn stop(output: &Output, gateway: &str, job: &str, drain: bool) -> Result<u8> {
    let stopped = runtime()?.block_on(async {
        let gateway = Gateway::open(gateway).await?;
        let stopped = crate::flink::run::stop(&gateway, job, drain).await;
        gateway.close().await;
        stopped
    })?;
    output.note(format_args!("job {job} was stopped with savepoint {stopped}"));
    Ok(0)
}

fn take(common: &Common, mut output: Output, file: &Path, out: Option<&Path>) -> Result<u8> {
    let session = super::session(common)?;
    let source = script::read(file)?;
    let made = import(&session, &source);
    let is_json = output.asked() == Some(OutputFormat::Json);
    let report = if is_json { json_of(&made.name, &made.parts) } else { report_import(&made) };
    match out {
        Some(out) => {
            std::fs::write(out, &made.sql).map_err(|e| {
                Error::io(format!("cannot write '{}'", out.display())).with_detail(e.to_string())
            })?;
            shown(output.line(&report))?;
            output.note(format_args!("wrote {}", out.display()));
        }
        None => {
            output.note(report.trim_end());
            shown(output.line(&made.sql))?;
        }
    }
    Ok(if made.count(Fate::Refused) > 0 { USAGE } else { 0 })
}

/// Shows what cannot go; whether there is anything.
fn refused(made: &Export, output: &Output) -> bool {
    let mut any = false;
    for (part, note) in made.refusals() {
        any = true;
        let error = Error::unsupported(format!("{}: {}", part.title, note.text)).at(note.span);
        let error = note.hint.iter().fold(error, |e, hint| e.with_hint(hint));
        diagnostic::show(&error, &Script::plain(made.script.written.clone()), output.stderr_color);
    }
    any
}

fn shown(done: Result<(), Fault>) -> Result<()> {
    match done {
        Ok(()) | Err(Fault::Closed) => Ok(()),
        Err(Fault::Error(e)) => Err(e),
    }
}
