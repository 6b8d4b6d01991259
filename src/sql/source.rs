//! A script's text with its name, for messages.

use std::sync::Arc;

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
}
