//! Short digests of texts: what identities and file names are made of.

use sha2::{Digest, Sha256};

/// The first 96 bits of a digest, as hex digits.
pub fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
