//! Compiled regular expressions: patterns are Java's, and two engines match them.
//!
//! | pattern | engine | time |
//! |---|---|---|
//! | as most are | `regex` | linear in the text |
//! | with look-around, back references, atomic groups or possessive quantifiers | `fancy-regex` | bounded: after [`STEPS`] steps back it is an error |
//!
//! Both are given the same translated text, so that a class means the same in both: `\w`, `\d`, `\s` and
//! `\p{Alpha}` are of ASCII, and so is `(?i)` without `u`; `.` is no character that ends a line, `\Q...\E` is literal.
//! `$` and `\Z` also stand before the line end at the end of a text: a text that has one is left to the second engine.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use crate::error::{Error, Result};

/// Patterns kept per thread; more distinct ones than this come from data, not from SQL.
const KEPT: usize = 256;

/// How often the second engine may go back in one search.
const STEPS: usize = 1_000_000;

/// Characters of a pattern that a message shows.
const SHOWN: usize = 200;

thread_local! {
    static MATCHERS: RefCell<HashMap<String, Arc<Matcher>>> = RefCell::new(HashMap::new());
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Matcher {
    /// As it was written.
    pattern: String,
    engine: Engine,
    /// For texts that end with a line end, where the pattern asks for the end.
    line_end: Option<OnceLock<Result<Engine>>>,
}

/// A whole match, and a group of it where that has a part in the match.
pub(crate) type Found = (Range<usize>, Option<Range<usize>>);

#[derive(Debug)]
enum Engine {
    Linear(regex::Regex),
    Backtracking(Box<fancy_regex::Regex>),
}

/// What ends a line, in Java.
const LINE_ENDS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

fn invalid(pattern: &str, detail: &str) -> Error {
    Error::execution("the regular expression is not valid")
        .with_detail(format!("'{}': {detail}", shown(pattern)))
        .with_hint("patterns are Java's; a backslash takes a character's meaning away: \\( \\. \\\\")
}

impl Engine {
    fn backtracking(pattern: &str) -> Result<Self> {
        let text = translate(pattern, true).text;
        let built = fancy_regex::RegexBuilder::new(&text).backtrack_limit(STEPS).build();
        let built = built.map_err(|e| invalid(pattern, &last_line(&e.to_string())))?;
        Ok(Self::Backtracking(Box::new(built)))
    }
}

/// The compiled pattern, from the thread's cache.
pub(crate) fn compiled(pattern: &str) -> Result<Arc<Matcher>> {
    MATCHERS.with_borrow_mut(|matchers| {
        if let Some(matcher) = matchers.get(pattern) {
            return Ok(Arc::clone(matcher));
        }
        let matcher = Arc::new(Matcher::new(pattern)?);
        if matchers.len() >= KEPT {
            matchers.clear();
        }
        matchers.insert(pattern.to_string(), Arc::clone(&matcher));
        Ok(matcher)
    })
}

impl Matcher {
    fn new(pattern: &str) -> Result<Self> {
        let Translated { text, backtracks, ends } = translate(pattern, false);
        let engine = match backtracks {
            true => Engine::backtracking(pattern)?,
            false => Engine::Linear(
                regex::Regex::new(&text).map_err(|e| invalid(pattern, &last_line(&e.to_string())))?,
            ),
        };
        let line_end = (ends && !backtracks).then(OnceLock::new);
        Ok(Self { pattern: pattern.to_string(), engine, line_end })
    }

    /// The engine for a text.
    fn engine(&self, text: &str) -> Result<&Engine> {
        match &self.line_end {
            Some(engine) if text.ends_with(LINE_ENDS) => {
                engine.get_or_init(|| Engine::backtracking(&self.pattern)).as_ref().map_err(Clone::clone)
            }
            _ => Ok(&self.engine),
        }
    }

    /// Whether nothing is written: the empty pattern.
    pub fn is_empty(&self) -> bool {
        self.pattern.is_empty()
    }

    /// Number of groups, the whole match among them.
    pub fn groups(&self) -> usize {
        match &self.engine {
            Engine::Linear(regex) => regex.captures_len(),
            Engine::Backtracking(regex) => regex.captures_len(),
        }
    }

    /// Whether it matches somewhere.
    pub fn is_match(&self, text: &str) -> Result<bool> {
        match self.engine(text)? {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|e| self.gave_up(&e)),
        }
    }

    /// The first match from a byte on, which begins a character.
    pub fn find_at(&self, text: &str, at: usize) -> Result<Option<Range<usize>>> {
        match self.engine(text)? {
            Engine::Linear(regex) => Ok(regex.find_at(text, at).map(|m| m.range())),
            Engine::Backtracking(regex) => {
                let found = regex.find_from_pos(text, at).map_err(|e| self.gave_up(&e))?;
                Ok(found.map(|m| m.range()))
            }
        }
    }

    /// The first match from a byte on, and a group of it.
    pub fn group_at(&self, text: &str, at: usize, group: usize) -> Result<Option<Found>> {
        match self.engine(text)? {
            Engine::Linear(regex) => Ok(regex.captures_at(text, at).and_then(|found| {
                let range = |i| found.get(i).map(|m: regex::Match<'_>| m.range());
                Some((range(0)?, range(group)))
            })),
            Engine::Backtracking(regex) => {
                let found = regex.captures_from_pos(text, at).map_err(|e| self.gave_up(&e))?;
                Ok(found.and_then(|found| {
                    let range = |i| found.get(i).map(|m: fancy_regex::Match<'_>| m.range());
                    Some((range(0)?, range(group)))
                }))
            }
        }
    }

    /// The next match behind one, as Java finds it: an empty one may follow right behind another.
    pub fn after(text: &str, found: &Range<usize>) -> Option<usize> {
        match found.is_empty() {
            false => Some(found.end),
            true => text[found.end..].chars().next().map(|ch| found.end + ch.len_utf8()),
        }
    }

    /// Calls for each match from left to right.
    pub fn each(&self, text: &str, mut call: impl FnMut(Range<usize>)) -> Result<()> {
        let mut at = Some(0);
        while let Some(from) = at
            && let Some(found) = self.find_at(text, from)?
        {
            at = Self::after(text, &found);
            call(found);
        }
        Ok(())
    }

    /// The parts between matches that are not empty, at most so many: the last one is the rest.
    pub fn split<'t>(&self, text: &'t str, most: usize) -> Result<Vec<&'t str>> {
        let mut parts = Vec::new();
        let (mut begin, mut at) = (0, Some(0));
        while parts.len() + 1 < most
            && let Some(from) = at
            && let Some(found) = self.find_at(text, from)?
        {
            at = Self::after(text, &found);
            // Java has no empty part in front of an empty match at the beginning.
            if found.is_empty() && (found.start == 0 || found.start == text.len()) {
                continue;
            }
            parts.push(&text[begin..found.start]);
            begin = found.end;
        }
        parts.push(&text[begin..]);
        Ok(parts)
    }

    fn gave_up(&self, error: &fancy_regex::Error) -> Error {
        Error::execution(format!(
            "the regular expression '{}' needs more than {STEPS} steps for one text",
            shown(&self.pattern)
        ))
        .with_detail(error.to_string())
        .with_hint("patterns with look-around or back references go back and try again: make the parts that repeat more precise, or cut the text first")
    }
}

/// The beginning of a pattern.
fn shown(pattern: &str) -> String {
    match pattern.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}...", &pattern[..cut]),
        None => pattern.to_string(),
    }
}

/// What is wrong, without the picture of the pattern above it.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.trim().trim_start_matches("error: ").to_string()
}

/// A pattern as both engines read it.
#[derive(Debug, PartialEq)]
struct Translated {
    text: String,
    /// It needs the engine that goes back.
    backtracks: bool,
    /// It asks for the end of the text, before which a line end may stand.
    ends: bool,
}

/// The end of a text, or the line end before it.
const END: &str = r"(?=(?:\r\n|(?<!\r)\n|[\r\x85\u{2028}\u{2029}])?\z)";

/// A character that ends no line.
const IN_LINE: &str = r"[^\n\r\x85\u{2028}\u{2029}]";

/// What `(?...)` has set.
#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    insensitive: bool,
    /// `u`: in all scripts.
    unicode_case: bool,
    /// `U`: classes of all scripts.
    unicode: bool,
    dot_all: bool,
    /// `d`: `\n` alone ends lines.
    unix: bool,
    multi_line: bool,
    comments: bool,
}

impl Flags {
    /// Letters of ASCII stand for both cases.
    fn folds(self) -> bool {
        self.insensitive && !self.unicode_case && !self.unicode
    }

    /// Reads `?i-s)` or `?i:`; also the length of that, and whether a group is opened.
    fn read(mut self, text: &str) -> Option<(Self, usize, bool)> {
        let mut on = true;
        for (at, ch) in text.strip_prefix('?')?.char_indices() {
            let flag = match ch {
                '-' if on => {
                    on = false;
                    continue;
                }
                ')' | ':' => return Some((self, at + 2, ch == ':')),
                'i' => &mut self.insensitive,
                'u' => &mut self.unicode_case,
                'U' => &mut self.unicode,
                's' => &mut self.dot_all,
                'd' => &mut self.unix,
                'm' => &mut self.multi_line,
                'x' => &mut self.comments,
                _ => return None,
            };
            *flag = on;
        }
        None
    }

    /// As the engines have them.
    fn write(self, opens: bool, out: &mut String) {
        let all = [('i', self.insensitive && !self.folds()), ('m', self.multi_line), ('x', self.comments)];
        out.push_str("(?");
        out.extend(all.iter().filter(|(_, on)| *on).map(|(flag, _)| *flag));
        if all.iter().any(|(_, on)| !on) {
            out.push('-');
            out.extend(all.iter().filter(|(_, on)| !on).map(|(flag, _)| *flag));
        }
        out.push(if opens { ':' } else { ')' });
    }
}

/// A letter of ASCII in its other case.
fn other_case(ch: char) -> Option<char> {
    match ch {
        'a'..='z' => Some(ch.to_ascii_uppercase()),
        'A'..='Z' => Some(ch.to_ascii_lowercase()),
        _ => None,
    }
}

/// A literal character outside of a set.
fn literal(ch: char, flags: Flags, out: &mut String) {
    match other_case(ch).filter(|_| flags.folds()) {
        Some(other) => out.extend(['[', ch, other, ']']),
        None => out.push(ch),
    }
}

/// The members of a range in both cases; its length, if one begins here.
fn folded_range(text: &str, out: &mut String) -> Option<usize> {
    let mut chars = text.chars();
    let (from, dash, to) = (chars.next()?, chars.next()?, chars.next()?);
    if dash != '-' || matches!(to, ']' | '[' | '\\') || from > to {
        return None;
    }
    out.extend([from, '-', to]);
    for (low, high) in [('a', 'z'), ('A', 'Z')] {
        let (first, last) = (from.max(low), to.min(high));
        if let (true, Some(first), Some(last)) = (first <= last, other_case(first), other_case(last)) {
            out.extend([first, '-', last]);
        }
    }
    Some(from.len_utf8() + 1 + to.len_utf8())
}

/// Java's POSIX classes, which are of ASCII.
const CLASSES: &[(&str, &str)] = &[
    ("Alpha", "A-Za-z"),
    ("Digit", "0-9"),
    ("Alnum", "0-9A-Za-z"),
    ("Upper", "A-Z"),
    ("Lower", "a-z"),
    ("Punct", r##"!-/:-@\[-`\{-~"##),
    ("Space", r" \t\n\x0B\f\r"),
    ("Blank", r" \t"),
    ("XDigit", "0-9A-Fa-f"),
    ("Cntrl", r"\x00-\x1F\x7F"),
    ("Graph", r"!-~"),
    ("Print", r" -~"),
    ("ASCII", r"\x00-\x7F"),
];

/// Reads a pattern of Java. With `goes_back` the text is for the second engine: the end of a text has a line end.
fn translate(pattern: &str, goes_back: bool) -> Translated {
    let mut out = String::with_capacity(pattern.len() + 16);
    let (mut backtracks, mut ends) = (false, false);
    // Those of the groups around, and of this one.
    let (mut around, mut flags): (Vec<Flags>, Flags) = (Vec::new(), Flags::default());
    let mut set = 0_usize;
    let mut rest = pattern;
    // Whether a quantifier stands right before.
    let mut quantified = false;
    let class = |members: &str, negated: bool, set: usize, out: &mut String| match (negated, set) {
        (false, 0) => out.extend(["[", members, "]"]),
        (false, _) => out.push_str(members),
        (true, _) => out.extend(["[^", members, "]"]),
    };
    while let Some(ch) = rest.chars().next() {
        let tail = &rest[ch.len_utf8()..];
        let after_quantifier = std::mem::take(&mut quantified);
        match ch {
            '[' => {
                // `[[:alpha:]]` is a set in a set to Java, no class of POSIX.
                if set > 0 && tail.starts_with(':') {
                    out.push_str("[\\:");
                    rest = &tail[1..];
                    set += 1;
                    continue;
                }
                set += 1;
            }
            ']' => set = set.saturating_sub(1),
            _ if set > 0 && flags.folds() && ch != '\\' => {
                if let Some(length) = folded_range(rest, &mut out) {
                    rest = &rest[length..];
                    continue;
                }
                out.extend(other_case(ch));
            }
            '(' if set == 0
                && let Some((now, length, opens)) = flags.read(tail) =>
            {
                if opens {
                    around.push(flags);
                }
                flags = now;
                flags.write(opens, &mut out);
                rest = &tail[length..];
                continue;
            }
            ')' if set == 0 => flags = around.pop().unwrap_or(flags),
            '.' if set == 0 => {
                out.push_str(match (flags.dot_all, flags.unix) {
                    (true, _) => "(?s:.)",
                    (false, true) => r"[^\n]",
                    (false, false) => IN_LINE,
                });
                rest = tail;
                continue;
            }
            '$' if set == 0 && !flags.multi_line => {
                ends = true;
                out.push_str(match (goes_back, flags.unix) {
                    (false, _) => r"\z",
                    (true, false) => END,
                    (true, true) => r"(?=\n?\z)",
                });
                rest = tail;
                continue;
            }
            '(' if set == 0 => {
                around.push(flags);
                let special = ["?=", "?!", "?<=", "?<!", "?>"];
                backtracks |= special.iter().any(|s| tail.starts_with(s));
            }
            '+' if set == 0 && after_quantifier => backtracks = true,
            '*' | '+' | '?' if set == 0 => quantified = !after_quantifier,
            '{' if set == 0 => {
                if let Some(length) = counted(tail) {
                    out.push_str(&rest[..=length]);
                    rest = &tail[length..];
                    quantified = true;
                    continue;
                }
            }
            '\\' => {
                let Some(next) = tail.chars().next() else {
                    out.push(ch);
                    break;
                };
                rest = &tail[next.len_utf8()..];
                let negated = next.is_ascii_uppercase();
                match next {
                    'w' | 'W' | 'd' | 'D' | 's' | 'S' if flags.unicode => out.extend([ch, next]),
                    'w' | 'W' => class("0-9A-Za-z_", negated, set, &mut out),
                    'd' | 'D' => class("0-9", negated, set, &mut out),
                    's' | 'S' => class(r" \t\n\x0B\f\r", negated, set, &mut out),
                    'h' | 'H' => {
                        class(
                            r" \t\xA0\u{1680}\u{180e}\u{2000}-\u{200a}\u{202f}\u{205f}\u{3000}",
                            negated,
                            set,
                            &mut out,
                        );
                    }
                    'v' | 'V' => class(r"\n\x0B\f\r\x85\u{2028}\u{2029}", negated, set, &mut out),
                    'R' if set == 0 => out.push_str(r"(?:\r\n|[\n\x0B\f\r\x85\u{2028}\u{2029}])"),
                    'e' => out.push_str(r"\x1B"),
                    'Z' if set == 0 => {
                        ends = true;
                        out.push_str(if goes_back { END } else { r"\z" });
                    }
                    'Q' => {
                        let end = rest.find("\\E").unwrap_or(rest.len());
                        for ch in rest[..end].chars() {
                            match flags.folds() && set == 0 && ch.is_ascii_alphabetic() {
                                true => literal(ch, flags, &mut out),
                                false => out.push_str(&regex::escape(ch.encode_utf8(&mut [0; 4]))),
                            }
                        }
                        rest = rest[end..].strip_prefix("\\E").unwrap_or("");
                    }
                    'p' | 'P' => match posix(rest) {
                        Some((members, behind)) => {
                            class(members, negated, set, &mut out);
                            rest = behind;
                        }
                        None => {
                            let length = braces(rest);
                            out.extend([ch, next]);
                            out.push_str(&rest[..length]);
                            rest = &rest[length..];
                        }
                    },
                    'x' | 'u' | 'U' => {
                        let length = braces(rest);
                        out.extend([ch, next]);
                        out.push_str(&rest[..length]);
                        rest = &rest[length..];
                    }
                    '1'..='9' | 'k' | 'G' if set == 0 => {
                        backtracks = true;
                        match flags.folds() && next.is_ascii_digit() {
                            true => out.extend(["(?i:\\", next.encode_utf8(&mut [0; 4]), ")"]),
                            false => out.extend([ch, next]),
                        }
                    }
                    _ => out.extend([ch, next]),
                }
                continue;
            }
            _ => {}
        }
        match set {
            0 => literal(ch, flags, &mut out),
            _ => out.push(ch),
        }
        rest = tail;
    }
    Translated { text: out, backtracks, ends }
}

/// The length of `2}`, `2,}` or `2,5}`.
fn counted(text: &str) -> Option<usize> {
    let inside = &text[..text.find('}')?];
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    (!least.is_empty() && digits(least) && digits(most)).then_some(inside.len() + 1)
}

/// The length of `{...}` at the beginning, 0 without it.
fn braces(text: &str) -> usize {
    match text.starts_with('{') {
        true => text.find('}').map_or(0, |end| end + 1),
        false => 0,
    }
}

/// `{Alpha}`: its members, and what stands behind it.
fn posix(text: &str) -> Option<(&'static str, &str)> {
    let (name, rest) = text.strip_prefix('{')?.split_once('}')?;
    let (_, members) = CLASSES.iter().find(|(class, _)| *class == name)?;
    Some((members, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_second_engine_is_for_patterns_that_need_it() {
        let backtracks = |pattern| translate(pattern, false).backtracks;
        for pattern in [
            "a(?=b)",
            "(?!a)b",
            "(?<=a)b",
            "(?<!a)b",
            r"(a)\1",
            r"(?<x>a)\k<x>",
            "(?>a+)b",
            "a++b",
            "a*+",
            "a?+",
            "a{2,}+b",
            r"\p{L}++",
        ] {
            assert!(backtracks(pattern), "{pattern}");
        }
        for pattern in [
            "a+b", "(?:a)+", "a+?", "a{2}b", r"\(?=", "[(?=+]", "[a+]+", r"\\1", r"\Q(?=\E", "(?<x>a)",
            r"a\++", "a}b+", r"\p{L}+", r"\x{41}+", "a{2}", "a{2}?",
        ] {
            assert!(!backtracks(pattern), "{pattern}");
        }
    }

    #[test]
    fn classes_are_of_ascii() {
        let hits = |pattern, text| compiled(pattern).unwrap().is_match(text).unwrap();
        assert!(hits(r"^\w+$", "a_1") && !hits(r"\w", "é") && hits(r"[^\W]", "a") && !hits(r"^\d$", "٣"));
        assert!(hits(r"^\p{Alpha}$", "a") && !hits(r"^\p{Alpha}$", "é") && hits(r"^\P{Alpha}$", "é"));
        assert!(hits(r"^[\p{Punct}x]+$", r"!/:@[`{~x\") && !hits(r"\p{Punct}", "a0 "));
        assert!(hits(r"^\Qa.b\E+$", "a.bbb") && hits(r"^\h\R$", "\t\r\n") && hits(r"^a\Z", "a\n"));
        assert!(!hits("^a++a$", "aaa") && hits(r"^\p{L}+$", "éa"));
    }

    #[test]
    fn letters_dots_and_ends_are_those_of_java() {
        let hits = |pattern: &str, text: &str| compiled(pattern).unwrap().is_match(text).unwrap();
        // (?i) is of ASCII, unless u stands with it.
        assert!(hits("(?i)abc", "ABC") && hits("(?i)[a-c]+Z", "aBCz") && hits("x(?i:y)z", "xYz"));
        assert!(!hits("(?i)é", "É") && hits("(?iu)é", "É") && !hits("(?i)s", "ſ") && hits("(?iu)s", "ſ"));
        assert!(!hits("x(?i:y)z", "xYZ") && !hits("(?i)a(?-i)b", "AB") && hits("(?i)a(?-i)b", "Ab"));
        assert!(hits("(?i)[^a]", "b") && !hits("(?i)^[^a]$", "A") && hits(r"(?i)\Qa.B\E", "A.b"));
        assert!(
            hits(r"(?i)(a)\1", "aA")
                && !hits(r"(a)\1", "aA")
                && hits("((?i)a)b", "Ab")
                && !hits("((?i)a)b", "AB")
        );
        // What ends a line is no dot, and may stand behind the end.
        for end in ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"] {
            let text = format!("a{end}b");
            assert!(!hits("a.b", &text) && hits("(?s)a.b", &text) && hits("a[^x]b", &text), "{end:?}");
            assert!(hits("c$", &format!("abc{end}")) && !hits("c$", &format!("abc{end}{end}")), "{end:?}");
            assert!(!hits(r"c\z", &format!("abc{end}")) && hits(r"c\Z", &format!("abc{end}")), "{end:?}");
        }
        assert!(
            hits("c$", "abc\r\n")
                && !hits("\r$", "abc\r\n")
                && hits("(?d)a.b", "a\rb")
                && hits("(?m)a$", "a\nb")
        );
        let found = compiled("c$").unwrap().find_at("abc\n", 0).unwrap();
        assert_eq!(found, Some(2..3));
        assert!(hits("^a+$", "aa") && !hits("^a+$", "aab") && hits("[$.]", "$"));
    }

    #[test]
    fn matches_are_found_as_in_java() {
        let all = |pattern: &str, text: &str| {
            let mut found = Vec::new();
            compiled(pattern).unwrap().each(text, |m| found.push(m)).unwrap();
            found
        };
        assert_eq!(all("a*", "baac"), [0..0, 1..3, 3..3, 4..4]);
        assert_eq!(all("(?<=a)b*", "abb-b-ab"), [1..3, 7..8]);
        assert_eq!(all("(?=é)", "éé"), [0..0, 2..2]);
        let split = |pattern: &str, text: &'static str, n| compiled(pattern).unwrap().split(text, n).unwrap();
        assert_eq!(split(",", "a,b,,c", usize::MAX), ["a", "b", "", "c"]);
        assert_eq!(split(",", "a,b,c", 2), ["a", "b,c"]);
        assert_eq!(split("(?<=;)", "a;b;", usize::MAX), ["a;", "b;"]);
    }

    #[test]
    fn a_search_without_end_is_an_error_that_names_its_pattern() {
        let matcher = compiled(r"^(a+)+\1b").unwrap();
        let error = matcher.is_match(&"a".repeat(60)).unwrap_err();
        assert!(error.message().contains(r"'^(a+)+\1b'") && error.message().contains("steps"), "{error}");
        let error = compiled("a(").unwrap_err();
        assert!(error.detail().is_some_and(|d| d.starts_with("'a(': unclosed group")), "{error:?}");
        assert!(compiled("(?=a").is_err() && compiled(r"(a)\2").is_err());
    }
}
