//! Against small files that are put together here.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;

use crate::session::{Response, Session};

fn text(text: &str) -> Vec<u8> {
    [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | fields.len() as u8];
    for (name, value) in fields {
        out.extend(text(name));
        out.extend(value);
    }
    out
}

fn number(kind: u8, value: u32) -> Vec<u8> {
    [&[kind << 5 | 4], value.to_be_bytes().as_slice()].concat()
}

/// A file of some networks.
fn file(networks: &[(&str, u8, Vec<u8>)]) -> Vec<u8> {
    let mut nodes: Vec<[Option<Result<usize, usize>>; 2]> = vec![[None; 2]];
    let mut data: Vec<u8> = Vec::new();
    for (address, bits, record) in networks {
        let address = u32::from(address.parse::<Ipv4Addr>().unwrap());
        let mut node = 0;
        for bit in 0..*bits {
            let side = (address >> (31 - bit) & 1) as usize;
            if bit + 1 == *bits {
                nodes[node][side] = Some(Err(data.len()));
            } else if let Some(Ok(next)) = nodes[node][side] {
                node = next;
            } else {
                nodes.push([None; 2]);
                nodes[node][side] = Some(Ok(nodes.len() - 1));
                node = nodes.len() - 1;
            }
        }
        data.extend(record);
    }
    let count = nodes.len();
    let mut out = Vec::new();
    for side in nodes.iter().flatten() {
        let value = match side {
            None => count,
            Some(Ok(node)) => *node,
            Some(Err(offset)) => count + 16 + offset,
        };
        out.extend(&(value as u32).to_be_bytes()[1..]);
    }
    out.extend([0; 16]);
    out.extend(data);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    let short = |value: u8| vec![5 << 5 | 1, value];
    out.extend(map(&[
        ("binary_format_major_version", short(2)),
        ("binary_format_minor_version", short(0)),
        ("build_epoch", vec![1, 2, 7]),
        ("database_type", text("Test")),
        ("description", map(&[])),
        ("ip_version", short(4)),
        ("languages", vec![0, 4]),
        ("node_count", number(6, count as u32)),
        ("record_size", short(24)),
    ]));
    out
}

fn country(code: &str, people: u32) -> Vec<u8> {
    let names = map(&[("en", text("Name")), ("de", text("Wort"))]);
    map(&[("country", map(&[("iso_code", text(code)), ("names", names)])), ("people", number(6, people))])
}

fn rows(session: &Session, sql: &str) -> Vec<String> {
    let Response::Query(mut query) = session.sql(sql).unwrap() else { panic!("{sql}") };
    let mut lines = Vec::new();
    while let Some(chunk) = query.next_chunk().unwrap() {
        for row in 0..chunk.len() {
            let cells = chunk.batch.columns().iter();
            let cells = cells.map(|c| arrow::util::display::array_value_to_string(c, row).unwrap());
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    lines
}

#[test]
fn an_address_has_the_record_of_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("geo.mmdb");
    std::fs::write(&path, file(&[("10.0.0.0", 8, country("NO", 5)), ("192.0.2.0", 24, country("SE", 7))]))
        .unwrap();
    let session = Session::new().unwrap();
    session
        .sql(&format!(
            "CREATE TEMPORARY VIEW q AS SELECT * FROM (VALUES ('10.1.2.3'), ('192.0.2.77'), ('192.0.3.1'), ('::1'), ('nonsense'), (CAST(NULL AS STRING))) AS t(ip);
             CREATE TABLE geo (ip STRING, country ROW<iso_code STRING, names MAP<STRING, STRING>>, code STRING, german STRING, people BIGINT, PRIMARY KEY (ip) NOT ENFORCED)
               WITH ('connector' = 'mmdb', 'path' = '{}', 'mmdb.columns' = 'code:country.iso_code, german:country.names.de')",
            path.display()
        ))
        .unwrap();
    let query =
        "SELECT q.ip, g.country.iso_code, g.code, g.german, g.people FROM q LEFT JOIN geo g ON q.ip = g.ip";
    let found = rows(&session, query);
    assert_eq!(
        found,
        [
            "10.1.2.3|NO|NO|Wort|5",
            "192.0.2.77|SE|SE|Wort|7",
            "192.0.3.1||||",
            "::1||||",
            "nonsense||||",
            "||||"
        ]
    );
    // A file that takes its place is read.
    let next = folder.path().join("next");
    std::fs::write(&next, file(&[("10.0.0.0", 8, country("DK", 6))])).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    std::fs::File::options().append(true).open(&next).unwrap().set_modified(later).unwrap();
    std::fs::rename(&next, &path).unwrap();
    assert_eq!(rows(&session, query)[0], "10.1.2.3|DK|DK|Wort|6");
    for (sql, says) in [
        ("SELECT 1 FROM q JOIN geo /*+ OPTIONS('path' = '/no/file') */ g ON q.ip = g.ip", "/no/file"),
        ("CREATE TABLE g2 (ip STRING, x STRING) WITH ('connector' = 'mmdb', 'path' = 'x')", "PRIMARY KEY"),
        ("SELECT 1 FROM q JOIN geo /*+ OPTIONS('mmdb.columns' = 'nope:x') */ g ON q.ip = g.ip", "'nope'"),
    ] {
        let error = session.sql(sql).map(drop).unwrap_err();
        assert!(error.message().contains(says), "{error}");
    }
}
