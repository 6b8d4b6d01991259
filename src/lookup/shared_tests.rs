//! What lookups of several queries share.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::lookup::rig::{Rig, cached, settle};
use crate::lookup::script::{config, rows};

#[tokio::test(start_paused = true)]
async fn one_request_answers_the_rows_of_all_queries() {
    let rig = Rig::new();
    let (a, b) = (rig.query(cached()), rig.query(LookupConfig { capacity: 7, ..cached() }));
    a.ask(&["x"]);
    b.ask(&["x", "y"]);
    settle().await;
    assert_eq!(rig.script.calls(), ["x", "y"]);
    rig.script.reply("x", rows(&["x X 1"]));
    settle().await;
    assert_eq!((a.answers(), b.answers()), (vec!["0: 1".to_string()], vec!["0: 1".to_string()]));
    // Each counts what it has asked for itself.
    assert_eq!((a.count(|m| &m.calls), b.count(|m| &m.calls)), (1, 1));
    assert_eq!((rig.engines(), b.lookup.capacity()), (1, 7));
}

#[tokio::test(start_paused = true)]
async fn the_next_query_finds_what_the_one_before_has_asked_for() {
    let rig = Rig::new();
    let first = rig.query(cached());
    first.ask(&["x"]);
    settle().await;
    rig.script.reply("x", rows(&["x X 1"]));
    settle().await;
    drop(first);
    let second = rig.query(cached());
    assert_eq!((second.known(&["x", "y"]), rig.engines()), (1, 1));
    assert_eq!((second.count(|m| &m.hits), second.count(|m| &m.calls)), (1, 0));
    // Dropping the table ends that; a query that still runs keeps what it has.
    rig.lookups.forget("dim");
    let third = rig.query(cached());
    assert_eq!((second.known(&["x"]), third.known(&["x"]), rig.engines()), (1, 0, 2));
    let figures: Vec<_> = rig.lookups.of(None).iter().filter_map(|e| e.figures()).collect();
    assert_eq!((figures.len(), figures[0].entries), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_ends_takes_only_its_own_requests_along() {
    let rig = Rig::new();
    let (a, b) = (rig.query(cached()), rig.query(cached()));
    a.ask(&["x", "y"]);
    b.ask(&["y"]);
    settle().await;
    assert_eq!(rig.script.flying(), ["x", "y"]);
    drop(a.lookup);
    settle().await;
    assert_eq!(rig.script.flying(), ["y"]);
    rig.script.reply("y", rows(&[]));
    settle().await;
    assert_eq!(b.answers(), ["0: 0"]);
}

#[tokio::test(start_paused = true)]
async fn each_query_waits_its_own_time() {
    let rig = Rig::new();
    let short = rig.query(LookupConfig { timeout: Duration::from_secs(1), ..cached() });
    let long = rig.query(LookupConfig { timeout: Duration::from_secs(5), ..cached() });
    short.ask(&["x"]);
    long.ask(&["x"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(short.answers(), ["0: no answer within 1 s (1 attempt)"]);
    assert!(long.answers().is_empty());
    rig.script.reply("x", rows(&["x X 1"]));
    settle().await;
    assert_eq!((long.answers(), rig.script.calls().len()), (vec!["0: 1".to_string()], 1));
}

#[tokio::test(start_paused = true)]
async fn other_tables_keys_options_and_uncached_lookups_share_nothing() {
    let mut rig = Rig::new();
    let a = rig.query(cached());
    let retries = rig.query(LookupConfig { max_retries: 9, ..cached() });
    let none = rig.query(config());
    let again = rig.query(config());
    assert_eq!(rig.engines(), 4);
    rig.request.keys = vec![1];
    let other_key = rig.query(cached());
    assert_eq!(rig.engines(), 5);
    let table = crate::catalog::Table { name: "other".into(), ..(*rig.request.table).clone() };
    rig.request.table = Arc::new(table);
    let other_table = rig.query(cached());
    assert_eq!(rig.engines(), 6);
    drop((a, retries, none, again, other_key, other_table));
    // What nobody caches is not kept.
    assert_eq!(rig.lookups.of(None).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn few_are_kept() {
    let mut rig = Rig::new();
    for n in 0..KEPT + 10 {
        let table = crate::catalog::Table { name: format!("t{n}"), ..(*rig.request.table).clone() };
        rig.request.table = Arc::new(table);
        drop(rig.query(cached()));
    }
    let kept = rig.lookups.of(None);
    assert_eq!((kept.len(), kept[0].table()), (KEPT, "t10"));
}

#[tokio::test(start_paused = true)]
async fn answers_to_requests_from_before_a_clear_are_not_cached() {
    let rig = Rig::new();
    let query = rig.query(cached());
    query.ask(&["x", "y", "z"]);
    settle().await;
    rig.script.reply("z", rows(&["z Z 1"]));
    settle().await;
    assert_eq!(query.known(&["x", "y", "z"]), 1);
    let engine = query.lookup.engine().clone();
    let y = query.keys(&["y"]);
    let y = arrow::array::RecordBatch::try_from_iter([("id", y.columns[0].clone())]).unwrap();
    assert!(!engine.clear_key(&y).unwrap());
    rig.script.reply("x", rows(&["x X 1"]));
    rig.script.reply("y", rows(&["y old 1"]));
    settle().await;
    // All rows have their answers; only the one of the cleared key is not kept.
    assert_eq!((query.answers().len(), query.known(&["x", "y", "z"])), (3, 2));
    assert!(
        engine
            .clear_key(
                &arrow::array::RecordBatch::try_from_iter([("id", query.keys(&["x"]).columns[0].clone())])
                    .unwrap()
            )
            .unwrap()
    );
    query.ask(&["x"]);
    settle().await;
    assert_eq!(engine.clear(), 1);
    // A row that comes now does not join the request from before.
    query.ask(&["x"]);
    settle().await;
    assert_eq!(rig.script.flying(), ["x", "x"]);
    rig.script.reply("x", rows(&["x old 1"]));
    settle().await;
    assert_eq!(query.known(&["x"]), 0);
    rig.script.reply("x", rows(&["x new 1"]));
    settle().await;
    assert_eq!(query.known(&["x"]), 1);
}
