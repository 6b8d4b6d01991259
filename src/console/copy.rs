//! `COPY query TO 'file'`: the rows of a query into a file, which is there when it is complete.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::destination::Destination;
use super::fault::Fault;
use super::output::Output;
use super::render::{Ending, OutputFormat, Renderer, csv, json};
use crate::error::{Error, Result};
use crate::flow::Chunk;

/// A copy that is being made. A file that is there keeps what it holds until the rows are complete: the query may fail,
/// or read it.
#[derive(Debug)]
pub struct Copying {
    to: String,
    part: Option<PathBuf>,
    before: Option<Destination>,
}

impl Copying {
    /// Sends results there from now on.
    pub fn begin(output: &mut Output, to: &str) -> Result<Self> {
        let path = Path::new(to.trim_matches('\''));
        let part = match (path.file_name(), to.starts_with('|')) {
            (Some(name), false) => {
                let name = format!(".{}.{}", std::process::id(), name.to_string_lossy());
                Some(path.with_file_name(name))
            }
            _ => None,
        };
        let destination = match &part {
            Some(part) => Destination::open(&part.display().to_string(), output.asked()),
            None => Destination::open(to, output.asked()),
        }
        .map_err(|e| e.context(format_args!("'{to}'")))?;
        let before = output.take_destination();
        output.send_results_to(Some(destination));
        output.copying = true;
        Ok(Self { to: to.to_string(), part, before })
    }

    /// Sends results where they went before, and puts the file in its place if the rows are `complete`.
    pub fn finish<T>(
        self,
        output: &mut Output,
        ran: Result<T, Fault>,
        complete: impl FnOnce(&T) -> bool,
    ) -> Result<T, Fault> {
        output.copying = false;
        output.send_results_to(None);
        output.send_results_to(self.before);
        let complete = ran.as_ref().is_ok_and(complete);
        let moved = match &self.part {
            Some(part) if complete => std::fs::rename(part, self.to.trim_matches('\'')),
            Some(part) => std::fs::remove_file(part),
            None => Ok(()),
        };
        match (&ran, moved) {
            (Ok(_), Err(e)) => {
                Err(Fault::Error(Error::io(format!("cannot write '{}'", self.to)).with_detail(e.to_string())))
            }
            _ => {
                if complete {
                    output.note(format_args!("The rows are in '{}'.", self.to));
                }
                ran
            }
        }
    }
}

/// Writes the rows of a query that takes none back, without `op`; `None` for a format that is for people.
pub fn rows(format: OutputFormat, schema: SchemaRef) -> Option<Box<dyn Renderer>> {
    match format {
        OutputFormat::Json | OutputFormat::Csv => Some(Box::new(Rows { format, schema, begun: false })),
        _ => None,
    }
}

struct Rows {
    format: OutputFormat,
    schema: SchemaRef,
    begun: bool,
}

impl Renderer for Rows {
    fn chunk(&mut self, chunk: &Chunk, out: &mut Vec<u8>) -> Result<()> {
        self.idle(out)?;
        match self.format {
            OutputFormat::Csv => csv::write_plain(&chunk.batch, out),
            _ => json::write_objects(&chunk.batch, false, out),
        }
    }

    fn idle(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.format == OutputFormat::Csv && !std::mem::replace(&mut self.begun, true) {
            csv::write_records(&RecordBatch::new_empty(self.schema.clone()), false, out)?;
        }
        Ok(())
    }

    fn end(&mut self, _ending: Ending, out: &mut Vec<u8>) -> Result<()> {
        self.idle(out)
    }
}
