//! `affluent tune`: measures which settings suit a pipeline.

use std::path::PathBuf;
use std::time::Duration;

use super::arguments::Common;
use crate::console::diagnostic::FAILED;
use crate::console::output::{Output, complain};
use crate::console::render::OutputFormat;
use crate::error::{Error, Result};
use crate::tune::{self, Request};

/// Arguments of `affluent tune`.
#[derive(Debug, clap::Args)]
pub struct TuneArguments {
    /// SQL files, in order; the first job that looks something up is tuned
    #[arg(required = true, value_name = "FILE.sql")]
    pub files: Vec<PathBuf>,

    /// Calls that may be made in all; not one more is made
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub calls: u64,

    /// Time that it may take
    #[arg(long, value_name = "DURATION", default_value = "60 s", value_parser = super::arguments::duration)]
    pub time: Duration,

    /// Rows a second that the pipeline is to take, for what a cache finds
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,

    /// Rows, answers and how long they take from a recording, instead of the real input and services
    #[arg(long, value_name = "FOLDER")]
    pub replay: Option<PathBuf>,

    /// Also draw throughput, latency and hits into a file
    #[arg(long, value_name = "FILE.svg")]
    pub svg: Option<PathBuf>,

    /// Also write everything as one page
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
}

fn write(path: &PathBuf, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|e| Error::option(format!("cannot write '{}'", path.display())).with_detail(e.to_string()))
}

/// Tunes; the exit status.
pub fn tune(common: &Common, mut output: Output, arguments: &TuneArguments) -> Result<u8> {
    let as_json = match common.output {
        None | Some(OutputFormat::Tableau) => false,
        Some(OutputFormat::Json) => true,
        Some(_) => {
            return Err(Error::option("findings are text, or -o json")
                .with_hint("--svg and --html write files beside it"));
        }
    };
    if arguments.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0)) {
        return Err(Error::option("--rate is a number of rows a second above 0"));
    }
    let request = Request {
        files: common.init.iter().chain(&arguments.files).cloned().collect(),
        replay: arguments.replay.clone(),
        calls: arguments.calls,
        time: arguments.time,
        rate: arguments.rate,
        set: common.set.clone(),
        var: common.var.clone(),
    };
    // Failures of trials are findings.
    if !output.verbose {
        log::set_max_level(log::LevelFilter::Off);
    }
    let quiet = output.quiet;
    let mut tell = |text: &str| {
        if !quiet {
            complain(text);
        }
    };
    let findings = tune::tune(&request, &mut tell)?;
    if let Some(path) = &arguments.svg {
        write(path, &tune::svg(&findings))?;
    }
    if let Some(path) = &arguments.html {
        let names: Vec<String> = arguments.files.iter().map(|f| f.display().to_string()).collect();
        write(path, &tune::html(&findings, &names.join(" ")))?;
    }
    let shown = match as_json {
        true => (tune::as_json(&findings)? + "\n").into_bytes(),
        false => tune::as_text(&findings, output.target, output.stdout_color)?,
    };
    output.buffer().extend_from_slice(&shown);
    match output.flush() {
        Ok(()) | Err(crate::console::fault::Fault::Closed) => {}
        Err(crate::console::fault::Fault::Error(e)) => return Err(e),
    }
    match &findings.stopped {
        None => Ok(0),
        Some(why) => {
            complain(format_args!("{why}; what was measured before is shown"));
            Ok(if why.starts_with("the budget") { 0 } else { FAILED })
        }
    }
}
