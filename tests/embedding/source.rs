// A connector of a program: a source, which goes on from a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use affluent::arrow::array::{Int64Array, RecordBatch};
use affluent::arrow::datatypes::SchemaRef;
use affluent::contract::{Connector, OptionDef, OptionKind, Positions, Read, Reader};
use affluent::contract::{ReaderContext, ScanRequest, Source};
use affluent::{Error, Session, tokio};

struct Numbers;

impl Connector for Numbers {
    fn name(&self) -> &'static str {
        "numbers"
    }
    fn doc(&self) -> &'static str {
        "counts from 1 to 'last'"
    }
    fn options(&self) -> &'static [OptionDef] {
        const { &[OptionDef::new("last", OptionKind::Integer, "10", "the last number")] }
    }
    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>, Error> {
        let last = request.table.options.integer("last")?.unwrap_or(10) as i64;
        Ok(Arc::new(Count { schema: request.schema.clone(), last, first: AtomicI64::new(1) }))
    }
}

struct Count {
    schema: SchemaRef,
    first: AtomicI64,
    last: i64,
}

impl Source for Count {
    fn bounded(&self) -> bool {
        true
    }
    fn replays(&self) -> bool {
        true
    }
    fn restore(&self, positions: &Positions, _: &tokio::runtime::Handle) -> Result<(), Error> {
        self.first.store(positions.get("next").and_then(|next| next.as_i64()).unwrap_or(1), Relaxed);
        Ok(())
    }
    fn reader(&self, _context: ReaderContext) -> Result<Box<dyn Reader>, Error> {
        let (schema, next) = (self.schema.clone(), self.first.load(Relaxed));
        Ok(Box::new(Counting { schema, next, last: self.last }))
    }
}

struct Counting {
    schema: SchemaRef,
    next: i64,
    last: i64,
}

impl Reader for Counting {
    fn read(&mut self) -> Result<Read, Error> {
        let numbers: Int64Array = (self.next..=self.last).take(1000).map(Some).collect();
        self.next += numbers.len() as i64;
        if numbers.is_empty() {
            return Ok(Read::End);
        }
        Ok(Read::Batch(RecordBatch::try_new(self.schema.clone(), vec![Arc::new(numbers)])?))
    }
    fn cut(&mut self, _epoch: u64) -> Result<Option<Positions>, Error> {
        Ok(Some([("next".to_string(), self.next.into())].into()))
    }
}

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    session.register_connector(Arc::new(Numbers))?;
    session.sql("CREATE TABLE n (i BIGINT) WITH ('connector' = 'numbers', 'last' = '5')")?;
    assert_eq!(session.query("SELECT i * i AS square FROM n")?.collect()?.num_rows(), 5);
    Ok(())
}
