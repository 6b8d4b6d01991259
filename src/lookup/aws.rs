//! Signatures of AWS requests, version 4 (AWS General Reference, *Signing AWS API requests*).
//!
//! ```text
//!  request ── canonical form ── SHA-256 ──┐
//!  time/region/service ───────────────────┴─ string to sign ── HMAC with a key derived from the secret ── header
//! ```
//! The secret itself is never sent. A signature holds for a few minutes, so that each attempt is signed anew.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use url::Url;

use crate::error::{Error, Result};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whose requests they are.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    /// Of temporary credentials.
    pub(crate) session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Signs requests to one service in one region.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) credentials: Credentials,
    pub(crate) region: String,
    pub(crate) service: String,
}

impl Signer {
    /// Adds the headers that make it a signed request: `x-amz-date`, `x-amz-security-token`, `authorization`. The
    /// headers that are there are signed as far as they are `host`, `content-type` or begin with `x-amz-`: proxies may
    /// change others.
    pub(crate) fn sign(
        &self,
        method: &str,
        url: &Url,
        headers: &mut HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let date = now.format("%Y%m%d").to_string();
        headers.remove(AUTHORIZATION);
        headers.insert(HeaderName::from_static("x-amz-date"), value(&time)?);
        if let Some(token) = &self.credentials.session_token {
            let mut token = value(token)?;
            token.set_sensitive(true);
            headers.insert(HeaderName::from_static("x-amz-security-token"), token);
        }
        let (canonical, signed) = self.canonical(method, url, headers, body)?;
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
        let mut key = hmac(format!("AWS4{}", self.credentials.secret_key).as_bytes(), date.as_bytes());
        for part in [self.region.as_str(), self.service.as_str(), "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        let signature = hex(&hmac(&key, text.as_bytes()));
        let access = &self.credentials.access_key;
        let mut header = value(&format!(
            "{ALGORITHM} Credential={access}/{scope}, SignedHeaders={signed}, Signature={signature}"
        ))?;
        header.set_sensitive(true);
        headers.insert(AUTHORIZATION, header);
        Ok(())
    }

    /// The canonical request, and the names of its headers.
    fn canonical(
        &self,
        method: &str,
        url: &Url,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(String, String)> {
        let host = url.host_str().ok_or_else(|| Error::internal("a signed request without a host"))?;
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let mut named: Vec<(String, String)> = vec![("host".into(), host)];
        for name in headers.keys().filter(|n| *n == "content-type" || n.as_str().starts_with("x-amz-")) {
            let values =
                headers.get_all(name).iter().map(|v| trimmed(&String::from_utf8_lossy(v.as_bytes())));
            named.push((name.to_string(), values.collect::<Vec<_>>().join(",")));
        }
        named.sort();
        let mut query: Vec<(String, String)> =
            url.query_pairs().map(|(name, value)| (encoded(&name, false), encoded(&value, false))).collect();
        query.sort();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        // The path is encoded as it is sent, and once more, for every service but S3.
        let path = match self.service.as_str() {
            "s3" => url.path().to_string(),
            _ => encoded(url.path(), true),
        };
        let mut text = format!("{method}\n{path}\n{}\n", query.join("&"));
        for (name, value) in &named {
            let _ = writeln!(text, "{name}:{value}");
        }
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let _ = write!(text, "\n{names}\n{}", hex(&Sha256::digest(body)));
        Ok((text, names))
    }
}

fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text)
        .map_err(|_| Error::option("a credential holds characters that a header cannot carry"))
}

/// Without spaces at the ends, and with single ones inside.
fn trimmed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn encoded(text: &str, is_path: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            b'/' if is_path => out.push('/'),
            byte => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn signer() -> Signer {
        Signer {
            credentials: Credentials {
                access_key: "AKIDEXAMPLE".into(),
                secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
                session_token: None,
            },
            region: "us-east-1".into(),
            service: "service".into(),
        }
    }

    /// The signature of a request of AWS's test suite for signature version 4.
    fn signature(
        signer: &Signer,
        method: &str,
        url: &str,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let now = DateTime::parse_from_rfc3339("2015-08-30T12:36:00Z").unwrap().to_utc();
        signer.sign(method, &Url::parse(url).unwrap(), &mut map, body.as_bytes(), now).unwrap();
        let header = map[AUTHORIZATION].to_str().unwrap().to_string();
        header.rsplit_once("Signature=").unwrap().1.to_string()
    }

    #[test]
    fn the_test_suite_of_aws() {
        for (method, url, headers, body, expected) in [
            (
                "GET",
                "https://example.amazonaws.com/",
                &[][..],
                "",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "GET",
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                &[],
                "",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "GET",
                "https://example.amazonaws.com/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
                &[],
                "",
                "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
            ),
            (
                "POST",
                "https://example.amazonaws.com/",
                &[],
                "",
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "POST",
                "https://example.amazonaws.com/",
                &[("content-type", "application/x-www-form-urlencoded")],
                "Param1=value1",
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            assert_eq!(signature(&signer(), method, url, headers, body), expected, "{method} {url}");
        }
        // The worked example of the documentation.
        let iam = Signer { service: "iam".into(), ..signer() };
        let form = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        assert_eq!(
            signature(&iam, "GET", url, &form, ""),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
    }

    #[test]
    fn hmacs_are_those_of_rfc_4231() {
        assert_eq!(
            hex(&hmac(&[0x0b; 20], b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex(&hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_session_token_is_signed_and_the_secret_is_not_sent() {
        let mut signer = signer();
        let without = signature(&signer, "GET", "https://example.amazonaws.com/", &[], "");
        signer.credentials.session_token = Some("token".into());
        let mut headers = HeaderMap::new();
        let url = Url::parse("https://example.amazonaws.com:8443/a%20b").unwrap();
        let now = DateTime::parse_from_rfc3339("2015-08-30T12:36:00Z").unwrap().to_utc();
        signer.sign("GET", &url, &mut headers, b"", now).unwrap();
        let header = headers[AUTHORIZATION].to_str().unwrap();
        assert!(header.contains("SignedHeaders=host;x-amz-date;x-amz-security-token"), "{header}");
        assert!(!header.contains("wJalr") && !header.ends_with(&without));
        assert!(!format!("{signer:?}").contains("wJalr"));
    }
}
