//! Options, strategy and hint, resolved.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sql::Name;

fn table(options: &[(&str, &str)]) -> Table {
    let mut with = Options::default();
    for (key, value) in [("connector", "http")].iter().chain(options) {
        with.set(key, value, Span::default());
    }
    Table {
        name: "dim".into(),
        home: Default::default(),
        columns: vec![],
        watermark: None,
        primary_key: vec![],
        partitioned_by: vec![],
        comment: None,
        options: with,
        temporary: true,
        own: None,
    }
}

fn hint(entries: &[(&str, &str)]) -> Vec<OptionEntry> {
    let name = |value: &str| Name { value: value.into(), span: Span::default() };
    entries.iter().map(|(k, v)| OptionEntry { key: name(k), value: name(v), written: None }).collect()
}

fn settings(entries: &[(&str, &str)]) -> Config {
    let mut config = Config::default();
    for (key, value) in entries {
        config.set(key, value).unwrap();
    }
    config
}

fn resolved(options: &[(&str, &str)], strategy: &str) -> LookupConfig {
    let settings =
        if strategy.is_empty() { Config::default() } else { settings(&[("enrichment.strategy", strategy)]) };
    LookupConfig::resolve(&table(options), &[], &settings).unwrap()
}

fn refused(options: &[(&str, &str)], hints: &[(&str, &str)]) -> Error {
    LookupConfig::resolve(&table(options), &hint(hints), &Config::default()).unwrap_err()
}

#[test]
fn strategies_decide_on_cache_and_concurrency() {
    let plain = resolved(&[], "");
    assert_eq!((&plain.cache, plain.is_async, plain.capacity), (&CacheConfig::None, true, 256));
    assert_eq!(
        (plain.max_retries, plain.on_error, plain.timeout.as_secs()),
        (3, ErrorPolicy::default(), 180)
    );
    let partial = [("lookup.cache", "PARTIAL"), ("lookup.partial-cache.max-rows", "10")];
    let sync = resolved(&partial, "SYNC");
    assert_eq!(
        (sync.cache, sync.is_async, sync.output_mode),
        (CacheConfig::None, false, OutputMode::Ordered)
    );
    assert_eq!(resolved(&partial, "ASYNC").cache, CacheConfig::None);
    let cached = CacheConfig::Partial(PartialConfig { max_rows: Some(10), ..PartialConfig::default() });
    assert_eq!(resolved(&partial, "CACHED").cache, cached);
    assert_eq!(resolved(&partial, "").cache, cached);
    assert_eq!(resolved(&[], "CACHED").cache, CacheConfig::Partial(cached_by_default()));
    let file = [("connector", "filesystem")];
    for strategy in ["", "SYNC", "ASYNC", "CACHED"] {
        assert_eq!(resolved(&file, strategy).cache, CacheConfig::Full(Reload::Once), "{strategy}");
    }
}

#[test]
fn full_caches_say_when_they_are_loaded_again() {
    let full = ("lookup.cache", "FULL");
    let e = refused(&[full], &[]);
    assert!(e.message().contains("periodic-reload.interval"), "{e}");
    let rate = [
        full,
        ("lookup.full-cache.periodic-reload.interval", "5 min"),
        ("lookup.full-cache.periodic-reload.schedule-mode", "fixed_rate"),
    ];
    let periodic = Reload::Periodic { interval: Duration::from_secs(300), fixed_rate: true };
    assert_eq!(resolved(&rate, "SYNC").cache, CacheConfig::Full(periodic));
    let timed = |time: &str| {
        let options = [
            full,
            ("lookup.full-cache.reload-strategy", "TIMED"),
            ("lookup.full-cache.timed-reload.iso-time", time),
        ];
        resolved(&options, "").cache
    };
    let at = |second_of_day, offset_seconds| {
        CacheConfig::Full(Reload::Timed { second_of_day, offset_seconds, interval_days: 1 })
    };
    assert_eq!(timed("10:15"), at(36_900, None));
    assert_eq!(timed("10:15Z"), at(36_900, Some(0)));
    assert_eq!(timed("10:15+07:00"), at(36_900, Some(25_200)));
    assert_eq!(timed("10:15:01-01:30"), at(36_901, Some(-5_400)));
    let e = refused(&[full, ("lookup.full-cache.reload-strategy", "TIMED")], &[]);
    assert!(e.message().contains("iso-time"), "{e}");
}

#[test]
fn a_partial_cache_needs_a_bound() {
    let e = refused(&[("lookup.cache", "PARTIAL")], &[]);
    assert!(e.message().contains("'dim'") && e.hint().is_some_and(|h| h.contains("max-rows")), "{e}");
    let partial = ("lookup.cache", "PARTIAL");
    refused(&[partial, ("lookup.partial-cache.max-rows", "0")], &[]);
    refused(&[partial, ("lookup.partial-cache.expire-after-write", "0 s")], &[]);
}

#[test]
fn the_hint_overrides() {
    let hints = hint(&[
        ("table", "d"),
        ("output-mode", "allow_unordered"),
        ("capacity", "7"),
        ("timeout", "5 s"),
        ("shuffle", "false"),
        ("retry-predicate", "lookup_miss"),
        ("retry-strategy", "fixed_delay"),
        ("fixed-delay", "10 ms"),
        ("max-attempts", "2"),
    ]);
    let config = LookupConfig::resolve(&table(&[]), &hints, &Config::default()).unwrap();
    assert_eq!((config.output_mode, config.capacity), (OutputMode::Unordered, 7));
    assert_eq!(config.timeout, Duration::from_secs(5));
    assert_eq!(config.retry_miss, Some((2, Duration::from_millis(10))));
    let sync = hint(&[("async", "false"), ("output-mode", "allow_unordered")]);
    let config = LookupConfig::resolve(&table(&[]), &sync, &Config::default()).unwrap();
    assert_eq!((config.is_async, config.output_mode), (false, OutputMode::Ordered));
}

#[test]
fn a_wrong_hint_is_refused() {
    assert_eq!(refused(&[], &[("capasity", "1")]).hint(), Some("did you mean 'capacity'?"));
    for wrong in [
        ("capacity", "0"),
        ("capacity", "-1"),
        ("async", "maybe"),
        ("output-mode", "random"),
        ("timeout", "0 s"),
        ("shuffle", "true"),
        ("retry-predicate", "lookup_miss"),
    ] {
        refused(&[], &[wrong]);
    }
    refused(&[], &[("capacity", "1"), ("capacity", "2")]);
}

#[test]
fn limits_and_lifetimes() {
    let table = [
        ("lookup.rate-limit", "6000/min"),
        ("lookup.max-in-flight", "7"),
        ("lookup.circuit-breaker.failure-rate", "0.5"),
        ("lookup.batch.max-size", "50"),
        ("lookup.error-ttl", "2 s"),
        ("lookup.miss.retry", "1 min"),
        ("lookup.cache", "PARTIAL"),
        ("lookup.partial-cache.expire-after-write", "1 min"),
        ("lookup.partial-cache.jitter", "0.1"),
        ("lookup.on-error", "stale"),
    ];
    let config = resolved(&table, "");
    let breaker = Some((0.5, Duration::from_secs(10)));
    assert_eq!(config.limits, Limits { max_in_flight: Some(7), rate: Some(100.0), breaker, adaptive: false });
    assert_eq!((config.batch_max, config.error_ttl), (Some(50), Duration::from_secs(2)));
    assert_eq!(config.ask_again(9, Duration::from_secs(50)), Some(Duration::from_secs(10)));
    assert_eq!(config.ask_again(9, Duration::from_secs(51)), None);
    assert_eq!(config.stale_if_error(crate::lookup::FailureKind::Timeout), Some(3_600_000));
    assert_eq!(config.stale_while_revalidate(), None);
    for (key, value) in [
        ("lookup.rate-limit", "fast"),
        ("lookup.rate-limit", "0/s"),
        ("lookup.max-in-flight", "0"),
        ("lookup.batch.max-size", "0"),
        ("lookup.circuit-breaker.failure-rate", "2"),
        ("lookup.on-error.timeout", "maybe"),
    ] {
        assert!(refused(&[(key, value)], &[]).message().contains(key), "{key}={value}");
    }
    let e = refused(
        &[
            ("lookup.cache", "PARTIAL"),
            ("lookup.partial-cache.max-rows", "1"),
            ("lookup.partial-cache.jitter", "0.1"),
        ],
        &[],
    );
    assert!(e.message().contains("needs 'lookup.partial-cache.expire-after-write'"), "{e}");
}
