//! What PostgreSQL's own plugin, `pgoutput`, makes of the log: version 1 of its protocol, values as texts.
//!
//! Nothing is copied: the cells of a row are ranges of the message.

/// A message.
#[derive(Debug, PartialEq)]
pub(crate) enum Logical {
    /// A transaction that is known to be committed begins: where its commit stands, when it was, and its number.
    Begin { commit: u64, micros: i64, xid: u32 },
    /// It ends; what follows it begins there.
    Commit { end: u64 },
    /// What a table looks like from here on.
    Relation(Relation),
    /// A row came: it is in `new`.
    Insert(u32),
    /// A row changed: `new`, and what is known of it before.
    Update(u32, Before),
    /// A row went: what is known of it is in `old`.
    Delete(u32, Before),
    /// All rows of these tables went.
    Truncate(Vec<u32>),
    /// Nothing that concerns rows.
    Other,
}

/// What is known of a row before its change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing: its key is the same.
    Nothing,
    /// Its key.
    Key,
    /// All of it.
    Row,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Relation {
    pub(crate) id: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Names and types.
    pub(crate) columns: Vec<(String, u32)>,
}

/// A value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    /// A large value that did not change, and was not sent.
    Unchanged,
    /// Where its text is in the message.
    Text(usize, usize),
}

impl Cell {
    /// The text.
    pub(crate) fn text(self, message: &[u8]) -> Option<&[u8]> {
        match self {
            Self::Text(from, to) => message.get(from..to),
            Self::Null | Self::Unchanged => None,
        }
    }
}

/// The rows of a message; kept from one to the next for their room.
#[derive(Debug, Default)]
pub(crate) struct Tuples {
    pub(crate) old: Vec<Cell>,
    pub(crate) new: Vec<Cell>,
}

struct Cursor<'a> {
    message: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).ok_or("a message that is too long")?;
        let bytes = self.message.get(self.at..end).ok_or("a message that is cut short")?;
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.bytes(N)?.try_into().map_err(|_| "a message that is cut short".to_string())
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, String> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_be_bytes)
    }

    fn name(&mut self) -> Result<String, String> {
        let rest = self.message.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|b| *b == 0).ok_or("a name without end")?;
        self.at += length + 1;
        Ok(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn cells(&mut self, into: &mut Vec<Cell>) -> Result<(), String> {
        into.clear();
        for _ in 0..self.u16()? {
            let cell = match self.u8()? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                b't' => {
                    let length = usize::try_from(self.u32()?).map_err(|e| e.to_string())?;
                    let from = self.at;
                    self.bytes(length)?;
                    Cell::Text(from, self.at)
                }
                other => return Err(format!("a value of an unknown kind '{}'", other.escape_ascii())),
            };
            into.push(cell);
        }
        Ok(())
    }
}

/// Reads a message.
pub(crate) fn logical(message: &[u8], tuples: &mut Tuples) -> Result<Logical, String> {
    let mut cursor = Cursor { message, at: 0 };
    let c = &mut cursor;
    Ok(match c.u8()? {
        b'B' => Logical::Begin { commit: c.u64()?, micros: c.u64()?.cast_signed(), xid: c.u32()? },
        b'C' => {
            let (_flags, _commit) = (c.u8()?, c.u64()?);
            Logical::Commit { end: c.u64()? }
        }
        b'R' => {
            let (id, schema, name) = (c.u32()?, c.name()?, c.name()?);
            let _identity = c.u8()?;
            let count = c.u16()?;
            let mut columns = Vec::with_capacity(count.into());
            for _ in 0..count {
                let (_is_key, name, oid, _modifier) = (c.u8()?, c.name()?, c.u32()?, c.u32()?);
                columns.push((name, oid));
            }
            Logical::Relation(Relation { id, schema, name, columns })
        }
        b'I' => {
            let (relation, _new) = (c.u32()?, c.u8()?);
            c.cells(&mut tuples.new)?;
            Logical::Insert(relation)
        }
        b'U' => {
            let (relation, mut kind) = (c.u32()?, c.u8()?);
            let before = match kind {
                b'K' => Before::Key,
                b'O' => Before::Row,
                _ => Before::Nothing,
            };
            tuples.old.clear();
            if before != Before::Nothing {
                c.cells(&mut tuples.old)?;
                kind = c.u8()?;
            }
            if kind != b'N' {
                return Err(format!("an update of an unknown kind '{}'", kind.escape_ascii()));
            }
            c.cells(&mut tuples.new)?;
            Logical::Update(relation, before)
        }
        b'D' => {
            let (relation, kind) = (c.u32()?, c.u8()?);
            c.cells(&mut tuples.old)?;
            Logical::Delete(relation, if kind == b'O' { Before::Row } else { Before::Key })
        }
        b'T' => {
            let (count, _options) = (c.u32()?, c.u8()?);
            let relations = (0..count).map(|_| c.u32()).collect::<Result<_, _>>()?;
            Logical::Truncate(relations)
        }
        // Types, origins, messages of programs.
        b'Y' | b'O' | b'M' => Logical::Other,
        other => return Err(format!("a message of an unknown kind '{}'", other.escape_ascii())),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn row(kind: u8, cells: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u16::try_from(cells.len()).unwrap().to_be_bytes());
        cells.iter().for_each(|cell| bytes.extend(*cell));
        bytes
    }

    #[test]
    fn changes_are_read_and_nothing_behind_their_end() {
        let mut tuples = Tuples::default();
        let mut update = vec![b'U', 0, 0, 0, 7];
        update.extend(row(b'O', &[b"t\0\0\0\x01a", b"n"]));
        update.extend(row(b'N', &[b"t\0\0\0\x01b", b"u"]));
        assert_eq!(logical(&update, &mut tuples), Ok(Logical::Update(7, Before::Row)));
        assert_eq!(tuples.old[0].text(&update), Some(&b"a"[..]));
        assert_eq!((tuples.old[1], tuples.new[1]), (Cell::Null, Cell::Unchanged));
        assert_eq!(tuples.new[0].text(&update), Some(&b"b"[..]));
        for cut in 1..update.len() {
            assert!(logical(&update[..cut], &mut tuples).is_err(), "{cut}");
        }
        let mut relation = b"R\0\0\0\x07public\0t\0f\0\x01\x01id\0".to_vec();
        relation.extend(23_u32.to_be_bytes());
        relation.extend([255; 4]);
        let found = logical(&relation, &mut tuples).unwrap();
        let columns = vec![("id".to_string(), 23)];
        let wanted = Relation { id: 7, schema: "public".into(), name: "t".into(), columns };
        assert_eq!(found, Logical::Relation(wanted));
        assert!(logical(b"", &mut tuples).is_err() && logical(b"?", &mut tuples).is_err());
        // More tables than there are bytes.
        assert!(logical(&[b'T', 255, 255, 255, 255, 0], &mut tuples).is_err());
    }
}
