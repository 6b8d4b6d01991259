//! What a statement of the log does: to the transaction, and to the table that is watched.
//!
//! Statements are cut into words; comments, texts and `SET STATEMENT ... FOR` fall out. Where it is not clear whether a
//! statement concerns the table, it does.

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    Nothing,
    Begin,
    Commit,
    Rollback,
    Savepoint(String),
    RollbackTo(String),
    /// The end of an XA transaction that was prepared before.
    Decided,
    /// The table may look different from here on.
    Altered,
    /// All of its rows went.
    Truncated,
    /// Rows went or came which are not in the log.
    Replaced,
    /// Its rows were changed, and the statement was logged instead of them.
    Written,
}

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
    Text,
}

/// Cuts a statement. What stands in `/*! ... */` counts, as for the server.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    // Up to a quote that is not doubled or behind a backslash, and what follows it.
    let quoted = |rest: &str, quote: char| -> (String, usize) {
        let mut inner = String::new();
        let mut characters = rest.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            match c {
                '\\' if quote != '`' => inner.extend(characters.next().map(|(_, c)| c)),
                c if c == quote => match characters.peek() {
                    Some((_, next)) if *next == quote => {
                        characters.next();
                        inner.push(quote);
                    }
                    _ => return (inner, at + c.len_utf8()),
                },
                c => inner.push(c),
            }
        }
        (inner, rest.len())
    };
    while let Some(c) = rest.chars().next() {
        let behind = &rest[c.len_utf8()..];
        let spaced = |text: &str| text.chars().next().is_none_or(char::is_whitespace);
        if let Some(comment) = rest.strip_prefix("/*") {
            let code = comment.strip_prefix("M!").or_else(|| comment.strip_prefix('!'));
            rest = match code {
                Some(code) => code.trim_start_matches(|c: char| c.is_ascii_digit()),
                None => comment.split_once("*/").map_or("", |(_, rest)| rest),
            };
            continue;
        }
        if let Some(code) = rest.strip_prefix("*/") {
            rest = code;
            continue;
        }
        if c == '#' || rest.strip_prefix("--").is_some_and(spaced) {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
            continue;
        }
        match c {
            // Double quotes are those of a name in some modes.
            '`' | '"' => {
                let (name, end) = quoted(behind, c);
                tokens.push(Token::Quoted(name.to_lowercase()));
                rest = &behind[end..];
            }
            '\'' => {
                let (_, end) = quoted(behind, c);
                tokens.push(Token::Text);
                rest = &behind[end..];
            }
            c if c.is_alphanumeric() || c == '_' || c == '$' => {
                let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'));
                let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                tokens.push(Token::Word(word.to_lowercase()));
                rest = after;
            }
            c if c.is_whitespace() => rest = behind,
            c => {
                tokens.push(Token::Sign(c));
                rest = behind;
            }
        }
    }
    tokens
}

/// The rest of a statement.
struct Cursor<'a> {
    tokens: &'a [Token],
    /// The database of the session, and the table that is meant.
    schema: String,
    database: String,
    table: String,
}

impl<'a> Cursor<'a> {
    fn word(&self, at: usize) -> &'a str {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => word,
            _ => "",
        }
    }

    fn skip(&mut self, count: usize) {
        self.tokens = self.tokens.get(count..).unwrap_or_default();
    }

    /// Skips these words; whether they were there.
    fn takes(&mut self, words: &[&str]) -> bool {
        let there = words.iter().enumerate().all(|(at, word)| self.word(at) == *word);
        if there {
            self.skip(words.len());
        }
        there
    }

    fn one_of(&mut self, words: &[&str]) -> bool {
        words.iter().any(|word| self.takes(&[word]))
    }

    fn name_at(&self, at: usize) -> Option<&'a str> {
        match self.tokens.get(at)? {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            _ => None,
        }
    }

    /// Whether the name of the table stands at a place.
    fn ours_at(&self, at: usize) -> bool {
        let dotted = |at: usize| self.tokens.get(at) == Some(&Token::Sign('.'));
        if at > 1 && dotted(at - 1) {
            return self.name_at(at) == Some(&self.table)
                && self.name_at(at - 2) == Some(&self.database)
                && !dotted(at + 1);
        }
        match self.name_at(at) {
            Some(first) if dotted(at + 1) => {
                first == self.database && self.name_at(at + 2) == Some(&self.table)
            }
            Some(name) => name == self.table && self.schema == self.database,
            None => false,
        }
    }

    /// Whether it stands anywhere.
    fn mentions(&self) -> bool {
        (0..self.tokens.len()).any(|at| self.ours_at(at))
    }

    /// Behind a name.
    fn skip_name(&mut self) {
        let dotted = self.tokens.get(1) == Some(&Token::Sign('.'));
        self.skip(if dotted { 3 } else { 1 });
    }

    /// Whether two words follow each other anywhere.
    fn has(&self, first: &[&str], second: &[&str]) -> bool {
        (0..self.tokens.len()).any(|at| first.contains(&self.word(at)) && second.contains(&self.word(at + 1)))
    }

    fn altered(&mut self) -> Effect {
        let mut loses = false;
        loop {
            match self.word(0) {
                "online" | "offline" => self.skip(1),
                // Rows that are double go.
                "ignore" => {
                    loses = true;
                    self.skip(1);
                }
                _ => break,
            }
        }
        if !self.takes(&["table"]) {
            return Effect::Nothing;
        }
        self.takes(&["if", "exists"]);
        let ours = self.ours_at(0);
        self.skip_name();
        let moves = self.has(
            &["drop", "truncate", "exchange", "discard", "import", "convert"],
            &["partition", "tablespace", "table"],
        );
        let renames = (0..self.tokens.len()).any(|at| {
            self.word(at) == "rename"
                && !["column", "index", "key", "constraint"].contains(&self.word(at + 1))
        });
        match ours {
            true if loses || moves || renames => Effect::Replaced,
            true => Effect::Altered,
            false if (moves || renames) && self.mentions() => Effect::Replaced,
            false => Effect::Nothing,
        }
    }

    fn dropped(&mut self) -> Effect {
        if self.one_of(&["table", "tables"]) {
            return if self.mentions() { Effect::Replaced } else { Effect::Nothing };
        }
        if self.one_of(&["database", "schema"]) {
            self.takes(&["if", "exists"]);
            let ours = self.name_at(0) == Some(&self.database);
            return if ours { Effect::Replaced } else { Effect::Nothing };
        }
        match self.word(0) {
            "index" if self.mentions() => Effect::Altered,
            _ => Effect::Nothing,
        }
    }

    fn created(&mut self) -> Effect {
        let replaces = self.takes(&["or", "replace"]);
        if self.takes(&["table"]) {
            self.takes(&["if", "not", "exists"]);
            return match self.ours_at(0) {
                true if replaces => Effect::Replaced,
                true => Effect::Altered,
                false => Effect::Nothing,
            };
        }
        if replaces && self.one_of(&["database", "schema"]) {
            let ours = self.name_at(0) == Some(&self.database);
            return if ours { Effect::Replaced } else { Effect::Nothing };
        }
        let index = (0..4).any(|at| self.word(at) == "index");
        if index && self.mentions() { Effect::Altered } else { Effect::Nothing }
    }

    fn effect(&mut self) -> Effect {
        // SET STATEMENT max_statement_time = 1 FOR DELETE ...
        while self.takes(&["set", "statement"]) {
            let Some(at) = (0..self.tokens.len()).find(|at| self.word(*at) == "for") else {
                return Effect::Nothing;
            };
            self.skip(at + 1);
        }
        let first = self.word(0);
        self.skip(1);
        let when = |mentioned: bool, effect: Effect| if mentioned { effect } else { Effect::Nothing };
        match first {
            "begin" => Effect::Begin,
            "start" if self.word(0) == "transaction" => Effect::Begin,
            "commit" => Effect::Commit,
            "savepoint" => Effect::Savepoint(self.name_at(0).unwrap_or_default().to_string()),
            "rollback" => {
                self.takes(&["work"]);
                match self.takes(&["to"]) {
                    true => {
                        // A savepoint may be called so, too.
                        if self.tokens.len() > 1 {
                            self.takes(&["savepoint"]);
                        }
                        Effect::RollbackTo(self.name_at(0).unwrap_or_default().to_string())
                    }
                    false => Effect::Rollback,
                }
            }
            "xa" => match self.word(0) {
                "start" | "begin" => Effect::Begin,
                "commit" | "rollback" => Effect::Decided,
                _ => Effect::Nothing,
            },
            "truncate" => {
                self.takes(&["table"]);
                when(self.ours_at(0), Effect::Truncated)
            }
            "alter" => self.altered(),
            "drop" => self.dropped(),
            "create" => self.created(),
            "rename" => when(self.mentions(), Effect::Replaced),
            "insert" | "update" | "delete" | "replace" | "load" | "with" => {
                when(self.mentions(), Effect::Written)
            }
            "" | "release" | "grant" | "revoke" | "analyze" | "optimize" | "repair" | "check" | "flush"
            | "set" => Effect::Nothing,
            _ => when(self.mentions(), Effect::Altered),
        }
    }
}

/// What a statement does to the transaction and to a table. `schema`: the database of the session.
pub(super) fn effect(text: &str, schema: &str, database: &str, table: &str) -> Effect {
    let tokens = tokens(text);
    let mut cursor = Cursor {
        tokens: &tokens,
        schema: schema.to_lowercase(),
        database: database.to_lowercase(),
        table: table.to_lowercase(),
    };
    cursor.effect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Effect {
        effect(text, "db", "db", "or-der")
    }

    #[test]
    fn comments_and_quotes_hide_nothing() {
        for text in [
            "TRUNCATE TABLE `or-der`",
            "/* ApplicationName=DBeaver */ TRUNCATE TABLE `or-der`",
            "-- a word\n truncate `OR-der` # so",
            "/*!50000 TRUNCATE */ TABLE db.`or-der`",
            "/*M!100100 TRUNCATE*/ `db`.`or-der`",
            "SET STATEMENT max_statement_time = 1, sql_mode = 'for' FOR TRUNCATE `or-der`",
            "truncate \"or-der\"",
        ] {
            assert_eq!(of(text), Effect::Truncated, "{text}");
        }
        for text in [
            "TRUNCATE other.`or-der`",
            "TRUNCATE `or`",
            "TRUNCATE t /* `or-der` */",
            "INSERT INTO t VALUES ('`or-der`', 'it''s', 'a\\'`or-der`')",
        ] {
            assert_eq!(of(text), Effect::Nothing, "{text}");
        }
        assert_eq!(effect("TRUNCATE `or-der`", "other", "db", "or-der"), Effect::Nothing);
        assert_eq!(effect("TRUNCATE db.`or-der`", "other", "db", "or-der"), Effect::Truncated);
        assert_eq!(of("SET STATEMENT a = 1 FOR DELETE FROM `or-der`"), Effect::Written);
        assert_eq!(of("UPDATE x, db.`or-der` SET a = 1"), Effect::Written);
        // Never cut inside of a character, and no end is needed.
        for text in ["/* ä", "'ä", "`ä", "ä\\", "'ä\\", "--", "#"] {
            assert_eq!(of(text), Effect::Nothing, "{text}");
        }
    }

    #[test]
    fn rows_that_go_without_being_logged_are_seen() {
        for text in [
            "ALTER TABLE `or-der` TRUNCATE PARTITION p1",
            "/* x */ ALTER TABLE `or-der` DROP PARTITION IF EXISTS p1",
            "ALTER TABLE `or-der` EXCHANGE PARTITION p WITH TABLE t",
            "ALTER TABLE t EXCHANGE PARTITION p WITH TABLE `or-der`",
            "ALTER TABLE `or-der` DISCARD TABLESPACE",
            "ALTER IGNORE TABLE `or-der` ADD UNIQUE (a)",
            "ALTER TABLE `or-der` RENAME TO x",
            "ALTER TABLE x RENAME `or-der`",
            "CREATE OR REPLACE TABLE `or-der` (a INT)",
            "DROP TABLE IF EXISTS a, db.`or-der` /* generated by server */",
            "DROP DATABASE db",
            "RENAME TABLE `or-der` TO old, new TO `or-der`",
        ] {
            assert_eq!(of(text), Effect::Replaced, "{text}");
        }
        for text in [
            "ALTER TABLE `or-der` DROP COLUMN a, ADD c INT",
            "ALTER ONLINE TABLE IF EXISTS `or-der` RENAME COLUMN a TO b",
            "CREATE TABLE `or-der` (a INT)",
            "CREATE UNIQUE INDEX i ON `or-der` (a)",
            "FROBNICATE `or-der`",
        ] {
            assert_eq!(of(text), Effect::Altered, "{text}");
        }
        for text in [
            "DROP TEMPORARY TABLE `or-der`",
            "CREATE TEMPORARY TABLE `or-der` (a INT)",
            "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES `or-der` (a)",
            "DROP DATABASE other",
            "DROP TABLE other.`or-der`",
            "GRANT SELECT ON `or-der` TO x",
        ] {
            assert_eq!(of(text), Effect::Nothing, "{text}");
        }
    }

    #[test]
    fn transactions_are_told() {
        assert_eq!(of("BEGIN"), Effect::Begin);
        assert_eq!(of("/* x */ rollback"), Effect::Rollback);
        assert_eq!(of("ROLLBACK TO `S1`"), Effect::RollbackTo("s1".into()));
        assert_eq!(of("ROLLBACK WORK TO SAVEPOINT s1"), Effect::RollbackTo("s1".into()));
        assert_eq!(of("SAVEPOINT `S1`"), Effect::Savepoint("s1".into()));
        assert_eq!(of("XA START X'61',X'',1"), Effect::Begin);
        assert_eq!(of("XA ROLLBACK X'61',X'',1"), Effect::Decided);
    }
}
