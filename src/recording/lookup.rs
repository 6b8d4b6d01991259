//! A lookup whose answers are recorded, with how long they took.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{
    ArrayRef, Int64Array, ListArray, RecordBatch, RecordBatchOptions, StringArray, StructArray, UInt8Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use parking_lot::Mutex;

use super::rows::{plain_columns, plain_fields};
use super::{
    ABOUT, ANSWERED, AT, About, FAILED, Failed, Holds, KEY, LEFT, OUTCOME, PIECE, REFUSED, ROWS, Recorder,
    TOOK,
};
use crate::error::{Error, Result};
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest, Service};

/// The files of one lookup.
struct Files {
    recorder: Arc<Recorder>,
    name: String,
    keys: Fields,
    rows: Fields,
    schema: SchemaRef,
    number: usize,
    load: Mutex<Option<usize>>,
}

/// A backend beside which what it is asked and answers is written down.
pub(crate) struct RecordedBackend {
    backend: Arc<dyn Backend>,
    files: Arc<Files>,
    /// Columns of its rows that the query wants, and their schema.
    wanted: Option<(Vec<usize>, SchemaRef)>,
}

fn item(fields: &Fields) -> Arc<Field> {
    Arc::new(Field::new("item", DataType::Struct(fields.clone()), true))
}

impl RecordedBackend {
    /// `backend` answers `wide`, which has at least the columns of the query's own request, `narrow`.
    pub(crate) fn new(
        recorder: &Arc<Recorder>,
        name: &str,
        backend: Arc<dyn Backend>,
        wide: &LookupRequest,
        narrow: &LookupRequest,
    ) -> Result<Self> {
        let keys: Fields = plain_fields(wide.key_schema()?.as_ref()).into();
        let rows: Fields = plain_fields(&wide.schema).into();
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new(AT, DataType::Int64, false),
            Field::new(PIECE, DataType::UInt64, false),
            Field::new(TOOK, DataType::UInt64, false),
            Field::new(OUTCOME, DataType::UInt8, false),
            Field::new(ABOUT, DataType::Utf8, true),
            Field::new(KEY, DataType::Struct(keys.clone()), false),
            Field::new(ROWS, DataType::List(item(&rows)), false),
        ]));
        let number = recorder.open(Holds::Lookup, name, false, schema.clone())?;
        let wanted = match wide.schema == narrow.schema {
            true => None,
            false => {
                let at = |f: &arrow::datatypes::FieldRef| Ok(wide.schema.index_of(f.name())?);
                let places = narrow.schema.fields().iter().map(at).collect::<Result<Vec<_>>>()?;
                Some((places, narrow.schema.clone()))
            }
        };
        let (recorder, name, load) = (recorder.clone(), name.to_string(), Mutex::new(None));
        let files = Arc::new(Files { recorder, name, keys, rows, schema, number, load });
        Ok(Self { backend, files, wanted })
    }

    fn narrow(wanted: &Option<(Vec<usize>, SchemaRef)>, rows: RecordBatch) -> Result<RecordBatch> {
        let Some((places, schema)) = wanted else { return Ok(rows) };
        let columns = places.iter().map(|i| rows.column(*i).clone()).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
    }
}

/// A failure as it is written.
fn written(failure: &Failure) -> Failed {
    Failed {
        kind: failure.kind.as_str().to_string(),
        status: match failure.kind {
            FailureKind::Status(status) => Some(status),
            _ => None,
        },
        message: crate::secret::redact(&failure.message).into_owned(),
        retry_after_ms: failure.retry_after.map(|d| d.as_millis() as u64),
        retryable: failure.retryable,
    }
}

impl Failed {
    /// The failure again.
    pub(crate) fn failure(&self) -> Failure {
        let kind = match (self.kind.as_str(), self.status) {
            ("status", Some(status)) => FailureKind::Status(status),
            ("connect", _) => FailureKind::Connection,
            ("timeout", _) => FailureKind::Timeout,
            ("decode", _) => FailureKind::Decode,
            ("too-large", _) => FailureKind::TooLarge,
            ("key", _) => FailureKind::Key,
            ("limit", _) => FailureKind::Limit,
            _ => FailureKind::Other,
        };
        Failure {
            kind,
            message: self.message.clone(),
            retry_after: self.retry_after_ms.map(std::time::Duration::from_millis),
            retryable: self.retryable,
        }
    }
}

impl Files {
    fn add(
        &self,
        keys: &RecordBatch,
        asked: (i64, Instant),
        answer: Option<&Result<Answers, Failure>>,
    ) -> Result<()> {
        if !self.recorder.takes_answers() {
            return Ok(());
        }
        let count = keys.num_rows();
        let mut outcomes = vec![ANSWERED; count];
        let mut about: Vec<Option<String>> = vec![None; count];
        let text = |about: &About| serde_json::to_string(about).ok();
        let (rows, offsets) = match answer {
            Some(Ok(answers)) => {
                let headers = answers
                    .headers
                    .iter()
                    .filter(|(name, _)| !crate::secret::option::is_sensitive_name(name));
                let plain = |v: &String| crate::secret::redact(v).into_owned();
                let said = About {
                    status: answers.status,
                    headers: headers.map(|(n, v)| (n.clone(), v.iter().map(plain).collect())).collect(),
                    max_age_ms: answers.max_age.map(|d| d.as_millis() as u64),
                    failure: None,
                };
                if said != About::default() {
                    about.fill(text(&said));
                }
                for (key, failure) in &answers.failures {
                    if let Some(place) = outcomes.get_mut(*key as usize) {
                        *place = FAILED;
                        about[*key as usize] =
                            text(&About { failure: Some(written(failure)), ..said.clone() });
                    }
                }
                let offsets: Vec<i32> = answers.offsets.iter().map(|o| *o as i32).collect();
                (plain_columns(&answers.rows)?, offsets)
            }
            other => {
                if let Some(Err(failure)) = other {
                    outcomes.fill(REFUSED);
                    about.fill(text(&About { failure: Some(written(failure)), ..About::default() }));
                } else {
                    outcomes.fill(LEFT);
                }
                let empty = self.rows.iter().map(|f| arrow::array::new_empty_array(f.data_type()));
                (empty.collect(), vec![0; count + 1])
            }
        };
        if offsets.len() != count + 1 || self.rows.is_empty() {
            // The engine refuses such an answer.
            return Ok(());
        }
        let rows = StructArray::try_new(self.rows.clone(), rows, None)?;
        let rows =
            ListArray::try_new(item(&self.rows), OffsetBuffer::new(offsets.into()), Arc::new(rows), None)?;
        let asked_for = StructArray::try_new(self.keys.clone(), plain_columns(keys)?, None)?;
        let took = asked.1.elapsed().as_micros() as u64;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![asked.0; count])),
            Arc::new(UInt64Array::from(vec![self.recorder.piece(); count])),
            Arc::new(UInt64Array::from(vec![took; count])),
            Arc::new(UInt8Array::from(outcomes)),
            Arc::new(StringArray::from(about)),
            Arc::new(asked_for),
            Arc::new(rows),
        ];
        self.recorder.add(self.number, RecordBatch::try_new(self.schema.clone(), columns)?);
        Ok(())
    }

    /// A lookup that cannot be written down is said, and answers nevertheless.
    fn note(&self, keys: &RecordBatch, asked: (i64, Instant), answer: Option<&Result<Answers, Failure>>) {
        if let Err(e) = self.add(keys, asked, answer) {
            log::warn!("an answer of '{}' is not in the recording: {e}", self.name);
        }
    }

    /// The table was loaded.
    fn loaded(&self, rows: &RecordBatch) -> Result<()> {
        let mut load = self.load.lock();
        let mut fields = plain_fields(&rows.schema());
        fields.push(Field::new(AT, DataType::Int64, false));
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let number = match *load {
            Some(number) => number,
            None => {
                let number = self.recorder.open(Holds::Load, &self.name, false, schema.clone())?;
                *load = Some(number);
                number
            }
        };
        // Loads are told apart by their times.
        let now = self.recorder.now();
        let mut columns = plain_columns(rows)?;
        columns.push(Arc::new(Int64Array::from(vec![now; rows.num_rows()])));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        self.recorder.add(number, RecordBatch::try_new_with_options(schema, columns, &options)?);
        self.recorder.change(number, |stream| stream.loads.push(now));
        Ok(())
    }
}

/// A request that is under way: when nobody waits for it any more, that is noted.
struct Asked {
    files: Arc<Files>,
    keys: RecordBatch,
    at: (i64, Instant),
    answered: bool,
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.answered {
            self.files.note(&self.keys, self.at, None);
        }
    }
}

impl Backend for RecordedBackend {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let at = (self.files.recorder.now(), Instant::now());
        let answer = self.backend.lookup(keys.clone());
        let mut asked = Asked { files: self.files.clone(), keys, at, answered: false };
        let wanted = self.wanted.clone();
        Box::pin(async move {
            let answer = answer.await;
            asked.answered = true;
            asked.files.note(&asked.keys, asked.at, Some(&answer));
            let answers = answer?;
            let rows = Self::narrow(&wanted, answers.rows.clone());
            let rows = rows.map_err(|e| Failure::new(FailureKind::Decode, e.to_string()))?;
            Ok(Answers { rows, ..answers })
        })
    }

    fn max_keys(&self) -> usize {
        self.backend.max_keys()
    }

    fn keys_now(&self) -> usize {
        self.backend.keys_now()
    }

    fn computes(&self) -> bool {
        self.backend.computes()
    }

    fn max_requests(&self) -> Option<usize> {
        self.backend.max_requests()
    }

    fn endpoint(&self) -> Option<Service> {
        self.backend.endpoint()
    }

    fn can_lookup(&self) -> bool {
        self.backend.can_lookup()
    }

    fn can_load(&self) -> bool {
        self.backend.can_load()
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        let (rows, files, wanted) = (self.backend.load(), self.files.clone(), self.wanted.clone());
        Box::pin(async move {
            let rows = rows.await?;
            files.loaded(&rows).map_err(|e: Error| e.context("the recording"))?;
            Self::narrow(&wanted, rows)
        })
    }

    fn judge(&self) {
        self.backend.judge();
    }

    fn describe(&self) -> String {
        self.backend.describe()
    }
}
