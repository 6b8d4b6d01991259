//! `affluent test`: runs the tests of pipelines.

use std::path::PathBuf;

use super::arguments::Common;
use crate::console::diagnostic;
use crate::console::output::Output;
use crate::console::render::OutputFormat;
use crate::error::{Error, Result};
use crate::trial::files::{self, Request};
use crate::trial::report::{Report, Style};

/// Arguments of `affluent test`.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Test files (NAME.test.sql), pipelines whose tests stand beside them, or folders; default: this folder
    #[arg(value_name = "FILE|FOLDER")]
    pub paths: Vec<PathBuf>,

    /// Only tests whose name, or the name of whose file, contains this
    #[arg(short = 'k', long, value_name = "TEXT")]
    pub filter: Option<String>,

    /// Run again whenever a file beside the tests changes
    #[arg(long)]
    pub watch: bool,

    /// Replace expectations that are not met by what was found
    #[arg(long, conflicts_with = "watch")]
    pub update: bool,

    /// Also write the results as JUnit's XML
    #[arg(long, value_name = "FILE.xml")]
    pub junit: Option<PathBuf>,

    /// Tell which statements of the pipelines gave no rows, and which branches of CASE no row took (each test runs twice)
    #[arg(long)]
    pub coverage: bool,

    /// Tests at a time; default: as many as there are cores
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
}

/// Runs the tests; the exit status.
pub fn test(common: &Common, mut output: Output, arguments: &TestArguments) -> Result<u8> {
    let style = match common.output {
        None | Some(OutputFormat::Tableau) => Style::Text,
        Some(OutputFormat::Json) => Style::Json,
        Some(_) => {
            return Err(Error::option("results of tests are text, or -o json")
                .with_hint("--junit FILE.xml writes JUnit's format beside it"));
        }
    };
    if !common.init.is_empty() {
        return Err(Error::option("--init has no meaning for tests")
            .with_hint("what all tests of a file need stands before the first TEST"));
    }
    let request = Request {
        paths: arguments.paths.clone(),
        filter: arguments.filter.clone(),
        update: arguments.update,
        coverage: arguments.coverage,
        jobs: arguments.jobs,
        set: common.set.clone(),
        var: common.var.clone(),
    };
    // Retries and the like are what tests are about, and are not told as warnings.
    if !output.verbose {
        log::set_max_level(log::LevelFilter::Off);
    }
    loop {
        let mut report = Report::new(&mut output, style, arguments.junit.is_some(), arguments.coverage);
        let ran = files::run_once(&request, &mut report);
        let status = report.status();
        if let (Ok(()), Some(path)) = (&ran, &arguments.junit) {
            report.write_junit(path)?;
        }
        drop(report);
        if !arguments.watch {
            return ran.map(|()| status);
        }
        if let Err(e) = ran {
            diagnostic::show_plain(&e, output.stderr_color);
        }
        output.note("waiting for changes; Ctrl-C ends");
        files::wait_for_change(&request.paths);
    }
}
