// An asynchronous function of a program. Its calls go through the lookup engine: many are in flight, equal arguments
// share one call, and the options of lookups hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use affluent::arrow::array::AsArray;
use affluent::{Error, Session, udf};

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let country = udf::asynchronous("country", move |(address,): (String,)| {
        let counter = counter.clone();
        async move {
            counter.fetch_add(1, Ordering::Relaxed);
            // A program asks a service here.
            affluent::tokio::task::yield_now().await;
            match address.split_once('.') {
                Some(("10", _)) => Ok(None),
                Some((first, _)) => Ok(Some(format!("country {first}"))),
                None => Err(format!("'{address}' is not an address")),
            }
        }
    });
    // An error becomes NULL.
    session.add_function(country.deterministic().option("lookup.on-error", "null"))?;

    let addresses = "(VALUES (1, '8.8.8.8'), (2, '10.0.0.1'), (3, 'x'), (4, '8.8.8.8')) AS t (id, address)";
    let rows = session.query(&format!("SELECT id, country(address) FROM {addresses}"))?.collect()?;
    let found: Vec<_> = rows.column(1).as_string_view().iter().collect();
    assert_eq!(found, [Some("country 8"), None, None, Some("country 8")]);
    assert!(calls.load(Ordering::Relaxed) >= 3);
    Ok(())
}
