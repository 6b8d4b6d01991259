//! A script's text with its name, for messages.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Position, Span};

/// Text that statements come from.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// File name, `<shell>`, `-c`, ...
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

impl SourceText {
    /// A named text.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The bytes of a place. What lies outside of the text is moved to its nearest edge.
    pub fn range(&self, span: Span) -> Range<usize> {
        let start = self.offset(span.start);
        start..self.offset(span.end).max(start)
    }

    fn offset(&self, position: Position) -> usize {
        let mut from = 0;
        for _ in 1..position.line {
            match self.text[from..].find('\n') {
                Some(length) => from += length + 1,
                None => return self.text.len(),
            }
        }
        let line = self.text[from..].split('\n').next().unwrap_or_default();
        let columns = position.column.saturating_sub(1) as usize;
        from + line.char_indices().nth(columns).map_or(line.len(), |(i, _)| i)
    }
}
