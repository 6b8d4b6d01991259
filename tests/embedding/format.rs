// A format of a program: one record a line, its fields separated by a bar.

use std::collections::VecDeque;
use std::sync::Arc;

use affluent::arrow::array::{ArrayRef, RecordBatch, StringArray};
use affluent::arrow::compute::cast;
use affluent::arrow::datatypes::SchemaRef;
use affluent::bytes::Bytes;
use affluent::contract::{Decoder, RecordFormat, RecordFormatRequest};
use affluent::{Error, Session};

struct Bars;

impl RecordFormat for Bars {
    fn name(&self) -> &'static str {
        "bars"
    }
    fn doc(&self) -> &'static str {
        "fields separated by a bar"
    }
    fn splittable(&self) -> bool {
        true
    }
    fn decoder(&self, request: &RecordFormatRequest<'_>) -> Result<Box<dyn Decoder>, Error> {
        let wanted = request.schema.fields().iter();
        let places = wanted.map(|f| request.declared.index_of(f.name())).collect::<Result<_, _>>()?;
        let (schema, rows) = (request.schema.clone(), request.batch_rows);
        Ok(Box::new(Lines { schema, places, rows, rest: Vec::new(), lines: VecDeque::new() }))
    }
}

struct Lines {
    schema: SchemaRef,
    /// Where the wanted fields stand in a record.
    places: Vec<usize>,
    rows: usize,
    /// A line whose end has not come yet.
    rest: Vec<u8>,
    lines: VecDeque<String>,
}

impl Decoder for Lines {
    fn feed(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.rest.extend_from_slice(&bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            self.lines.push_back(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        Ok(())
    }
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Error> {
        let lines: Vec<String> = self.lines.drain(..self.lines.len().min(self.rows)).collect();
        if lines.is_empty() {
            return Ok(None);
        }
        let columns = self.places.iter().zip(self.schema.fields()).map(|(place, field)| {
            let texts: StringArray = lines.iter().map(|line| line.split('|').nth(*place)).collect();
            cast(&texts, field.data_type())
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
        Ok(Some(RecordBatch::try_new(self.schema.clone(), columns)?))
    }
    fn finish(&mut self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { self.feed(Bytes::from_static(b"\n")) }
    }
}

pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::temp_dir().join(format!("affluent-bars-{}.txt", std::process::id()));
    std::fs::write(&file, "1|one\n2|two")?;
    let session = Session::new()?;
    session.register_format(Arc::new(Bars))?;
    let with = format!("'connector' = 'filesystem', 'path' = '{}', 'format' = 'bars'", file.display());
    session.sql(&format!("CREATE TABLE t (n INT, word STRING) WITH ({with})"))?;
    assert_eq!(session.query("SELECT word FROM t WHERE n = 2")?.collect()?.num_rows(), 1);
    Ok(std::fs::remove_file(&file)?)
}
