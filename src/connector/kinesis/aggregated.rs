//! Records that the Kinesis Producer Library has put together: many records of users in one of Kinesis.
//!
//! ```text
//!  F3 89 9A C2 | AggregatedRecord (protobuf) | MD5 of it
//!    1: keys    3: records ── 1: number of the key, 3: data
//! ```
//! Format: *KPL Aggregated Record Format* of the library. What does not look like it is a record as it is.

use bytes::Bytes;
use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const CHECKSUM: usize = 16;

/// A record of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) key: String,
    pub(super) data: Bytes,
}

/// The records inside of one; `None` if it is a record by itself.
pub(super) fn parts(data: &Bytes) -> Option<Vec<Part>> {
    let body = data.strip_prefix(&MAGIC)?;
    let (body, checksum) = body.split_at_checked(body.len().checked_sub(CHECKSUM)?)?;
    if Md5::digest(body).as_slice() != checksum {
        return None;
    }
    let (mut keys, mut records) = (Vec::new(), Vec::new());
    let mut fields = Fields(body);
    while !fields.0.is_empty() {
        match fields.next()? {
            (1, Field::Bytes(key)) => keys.push(String::from_utf8_lossy(key).into_owned()),
            (3, Field::Bytes(record)) => {
                let (mut key, mut content) = (0, None);
                let mut inner = Fields(record);
                while !inner.0.is_empty() {
                    match inner.next()? {
                        (1, Field::Number(n)) => key = usize::try_from(n).ok()?,
                        (3, Field::Bytes(bytes)) => content = Some(bytes),
                        _ => {}
                    }
                }
                records.push((key, content?));
            }
            _ => {}
        }
    }
    let part = |(key, content): (usize, &[u8])| {
        Some(Part { key: keys.get(key)?.clone(), data: data.slice_ref(content) })
    };
    records.into_iter().map(part).collect()
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message of protobuf.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn next(&mut self) -> Option<(u64, Field<'a>)> {
        let tag = self.number()?;
        let field = match tag & 7 {
            0 => Field::Number(self.number()?),
            1 => Field::Bytes(self.take(8)?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Field::Bytes(self.take(length)?)
            }
            5 => Field::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// As the library writes it, for keys and data shorter than 128 bytes.
    fn aggregate(records: &[(&str, &str)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (key, _) in records {
            body.extend([0x0a, key.len() as u8]);
            body.extend(key.as_bytes());
        }
        for (i, (_, data)) in records.iter().enumerate() {
            body.extend([0x1a, data.len() as u8 + 4, 0x08, i as u8, 0x1a, data.len() as u8]);
            body.extend(data.as_bytes());
        }
        let mut all = MAGIC.to_vec();
        all.extend(&body);
        all.extend(Md5::digest(&body));
        all
    }

    #[test]
    fn records_are_taken_out_and_what_is_none_stays() {
        let bytes = aggregate(&[("a", "{\"id\":1}"), ("b", "{\"id\":2}")]);
        let found = parts(&Bytes::from(bytes.clone())).unwrap();
        let shown: Vec<_> = found.iter().map(|p| (p.key.as_str(), &p.data[..])).collect();
        assert_eq!(shown, [("a", &b"{\"id\":1}"[..]), ("b", b"{\"id\":2}")]);
        // Another checksum, an end that is missing, no magic, and every cut of it: a record as it is.
        let mut wrong = bytes.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(parts(&Bytes::from(wrong)), None);
        assert_eq!(parts(&Bytes::from_static(b"{\"id\":1}")), None);
        for end in 0..bytes.len() {
            assert_eq!(parts(&Bytes::copy_from_slice(&bytes[..end])), None, "{end}");
        }
    }
}
