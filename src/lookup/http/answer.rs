//! From the body of an answer to rows.

use std::collections::{HashMap, HashSet};

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, Scalar, UInt32Array};
use arrow::compute::kernels::cmp::eq;
use arrow::compute::kernels::zip::zip;
use arrow::compute::{and, filter_record_batch, take};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use parking_lot::Mutex;

use super::options::{HttpConfig, ResultType};
use super::secret::Secrets;
use super::text_answer::TextAnswer;
use super::value::describe_key;
use super::watch::Watch;
use crate::catalog::{Column, ColumnSource};
use crate::error::{Error, Result};
use crate::format::json::{JsonDocuments, JsonOptions};
use crate::lookup::{Answers, Failure, FailureKind, LookupRequest};

/// Characters of a body that a message shows.
const EXCERPT: usize = 160;

/// How the answers of one table are decoded.
#[derive(Debug)]
pub(super) struct AnswerDecoder {
    /// What answers look like in the end.
    pub(super) schema: SchemaRef,
    /// The same with key columns that may be absent, because they are filled in from the request.
    lenient: SchemaRef,
    /// Takes keys out of ROW columns, where the query asks by such.
    request: Option<LookupRequest>,
    /// Key columns, as indices into the schema.
    keys: Vec<usize>,
    json: JsonOptions,
    /// Decoders that nobody uses now; each has learned the shape of answers.
    idle: Mutex<Vec<JsonDocuments>>,
    pointer: String,
    result_type: Option<ResultType>,
    tolerant: bool,
    rows: Option<RowConverter>,
    /// Decodes what is no JSON.
    text: Option<TextAnswer>,
    watch: Watch,
    secrets: Secrets,
}

impl AnswerDecoder {
    pub(super) fn new(request: &LookupRequest, json: JsonOptions, config: &HttpConfig) -> Result<Self> {
        // What is inside of a ROW is taken out of it, and not looked for in the answer.
        let LookupRequest { table, schema: whole, keys, .. } = request;
        let base = request.without_nested();
        let schema = &base.schema;
        let mut columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
        if columns.is_empty() {
            // Rows are only counted; that these are the rows is seen by the columns that are declared.
            let physical = |c: &&Column| matches!(c.source, ColumnSource::Physical { .. });
            columns = table.columns.iter().filter(physical).map(|c| c.name.clone()).collect();
        }
        // Keys that an answer does not repeat are those that were asked for.
        let is_key = |name: &String| keys.iter().any(|&key| whole.field(key).name() == name);
        columns.retain(|name| !is_key(name));
        let fields = schema.fields().iter().enumerate().map(|(i, f)| {
            if keys.contains(&i) { f.as_ref().clone().with_nullable(true) } else { f.as_ref().clone() }
        });
        let lenient = std::sync::Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let rows = if config.batch_size > 1 {
            let fields = keys.iter().map(|k| SortField::new(whole.field(*k).data_type().clone()));
            Some(RowConverter::new(fields.collect())?)
        } else {
            None
        };
        let text = match &config.format {
            None => None,
            Some(format) => Some(TextAnswer::new(format.clone(), &base, &lenient)?),
        };
        Ok(Self {
            schema: whole.clone(),
            request: (!request.nested.is_empty()).then(|| request.clone()),
            text,
            lenient,
            keys: keys.to_vec(),
            json,
            idle: Mutex::default(),
            pointer: config.pointer.clone(),
            result_type: config.result_type,
            tolerant: config.tolerant,
            rows,
            watch: Watch::new(&table.name, columns, !config.pointer.is_empty()),
            secrets: config.secrets.clone(),
        })
    }

    /// No row at all.
    pub(super) fn miss(&self) -> RecordBatch {
        RecordBatch::new_empty(self.schema.clone())
    }

    /// The row or rows of a body, as JSON.
    pub(super) fn value<'b>(&self, body: &'b [u8]) -> Result<&'b [u8]> {
        if self.pointer.is_empty() {
            return Ok(body.trim_ascii());
        }
        let found =
            find(body, &self.pointer).map_err(|e| Error::decode(format!("the answer is not JSON: {e}")))?;
        // What is not where it was expected may be a message about an error.
        found.ok_or_else(|| Error::decode(format!("the answer has nothing at '{}'", self.pointer)))
    }

    /// There are no more answers: says what is wrong with those that came.
    pub(super) fn ended(&self) {
        self.watch.ended();
    }

    /// Values and rows that were left out because they do not fit and the table says so.
    pub(super) fn skipped(&self) -> u64 {
        self.idle.lock().iter().map(JsonDocuments::skipped).sum()
    }

    /// The rows of a body.
    pub(super) fn decode(&self, body: &[u8]) -> Result<RecordBatch> {
        let rows = self.decode_columns(body)?;
        match &self.request {
            Some(request) => request.widened(rows),
            None => Ok(rows),
        }
    }

    fn decode_columns(&self, body: &[u8]) -> Result<RecordBatch> {
        if let Some(text) = &self.text {
            return text.decode(body);
        }
        let value = self.value(body)?;
        match value {
            b"" | b"null" | b"[]" => return Ok(RecordBatch::new_empty(self.lenient.clone())),
            _ => {}
        }
        self.check_result_type(value)?;
        if self.tolerant {
            check_shape(value)?;
        }
        self.watch.look(value);
        let idle = self.idle.lock().pop();
        let mut documents = match idle {
            Some(documents) => documents,
            None => JsonDocuments::new(self.json, self.lenient.clone(), "", "answer".into())?,
        };
        let rows = documents.decode(value);
        self.idle.lock().push(documents);
        rows
    }

    /// The rows of a body that answers the only key; absent key columns are filled in.
    pub(super) fn rows(&self, body: &[u8], keys: &RecordBatch, url: &str) -> Result<RecordBatch> {
        let decoded = self.decode(body)?;
        if decoded.num_rows() == 0 {
            return Ok(self.miss());
        }
        let mut columns = decoded.columns().to_vec();
        for (key, index) in self.keys.iter().enumerate() {
            let column = &columns[*index];
            if column.null_count() > 0 {
                columns[*index] = fill(column, &keys.column(key).slice(0, 1))?;
            }
        }
        self.of_key(RecordBatch::try_new(self.schema.clone(), columns)?, keys, url)
    }

    /// Leaves out rows of another key: the API was not asked for them, or has not understood the question.
    fn of_key(&self, rows: RecordBatch, keys: &RecordBatch, url: &str) -> Result<RecordBatch> {
        let mut same: Option<BooleanArray> = None;
        for (key, index) in self.keys.iter().enumerate() {
            let asked = Scalar::new(keys.column(key).slice(0, 1));
            let equal = eq(rows.column(*index), &asked)?;
            same = Some(match same {
                Some(before) => and(&before, &equal)?,
                None => equal,
            });
        }
        let Some(same) = same.filter(|same| same.true_count() < same.len()) else { return Ok(rows) };
        if let Some(other) = (0..same.len()).find(|row| !same.value(*row)) {
            let found = describe_key(&rows.project(&self.keys)?, other);
            let (asked, url) = (describe_key(keys, 0), self.secrets.redact(url));
            self.watch.foreign(&asked, &found, &url);
        }
        Ok(filter_record_batch(&rows, &same)?)
    }

    /// The first row of each different key.
    pub(super) fn distinct(&self, keys: &RecordBatch) -> Result<Vec<usize>> {
        let rows = self.key_converter()?.convert_columns(keys.columns())?;
        let mut seen: HashSet<&[u8]> = HashSet::with_capacity(keys.num_rows());
        Ok(rows.iter().enumerate().filter(|(_, row)| seen.insert(row.data())).map(|(i, _)| i).collect())
    }

    fn key_converter(&self) -> Result<&RowConverter> {
        self.rows.as_ref().ok_or_else(|| Error::internal("a batch without a key converter"))
    }

    /// The rows of a body that answers many keys, told apart by their key columns; a failure where it stays
    /// unknown whether there is a row.
    pub(super) fn split(&self, body: &[u8], keys: &RecordBatch) -> Result<Answers> {
        let decoded = self.decode(body)?;
        for index in &self.keys {
            if decoded.column(*index).null_count() > 0 {
                let name = self.schema.field(*index).name();
                return Err(Error::decode(format!("the answer to many keys has a row without '{name}'"))
                    .with_hint("rows of such an answer must carry their key"));
            }
        }
        let decoded = RecordBatch::try_new(self.schema.clone(), decoded.columns().to_vec())?;
        let (mut answers, foreign) = Answers::by_key(&decoded, &self.keys, keys)?;
        if let Some(foreign) = foreign.first() {
            // Perhaps it is this key's row, spelt differently; to call it a miss would be a guess.
            let other = describe_key(&decoded.project(&self.keys)?, *foreign as usize);
            let message =
                format!("the answer has no row for this key, and one that was not asked for ({other})");
            let missing =
                (0..keys.num_rows()).filter(|key| answers.offsets[*key] == answers.offsets[key + 1]);
            answers.failures =
                missing.map(|key| (key as u32, Failure::new(FailureKind::Decode, message.clone()))).collect();
        }
        Ok(answers)
    }

    fn check_result_type(&self, value: &[u8]) -> Result<()> {
        let Some(expected) = self.result_type else { return Ok(()) };
        let found = value.first().copied().unwrap_or(b' ');
        match (expected, found) {
            (ResultType::Array, b'[') => Ok(()),
            (ResultType::Array, _) => Err(Error::decode("found a single value where an array was expected")
                .with_hint("'http.source.lookup.result-type' says array")),
            (ResultType::SingleValue, b'[') => {
                Err(Error::decode("found an array where a single value was expected")
                    .with_hint("'http.source.lookup.result-type' says single-value"))
            }
            (ResultType::SingleValue, _) => Ok(()),
        }
    }
}

/// A format that drops broken records would turn an error page into a miss: fields may be tolerated, but
/// the whole must be JSON that can hold rows.
fn check_shape(value: &[u8]) -> Result<()> {
    use serde_json::value::RawValue;
    let not_json = |e: serde_json::Error| Error::decode(format!("the answer is not JSON: {e}"));
    let items: Vec<&RawValue> = match value.first() {
        Some(b'[') => serde_json::from_slice(value).map_err(not_json)?,
        _ => vec![serde_json::from_slice(value).map_err(not_json)?],
    };
    match items.iter().find(|item| !item.get().starts_with('{')) {
        None => Ok(()),
        Some(_) => Err(Error::decode("the answer holds something that is not an object")),
    }
}

/// NULLs replaced by the one value of `key`.
fn fill(column: &ArrayRef, key: &ArrayRef) -> Result<ArrayRef> {
    if column.null_count() == column.len() {
        return Ok(take(key, &UInt32Array::from(vec![0; column.len()]), None)?);
    }
    let nulls: BooleanArray = arrow::compute::is_null(column)?;
    Ok(zip(&nulls, &Scalar::new(key.clone()), column)?)
}

/// The text of the value at a JSON pointer, `None` where there is none. A body that is blank or
/// `null` is so everywhere.
pub(super) fn find<'a>(body: &'a [u8], pointer: &str) -> Result<Option<&'a [u8]>, serde_json::Error> {
    use serde_json::value::RawValue;
    type Members<'a> = HashMap<std::borrow::Cow<'a, str>, &'a RawValue>;

    let mut value = body.trim_ascii();
    if value == b"null" {
        return Ok(Some(value));
    }
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let raw = match value.first() {
            None => return Ok(Some(value)),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_slice(value)?;
                token.parse().ok().and_then(|i: usize| items.get(i).copied())
            }
            Some(b'{') => serde_json::from_slice::<Members<'a>>(value)?.get(token.as_str()).copied(),
            _ => serde_json::from_slice::<&RawValue>(value).map(|_| None)?,
        };
        match raw {
            Some(raw) => value = raw.get().trim_ascii().as_bytes(),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

/// What a body looks like, for messages: `HTML: <html>...`.
pub(super) fn describe_body(body: &[u8]) -> String {
    let trimmed = body.trim_ascii();
    if trimmed.is_empty() {
        return "an empty body".into();
    }
    let text = String::from_utf8_lossy(&trimmed[..trimmed.len().min(EXCERPT * 4)]);
    let lower: String = text.chars().take(16).map(|c| c.to_ascii_lowercase()).collect();
    let kind = if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        "HTML: "
    } else if lower.starts_with('<') {
        "XML: "
    } else {
        ""
    };
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    let more = if text.chars().count() > EXCERPT || trimmed.len() > EXCERPT * 4 { "..." } else { "" };
    format!("{kind}{}{more}", shown.trim_end())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn pointers_are_those_of_rfc_6901() {
        let body = br#" {"a": {"b/c": [1, {"~": "x"}]}} "#;
        let find = |body, pointer| find(body, pointer).unwrap();
        assert_eq!(find(body, "/a/b~1c/0"), Some(&b"1"[..]));
        assert_eq!(find(body, "/a/b~1c/1/~0"), Some(&b"\"x\""[..]));
        assert_eq!(find(body, "/a/nothing"), None);
        assert_eq!(find(body, "/a/b~1c/0/deeper"), None);
        assert_eq!(find(b" [] ", ""), Some(&b"[]"[..]));
        assert_eq!(find(b" ", "/a"), Some(&b""[..]));
        assert_eq!(find(b"null", "/a"), Some(&b"null"[..]));
        assert!(super::find(b"no json", "/a").is_err());
        assert!(super::find(b"{\"a\":1} x", "/a").is_err());
    }

    #[test]
    fn bodies_are_described() {
        assert_eq!(describe_body(b" <!DOCTYPE html>\n<p>"), "HTML: <!DOCTYPE html> <p>");
        assert_eq!(describe_body(b"  "), "an empty body");
        assert_eq!(describe_body(&[0xff, b'a']), "\u{fffd}a");
        let long = "ü".repeat(1000);
        assert_eq!(describe_body(long.as_bytes()).chars().count(), EXCERPT + 3);
    }
}
