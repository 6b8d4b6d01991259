//! The lowest level: tokens of JSON text, found by position, strictly by RFC 8259 with one exception:
//! control characters inside strings are accepted, as Flink's reader does.
//!
//! In newline-delimited input a line feed is neither white space nor part of a string: wherever it
//! stands, it ends the record. So a reader needs no search for the end of the line before it starts, and
//! what is wrong in one record cannot reach the next. In a single document ([`Text::document`]) it is
//! white space like the rest.

use memchr::memchr3;

/// Deepest nesting of arrays and objects, so that no input can exhaust the stack.
pub(super) const MAX_DEPTH: u32 = 128;

/// What is wrong with a piece of text, and where. Boxed: it must cost nothing while all goes well.
pub(super) type Scanned<T> = Result<T, Box<Fault>>;

/// A record that cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    /// Byte position of what was found.
    pub at: usize,
    /// Just after what was found, if that is a whole value.
    pub end: Option<usize>,
    /// What was expected instead.
    pub expected: String,
    /// What was found, when it is not the text at `at`.
    pub found: Option<&'static str>,
    /// Names of the fields that lead there, innermost first.
    pub path: Vec<String>,
    /// Advice, when there is better than the general one.
    pub hint: Option<&'static str>,
}

impl Fault {
    /// Text that is not JSON.
    #[cold]
    pub(super) fn syntax(at: usize, expected: impl Into<String>) -> Box<Self> {
        let expected = expected.into();
        Box::new(Self { at, end: None, expected, found: None, path: Vec::new(), hint: None })
    }

    /// The field that this happened in.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.path.push(field.to_string());
        self
    }
}

/// Text to read from, checked to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    /// The text.
    pub text: &'a str,
    document: bool,
}

impl<'a> Text<'a> {
    /// Whole lines, one record each.
    pub(super) fn lines(text: &'a str) -> Self {
        Self { text, document: false }
    }

    /// One document.
    pub(super) fn document(text: &'a str) -> Self {
        Self { text, document: true }
    }

    /// Whether line feeds are white space.
    #[inline(always)]
    pub(super) fn is_document(&self) -> bool {
        self.document
    }

    /// Its bytes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The byte at a position; 0 after the end, which no token starts with.
    #[inline(always)]
    pub(super) fn peek(&self, at: usize) -> u8 {
        self.bytes().get(at).copied().unwrap_or(0)
    }

    /// A part of the text; positions that tokens ended at are character boundaries.
    #[inline]
    pub(super) fn part(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The first position from `at` that is not white space.
    #[inline(always)]
    pub(super) fn skip_space(&self, mut at: usize) -> usize {
        while matches!(self.peek(at), b' ' | b'\t' | b'\r') || (self.document && self.peek(at) == b'\n') {
            at += 1;
        }
        at
    }

    /// The closing quote of a string whose first character is at `at`, and whether there are escapes.
    #[inline]
    pub(super) fn string_end(&self, at: usize) -> Scanned<(usize, bool)> {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        let bytes = self.bytes();
        let mut i = at;
        // Eight bytes at a time: most strings are shorter than a vectorized search takes to start.
        for _ in 0..4 {
            let Some(chunk) = bytes.get(i..).and_then(|rest| rest.first_chunk::<8>()) else { break };
            let word = u64::from_le_bytes(*chunk);
            let zero = |x: u64| x.wrapping_sub(LOW) & !x & HIGH;
            // The lowest bit that is set is exact: a false one can only come above a true one.
            let quote = zero(word ^ (LOW * b'"' as u64));
            let escape = zero(word ^ (LOW * b'\\' as u64));
            let feed = zero(word ^ (LOW * b'\n' as u64));
            let stop = quote | escape | feed;
            if stop != 0 {
                let found = i + (stop.trailing_zeros() / 8) as usize;
                return if bytes[found] == b'"' { Ok((found, false)) } else { self.string_rest(found) };
            }
            i += 8;
        }
        match memchr3(b'"', b'\\', b'\n', bytes.get(i..).unwrap_or_default()) {
            Some(n) if bytes[i + n] == b'"' => Ok((i + n, false)),
            Some(n) => self.string_rest(i + n),
            None => Err(Fault::syntax(bytes.len(), "the closing quote of a string")),
        }
    }

    /// As [`Text::string_end`], from the first backslash or line feed on.
    fn string_rest(&self, mut at: usize) -> Scanned<(usize, bool)> {
        let mut escapes = false;
        let bytes = self.bytes();
        loop {
            let Some(n) = memchr3(b'"', b'\\', b'\n', bytes.get(at..).unwrap_or_default()) else {
                return Err(Fault::syntax(bytes.len(), "the closing quote of a string"));
            };
            at += n;
            match bytes[at] {
                b'"' => return Ok((at, escapes)),
                b'\n' if self.document => at += 1,
                b'\n' => return Err(Fault::syntax(at, "the closing quote of a string")),
                _ => {
                    escapes = true;
                    at = match self.peek(at + 1) {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => at + 2,
                        b'u' if self.hex(at + 2).is_some() => at + 6,
                        _ => return Err(Fault::syntax(at, "an escape that JSON knows")),
                    };
                }
            }
        }
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.bytes().get(at..at + 4)?;
        digits.iter().try_fold(0, |n, &d| Some(n * 16 + (d as char).to_digit(16)?))
    }

    /// Appends the characters of a string with escapes, from its first character to its closing quote,
    /// as [`Text::string_end`] has found it. A surrogate without its other half becomes U+FFFD.
    pub(super) fn unescape(&self, start: usize, end: usize, out: &mut String) {
        let mut at = start;
        while at < end {
            let plain =
                memchr::memchr(b'\\', self.bytes().get(at..end).unwrap_or_default()).unwrap_or(end - at);
            out.push_str(self.part(at, at + plain));
            at += plain;
            if at >= end {
                break;
            }
            let escape = self.peek(at + 1);
            at += 2;
            out.push(match escape {
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let first = self.hex(at).unwrap_or(0xfffd);
                    at += 4;
                    let second = match (self.peek(at), self.peek(at + 1)) {
                        (b'\\', b'u') => self.hex(at + 2).filter(|low| (0xdc00..0xe000).contains(low)),
                        _ => None,
                    };
                    match (first, second) {
                        (0xd800..0xdc00, Some(low)) => {
                            at += 6;
                            let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
                            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                        }
                        _ => char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
                    }
                }
                other => other as char,
            });
        }
    }

    /// The position after a number.
    pub(super) fn number_end(&self, start: usize) -> Scanned<usize> {
        let digits = |mut at: usize| {
            while self.peek(at).is_ascii_digit() {
                at += 1;
            }
            at
        };
        let some_digits = |at: usize| match digits(at) {
            end if end == at => Err(Fault::syntax(at, "a digit")),
            end => Ok(end),
        };
        let mut at = start + usize::from(self.peek(start) == b'-');
        at = match self.peek(at) {
            b'0' => at + 1,
            _ => some_digits(at)?,
        };
        if self.peek(at) == b'.' {
            at = some_digits(at + 1)?;
        }
        if matches!(self.peek(at), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(at + 1), b'+' | b'-'));
            at = some_digits(at + 1 + sign)?;
        }
        if self.peek(at).is_ascii_alphanumeric() {
            return Err(Fault::syntax(start, "a JSON number"));
        }
        Ok(at)
    }

    /// The position after `word` at `at`.
    pub(super) fn word_end(&self, at: usize, word: &str) -> Scanned<usize> {
        let end = at + word.len();
        let whole = self.bytes().get(at..end) == Some(word.as_bytes());
        if whole && !self.peek(end).is_ascii_alphanumeric() {
            Ok(end)
        } else {
            Err(Fault::syntax(at, "a JSON value"))
        }
    }

    /// The position after the value that starts at `at`.
    #[inline]
    pub(super) fn value_end(&self, at: usize) -> Scanned<usize> {
        match self.peek(at) {
            b'"' => Ok(self.string_end(at + 1)?.0 + 1),
            b'-' | b'0'..=b'9' => self.number_end(at),
            b't' => self.word_end(at, "true"),
            b'f' => self.word_end(at, "false"),
            b'n' => self.word_end(at, "null"),
            b'{' | b'[' => self.container_end(at),
            _ => Err(Fault::syntax(at, "a JSON value")),
        }
    }

    /// A key's string, its colon and white space: the position of the quote that ends the key, whether
    /// it has escapes, and where its value starts.
    pub(super) fn key(&self, at: usize) -> Scanned<(usize, bool, usize)> {
        if self.peek(at) != b'"' {
            return Err(Fault::syntax(at, "a field name in quotes"));
        }
        let (end, escapes) = self.string_end(at + 1)?;
        let colon = self.skip_space(end + 1);
        if self.peek(colon) != b':' {
            return Err(Fault::syntax(colon, "':' after a field name"));
        }
        Ok((end, escapes, self.skip_space(colon + 1)))
    }

    fn container_end(&self, start: usize) -> Scanned<usize> {
        // One bit a level, the lowest for the innermost: set for an object.
        let mut levels = 0u128;
        let mut depth = 0;
        let mut at = start;
        'value: loop {
            let open = self.peek(at);
            if matches!(open, b'{' | b'[') {
                if depth == MAX_DEPTH {
                    return Err(Fault::syntax(at, format!("at most {MAX_DEPTH} levels of nesting")));
                }
                depth += 1;
                levels = levels << 1 | u128::from(open == b'{');
                at = self.skip_space(at + 1);
                // '{' and '}' as well as '[' and ']' are two apart.
                if self.peek(at) != open + 2 {
                    if open == b'{' {
                        at = self.key(at)?.2;
                    }
                    continue 'value;
                }
                at += 1;
                depth -= 1;
                levels >>= 1;
            } else {
                at = self.value_end(at)?;
            }
            while depth > 0 {
                let object = levels & 1 == 1;
                at = self.skip_space(at);
                match self.peek(at) {
                    b',' => {
                        at = self.skip_space(at + 1);
                        if object {
                            at = self.key(at)?.2;
                        }
                        continue 'value;
                    }
                    b'}' if object => {}
                    b']' if !object => {}
                    _ if object => return Err(Fault::syntax(at, "',' or '}'")),
                    _ => return Err(Fault::syntax(at, "',' or ']'")),
                }
                at += 1;
                depth -= 1;
                levels >>= 1;
            }
            return Ok(at);
        }
    }

    /// Appends a value without the white space between its tokens.
    pub(super) fn compact(&self, start: usize, end: usize, out: &mut String) {
        let mut at = start;
        let mut copied = start;
        while at < end {
            match self.peek(at) {
                b'"' => at = self.string_end(at + 1).map_or(end, |(quote, _)| quote + 1),
                b' ' | b'\t' | b'\r' | b'\n' => {
                    out.push_str(self.part(copied, at));
                    at = self.skip_space(at).max(at + 1);
                    copied = at;
                }
                _ => at += 1,
            }
        }
        out.push_str(self.part(copied, end));
    }

    /// A whole number without fraction and exponent, of up to 16 digits, and the position behind it.
    #[inline]
    pub(super) fn short_integer(&self, at: usize) -> Option<(i64, usize)> {
        let bytes = self.bytes();
        let negative = *bytes.get(at)? == b'-';
        let start = at + usize::from(negative);
        let rest = bytes.get(start..)?;
        let (n, digits) = match rest.first_chunk::<8>().map(|c| eight_digits(*c)) {
            Some((n, digits)) if digits < 8 => (n, digits),
            Some((high, _)) => {
                let (low, more) = eight_digits(*rest.get(8..)?.first_chunk::<8>()?);
                const TEN: [u64; 9] =
                    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
                (high * TEN.get(more)? + low, 8 + more)
            }
            None => {
                let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
                (rest[..digits].iter().fold(0, |n, b| n * 10 + u64::from(b - b'0')), digits)
            }
        };
        let follows = rest.get(digits).copied().unwrap_or(0);
        let plain = !(follows == b'.' || follows | 0x20 == b'e' || follows.is_ascii_digit());
        let canonical = digits > 0 && (rest[0] != b'0' || digits == 1);
        (plain && canonical).then_some((if negative { -(n as i64) } else { n as i64 }, start + digits))
    }
}

/// The number that the leading digits of eight bytes make, and how many they are.
#[inline(always)]
fn eight_digits(chunk: [u8; 8]) -> (u64, usize) {
    let word = u64::from_le_bytes(chunk) ^ 0x3030_3030_3030_3030;
    // A byte above 9 gets its high bit by adding 0x76, or has it already. A carry cannot leave a byte that
    // is below the first such one, so the lowest set bit is exact.
    let other = (word.wrapping_add(0x7676_7676_7676_7676) | word) & 0x8080_8080_8080_8080;
    let digits = (other.trailing_zeros() / 8) as usize;
    if digits == 0 {
        return (0, 0);
    }
    // Leading zeros instead of what follows the digits, then pairs, fours and eights at once.
    let word = word << (64 - 8 * digits);
    let pairs = (word.wrapping_mul(10)).wrapping_add(word >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff, digits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn integers_of_every_length() {
        for text in ["0", "7", "-7", "12345678", "-123456789012345", "1234567890123456", "99999999"] {
            for tail in ["", ",", "}", "}                ", ",\"next\":1234567890"] {
                let whole = format!("{text}{tail}");
                let found = Text::lines(&whole).short_integer(0);
                // At the very end of the text long numbers are left to the general way.
                if let Some((n, end)) = found {
                    assert_eq!((n, end), (text.parse().unwrap(), text.len()), "{whole}");
                } else {
                    assert!(text.len() >= 8 && tail.len() < 16, "{whole}");
                }
            }
        }
        for text in ["01", "-", "", "x", "1.5", "1e3", "1E3", "00000000012", "-01", "12345678901234567"] {
            assert_eq!(Text::lines(&format!("{text}         ")).short_integer(0), None, "{text}");
        }
    }

    #[test]
    fn strings_end_at_their_quote() {
        for n in 0..100 {
            let plain = format!("{}\" tail", "é".repeat(n));
            assert_eq!(Text::lines(&plain).string_end(0).unwrap(), (2 * n, false));
            let escaped = format!("{}\\\"\\u00e9\"", "x".repeat(n));
            assert_eq!(Text::lines(&escaped).string_end(0).unwrap(), (n + 8, true));
            assert!(Text::lines(&"x".repeat(n)).string_end(0).is_err());
            let broken = format!("{}\n\"", "x".repeat(n));
            assert!(Text::lines(&broken).string_end(0).is_err());
            assert_eq!(Text::document(&broken).string_end(0).unwrap(), (n + 1, false));
        }
    }

    #[test]
    fn surrogates_are_joined_or_replaced() {
        let cases = [
            ("\\uD83D\\uDE00", "😀"),
            ("\\uD83D", "\u{fffd}"),
            ("\\uDE00x", "\u{fffd}x"),
            ("\\uD83D\\u0041", "\u{fffd}A"),
            ("a\\/\\\\\\n\\t\\b\\f\\r\\\"é", "a/\\\n\t\u{8}\u{c}\r\"é"),
        ];
        for (written, expected) in cases {
            let mut out = String::new();
            Text::lines(written).unescape(0, written.len(), &mut out);
            assert_eq!(out, expected, "{written}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(Text::lines(&nested(128)).value_end(0).is_ok());
        assert!(Text::lines(&nested(129)).value_end(0).is_err());
        assert!(Text::lines(&"[{\"a\":".repeat(100_000)).value_end(0).is_err());
    }

    #[test]
    fn numbers_are_json_numbers() {
        for good in ["0", "-0", "10", "1.5", "-1.5e10", "1E+2", "0.0"] {
            assert_eq!(Text::lines(good).number_end(0).ok(), Some(good.len()), "{good}");
        }
        for bad in ["-", "01", "1.", "1e", "1e+", "-x", "1x", "0x10"] {
            assert!(Text::lines(bad).number_end(0).is_err(), "{bad}");
        }
    }
}
