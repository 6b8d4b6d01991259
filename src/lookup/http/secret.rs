//! Secrets: taken from the environment, sent to the endpoint, shown to nobody.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// What stands in place of a secret.
const MASK: &str = "***";

/// Shorter texts cannot be kept apart from ordinary words, and no secret is that short.
const SHORTEST: usize = 4;

/// Reads environment variables; tests bring their own.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The texts that must not appear in messages.
#[derive(Clone, Default)]
pub(super) struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Adds one; the longest come first, so that a secret inside another leaves no rest of it.
    pub(super) fn add(&mut self, secret: &str) {
        let secret = secret.trim();
        if secret.len() >= SHORTEST && !self.0.iter().any(|s| s == secret) {
            self.0.push(secret.to_string());
            self.0.sort_by_key(|s| std::cmp::Reverse(s.len()));
        }
    }

    /// The text without secrets.
    pub(super) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = crate::secret::redact(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        text
    }
}

pub(super) use crate::catalog::ddl::is_sensitive_name;

/// A piece of a text with `${NAME}` in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// As written.
    Text(String),
    /// The value of an environment variable.
    Environment(String),
}

/// Cuts a text at its `${NAME}`s and puts the values in.
pub(super) fn expand(text: &str, environment: Environment<'_>) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let Some(length) = rest[at + 2..].find('}') else {
            return Err(
                Error::option("'${' has no '}'").with_hint("write ${NAME} for an environment variable")
            );
        };
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_string()));
        }
        let name = &rest[at + 2..at + 2 + length];
        let value = environment(name).ok_or_else(|| {
            Error::option(format!("environment variable '{name}' is not set"))
                .with_hint(format!("export {name}=... before the start"))
        })?;
        crate::secret::note(name, &value);
        pieces.push(Piece::Environment(value));
        rest = &rest[at + 3 + length..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_string()));
    }
    Ok(pieces)
}

/// As [`expand`], joined, the values noted as secrets.
pub(super) fn expand_secret(
    text: &str,
    environment: Environment<'_>,
    secrets: &mut Secrets,
) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    for piece in expand(text, environment)? {
        match piece {
            Piece::Text(text) => out.push_str(&text),
            Piece::Environment(value) => {
                secrets.add(&value);
                out.push_str(&value);
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn values_come_from_the_environment_and_are_masked() {
        let environment = |name: &str| (name == "API_KEY").then(|| "s3cr3t-value".to_string());
        let mut secrets = Secrets::default();
        let text = expand_secret("Bearer ${API_KEY}!", &environment, &mut secrets).unwrap();
        assert_eq!(text, "Bearer s3cr3t-value!");
        assert_eq!(secrets.redact("echo s3cr3t-value"), "echo ${API_KEY}");
        assert_eq!(format!("{secrets:?}"), "Secrets(1)");
        let e = expand("${NOT_THERE}", &environment).unwrap_err();
        assert_eq!(e.message(), "environment variable 'NOT_THERE' is not set");
        assert!(expand("${OPEN", &environment).is_err());
    }

    #[test]
    fn a_secret_within_a_secret_leaves_no_rest() {
        let mut secrets = Secrets::default();
        secrets.add("user");
        secrets.add("user:password");
        assert_eq!(secrets.redact("I am user:password"), "I am ***");
    }
}
