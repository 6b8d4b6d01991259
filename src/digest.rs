//! Short digests of texts: what identities and file names are made of.

use sha2::{Digest, Sha256};

/// The first 96 bits of a digest, as hex digits.
pub fn digest(text: &str) -> String {
    digest_bytes(text.as_bytes())
}

/// The same of bytes.
pub fn digest_bytes(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
