//! The command line: arguments to a script, the shell or the notebook's kernel, and to an exit status.
//!
//! It dispatches; [`crate::console`] runs scripts and shows what comes out of them.

pub mod arguments;
pub mod check;
pub mod flink;
pub mod functions;
pub mod options;
pub mod replay;
pub mod test;
pub mod tune;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::console::script::{self, Runner};
use crate::console::{diagnostic, logger};
use crate::error::{Error, Result};
use crate::session::Session;
use crate::shell::Shell;
use crate::sql::SourceText;
use crate::sql::variables::Variables;
use arguments::{Cli, Command, Common, CompletionShell};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    let cli = match arguments::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(e) => {
            let status = e.exit_code();
            // The reader is gone: nothing to do about it.
            let _ = e.print();
            return ExitCode::from(u8::try_from(status).unwrap_or(diagnostic::USAGE));
        }
    };
    if cli.common.log_format == arguments::LogFormat::Json {
        crate::console::output::log_as_json();
    }
    logger::install();
    if cli.common.quiet {
        logger::be_quiet();
    }
    let output = Output::new(cli.common.look());
    let color = output.stderr_color;
    let done = crate::lookup::descriptors::raise().and_then(|()| dispatch(cli, output));
    crate::lookup::settle_disks();
    match done {
        Ok(status) => ExitCode::from(status),
        Err(e) => {
            diagnostic::show_plain(&e, color);
            ExitCode::from(diagnostic::status(&e))
        }
    }
}

fn dispatch(cli: Cli, output: Output) -> Result<u8> {
    if cli.statements.is_some() && cli.command.is_some() {
        return Err(Error::option("-c and a command exclude each other")
            .with_hint("put the statements into a file and give it to `affluent run`"));
    }
    match (cli.statements, cli.command) {
        (Some(text), _) => {
            run(&cli.common, output, Some(vec![SourceText::new("-c", &text)]), Beside::default())
        }
        (None, Some(Command::Options { name })) => options::print(name.as_deref(), output),
        (None, Some(Command::Functions { name })) => {
            functions::print(&Session::new()?, name.as_deref(), output)
        }
        (None, Some(Command::Run { files, replay: Some(folder), replay_missing, .. })) => {
            replay::replay(&cli.common, output, &files, &folder, replay_missing.into())
        }
        (
            None,
            Some(Command::Run { files, from_savepoint, fresh, metrics, otlp, record, record_limit, .. }),
        ) => {
            let mut common = cli.common;
            let mut set = |key: &str, value: String| common.set.push((key.to_string(), value));
            // With a savepoint all is looked at before the first statement runs.
            let as_they_come = from_savepoint.is_none() && files.iter().all(|file| file.as_os_str() == "-");
            if let Some(path) = from_savepoint {
                set("execution.state-recovery.path", path);
            }
            if fresh {
                set("affluent.state-recovery.automatic", "false".to_string());
            }
            let record = record.map(|folder| (folder, record_limit));
            let beside = Beside { metrics, otlp, record };
            match as_they_come {
                true => run(&common, output, None, beside),
                false => run_files(&common, output, &files, beside),
            }
        }
        (None, Some(Command::Tune(arguments))) => tune::tune(&cli.common, output, &arguments),
        (None, Some(Command::Diff(arguments))) => replay::diff(&cli.common, output, &arguments),
        (None, Some(Command::Check { files, connect, portable })) => {
            let sources = read_all(cli.common.init.iter().chain(&files))?;
            check::check(
                &session(&cli.common)?,
                output,
                &variables(&cli.common),
                sources,
                (connect, portable),
            )
        }
        (None, Some(Command::Flink(command))) => flink::flink(&cli.common, output, command),
        (None, Some(Command::Test(arguments))) => test::test(&cli.common, output, &arguments),
        (None, Some(Command::Demo(options))) => {
            let color = output.stdout_color;
            crate::demo::run(&options, &mut std::io::stdout().lock(), color).map(|()| 0)
        }
        (None, Some(Command::SensorApi(options))) => crate::demo::serve_blocking(options).map(|()| 0),
        #[cfg(feature = "kernel")]
        (None, Some(Command::Kernel(command))) => kernel(&cli.common, output, command),
        (None, Some(Command::Completions { shell })) => completions(shell, output),
        (None, None) if std::io::stdin().is_terminal() => {
            let session = session(&cli.common)?;
            let init = read_all(&cli.common.init)?;
            Shell::new(session, output, variables(&cli.common), init).run()
        }
        (None, None) => run(&cli.common, output, None, Beside::default()),
    }
}

fn read_all<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Result<Vec<SourceText>> {
    files.into_iter().map(|file| script::read(file)).collect()
}

/// What happens beside a run.
#[derive(Default)]
struct Beside {
    /// Where figures are asked for.
    metrics: Option<String>,
    /// Where figures and traces are sent.
    otlp: Option<String>,
    /// Where it is recorded, and in how many bytes.
    record: Option<(PathBuf, u64)>,
}

fn run_files(common: &Common, output: Output, files: &[PathBuf], beside: Beside) -> Result<u8> {
    run(common, output, Some(read_all(files)?), beside)
}

/// Runs the files of `--init` and then these; without any, what comes from standard input, statement by statement.
fn run(common: &Common, output: Output, sources: Option<Vec<SourceText>>, beside: Beside) -> Result<u8> {
    let before = read_all(&common.init)?;
    let metrics = beside.metrics.as_deref().map(crate::metrics::server::address).transpose()?;
    let otlp = crate::metrics::otlp::Config::read(beside.otlp.as_deref(), &|name| std::env::var(name).ok())?;
    let session = session(common)?;
    let record = beside.record.map(|(folder, limit)| session.record(&folder, limit)).transpose()?;
    let (quiet, color) = (output.quiet, output.stderr_color);
    let runner = Runner::new(session, output, variables(common));
    if let Some(address) = metrics {
        runner.serve_metrics(address)?;
    }
    let exporter = otlp.map(|config| runner.export(config)).transpose()?;
    let status = match sources {
        Some(sources) => runner.run(before.into_iter().chain(sources).collect()),
        None => runner.run_as_they_come(before),
    };
    // What has not been sent yet is sent now.
    drop(exporter);
    match record.map(|recorder| recorder.finish()).transpose() {
        Ok(Some(summary)) if !quiet => replay::tell(&summary),
        Ok(_) => {}
        Err(e) => {
            diagnostic::show_plain(&e.context("the recording is not whole"), color);
            return Ok(if status == 0 { diagnostic::FAILED } else { status });
        }
    }
    Ok(status)
}

#[cfg(feature = "kernel")]
fn kernel(common: &Common, mut output: Output, command: arguments::KernelCommand) -> Result<u8> {
    use crate::notebook::{self, install::Place};
    match command {
        arguments::KernelCommand::Run { connection_file } => {
            notebook::run(&connection_file, session(common)?, variables(common)).map(|()| 0)
        }
        arguments::KernelCommand::Install { user: _, prefix, sys_prefix, name, display_name } => {
            // Wrong settings are reported now, and not when a notebook is opened.
            session(common)?;
            let place = match (prefix, sys_prefix) {
                (Some(prefix), _) => Place::Prefix(std::path::absolute(prefix)?),
                (None, true) => Place::SysPrefix,
                (None, false) => Place::User,
            };
            let program = std::env::current_exe()?;
            let kernels = place.kernels()?;
            let flags = common.set.iter().map(|pair| ("--set", pair));
            let flags = flags.chain(common.var.iter().map(|pair| ("--var", pair)));
            let arguments: Vec<String> =
                flags.flat_map(|(flag, (key, value))| [flag.to_string(), format!("{key}={value}")]).collect();
            let folder = notebook::install::install(&kernels, &name, &display_name, &program, &arguments)?;
            match output.line(&format!("Installed '{display_name}' in {}", folder.display())) {
                Ok(()) | Err(Fault::Closed) => Ok(0),
                Err(Fault::Error(e)) => Err(e),
            }
        }
    }
}

fn session(common: &Common) -> Result<Session> {
    let session = Session::new()?;
    for (key, value) in &common.set {
        session.set(key, value).map_err(|e| e.context("--set"))?;
    }
    Ok(session)
}

fn variables(common: &Common) -> Variables {
    Variables::new(common.var.iter().cloned())
}

fn completions(shell: CompletionShell, mut output: Output) -> Result<u8> {
    let shell = match shell {
        CompletionShell::Bash => clap_complete::Shell::Bash,
        CompletionShell::Zsh => clap_complete::Shell::Zsh,
        CompletionShell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut Cli::command(), "affluent", output.buffer());
    match output.flush() {
        Ok(()) | Err(Fault::Closed) => Ok(0),
        Err(Fault::Error(e)) => Err(e),
    }
}
