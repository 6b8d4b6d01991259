//! Makes the events of the demonstration: temperatures of sensors, and stock transactions.
//!
//! The same seed makes the same bytes. Text is put together by hand, because the engine reads millions
//! of events a second and must not wait for its own input.

use std::io::Write;

use super::random::{Random, pick};

/// What the temperatures look like.
#[derive(Debug, Clone)]
pub struct EventOptions {
    /// Events.
    pub count: u64,
    /// Different sensors: ids `0` to `sensors - 1`.
    pub sensors: u64,
    /// 0: every sensor as often as any other. Above: the share of low numbers grows, so that some
    /// sensors report far more often than most (the id is `sensors * u^(1 + skew)` for even `u`).
    pub skew: f64,
    /// The same seed makes the same events.
    pub seed: u64,
    /// Time of the first event in milliseconds since the epoch.
    pub start_millis: i64,
    /// Events a second of event time.
    pub events_per_second: u64,
}

impl Default for EventOptions {
    fn default() -> Self {
        Self {
            count: 1_000,
            sensors: 100_000,
            skew: 0.0,
            seed: 1,
            start_millis: 1_700_000_000_000,
            events_per_second: 1_000,
        }
    }
}

/// Sensors report mostly that all is well.
const STATUSES: &[&str] = &["OK", "OK", "OK", "OK", "OK", "OK", "OK", "OK", "WARN", "FAIL"];

/// Bytes that are put together before they are written.
const PIECE: usize = 1 << 16;

/// Writes temperatures as JSON lines:
/// `{"sensorId":"7","temperature":93,"status":"OK","timestamp":1700000000000}`.
pub fn write_temperatures(options: &EventOptions, out: &mut dyn Write) -> std::io::Result<()> {
    let mut random = Random::new(options.seed);
    let mut piece: Vec<u8> = Vec::with_capacity(PIECE + 256);
    let mut digits = itoa::Buffer::new();
    for i in 0..options.count {
        let sensor = if options.skew > 0.0 {
            // Rounds down, so it stays below the number of sensors.
            (options.sensors as f64 * random.unit().powf(1.0 + options.skew)) as u64
        } else {
            random.below(options.sensors)
        };
        let bits = random.next();
        let elapsed = u128::from(i) * 1000 / u128::from(options.events_per_second.max(1));
        piece.extend_from_slice(b"{\"sensorId\":\"");
        piece.extend_from_slice(digits.format(sensor).as_bytes());
        piece.extend_from_slice(b"\",\"temperature\":");
        piece.extend_from_slice(digits.format(10 + bits % 141).as_bytes());
        piece.extend_from_slice(b",\"status\":\"");
        piece.extend_from_slice(pick(STATUSES, bits).as_bytes());
        piece.extend_from_slice(b"\",\"timestamp\":");
        piece.extend_from_slice(digits.format(i128::from(options.start_millis) + elapsed as i128).as_bytes());
        piece.extend_from_slice(b"}\n");
        if piece.len() >= PIECE {
            out.write_all(&piece)?;
            piece.clear();
        }
    }
    out.write_all(&piece)
}

const STOCKS: &[&str] = &["AMZN", "AAPL", "GOOG", "INTC", "MSFT", "NVDA", "TSLA"];

/// Writes stock transactions as JSON lines: `{"user_id":"user_001","transaction_id":"transaction_001",
/// "stock_purchased":"AMZN","amount_obtained":10,"timestamp":1602603593}`; time is in seconds.
pub fn write_transactions(count: u64, users: u64, seed: u64, out: &mut dyn Write) -> std::io::Result<()> {
    let mut random = Random::new(seed);
    let mut line = String::new();
    for i in 1..=count {
        use std::fmt::Write;
        let user = 1 + random.below(users.max(1));
        let stock = pick(STOCKS, random.next());
        let amount = 1 + random.below(100);
        line.clear();
        // Writing to a String does not fail.
        let _ = writeln!(
            line,
            "{{\"user_id\":\"user_{user:03}\",\"transaction_id\":\"transaction_{i:03}\",\"stock_purchased\":\"{stock}\",\"amount_obtained\":{amount},\"timestamp\":{}}}",
            1_602_603_592 + i
        );
        out.write_all(line.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::*;

    fn temperatures(options: &EventOptions) -> Vec<serde_json::Value> {
        let mut out = vec![];
        write_temperatures(options, &mut out).unwrap();
        std::str::from_utf8(&out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    #[test]
    fn temperatures_are_as_described() {
        let options = EventOptions { count: 5_000, sensors: 50, ..EventOptions::default() };
        let events = temperatures(&options);
        assert_eq!(events.len(), 5_000);
        for (i, event) in events.iter().enumerate() {
            assert!(event["sensorId"].as_str().unwrap().parse::<u64>().unwrap() < 50);
            assert!((10..=150).contains(&event["temperature"].as_i64().unwrap()));
            assert!(["OK", "WARN", "FAIL"].contains(&event["status"].as_str().unwrap()));
            assert_eq!(event["timestamp"], 1_700_000_000_000 + i as i64);
        }
        assert_eq!(events, temperatures(&options));
        assert_ne!(events, temperatures(&EventOptions { seed: 2, ..options }));
    }

    #[test]
    fn skew_makes_some_sensors_frequent() {
        let most = |skew| {
            let mut counts: HashMap<String, u32> = HashMap::new();
            for event in
                temperatures(&EventOptions { count: 10_000, sensors: 100, skew, ..Default::default() })
            {
                *counts.entry(event["sensorId"].to_string()).or_default() += 1;
            }
            counts.into_values().max().unwrap()
        };
        assert!(most(0.0) < 200, "{}", most(0.0));
        assert!(most(2.0) > 1_000, "{}", most(2.0));
    }

    #[test]
    fn transactions_are_the_ones_described() {
        let mut out = vec![];
        write_transactions(20, 5, 1, &mut out).unwrap();
        let first: serde_json::Value =
            serde_json::from_slice(out.split(|b| *b == b'\n').next().unwrap()).unwrap();
        assert_eq!(first["transaction_id"], "transaction_001");
        assert_eq!(first["timestamp"], 1_602_603_593);
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 20);
    }
}
