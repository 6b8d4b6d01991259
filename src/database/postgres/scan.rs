//! A table or a range of it by COPY, in binary.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::{Buf, BytesMut};
use futures::{StreamExt, pin_mut};
use tokio_postgres::Client;

use super::decode::Rows;
use super::lookup::Shape;
use super::wire::Wire;
use super::{Postgres, fault};
use crate::database::{Fault, FaultKind, Range, Reading, System, Taker, quoted, quoted_table};
use crate::lookup::BoxFuture;

/// Signature, flags and length of the extension.
const HEADER: usize = 19;

pub(super) async fn scan(
    database: &Postgres,
    reading: &Reading,
    range: Option<&Range>,
    rows: usize,
    mut take: Taker,
) -> Result<(), Fault> {
    let at = |fault: Fault| fault.at(&database.shown);
    let client = database.connect().await?;
    let shape = Shape::of(&client, reading).await.map_err(at)?;
    let table = quoted_table(System::Postgres, &reading.table);
    let bounds = range.map_or_else(String::new, |range| {
        let column = quoted(System::Postgres, &range.column);
        format!(" WHERE {column} BETWEEN {} AND {}", range.from, range.to)
    });
    let list = shape.list.join(", ");
    let copy = format!("COPY (SELECT {list} FROM {table}{bounds}) TO STDOUT (FORMAT binary)");
    let shape = (shape.list.len(), shape.wires.as_slice());
    copied(&client, &copy, shape, &reading.schema, rows, |batch, _| take(batch)).await.map_err(at)
}

/// What a COPY in binary sends, in batches. `shape`: how many columns a row has, and how the first of them are read.
/// `take` gets each batch with its last row as it came, and says whether it wants more.
pub(super) async fn copied(
    client: &Client,
    copy: &str,
    (columns, wires): (usize, &[Wire]),
    schema: &SchemaRef,
    rows: usize,
    mut take: impl FnMut(RecordBatch, &[u8]) -> BoxFuture<bool>,
) -> Result<(), Fault> {
    let stream = client.copy_out(copy).await.map_err(|e| fault(&e))?;
    pin_mut!(stream);
    let value = |what: String| Fault::new(FaultKind::Value, what);
    let mut buffer = BytesMut::new();
    let mut headed = false;
    let mut found = Rows::new(schema, wires);
    let mut last = BytesMut::new();
    while let Some(piece) = stream.next().await {
        buffer.extend_from_slice(&piece.map_err(|e| fault(&e))?);
        if !headed {
            if buffer.len() < HEADER {
                continue;
            }
            buffer.advance(HEADER);
            headed = true;
        }
        while let Some(length) = tuple(&buffer, columns).map_err(value)? {
            let raw = buffer.split_to(length);
            if length == 2 {
                // The end mark.
                continue;
            }
            for (column, bytes) in cells(&raw).take(wires.len()).enumerate() {
                found.push(column, bytes).map_err(value)?;
            }
            found.count += 1;
            last = raw;
            if found.count >= rows {
                let full = std::mem::replace(&mut found, Rows::new(schema, wires));
                if !take(full.finish(schema).map_err(value)?, &last).await {
                    return Ok(());
                }
            }
        }
    }
    if found.count > 0 {
        take(found.finish(schema).map_err(value)?, &last).await;
    }
    Ok(())
}

/// The values of a row that is whole.
pub(super) fn cells(raw: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = raw.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_at_checked(4)?;
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        let (value, tail) = match usize::try_from(length) {
            Ok(length) => tail.split_at_checked(length).map(|(value, tail)| (Some(value), tail))?,
            Err(_) => (None, tail),
        };
        rest = tail;
        Some(value)
    })
}

/// The length of the row at the start, when all of it is there.
fn tuple(buffer: &[u8], columns: usize) -> Result<Option<usize>, String> {
    let Some(count) = buffer.get(..2) else { return Ok(None) };
    let count = i16::from_be_bytes([count[0], count[1]]);
    if count == -1 {
        return Ok(Some(2));
    }
    if usize::try_from(count) != Ok(columns) {
        return Err(format!("a row has {count} columns where {columns} were asked for"));
    }
    let mut end = 2;
    for _ in 0..columns {
        let Some(length) = buffer.get(end..end + 4) else { return Ok(None) };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        end += 4 + usize::try_from(length).unwrap_or(0);
        if end > buffer.len() {
            return Ok(None);
        }
    }
    Ok(Some(end))
}
