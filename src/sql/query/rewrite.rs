//! Rewrites of single words and of what follows them.

use super::*;

/// Rewrites that concern single words and what follows them.
pub(super) struct Rewrite<'a> {
    pub(super) text: &'a str,
    pub(super) lexemes: &'a [Lexeme],
    /// Index of the closing parenthesis or bracket by that of the opening one.
    pub(super) close: HashMap<usize, usize>,
    pub(super) skipped: HashSet<usize>,
    pub(super) replaced: HashMap<usize, (Token, Span)>,
    /// The TABLE of `f(TABLE t)`.
    pub(super) table_arguments: HashSet<usize>,
    /// The parenthesis of `f((SELECT ...) PARTITION BY k)`.
    pub(super) query_arguments: HashSet<usize>,
    /// The TABLE of `TABLE t` where a query stands.
    pub(super) table_queries: HashSet<usize>,
    /// Lexemes with a parenthesis to open before them.
    pub(super) opening: HashSet<usize>,
    /// Lexemes with a parenthesis to close behind them.
    pub(super) closing: HashSet<usize>,
    /// What stands behind a lexeme that was not written there.
    pub(super) inserted: HashMap<usize, Vec<TokenWithSpan>>,
}

impl Rewrite<'_> {
    fn is(&self, i: usize, token: &Token) -> bool {
        self.lexemes.get(i).is_some_and(|l| l.is(token))
    }

    fn is_word(&self, i: usize, word: &str) -> bool {
        self.lexemes.get(i).is_some_and(|l| l.is_word(word))
    }

    /// Whether the word in front of a parenthesis is one of these.
    fn called(&self, open: Option<usize>, names: &[&str]) -> bool {
        open.and_then(|o| o.checked_sub(1)).is_some_and(|f| names.iter().any(|n| self.is_word(f, n)))
    }

    pub(super) fn word(&mut self, i: usize, open: Option<usize>) -> Result<()> {
        let lexeme = &self.lexemes[i];
        let Some(word) = lexeme.word() else { return Ok(()) };
        let call = self.is(i + 1, &Token::LParen);
        match word.to_ascii_uppercase().as_str() {
            "CAST" | "TRY_CAST" if call => self.cast(i + 1),
            "RETURNING" if self.called(open, &["JSON_VALUE", "JSON_QUERY", "JSON_OBJECT", "JSON_ARRAY"]) => {
                let end = open.and_then(|o| self.close.get(&o)).copied().unwrap_or(self.lexemes.len());
                let mut cursor = Cursor::new(self.text, &self.lexemes[i + 1..end]);
                let data_type = read_type(&mut cursor)?;
                self.replace_type(i + 1, i + 1 + cursor.position(), &data_type.to_string());
                Ok(())
            }
            "LATERAL" if self.is_word(i + 1, "TABLE") => self.lateral(i),
            "TABLE" if !call && self.starts_query(i) && self.named(i + 1) => {
                self.table_queries.insert(i);
                Ok(())
            }
            "VALUES" if !call => {
                self.plain_values(i);
                Ok(())
            }
            "TABLE" if open.is_some() && !call => self.table_argument(i),
            "MATCH_RECOGNIZE" if call => self.match_recognize(i),
            "MODEL" if self.called(open, &["ML_PREDICT"]) && !call && self.named(i + 1) => {
                self.model(i);
                Ok(())
            }
            "ML_EVALUATE" | "VECTOR_SEARCH" if call => {
                Err(self.unsupported(i, 1, &word.to_ascii_uppercase()))
            }
            _ => Ok(()),
        }
    }

    fn unsupported(&self, i: usize, words: usize, what: &str) -> Error {
        let span = span_of(&self.lexemes[i..(i + words).min(self.lexemes.len())]).unwrap_or_default();
        let verb = if what.contains(" and ") { "are" } else { "is" };
        Error::unsupported(format!("{what} {verb} not supported")).at(span)
    }

    /// `(SELECT ...) MATCH_RECOGNIZE (...)`: a query there is read as the argument of a call.
    pub(super) fn matched_query(&mut self, i: usize) -> bool {
        let query = ["SELECT", "WITH", "VALUES"].iter().any(|w| self.is_word(i + 1, w));
        let Some(end) = self.close.get(&i).copied().filter(|_| query) else { return false };
        let matched = self.is_word(end + 1, "MATCH_RECOGNIZE") && self.is(end + 2, &Token::LParen);
        if matched {
            self.closing.insert(end);
        }
        matched
    }

    /// What `sqlparser` does not read of `MATCH_RECOGNIZE (...)`.
    fn match_recognize(&mut self, i: usize) -> Result<()> {
        let Some(end) = self.close.get(&(i + 1)).copied() else { return Ok(()) };
        let mut at = i + 2;
        let mut within: Option<(usize, Span)> = None;
        let mut in_define = false;
        while at < end {
            let span = self.lexemes[at].span;
            let inside = self.close.get(&at).copied();
            if let Some(close) = inside {
                at = close + 1;
                continue;
            }
            if self.is_word(at, "PATTERN")
                && let Some(close) = self.close.get(&(at + 1)).copied()
            {
                let elements = read_pattern(self.text, &self.lexemes[at + 2..close], span)?;
                let carrier = Token::make_word(&match_pattern::carrier(&elements)?, Some('`'));
                let inside = span_of(&self.lexemes[at + 2..close]).unwrap_or(span);
                self.replaced.insert(at + 2, (carrier, inside));
                self.skipped.extend(at + 3..close);
                at = close;
            } else if self.is_word(at, "SKIP") && self.is_word(at + 1, "TO") && self.named(at + 2) {
                // `SKIP TO x` is `SKIP TO LAST x`.
                let kinds = [("NEXT", "ROW"), ("FIRST", ""), ("LAST", "")];
                let is_kind = kinds.iter().any(|(kind, behind)| {
                    self.is_word(at + 2, kind)
                        && match behind.is_empty() {
                            true => self.named(at + 3) && !self.is_word(at + 3, "PATTERN"),
                            false => self.is_word(at + 3, behind),
                        }
                });
                if !is_kind {
                    let last = TokenWithSpan::new(Token::make_keyword("LAST"), token_span(span));
                    self.inserted.insert(at + 1, vec![last]);
                }
                at += 2;
            } else if self.is_word(at, "SUBSET") && self.named(at + 1) && self.is(at + 2, &Token::Eq) {
                return Err(Error::unsupported("SUBSET is not supported")
                    .with_hint("name the variables one by one in MEASURES and DEFINE")
                    .at(span));
            } else if self.is_word(at, "WITHIN") && self.is_word(at + 1, "INTERVAL") {
                within = Some((at, span));
            } else if self.is_word(at, "DEFINE") && self.named(at + 1) && self.is_word(at + 2, "AS") {
                in_define = true;
                if let Some((from, place)) = within.take() {
                    self.skipped.extend(from..at);
                    let place = token_span(place);
                    let name = Token::make_word(match_pattern::WITHIN, Some('`'));
                    let mut tokens = vec![
                        TokenWithSpan::new(name, place),
                        TokenWithSpan::new(Token::make_keyword("AS"), place),
                    ];
                    tokens.extend(self.lexemes[from + 1..at].iter().map(Lexeme::with_span));
                    tokens.push(TokenWithSpan::new(Token::Comma, place));
                    self.inserted.insert(at, tokens);
                }
            } else if ["RUNNING", "FINAL"].iter().any(|w| self.is_word(at, w))
                && self.named(at + 1)
                && self.is(at + 2, &Token::LParen)
            {
                if in_define {
                    return Err(Error::plan("RUNNING and FINAL are only allowed in MEASURES").at(span));
                }
                // With one row per match the last row decides, in both.
                self.skipped.insert(at);
            }
            at += 1;
        }
        Ok(())
    }

    fn replace_type(&mut self, from: usize, to: usize, canonical: &str) {
        if let Some(span) = span_of(&self.lexemes[from..to]) {
            let carrier = Token::make_word(&format!("{TYPE_PREFIX}{canonical}"), Some('`'));
            self.replaced.insert(from, (carrier, span));
            self.skipped.extend(from + 1..to);
        }
    }

    /// The type of `CAST(x AS type)`, behind the last AS that belongs to it.
    fn cast(&mut self, open: usize) -> Result<()> {
        let Some(end) = self.close.get(&open).copied() else { return Ok(()) };
        let mut depth = 0usize;
        let mut behind = None;
        for i in open + 1..end {
            match &self.lexemes[i].token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
                _ if depth == 0 && self.is_word(i, "AS") => behind = Some(i + 1),
                _ => {}
            }
        }
        let Some(from) = behind else { return Ok(()) };
        // The parenthesis behind the type is kept in view, for the message when something else is found.
        let mut cursor = Cursor::new(self.text, &self.lexemes[from..=end]);
        let data_type = read_type(&mut cursor)?;
        if cursor.position() != end - from {
            return Err(cursor.expected("')'"));
        }
        self.replace_type(from, end, &data_type.to_string());
        Ok(())
    }

    /// Whether a query can start here: at the beginning, behind a set operation, in parentheses that are no call's.
    fn starts_query(&self, i: usize) -> bool {
        let Some(before) = i.checked_sub(1) else { return true };
        let set = ["UNION", "EXCEPT", "INTERSECT", "ALL", "DISTINCT"];
        if set.iter().any(|w| self.is_word(before, w)) {
            return true;
        }
        let words = [
            "IN",
            "EXISTS",
            "ANY",
            "SOME",
            "ALL",
            "AS",
            "FROM",
            "JOIN",
            "UNION",
            "EXCEPT",
            "INTERSECT",
            "WHERE",
            "AND",
            "OR",
            "NOT",
            "ON",
            "SELECT",
            "WHEN",
            "THEN",
            "ELSE",
            "LATERAL",
        ];
        self.is(before, &Token::LParen)
            && match before.checked_sub(1) {
                None => true,
                Some(at) if self.named(at) => words.iter().any(|w| self.is_word(at, w)),
                Some(_) => true,
            }
    }

    /// `VALUES 1, 2`
    fn plain_values(&mut self, i: usize) {
        const ENDS: &[&str] = &["UNION", "EXCEPT", "INTERSECT", "ORDER", "LIMIT", "OFFSET", "FETCH"];
        let mut at = i + 1;
        let mut start = at;
        let mut items = Vec::new();
        loop {
            let lexeme = self.lexemes.get(at);
            let ends = lexeme.is_none_or(|l| {
                l.is(&Token::RParen) || l.is(&Token::SemiColon) || ENDS.iter().any(|w| l.is_word(w))
            });
            if ends || self.is(at, &Token::Comma) {
                // `ROW (1, 2)` is a row, and no value of one column.
                let row = self.is_word(start, "ROW") && self.is(start + 1, &Token::LParen);
                if at == start || row && self.close.get(&(start + 1)).is_some_and(|end| end + 1 == at) {
                    return;
                }
                items.push((start, at - 1));
                start = at + 1;
            }
            if ends {
                break;
            }
            at = match lexeme {
                Some(l) if l.is(&Token::LParen) || l.is(&Token::LBracket) => {
                    self.close.get(&at).map_or(at, |end| *end) + 1
                }
                _ => at + 1,
            };
        }
        for (first, last) in items {
            self.opening.insert(first);
            self.closing.insert(last);
        }
    }

    fn starts_argument(&self, i: usize) -> bool {
        let starts = [Token::LParen, Token::Comma, Token::RArrow];
        i.checked_sub(1).is_some_and(|before| starts.iter().any(|s| self.is(before, s)))
    }

    fn named(&self, i: usize) -> bool {
        self.lexemes.get(i).is_some_and(|l| matches!(l.class, Class::Word | Class::Quoted))
    }

    /// `f(TABLE t, ...)`, `f(input => TABLE t PARTITION BY k)`
    fn table_argument(&mut self, i: usize) -> Result<()> {
        let mut at = i + 1;
        if !self.starts_argument(i) || !self.named(at) {
            return Ok(());
        }
        while self.is(at + 1, &Token::Period) && self.named(at + 2) {
            at += 2;
        }
        if self.lexemes.get(at + 1).is_some_and(|l| l.class == Class::Hint) {
            at += 1;
        }
        let last = self.argument_clauses(at)?;
        self.table_arguments.insert(i);
        self.closing.insert(last);
        Ok(())
    }

    /// `f((SELECT ...) PARTITION BY k)`
    pub(super) fn query_argument(&mut self, i: usize) -> Result<()> {
        let query = ["SELECT", "WITH", "VALUES"].iter().any(|w| self.is_word(i + 1, w));
        let Some(end) = self.close.get(&i).copied() else { return Ok(()) };
        if query && self.starts_argument(i) && self.is_word(end + 1, "PARTITION") {
            let last = self.argument_clauses(end)?;
            self.query_arguments.insert(i);
            self.closing.insert(last);
        }
        Ok(())
    }

    /// PARTITION BY and ORDER BY behind a table argument whose last lexeme is `at`; its new last lexeme.
    fn argument_clauses(&mut self, mut at: usize) -> Result<usize> {
        for (written, carrier) in [("PARTITION", "DISTRIBUTE"), ("ORDER", "SORT")] {
            if !(self.is_word(at + 1, written) && self.is_word(at + 2, "BY")) {
                continue;
            }
            let span = self.lexemes[at + 1].span;
            self.replaced.insert(at + 1, (Token::make_keyword(carrier), span));
            let first = at + 3;
            if self.is(first, &Token::LParen) {
                let Some(end) = self.close.get(&first).copied() else { return Ok(at) };
                if end == first + 1 {
                    return Err(Error::syntax(format!("{written} BY () names no column"))
                        .at(self.lexemes[first].span.union(self.lexemes[end].span)));
                }
                self.skipped.extend([first, end]);
                at = end;
                continue;
            }
            if !self.named(first) {
                let found = self.lexemes.get(first).map_or(span, |l| l.span);
                return Err(Error::syntax(format!("expected a column after {written} BY")).at(found));
            }
            at = first;
            let modifiers = ["ASC", "DESC"];
            loop {
                if written == "ORDER" && modifiers.iter().any(|m| self.is_word(at + 1, m)) {
                    at += 1;
                }
                // A name alone is one more column: the other arguments are calls, literals, or named.
                let next = at + 2;
                let more = self.is(at + 1, &Token::Comma)
                    && self.named(next)
                    && (self.is(next + 1, &Token::Comma)
                        || self.is(next + 1, &Token::RParen)
                        || self.is_word(next + 1, "ORDER")
                        || modifiers.iter().any(|m| self.is_word(next + 1, m)));
                if !more {
                    break;
                }
                at = next;
            }
        }
        Ok(at)
    }

    /// `MODEL m` of ML_PREDICT: its name as a text.
    fn model(&mut self, i: usize) {
        let mut at = i + 1;
        while self.is(at + 1, &Token::Period) && self.named(at + 2) {
            at += 2;
        }
        let Some(last) = self.lexemes.get(at) else { return };
        let name = match &last.token {
            Token::Word(word) => word.value.clone(),
            other => other.to_string(),
        };
        self.replaced.insert(at, (Token::SingleQuotedString(name), last.span));
        self.skipped.extend(i..at);
    }

    /// `LATERAL TABLE(f(x))`
    fn lateral(&mut self, i: usize) -> Result<()> {
        let open = i + 2;
        let end = self.close.get(&open).copied();
        let mut at = open + 1;
        while matches!(self.lexemes.get(at), Some(l) if matches!(l.class, Class::Word | Class::Quoted))
            && self.is(at + 1, &Token::Period)
        {
            at += 2;
        }
        let named = matches!(self.lexemes.get(at), Some(l) if matches!(l.class, Class::Word | Class::Quoted));
        let inner = self.close.get(&(at + 1)).copied();
        match (end, inner) {
            (Some(end), Some(inner))
                if named
                    && inner + 1 == end
                    && self.is(open, &Token::LParen)
                    && self.is(at + 1, &Token::LParen) =>
            {
                self.skipped.extend([i + 1, open, end]);
                Ok(())
            }
            _ => Err(Error::syntax("LATERAL TABLE needs the call of a table function")
                .at(self.lexemes.get(open + 1).map_or(self.lexemes[i].span, |l| l.span))
                .with_hint("write LATERAL TABLE(function(arguments)) AS t(columns)")),
        }
    }
}
