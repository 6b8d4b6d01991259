//! The wire format: tags, varints, fixed numbers, lengths.

/// A value of a field, as it is in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Raw<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// What is wrong with a message.
pub(super) type Wrong = &'static str;

/// Reads a message field by field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self(message)
    }

    /// The next field: its number and value.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Raw<'a>)>, Wrong> {
        loop {
            if self.0.is_empty() {
                return Ok(None);
            }
            let tag = varint(&mut self.0)?;
            let number =
                u32::try_from(tag >> 3).ok().filter(|n| *n > 0).ok_or("a field has no valid number")?;
            let raw = match tag & 7 {
                0 => Raw::Varint(varint(&mut self.0)?),
                1 => Raw::Fixed64(u64::from_le_bytes(fixed(&mut self.0)?)),
                2 => Raw::Bytes(bytes(&mut self.0)?),
                5 => Raw::Fixed32(u32::from_le_bytes(fixed(&mut self.0)?)),
                3 => {
                    self.skip_group(number, 0)?;
                    continue;
                }
                _ => return Err("a field has no valid type"),
            };
            return Ok(Some((number, raw)));
        }
    }

    /// Groups are of the oldest messages, and no columns.
    fn skip_group(&mut self, number: u32, depth: usize) -> Result<(), Wrong> {
        if depth > 100 {
            return Err("groups are nested too deeply");
        }
        loop {
            let tag = varint(&mut self.0)?;
            match tag & 7 {
                0 => drop(varint(&mut self.0)?),
                1 => drop(fixed::<8>(&mut self.0)?),
                2 => drop(bytes(&mut self.0)?),
                5 => drop(fixed::<4>(&mut self.0)?),
                3 => self.skip_group(u32::try_from(tag >> 3).unwrap_or(0), depth + 1)?,
                4 if tag >> 3 == u64::from(number) => return Ok(()),
                _ => return Err("a group does not end"),
            }
        }
    }
}

pub(super) fn varint(from: &mut &[u8]) -> Result<u64, Wrong> {
    let mut value = 0_u64;
    for at in 0..10 {
        let Some((byte, rest)) = from.split_first() else { return Err("it ends too soon") };
        *from = rest;
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long")
}

pub(super) fn fixed<const N: usize>(from: &mut &[u8]) -> Result<[u8; N], Wrong> {
    let (value, rest) = from.split_first_chunk::<N>().ok_or("it ends too soon")?;
    *from = rest;
    Ok(*value)
}

fn bytes<'a>(from: &mut &'a [u8]) -> Result<&'a [u8], Wrong> {
    let length = usize::try_from(varint(from)?).map_err(|_| "it ends too soon")?;
    let (value, rest) = from.split_at_checked(length).ok_or("it ends too soon")?;
    *from = rest;
    Ok(value)
}

pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn put_tag(number: u32, wire: u8, out: &mut Vec<u8>) {
    put_varint(u64::from(number) << 3 | u64::from(wire), out);
}

pub(super) fn unzigzag(value: u64) -> i64 {
    ((value >> 1) as i64) ^ -((value & 1) as i64)
}

pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
