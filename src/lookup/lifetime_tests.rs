//! Lifetimes of answers: what is served how long, and what is asked for again when.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::rig::{Query, Rig, cached, settle};
use super::script::{failure, rows};
use super::{CacheConfig, LookupConfig, OnError, PartialConfig};

const S: i64 = 1000;

fn with(change: impl FnOnce(&mut PartialConfig)) -> LookupConfig {
    let mut partial =
        PartialConfig { expire_after_write: Some(Duration::from_secs(60)), ..PartialConfig::default() };
    change(&mut partial);
    LookupConfig { cache: CacheConfig::Partial(partial), max_retries: 0, ..cached() }
}

/// A query whose cache has `x` since now.
async fn with_x(rig: &Rig, config: LookupConfig) -> Query {
    let query = rig.query(config);
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", rows(&["x old 1"]));
    settle().await;
    assert_eq!(query.brands(), ["old"]);
    query
}

#[tokio::test(start_paused = true)]
async fn stale_answers_are_served_while_one_request_asks_again() {
    let rig = Rig::new();
    let query = with_x(&rig, with(|p| p.stale_while_revalidate = Some(Duration::from_secs(30)))).await;
    rig.clock.advance(61 * S);
    // It is not fresh: the row comes through the client, and so do the next ones, while it is asked for again.
    assert_eq!(query.known(&["x"]), 0);
    query.ask(&["x"]);
    query.ask(&["x"]);
    settle().await;
    query.ask(&["x"]);
    assert_eq!((query.brands(), rig.script.calls().len()), (vec!["old".to_string(); 3], 2));
    assert_eq!(query.count(|m| &m.stale), 3);
    rig.script.reply("x", rows(&["x new 1"]));
    settle().await;
    query.ask(&["x"]);
    assert_eq!((query.brands(), query.known(&["x"])), (vec!["new".to_string()], 1));
    // Behind that time it has to be waited for.
    rig.clock.advance(91 * S);
    query.ask(&["x"]);
    settle().await;
    assert!(query.brands().is_empty());
    assert_eq!(rig.script.flying(), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_leaves_the_stale_answer_for_its_time() {
    let rig = Rig::new();
    let query = with_x(&rig, with(|p| p.stale_while_revalidate = Some(Duration::from_secs(30)))).await;
    rig.clock.advance(61 * S);
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", failure(false, None));
    settle().await;
    query.ask(&["x"]);
    settle().await;
    assert_eq!((query.brands(), rig.script.flying()), (vec!["old".to_string(); 2], vec!["x".to_string()]));
    rig.script.reply("x", failure(false, None));
    settle().await;
    rig.clock.advance(30 * S);
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", failure(false, None));
    settle().await;
    assert_eq!(query.brands(), ["status 503"]);
}

#[tokio::test(start_paused = true)]
async fn stale_if_error_has_a_bound_and_is_counted_as_an_error() {
    let rig = Rig::new();
    let config = with(|p| {
        p.stale_if_error = Some(Duration::from_secs(30));
        p.serves_errors = true;
    });
    let query = with_x(&rig, config).await;
    for (seconds, expected) in [(61, "old"), (31, "status 503")] {
        rig.clock.advance(seconds * S);
        query.ask(&["x"]);
        settle().await;
        rig.script.reply("x", failure(false, None));
        settle().await;
        assert_eq!(query.brands(), [expected]);
    }
    assert_eq!((query.count(|m| &m.errors), query.count(|m| &m.stale)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_policy_stale_holds_for_its_class_alone() {
    let rig = Rig::new();
    let mut config = with(|p| p.stale_if_error = Some(Duration::from_secs(3600)));
    config.on_error = OnError::Stale.into();
    let query = with_x(&rig, config).await;
    rig.clock.advance(61 * S);
    query.ask(&["x", "y"]);
    settle().await;
    rig.script.reply("x", failure(false, None));
    rig.script.reply("y", failure(false, None));
    settle().await;
    // What never was in the cache has nothing to serve.
    assert_eq!(query.brands(), ["old", "status 503"]);
}

#[tokio::test(start_paused = true)]
async fn keys_in_use_are_refreshed_ahead_of_their_end() {
    let rig = Rig::new();
    let query = with_x(&rig, with(|p| p.refresh_ahead = Some(0.8))).await;
    rig.clock.advance(47 * S);
    assert_eq!((query.known(&["x"]), rig.script.calls().len()), (1, 1));
    rig.clock.advance(2 * S);
    // A hit that nobody waits for; however many there are, one request.
    assert_eq!((query.known(&["x", "x"]), query.known(&["x"])), (2, 1));
    settle().await;
    assert_eq!(rig.script.flying(), ["x"]);
    rig.script.reply("x", rows(&["x new 1"]));
    settle().await;
    rig.clock.advance(40 * S);
    query.ask(&["x"]);
    assert_eq!((query.brands(), rig.script.calls().len()), (vec!["new".to_string()], 2));
}

#[tokio::test(start_paused = true)]
async fn misses_live_their_own_time_and_are_refreshed_by_it() {
    let rig = Rig::new();
    let query = rig.query(with(|p| {
        p.missing_expire_after_write = Some(Duration::from_secs(5));
        p.refresh_ahead = Some(0.5);
    }));
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", rows(&[]));
    settle().await;
    assert_eq!((query.brands(), query.known(&["x"])), (vec!["-".to_string()], 1));
    settle().await;
    // Half of five seconds, not of sixty.
    assert_eq!(rig.script.calls().len(), 1);
    rig.clock.advance(3 * S);
    assert_eq!(query.known(&["x"]), 1);
    settle().await;
    assert_eq!(rig.script.flying(), ["x"]);
    rig.clock.advance(2 * S);
    assert_eq!(query.known(&["x"]), 0);
}

#[tokio::test(start_paused = true)]
async fn errors_answer_for_their_own_time_and_are_never_misses() {
    let rig = Rig::new();
    let config = LookupConfig { error_ttl: Duration::from_secs(5), ..with(|_| {}) };
    let query = rig.query(config);
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", failure(false, None));
    settle().await;
    query.ask(&["x"]);
    assert_eq!((query.brands(), query.known(&["x"])), (vec!["status 503".to_string(); 2], 0));
    rig.clock.advance(5 * S);
    query.ask(&["x"]);
    settle().await;
    rig.script.reply("x", rows(&["x new 1"]));
    settle().await;
    assert_eq!((query.brands(), rig.script.calls().len()), (vec!["new".to_string()], 2));
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_ends_of_lifetimes() {
    let rig = Rig::new();
    let query = rig.query(with(|p| p.jitter = 0.5));
    let names: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let keys: Vec<&str> = names.iter().map(String::as_str).collect();
    for key in &keys {
        query.ask(&[key]);
        settle().await;
        rig.script.reply(key, rows(&["a b 1"]));
    }
    settle().await;
    assert_eq!(query.known(&keys), 200);
    rig.clock.advance(30 * S - 1);
    assert_eq!(query.known(&keys), 200);
    rig.clock.advance(15 * S);
    let left = query.known(&keys);
    assert!((60..140).contains(&left), "{left} of 200 after three quarters");
    rig.clock.advance(15 * S + 1);
    assert_eq!(query.known(&keys), 0);
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_held_and_asked_for_again_until_it_is_found_or_its_time_is_over() {
    let rig = Rig::new();
    let hold = Some((Duration::from_secs(60), Duration::from_secs(10)));
    let query = rig.query(LookupConfig { hold_miss: hold, ..with(|_| {}) });
    query.ask(&["x", "y"]);
    settle().await;
    for _ in 0..2 {
        for key in rig.script.flying() {
            rig.script.reply(&key, rows(&[]));
        }
        settle().await;
        assert!(query.brands().is_empty());
        tokio::time::sleep(Duration::from_secs(10)).await;
        settle().await;
    }
    rig.script.reply("x", rows(&["x late 1"]));
    settle().await;
    assert_eq!(query.brands(), ["late"]);
    let mut calls = 2;
    while rig.script.flying() == ["y"] {
        calls += 1;
        rig.script.reply("y", rows(&[]));
        settle().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        settle().await;
    }
    // At 0, 10, ... 60 seconds; then it is a miss.
    assert_eq!((query.brands(), calls), (vec!["-".to_string()], 7));
    assert_eq!(query.count(|m| &m.not_found), 1);
}
