//! Loading again.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, StringViewArray};

use super::{Reload, until};
use crate::clock::ManualClock;
use crate::error::Error;
use crate::flow::Mailbox;
use crate::lookup::metrics::LookupMetrics;
use crate::lookup::script::{Script, config, dim_rows, request};
use crate::lookup::{CacheConfig, Completions, Lookup, LookupConfig};

fn lookup(script: &Arc<Script>, reload: Reload) -> Arc<Lookup> {
    let config = LookupConfig { cache: CacheConfig::Full(reload), ..config() };
    let runtime = tokio::runtime::Handle::current();
    Lookup::new("dim".into(), request(), script.clone(), config, runtime, ManualClock::new(0)).unwrap()
}

/// Rows that the copy has under a key.
fn count(lookup: &Lookup, key: &str) -> u32 {
    let column: Arc<dyn Array> = Arc::new(StringViewArray::from(vec![key]));
    let keys = lookup.encoder().encode(vec![column], None).unwrap();
    lookup.probe(&Arc::new(keys)).unwrap().slots[0].count
}

/// Sleeps in the test's own time.
async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_reload_keeps_the_old_copy_and_the_next_replaces_it() {
    let script = Script::new();
    script.next_load(Ok(dim_rows(&["a A 1"])));
    script.next_load(Err(Error::io("gone")));
    script.next_load(Ok(dim_rows(&["b B 1", "b BB 1"])));
    let lookup = lookup(&script, Reload::Periodic { interval: Duration::from_secs(60), fixed_rate: false });
    let mailbox = Mailbox::new();
    let completions = Completions::new(mailbox.waker(0));
    assert!(!lookup.ready(&completions).unwrap());
    pass(10).await;
    assert_eq!(mailbox.take().woken, [0]);
    assert!(lookup.ready(&completions).unwrap());
    let metrics = lookup.metrics();
    let loads = || (LookupMetrics::get(&metrics.loads), LookupMetrics::get(&metrics.load_failures));
    assert_eq!((count(&lookup, "a"), count(&lookup, "b"), loads()), (1, 0, (1, 0)));
    pass(60_000).await;
    assert_eq!((count(&lookup, "a"), count(&lookup, "b"), loads()), (1, 0, (2, 1)));
    pass(60_010).await;
    assert_eq!((count(&lookup, "a"), count(&lookup, "b"), loads()), (0, 2, (3, 1)));
    assert_eq!(LookupMetrics::get(&metrics.hits), 6);
    // Nothing goes on when the job is gone.
    drop(lookup);
    pass(600_000).await;
    assert_eq!(loads(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn once_is_once() {
    let script = Script::new();
    script.next_load(Ok(dim_rows(&[])));
    let lookup = lookup(&script, Reload::Once);
    let completions = Completions::new(Mailbox::new().waker(0));
    assert!(!lookup.ready(&completions).unwrap());
    pass(86_400_000).await;
    assert!(lookup.ready(&completions).unwrap());
    assert_eq!((count(&lookup, "a"), LookupMetrics::get(&lookup.metrics().loads)), (0, 1));
}

/// The job that waits for it starts again only where that may help.
#[tokio::test(start_paused = true)]
async fn a_first_load_fails_for_good_where_its_cause_does() {
    let causes = [
        (Error::io("no connection"), true),
        (Error::lookup("answered 401").lasting(), false),
        (Error::decode("no JSON"), false),
    ];
    for (cause, passes) in causes {
        let script = Script::new();
        script.next_load(Err(cause));
        let lookup = lookup(&script, Reload::Once);
        let completions = Completions::new(Mailbox::new().waker(0));
        assert!(!lookup.ready(&completions).unwrap());
        pass(10).await;
        let e = lookup.ready(&completions).unwrap_err();
        assert_eq!(e.may_pass(), passes, "{e}");
    }
}

#[test]
fn times_of_day_are_found_in_their_zone() {
    // 1970-01-01 00:00:00.250 UTC
    let hours = |d: Duration| d.as_millis() as f64 / 3_600_000.0;
    let early = 250;
    assert_eq!(hours(until(early, 36_000, Some(0), 1)), 10.0 - 250.0 / 3_600_000.0);
    assert_eq!(hours(until(0, 36_000, Some(7 * 3600), 1)), 3.0);
    assert_eq!(hours(until(0, 36_000, Some(-3600), 1)), 11.0);
    // Right at the time, the next is a day ahead.
    assert_eq!(hours(until(36_000_000, 36_000, Some(0), 1)), 24.0);
    assert_eq!(hours(until(36_000_000, 36_000, Some(0), 3)), 72.0);
}
