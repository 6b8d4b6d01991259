//! What a lookup refuses, and what it lets go.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::clock::ManualClock;
use crate::flow::Mailbox;
use crate::lookup::script::{Script, config, dim_rows, partial, request};
use crate::lookup::{Answers, BoxFuture, Failure, FailureKind};
use arrow::array::{ArrayRef, StringViewArray};

fn keys(lookup: &Lookup, keys: &[&str]) -> Arc<KeyColumns> {
    let column: ArrayRef = Arc::new(StringViewArray::from(keys.to_vec()));
    Arc::new(lookup.encoder().encode(vec![column], None).unwrap())
}

fn lookup(backend: Arc<dyn Backend>, config: LookupConfig) -> Result<Arc<Lookup>> {
    Lookup::new("d".into(), request(), backend, config, Handle::current(), ManualClock::new(0))
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Answers with whatever it was made with; loads nothing.
struct Wrong(Vec<Result<RecordBatch, Failure>>);

impl Backend for Wrong {
    fn lookup(&self, _keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let answers = self.0.clone();
        let schema = request().schema;
        let types = |rows: &RecordBatch| rows.schema() != schema;
        if let [Ok(rows)] = answers.as_slice()
            && types(rows)
        {
            let rows = rows.clone();
            return Box::pin(async move { Ok(Answers::single(rows)) });
        }
        Box::pin(async move { Answers::from_results(&schema, answers) })
    }
    fn can_lookup(&self) -> bool {
        !self.0.is_empty()
    }
    fn describe(&self) -> String {
        "wrong".into()
    }
}

#[tokio::test(start_paused = true)]
async fn strategies_that_a_backend_lacks_are_refused() {
    let one = Arc::new(Wrong(vec![Ok(dim_rows(&[]))]));
    let full = LookupConfig { cache: CacheConfig::Full(super::super::full::Reload::Once), ..config() };
    assert!(lookup(one, full).unwrap_err().hint().is_some_and(|h| h.contains("PARTIAL")));
    let none = Arc::new(Wrong(vec![]));
    assert!(lookup(none, config()).unwrap_err().hint().is_some_and(|h| h.contains("FULL")));
}

#[tokio::test(start_paused = true)]
async fn answers_that_do_not_fit_are_errors() {
    let other = RecordBatch::try_from_iter([("x", Arc::new(StringViewArray::from(vec!["a"])) as ArrayRef)]);
    for (answers, kind) in [
        (vec![Ok(other.unwrap())], FailureKind::Decode),
        (vec![Ok(dim_rows(&[])), Ok(dim_rows(&[]))], FailureKind::Other),
    ] {
        let lookup = lookup(Arc::new(Wrong(answers)), config()).unwrap();
        let completions = Completions::new(Mailbox::new().waker(0));
        lookup.ask(&completions, &keys(&lookup, &["a"]), &[(0, 7)]).unwrap();
        settle().await;
        let completed = completions.take();
        let [(7, answer)] = completed.as_slice() else { unreachable!("{completed:?}") };
        assert!(matches!(&answer.outcome, Outcome::Error(f) if f.kind == kind), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_lookup_cancels_what_is_in_flight() {
    for max_keys in [1, 10] {
        let script = Script::with_max_keys(max_keys);
        let lookup = lookup(script.clone(), LookupConfig { cache: partial(), ..config() }).unwrap();
        let completions = Completions::new(Mailbox::new().waker(0));
        lookup.ask(&completions, &keys(&lookup, &["a"]), &[(0, 0)]).unwrap();
        settle().await;
        assert_eq!(script.flying(), ["a"]);
        drop(lookup);
        settle().await;
        assert!(script.flying().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_waiter_that_gives_up_cancels_the_request() {
    let script = Script::with_max_keys(10);
    let lookup = lookup(script.clone(), LookupConfig { cache: partial(), ..config() }).unwrap();
    let completions = Completions::new(Mailbox::new().waker(0));
    let both = keys(&lookup, &["a", "b"]);
    lookup.ask(&completions, &both, &[(0, 0), (1, 1)]).unwrap();
    tokio::time::sleep(lookup.config().timeout / 2).await;
    lookup.ask(&completions, &both, &[(1, 2)]).unwrap();
    settle().await;
    assert_eq!(script.flying(), ["a,b"]);
    tokio::time::sleep(lookup.config().timeout / 2).await;
    settle().await;
    let mut tickets: Vec<_> = completions.take().iter().map(|(ticket, _)| *ticket).collect();
    tickets.sort_unstable();
    assert_eq!((tickets, script.flying()), (vec![0, 1], vec!["a,b".to_string()]));
    tokio::time::sleep(lookup.config().timeout / 2).await;
    settle().await;
    let completed = completions.take();
    assert_eq!(completed.len(), 1);
    assert!(matches!(&completed[0].1.outcome, Outcome::Error(f) if f.kind == FailureKind::Timeout));
    assert!(script.flying().is_empty());
    assert_eq!(LookupMetrics::get(&lookup.metrics().in_flight), 0);
}
