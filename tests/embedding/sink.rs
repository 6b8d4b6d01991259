// A connector of a program: a sink whose requests take time. The compute thread never waits for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;

use affluent::contract::{Connector, OptionDef, Sink, SinkRequest, Writer, WriterContext};
use affluent::{Chunk, Error, Session, serde_json::Value};

/// Rows that have arrived at the other side.
struct Service(Arc<AtomicUsize>);

impl Connector for Service {
    fn name(&self) -> &'static str {
        "service"
    }
    fn doc(&self) -> &'static str {
        "sends rows"
    }
    fn options(&self) -> &'static [OptionDef] {
        &[]
    }
    fn sink(&self, _request: &SinkRequest) -> Result<Arc<dyn Sink>, Error> {
        Ok(Arc::new(Service(self.0.clone())))
    }
}

impl Sink for Service {
    fn writer(&self, context: WriterContext) -> Result<Box<dyn Writer>, Error> {
        Ok(Box::new(Sending { context, arrived: self.0.clone(), in_flight: Arc::default() }))
    }
}

struct Sending {
    context: WriterContext,
    arrived: Arc<AtomicUsize>,
    in_flight: Arc<AtomicUsize>,
}

impl Writer for Sending {
    fn write(&mut self, chunk: &Chunk) -> Result<(), Error> {
        self.in_flight.fetch_add(1, SeqCst);
        let (rows, waker) = (chunk.len(), self.context.waker.clone());
        let (arrived, in_flight) = (self.arrived.clone(), self.in_flight.clone());
        self.context.runtime.spawn(async move {
            // A real one sends a request here.
            arrived.fetch_add(rows, SeqCst);
            in_flight.fetch_sub(1, SeqCst);
            waker.wake();
        });
        Ok(())
    }
    fn room(&self) -> bool {
        self.in_flight.load(SeqCst) < 4
    }
    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
    fn pre_commit(&mut self, _epoch: u64, _last: bool) -> Result<Poll<Vec<Value>>, Error> {
        Ok(self.finish()?.map(|()| Vec::new()))
    }
    fn finish(&mut self) -> Result<Poll<()>, Error> {
        Ok(if self.in_flight.load(SeqCst) == 0 { Poll::Ready(()) } else { Poll::Pending })
    }
}

pub fn main() -> Result<(), Error> {
    let arrived = Arc::new(AtomicUsize::new(0));
    let session = Session::new()?;
    session.register_connector(Arc::new(Service(arrived.clone())))?;
    session.sql("CREATE TABLE s (i INT) WITH ('connector' = 'service')")?;
    session.set("table.dml-sync", "true")?;
    session.sql("INSERT INTO s VALUES (1), (2), (3)")?;
    assert_eq!(arrived.load(SeqCst), 3);
    Ok(())
}
