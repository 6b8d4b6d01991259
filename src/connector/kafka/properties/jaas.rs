//! `sasl.jaas.config`, as users of Java's client write it.

use crate::error::{Error, Result};

/// `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Jaas {
    /// The class without its package, which may be a shaded one.
    pub(super) module: String,
    pub(super) options: Vec<(String, String)>,
}

impl Jaas {
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn parse(text: &str) -> Result<Self> {
        // The text is a secret: nothing of it is shown.
        let wrong = |what: &str| {
            Error::option(format!("option 'properties.sasl.jaas.config': {what}")).with_hint(
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"...\" password=\"...\";",
            )
        };
        let text = text.trim();
        let text = text.strip_suffix(';').ok_or_else(|| wrong("it does not end with ';'"))?;
        let (class, rest) = text
            .split_once(char::is_whitespace)
            .ok_or_else(|| wrong("a login module and 'required' are expected"))?;
        let rest = rest.trim_start();
        let (flag, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if !flag.eq_ignore_ascii_case("required") {
            return Err(wrong("'required' is expected after the login module"));
        }
        let module = class.rsplit('.').next().unwrap_or_default().to_string();
        let mut options = Vec::new();
        let mut chars = rest.chars().peekable();
        loop {
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.peek().is_none() {
                break;
            }
            let mut name = String::new();
            while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_whitespace()) {
                name.push(c);
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            if chars.next() != Some('=') {
                return Err(wrong("an option is written name=\"value\""));
            }
            while chars.next_if(|c| c.is_whitespace()).is_some() {}
            let quote = chars.next_if(|c| matches!(c, '"' | '\''));
            let mut value = String::new();
            match quote {
                Some(quote) => loop {
                    match chars.next() {
                        Some('\\') => value.extend(chars.next()),
                        Some(c) if c == quote => break,
                        Some(c) => value.push(c),
                        None => return Err(wrong("a quotation mark is missing")),
                    }
                },
                None => {
                    while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
                        value.push(c);
                    }
                }
            }
            options.push((name, value));
        }
        Ok(Self { module, options })
    }
}
