//! Recordings as what answers: rows come when they came, lookups answer as they answered.
//!
//! A key may be asked for more or less often than when it was recorded, because a query was edited or a cache was made
//! longer. Its answers are taken in their order, one after the other, and by the clock: one that was given before now, and
//! behind which there is a newer one that was given before now as well, is passed over. After the last one, that stays.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::answer::describe;
use super::stage::{Stage, shown};
use crate::error::{Error, Result};
use crate::lookup::{Answers, Backend, BoxFuture, Failure, FailureKind, LookupRequest};
use crate::recording::{self, About, Book, Recording};

/// What a replay does with a key that was not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Missing {
    /// The replay fails.
    #[default]
    Fail,
    /// It is a miss, and counted.
    Miss,
}

/// What answers beside a test.
#[derive(Debug, Clone)]
pub(crate) struct Replay {
    pub(crate) recording: Arc<Recording>,
    pub(crate) missing: Missing,
    /// Nothing but the recording answers: there is no test.
    pub(crate) alone: bool,
}

impl Replay {
    pub(crate) fn open(folder: &Path, missing: Missing, alone: bool) -> Result<Self> {
        Ok(Self { recording: Recording::open(folder)?, missing, alone })
    }

    /// The name under which something is in the recording.
    pub(super) fn name(target: &str) -> String {
        crate::secret::redact(target).into_owned()
    }

    pub(super) fn has_lookup(&self, target: &str) -> bool {
        let name = Self::name(target);
        self.recording.books.contains_key(&name) || self.recording.loads.contains_key(&name)
    }
}

/// Answers from a recording.
pub(crate) struct ReplayBackend(Arc<Inner>);

struct Inner {
    stage: Arc<Stage>,
    replay: Replay,
    target: String,
    request: LookupRequest,
    max_keys: usize,
    /// The book among those of the target.
    book: Option<usize>,
    /// For each key, how many of its answers were given.
    used: Mutex<HashMap<String, usize>>,
}

/// Holds the end of a replay while an answer is on its way.
struct OnItsWay(Arc<Stage>);

impl OnItsWay {
    fn new(stage: &Arc<Stage>) -> Self {
        stage.on_their_way.fetch_add(1, Ordering::SeqCst);
        Self(stage.clone())
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::SeqCst);
    }
}

impl ReplayBackend {
    pub(crate) fn new(
        stage: &Arc<Stage>,
        replay: &Replay,
        target: &str,
        request: &LookupRequest,
        max_keys: usize,
    ) -> Result<Self> {
        let name = Replay::name(target);
        let empty = Vec::new();
        let books = replay.recording.books.get(&name).unwrap_or(&empty);
        let mut keys: Vec<String> = request.key_schema()?.fields().iter().map(|f| f.name().clone()).collect();
        keys.sort();
        let of = format!("'{}'", shown(target));
        let fits = |book: &Book| match &book.schema {
            Some(schema) => recording::check(&of, schema, &request.schema),
            None => Ok(()),
        };
        let same_keys: Vec<usize> = (0..books.len()).filter(|i| books[*i].keys == keys).collect();
        let book = same_keys.iter().copied().find(|i| fits(&books[*i]).is_ok());
        if book.is_none() {
            if let Some(first) = same_keys.first() {
                fits(&books[*first])?;
            } else if let Some(other) = books.first() {
                return Err(Error::plan(format!(
                    "{of} is asked by ({}), and was asked by ({}) when it was recorded",
                    keys.join(", "),
                    other.keys.join(", ")
                ))
                .with_hint("record again with this pipeline"));
            }
        }
        for load in replay.recording.loads.get(&name).into_iter().flatten() {
            recording::check(&of, &load.rows.schema(), &request.schema)?;
        }
        let (stage, replay, target) = (stage.clone(), replay.clone(), target.to_string());
        let (request, used) = (request.clone(), Mutex::default());
        Ok(Self(Arc::new(Inner { stage, replay, target, request, max_keys: max_keys.max(1), book, used })))
    }
}

impl Inner {
    fn book(&self) -> Option<&Book> {
        self.replay.recording.books.get(&Replay::name(&self.target))?.get(self.book?)
    }

    /// What these keys are answered, how long it takes, and whether it comes.
    fn decide(&self, keys: &RecordBatch) -> Result<(Duration, Option<Result<Answers, Failure>>)> {
        let now = self.stage.now();
        let of = format!("'{}'", shown(&self.target));
        let (mut took, mut comes) = (0, true);
        let mut results = Vec::with_capacity(keys.num_rows());
        let mut said: Option<&About> = None;
        let mut refused = 0;
        for (row, key) in recording::key_texts(keys)?.into_iter().enumerate() {
            let Some(all) = self.book().and_then(|book| book.entries.get(&key)) else {
                let what = format!("the recording has no answer of {of} for {}", describe(keys, row));
                match self.replay.missing {
                    Missing::Fail => {
                        self.stage.complain(what.clone());
                        results.push(Err(Failure::other(what)));
                    }
                    Missing::Miss => {
                        self.stage.missed.fetch_add(1, Ordering::SeqCst);
                        results.push(Ok(RecordBatch::new_empty(self.request.schema.clone())));
                    }
                }
                continue;
            };
            let mut used = self.used.lock();
            let next = used.entry(key).or_insert(0);
            let by_now = all.iter().rposition(|r| r.at <= now).unwrap_or(0);
            let at = (*next).max(by_now).min(all.len() - 1);
            *next = at + 1;
            drop(used);
            let reply = &all[at];
            took = took.max(reply.took_micros);
            match (reply.outcome, &reply.about.failure) {
                (recording::LEFT, _) => comes = false,
                (recording::REFUSED | recording::FAILED, failure) => {
                    refused += usize::from(reply.outcome == recording::REFUSED);
                    let failure = failure.as_ref().map(recording::Failed::failure);
                    results.push(Err(failure.unwrap_or_else(|| Failure::other("failed"))));
                }
                _ => {
                    said = said.or(Some(&reply.about));
                    results.push(Ok(recording::conform(&of, &reply.rows, &self.request.schema)?));
                }
            }
        }
        let took = Duration::from_micros(took);
        if !comes {
            return Ok((took, None));
        }
        if refused == results.len()
            && let Some(Err(failure)) = results.first()
        {
            return Ok((took, Some(Err(failure.clone()))));
        }
        let answers = Answers::from_results(&self.request.schema, results);
        let answers = answers.map(|answers| match said {
            None => answers,
            Some(about) => Answers {
                status: about.status,
                headers: about.headers.clone(),
                max_age: about.max_age_ms.map(Duration::from_millis),
                ..answers
            },
        });
        Ok((took, Some(answers)))
    }

    /// The table as it was loaded last.
    fn loaded(&self) -> Result<RecordBatch> {
        let name = Replay::name(&self.target);
        let of = format!("'{}'", shown(&self.target));
        let loads = self.replay.recording.loads.get(&name).map_or(&[][..], Vec::as_slice);
        let now = self.stage.now();
        let last = loads.iter().rfind(|load| load.at <= now).or(loads.first()).ok_or_else(|| {
            let what = format!("{of} is loaded whole, and the recording has not all of its rows");
            self.stage.complain(what.clone());
            Error::lookup(what).with_hint("record again with this pipeline").lasting()
        })?;
        recording::conform(&of, &last.rows, &self.request.schema)
    }
}

impl Backend for ReplayBackend {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        self.0.stage.called(&self.0.target, keys.clone());
        let decided = self.0.decide(&keys);
        let stage = self.0.stage.clone();
        Box::pin(async move {
            let (took, answer) = decided.map_err(|e| {
                stage.complain(e.to_string());
                Failure::new(FailureKind::Decode, e.to_string())
            })?;
            let Some(answer) = answer else { return std::future::pending().await };
            let _on_its_way = OnItsWay::new(&stage);
            if took > Duration::ZERO {
                tokio::time::sleep(took).await;
            }
            answer
        })
    }

    fn max_keys(&self) -> usize {
        self.0.max_keys
    }

    fn can_load(&self) -> bool {
        true
    }

    fn load(&self) -> BoxFuture<Result<RecordBatch>> {
        Box::pin(std::future::ready(self.0.loaded()))
    }

    fn describe(&self) -> String {
        format!("recording of {}", shown(&self.0.target))
    }
}
