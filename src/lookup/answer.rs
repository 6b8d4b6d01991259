//! What a lookup returns for one key: rows and an outcome.

use std::sync::Arc;

use arrow::array::RecordBatch;

pub use crate::contract::answers::{Answers, Failure, FailureKind};

/// How a lookup of one key ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// One row or more.
    Ok,
    /// The other side has nothing under this key.
    Miss,
    /// It is unknown whether there is something: all attempts failed.
    Error(Arc<Failure>),
}

/// The answer for one key: some rows of a batch, which the answers of other keys may share.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The batch that holds the rows; schema [`LookupRequest::row_schema`](super::LookupRequest::row_schema).
    pub rows: Arc<RecordBatch>,
    /// The first row of this key.
    pub first: u32,
    /// How many rows it has.
    pub count: u32,
    /// Attempts that it took; 0 where none was made for it.
    pub attempts: u32,
    /// The memory that its request has reserved, for as long as the rows are held.
    pub(crate) reserved: Option<Arc<super::budget::Reservation>>,
}

impl Answer {
    /// The rows of this key alone.
    pub fn batch(&self) -> RecordBatch {
        self.rows.slice(self.first as usize, self.count as usize)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lookup::script::{dim_rows, request};

    fn shown(answers: &Answers) -> Vec<usize> {
        answers.offsets.windows(2).map(|w| (w[1] - w[0]) as usize).collect()
    }

    #[test]
    fn rows_in_any_order_are_told_apart_by_their_key() {
        let keys = dim_rows(&["a", "b", "a", "c"]).project(&[0]).unwrap();
        let rows = dim_rows(&["c x 1", "a y 2", "z w 3", "c v 4"]);
        let (answers, foreign) = Answers::by_key(&rows, &[0], &keys).unwrap();
        assert_eq!((shown(&answers), foreign), (vec![1, 0, 1, 2], vec![2]));
        assert!(answers.problem(4, &request().schema).is_none());
        assert!(answers.problem(3, &request().schema).is_some());
        let rest = dim_rows(&["a y 2", "a y 2", "c x 1", "c v 4"]);
        assert_eq!(answers.rows, rest);
    }

    #[test]
    fn rows_of_another_key_are_left_out() {
        let keys = dim_rows(&["a", "b", "c"]).project(&[0]).unwrap();
        let rows = dim_rows(&["a x 1", "A y 2", "c z 3"]);
        let answers = Answers::new(rows, vec![0, 2, 2, 3]).of_keys(&[0], &keys).unwrap();
        assert_eq!((shown(&answers), answers.rows.num_rows()), (vec![1, 0, 1], 2));
    }

    #[test]
    fn results_of_single_keys_become_one_batch() {
        let failed = Failure::other("no");
        let results = vec![Ok(dim_rows(&["a x 1"])), Err(failed.clone()), Ok(dim_rows(&[]))];
        let answers = Answers::from_results(&request().schema, results).unwrap();
        assert_eq!((shown(&answers), answers.failures), (vec![1, 0, 0], vec![(1, failed)]));
    }
}
