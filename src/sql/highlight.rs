//! What a shell wants of the lexer: colours, completion words, and whether a statement is finished.

use std::ops::Range;

use sqlparser::tokenizer::Token;

use super::lexer::{Class, lex};
use super::parse::{cut, significant};

/// What a piece of a line is, for colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenClass {
    /// A word of the language.
    Keyword,
    /// A name.
    Identifier,
    /// A string literal, also one that is still open.
    String,
    /// A number.
    Number,
    /// A comment or hint.
    Comment,
    /// An operator or punctuation.
    Operator,
}

/// Keywords, for completion and colours; in order.
pub const KEYWORDS: &[&str] = &[
    "ALL",
    "ANALYZE",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BEGIN",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BY",
    "BYTES",
    "CACHE",
    "CACHES",
    "CASE",
    "CAST",
    "CATALOG",
    "CATALOGS",
    "CHANGELOG_MODE",
    "CHAR",
    "CLEAR",
    "COLUMNS",
    "COMMENT",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CUBE",
    "CURRENT",
    "DATABASE",
    "DATABASES",
    "DATE",
    "DAY",
    "DECIMAL",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "ENFORCED",
    "ESCAPE",
    "ESTIMATED_COST",
    "EXCEPT",
    "EXCLUDING",
    "EXECUTE",
    "EXISTS",
    "EXIT",
    "EXPLAIN",
    "FALSE",
    "FETCH",
    "FILTER",
    "FIRST",
    "FLOAT",
    "FOLLOWING",
    "FOR",
    "FROM",
    "FULL",
    "FUNCTIONS",
    "GENERATED",
    "GROUP",
    "GROUPING",
    "HAVING",
    "HELP",
    "HOUR",
    "IF",
    "ILIKE",
    "IN",
    "INCLUDING",
    "INNER",
    "INSERT",
    "INT",
    "INTERSECT",
    "INTERVAL",
    "INTO",
    "IS",
    "JOB",
    "JOBS",
    "JOIN",
    "JSON_EXECUTION_PLAN",
    "KEY",
    "LAST",
    "LATERAL",
    "LEFT",
    "LIKE",
    "LIMIT",
    "LOCAL",
    "LOOKUP",
    "MAP",
    "METADATA",
    "MINUTE",
    "MONTH",
    "MULTISET",
    "NATURAL",
    "NOT",
    "NULL",
    "NULLS",
    "OF",
    "OFFSET",
    "ON",
    "OPTIONS",
    "OR",
    "ORDER",
    "ORDINALITY",
    "OUTER",
    "OVER",
    "OVERWRITE",
    "OVERWRITING",
    "PARTITION",
    "PARTITIONED",
    "PLAN",
    "PLAN_ADVICE",
    "PRECEDING",
    "PRIMARY",
    "QUALIFY",
    "QUIT",
    "RANGE",
    "RESET",
    "RIGHT",
    "ROLLUP",
    "ROW",
    "ROWS",
    "SECOND",
    "SELECT",
    "SET",
    "SETS",
    "SHOW",
    "SIMILAR",
    "SMALLINT",
    "STATEMENT",
    "STOP",
    "STRING",
    "SUMMARIZE",
    "SYSTEM_TIME",
    "TABLE",
    "TABLES",
    "TEMPORARY",
    "THEN",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TINYINT",
    "TO",
    "TRUE",
    "TRY_CAST",
    "UNBOUNDED",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "VARBINARY",
    "VARCHAR",
    "VIEW",
    "VIEWS",
    "VIRTUAL",
    "WARM",
    "WATERMARK",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
    "WITHIN",
    "WITHOUT",
    "YEAR",
    "ZONE",
];

/// Classes of the pieces of a text, in order; white space belongs to none.
pub fn highlight(line: &str) -> Vec<(Range<usize>, TokenClass)> {
    lex(line)
        .into_iter()
        .filter_map(|lexeme| {
            let class = match lexeme.class {
                Class::Word => {
                    let upper = lexeme.word()?.to_ascii_uppercase();
                    match KEYWORDS.binary_search(&upper.as_str()) {
                        Ok(_) => TokenClass::Keyword,
                        Err(_) => TokenClass::Identifier,
                    }
                }
                Class::Quoted => TokenClass::Identifier,
                Class::Text => TokenClass::String,
                Class::Number => TokenClass::Number,
                Class::Symbol => TokenClass::Operator,
                Class::Comment | Class::Hint => TokenClass::Comment,
                Class::Bad(..) => match line.get(lexeme.range.clone())?.chars().next()? {
                    '/' => TokenClass::Comment,
                    '`' => TokenClass::Identifier,
                    '\'' | '"' | 'x' | 'X' | 'u' | 'U' => TokenClass::String,
                    _ => TokenClass::Operator,
                },
            };
            Some((lexeme.range, class))
        })
        .collect()
}

/// Whether a text ends with a finished statement: a semicolon outside of quotes, comments and statement sets.
pub fn is_complete(text: &str) -> bool {
    let lexemes = significant(text);
    let ends = lexemes.last().is_some_and(|l| l.is(&Token::SemiColon));
    ends && cut(&lexemes).last().is_some_and(|piece| piece.closed)
}
