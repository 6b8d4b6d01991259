//! A script's text with its name, for messages.

use std::ops::Range;
use std::sync::Arc;

use super::{Position, Span};

/// Text that statements come from.
#[derive(Debug, Clone)]
pub struct SourceText {
    /// File name, `<shell>`, `-c`, ...
    pub name: Arc<str>,
    /// The text.
    pub text: Arc<str>,
    /// Bytes that are the values of variables, with their names, in order.
    variables: Arc<[(Range<usize>, String)]>,
}

impl SourceText {
    /// A named text.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), variables: Arc::default() }
    }

    /// The same text, of which these bytes are the values of variables.
    pub(crate) fn with_variables(self, variables: Vec<(Range<usize>, String)>) -> Self {
        Self { variables: variables.into(), ..self }
    }

    /// Whether it holds values of variables.
    pub(crate) fn has_variables(&self) -> bool {
        !self.variables.is_empty()
    }

    /// A place as it was written, `${NAME}` for the value of a variable; `None` when there is none in it.
    pub(crate) fn written(&self, span: Span) -> Option<String> {
        let range = self.range(span);
        let (mut out, mut copied) = (String::new(), range.start);
        let inside = |r: &Range<usize>| r.start >= range.start && r.end <= range.end;
        for (value, name) in self.variables.iter().filter(|(r, _)| inside(r)) {
            out.push_str(self.text.get(copied..value.start)?);
            out.push_str("${");
            out.push_str(name);
            out.push('}');
            copied = value.end;
        }
        if copied == range.start && out.is_empty() {
            return None;
        }
        out.push_str(self.text.get(copied..range.end)?);
        Some(out)
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
