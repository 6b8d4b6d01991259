//! A table or a range of it by COPY, in binary.

use bytes::{Buf, BytesMut};
use futures::{StreamExt, pin_mut};

use super::decode::Rows;
use super::lookup::Shape;
use super::{Postgres, fault};
use crate::database::{Fault, FaultKind, Range, Reading, System, Taker, quoted, quoted_table};

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
    let stream = client.copy_out(&copy).await.map_err(|e| at(fault(&e)))?;
    pin_mut!(stream);
    let value = |what: String| at(Fault::new(FaultKind::Value, what));
    let mut buffer = BytesMut::new();
    let mut headed = false;
    let mut found = Rows::new(&reading.schema, &shape.wires);
    while let Some(piece) = stream.next().await {
        buffer.extend_from_slice(&piece.map_err(|e| at(fault(&e)))?);
        if !headed {
            if buffer.len() < HEADER {
                continue;
            }
            buffer.advance(HEADER);
            headed = true;
        }
        while let Some(length) = tuple(&buffer, shape.list.len()).map_err(value)? {
            let raw = buffer.split_to(length);
            if length == 2 {
                // The end mark.
                continue;
            }
            let mut rest = &raw[2..];
            for column in 0..shape.list.len() {
                let length = rest.get_i32();
                let bytes = usize::try_from(length).ok().map(|length| {
                    let (bytes, tail) = rest.split_at(length);
                    rest = tail;
                    bytes
                });
                if column < shape.wires.len() {
                    found.push(column, bytes).map_err(value)?;
                }
            }
            found.count += 1;
            if found.count >= rows {
                let full = std::mem::replace(&mut found, Rows::new(&reading.schema, &shape.wires));
                if !take(full.finish(&reading.schema).map_err(value)?).await {
                    return Ok(());
                }
            }
        }
    }
    if found.count > 0 {
        take(found.finish(&reading.schema).map_err(value)?).await;
    }
    Ok(())
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
