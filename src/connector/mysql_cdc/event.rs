//! What an event of the log is. One that could have rows and is not read is never taken for one that has none.

use mysql_async::binlog::events::{Event as Logged, EventData};

use super::statement::{Effect, effect};
use crate::database::mysql::binlog::{Facts, Parts, inflated};

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Nothing,
    /// The log goes on in a file, at a place.
    Rotate(String, u64),
    /// What a statement does, and its text.
    Statement(Effect, String),
    /// Rows of the table with a number.
    Rows(u64),
    /// An XA transaction was prepared: it may still be rolled back.
    Prepared,
    /// It cannot be read, and why.
    Unread(String),
}

/// The number of the table that an event has rows of.
fn table_id(data: &[u8]) -> Option<u64> {
    Some(data.get(..6)?.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

/// The number of the table, of events with rows.
pub(super) fn rows_of(event: &Logged) -> Option<u64> {
    match event.header().event_type_raw() {
        23..=25 | 30..=32 | 39 | 166..=171 => table_id(event.data()),
        _ => None,
    }
}

/// What an event is.
pub(super) fn meaning(event: &Logged, facts: &Facts) -> Result<Meaning, String> {
    let header = event.header();
    let statement = |text: &str, schema: &str| {
        let (database, table) = facts.names();
        Meaning::Statement(effect(text, schema, database, table), text.trim().to_string())
    };
    let read = || match event.read_data() {
        Ok(Some(data)) => Ok(data),
        Ok(None) => Err("it is of an unknown kind".to_string()),
        Err(e) => Err(e.to_string()),
    };
    Ok(match header.event_type_raw() {
        2 | 18 => match read()? {
            EventData::QueryEvent(query) => statement(&query.query(), &query.schema()),
            EventData::ExecuteLoadQueryEvent(query) => statement(&query.query(), &query.schema()),
            _ => Meaning::Nothing,
        },
        4 => match read()? {
            EventData::RotateEvent(rotate) => Meaning::Rotate(rotate.name().into_owned(), rotate.position()),
            _ => Meaning::Nothing,
        },
        16 => Meaning::Statement(Effect::Commit, String::new()),
        // One that is prepared and committed at once says so in its first byte.
        38 if event.data().first() == Some(&1) => Meaning::Statement(Effect::Commit, String::new()),
        38 => Meaning::Prepared,
        23..=25 | 30..=32 | 39 | 166..=171 => {
            Meaning::Rows(rows_of(event).ok_or("an event that is cut short")?)
        }
        162 => match mariadb_transaction(event.data())? {
            true => Meaning::Statement(Effect::Begin, String::new()),
            false => Meaning::Nothing,
        },
        165 => {
            let (text, schema) = compressed_statement(event.data())?;
            statement(&text, &schema)
        }
        20..=22 => Meaning::Unread("has rows in the format of MySQL 5.1.17 or older".into()),
        26 => Meaning::Unread("says that the server's log lacks something".into()),
        40 => Meaning::Unread(
            "is a compressed transaction (the server's binlog_transaction_compression was ON)".into(),
        ),
        // Starts, stops, numbers and variables of statements, texts beside rows, files, GTIDs, heartbeats.
        1 | 3 | 5 | 7..=9 | 11 | 13..=15 | 17 | 19 | 27..=29 | 33..=37 | 41 | 42 | 160 | 161 | 163 | 164 => {
            Meaning::Nothing
        }
        // The server says that it can be left out.
        _ if header.flags_raw() & 0x80 != 0 => Meaning::Nothing,
        other => Meaning::Unread(format!("is of type {other}, which is not known")),
    })
}

/// The rows of an event of the table.
pub(super) fn parts(event: &Logged) -> Result<Parts, String> {
    match event.header().event_type_raw() {
        39 => Err("it has parts of JSON values (binlog_row_value_options was not empty)".into()),
        compressed @ 166..=171 => Parts::compressed(compressed, event.data()),
        _ => match event.read_data() {
            Ok(Some(EventData::RowsEvent(rows))) => Ok(Parts::new(&rows)),
            Ok(_) => Err("it has no rows".into()),
            Err(e) => Err(e.to_string()),
        },
    }
}

/// Whether MariaDB's GTID begins a transaction that has an end; otherwise one statement follows.
fn mariadb_transaction(data: &[u8]) -> Result<bool, String> {
    // A number, a domain, flags.
    Ok(data.get(12).ok_or("a GTID that is cut short")? & 1 == 0)
}

/// The text of MariaDB's compressed statements, and the database of the session.
fn compressed_statement(data: &[u8]) -> Result<(String, String), String> {
    let cut = || "a statement that is cut short".to_string();
    let schema = usize::from(*data.get(8).ok_or_else(cut)?);
    let variables = data.get(11..13).ok_or_else(cut)?;
    let from = 13 + usize::from(u16::from_le_bytes([variables[0], variables[1]]));
    let name = data.get(from..from + schema).ok_or_else(cut)?;
    let text = inflated(data.get(from + schema + 1..).ok_or_else(cut)?)?;
    Ok((String::from_utf8_lossy(&text).into_owned(), String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_of_mariadb_are_read() {
        let mut gtid = vec![0; 13];
        assert_eq!(mariadb_transaction(&gtid), Ok(true));
        gtid[12] = 0x29;
        assert_eq!(mariadb_transaction(&gtid), Ok(false));
        assert!(mariadb_transaction(&gtid[..12]).is_err());
        let mut data = vec![0; 13];
        (data[8], data[11]) = (2, 3);
        data.extend(b"xyzdb\0");
        let text = b"TRUNCATE t";
        data.extend([0x81, text.len() as u8]);
        let mut encoder = flate2::write::ZlibEncoder::new(data, flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, text).unwrap();
        let data = encoder.finish().unwrap();
        assert_eq!(compressed_statement(&data), Ok(("TRUNCATE t".into(), "db".into())));
        for cut in 0..data.len() {
            assert!(compressed_statement(&data[..cut]).is_err(), "{cut}");
        }
        assert_eq!(table_id(&[1, 2, 0, 0, 0, 0, 9]), Some(513));
        assert_eq!(table_id(&[1]), None);
    }
}
