//! The rows of a changing result as they are now.

use std::hash::BuildHasher;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use hashbrown::HashTable;

use crate::error::{Error, Result};
use crate::flow::{Chunk, Kind};

/// A changelog applied: rows in the order of their arrival; an update takes the place of the row before it.
#[derive(Debug)]
pub struct Materialized {
    schema: SchemaRef,
    converter: RowConverter,
    /// Encoded rows; `None` where one is gone.
    rows: Vec<Option<Box<[u8]>>>,
    places: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    alive: usize,
}

impl Materialized {
    /// No rows yet.
    pub fn new(schema: SchemaRef) -> Result<Self> {
        let fields = schema.fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| {
            Error::unsupported("rows of these types cannot be shown as a table that changes")
                .with_detail(e.to_string())
                .with_hint(
                    "SET 'sql-client.execution.result-mode' = 'changelog'; shows the changes themselves",
                )
        })?;
        Ok(Self {
            schema,
            converter,
            rows: Vec::new(),
            places: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            alive: 0,
        })
    }

    /// Applies changes. Taking back a row that is not there is an error.
    pub fn apply(&mut self, chunk: &Chunk) -> Result<()> {
        let encoded = match chunk.batch.num_columns() {
            0 => None,
            _ => Some(self.converter.convert_columns(chunk.batch.columns())?),
        };
        // Where the row before an update stood: the row after it belongs there.
        let mut hole = None;
        for i in 0..chunk.len() {
            let row = encoded.as_ref().map_or(&[][..], |e| e.row(i).data());
            let hash = self.hasher.hash_one(row);
            match chunk.kinds.get(i) {
                Kind::Insert | Kind::UpdateAfter => self.insert(hole.take(), row, hash),
                kind => {
                    let place = self.remove(row, hash).ok_or_else(|| {
                        Error::internal(format!("{} of a row that is not there", kind.as_str()))
                    })?;
                    hole = (kind == Kind::UpdateBefore).then_some(place);
                }
            }
        }
        if self.rows.len() > 64 && self.alive * 2 < self.rows.len() {
            self.compact();
        }
        Ok(())
    }

    fn insert(&mut self, hole: Option<u32>, row: &[u8], hash: u64) {
        let place = hole.unwrap_or_else(|| {
            self.rows.push(None);
            (self.rows.len() - 1) as u32
        });
        self.rows[place as usize] = Some(row.into());
        let (rows, hasher) = (&self.rows, &self.hasher);
        self.places.insert_unique(hash, place, |&p| {
            hasher.hash_one(rows[p as usize].as_deref().unwrap_or_default())
        });
        self.alive += 1;
    }

    fn remove(&mut self, row: &[u8], hash: u64) -> Option<u32> {
        let rows = &self.rows;
        let found = self.places.find_entry(hash, |&p| rows[p as usize].as_deref() == Some(row)).ok()?;
        let (place, _) = found.remove();
        self.rows[place as usize] = None;
        self.alive -= 1;
        Some(place)
    }

    /// Closes the gaps.
    fn compact(&mut self) {
        self.rows.retain(Option::is_some);
        self.places.clear();
        let (rows, hasher) = (&self.rows, &self.hasher);
        let hash = |&p: &u32| hasher.hash_one(rows[p as usize].as_deref().unwrap_or_default());
        for place in 0..rows.len() as u32 {
            self.places.insert_unique(hash(&place), place, hash);
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.alive
    }

    /// No row.
    pub fn is_empty(&self) -> bool {
        self.alive == 0
    }

    /// At most `limit` rows after the first `skip`.
    pub fn batch(&self, skip: usize, limit: usize) -> Result<RecordBatch> {
        let rows: Vec<&[u8]> = self.rows.iter().flatten().skip(skip).take(limit).map(|r| &**r).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let parser = self.converter.parser();
        let columns = match self.schema.fields().is_empty() {
            true => Vec::new(),
            false => self.converter.convert_rows(rows.into_iter().map(|r| parser.parse(r)))?,
        };
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::operator::picture::named as chunk;
    use Kind::{Delete, Insert, UpdateAfter, UpdateBefore};

    #[test]
    fn updates_keep_their_place() {
        let first = chunk(&[
            (Insert, Some(1), Some("a")),
            (Insert, Some(2), None),
            (Insert, Some(2), None),
            (UpdateBefore, Some(1), Some("a")),
            (UpdateAfter, Some(9), Some("z")),
            (Delete, Some(2), None),
        ]);
        let mut table = Materialized::new(first.batch.schema()).unwrap();
        table.apply(&first).unwrap();
        let now = chunk(&[(Insert, Some(9), Some("z")), (Insert, Some(2), None)]);
        assert_eq!(table.batch(0, 10).unwrap(), now.batch);
        assert_eq!(table.batch(1, 10).unwrap(), now.batch.slice(1, 1));
        table.apply(&chunk(&[(Delete, Some(2), None)])).unwrap();
        assert_eq!(table.len(), 1);
        assert!(table.apply(&chunk(&[(Delete, Some(2), None)])).is_err());
    }

    #[test]
    fn gaps_are_closed() {
        let rows: Vec<_> = (0..300).map(|i| (Insert, Some(i), None)).collect();
        let mut table = Materialized::new(chunk(&rows).batch.schema()).unwrap();
        table.apply(&chunk(&rows)).unwrap();
        let gone: Vec<_> = (0..290).map(|i| (Delete, Some(i), None)).collect();
        table.apply(&chunk(&gone)).unwrap();
        assert_eq!((table.len(), table.rows.len()), (10, 10));
        table.apply(&chunk(&[(UpdateBefore, Some(295), None), (UpdateAfter, Some(1), None)])).unwrap();
        let left = table.batch(5, 1).unwrap();
        assert_eq!(left, chunk(&[(Insert, Some(1), None)]).batch);
    }
}
