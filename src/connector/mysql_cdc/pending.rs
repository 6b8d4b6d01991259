//! Rows that wait to be sent: those of a transaction until it is committed.
//!
//! The server logs a transaction that is rolled back, too, when it has changed a table without transactions or a temporary
//! one, with its rows and ROLLBACK at its end. So the rows of an open transaction are held until its end, and dropped if it is rolled back.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::position::Position;
use crate::flow::Kind;
use crate::lookup::values::Rows;

/// Rows that are a batch.
pub(super) struct Piece {
    pub(super) batch: RecordBatch,
    pub(super) kinds: Vec<Kind>,
    pub(super) times: Vec<i64>,
    /// Where the table is behind them.
    pub(super) position: Position,
}

/// Rows that wait.
pub(super) struct Pending {
    schema: SchemaRef,
    pieces: Vec<Piece>,
    pub(super) rows: Rows,
    pub(super) kinds: Vec<Kind>,
    pub(super) times: Vec<i64>,
    /// How many rows there were before those of a transaction that may still be rolled back.
    pub(super) mark: Option<usize>,
    /// Bytes of the pieces.
    pub(super) bytes: usize,
}

impl Pending {
    pub(super) fn new(schema: &SchemaRef) -> Self {
        Self {
            schema: schema.clone(),
            pieces: Vec::new(),
            rows: Rows::new(schema),
            kinds: Vec::new(),
            times: Vec::new(),
            mark: None,
            bytes: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|piece| piece.kinds.len()).sum::<usize>() + self.kinds.len()
    }

    /// What has come becomes a piece.
    pub(super) fn seal(&mut self, position: &Position) -> Result<(), String> {
        if self.kinds.is_empty() {
            return Ok(());
        }
        let rows = std::mem::replace(&mut self.rows, Rows::new(&self.schema));
        let batch = rows.finish(&self.schema)?;
        self.bytes += batch.get_array_memory_size();
        self.pieces.push(Piece {
            batch,
            kinds: std::mem::take(&mut self.kinds),
            times: std::mem::take(&mut self.times),
            position: position.clone(),
        });
        Ok(())
    }

    /// Takes back all rows but the first ones.
    pub(super) fn cut(&mut self, count: usize, position: &Position) -> Result<(), String> {
        self.seal(position)?;
        let mut left = count;
        let keeps = |piece: &Piece, left: &mut usize| {
            let kept = piece.kinds.len().min(*left);
            *left -= kept;
            kept
        };
        self.pieces.retain_mut(|piece| {
            let kept = keeps(piece, &mut left);
            if kept < piece.kinds.len() {
                piece.batch = piece.batch.slice(0, kept);
                piece.kinds.truncate(kept);
                piece.times.truncate(kept);
            }
            kept > 0
        });
        Ok(())
    }

    /// All rows are behind the last whole transaction.
    pub(super) fn ends_at(&mut self, position: &Position) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.position = position.clone();
        }
    }

    /// What can be sent.
    pub(super) fn take(&mut self, position: &Position) -> Result<Vec<Piece>, String> {
        self.seal(position)?;
        self.bytes = 0;
        Ok(std::mem::take(&mut self.pieces))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int32Type, Schema};

    use super::*;
    use crate::database::mysql::binlog::Place;
    use crate::lookup::values::Value;

    fn position(changes: u64) -> Position {
        let place = Place { file: "b.1".into(), pos: 4 };
        Position {
            server: "1".into(),
            place,
            changes,
            parts: Vec::new(),
            reading: false,
            columns: None,
            doubt: None,
            untouched: false,
        }
    }

    #[test]
    fn rows_of_a_transaction_are_taken_back() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, true)]));
        let mut pending = Pending::new(&schema);
        let push = |pending: &mut Pending, n: i64| {
            pending.rows.push(0, Value::Int(n)).unwrap();
            pending.rows.end_row();
            pending.kinds.push(Kind::Insert);
            pending.times.push(n);
        };
        (1..=3).for_each(|n| push(&mut pending, n));
        pending.seal(&position(0)).unwrap();
        (4..=6).for_each(|n| push(&mut pending, n));
        pending.cut(4, &position(3)).unwrap();
        assert_eq!(pending.count(), 4);
        push(&mut pending, 7);
        pending.cut(2, &position(4)).unwrap();
        push(&mut pending, 8);
        let pieces = pending.take(&position(5)).unwrap();
        let rows: Vec<i32> = pieces
            .iter()
            .flat_map(|p| p.batch.column(0).as_primitive::<Int32Type>().values().to_vec())
            .collect();
        assert_eq!(rows, [1, 2, 8]);
        assert!(pieces.iter().all(|p| p.kinds.len() == p.batch.num_rows() && p.times.len() == p.kinds.len()));
        assert_eq!(pending.count(), 0);
        assert!(pending.take(&position(0)).unwrap().is_empty());
    }
}
