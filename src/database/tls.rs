//! TLS with a database: whether it is wanted, and what is checked.

use std::path::PathBuf;
#[cfg(feature = "postgres")]
use std::sync::Arc;

#[cfg(feature = "postgres")]
use rustls::client::WebPkiServerVerifier;
#[cfg(feature = "postgres")]
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
#[cfg(feature = "postgres")]
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
#[cfg(feature = "postgres")]
use rustls::pki_types::pem::PemObject;
#[cfg(feature = "postgres")]
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
#[cfg(feature = "postgres")]
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::JdbcUrl;
use crate::error::{Error, Result};

/// How much is asked of TLS, in libpq's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// None.
    Disable,
    /// If the server has it; not checked.
    Prefer,
    /// Not checked.
    Require,
    /// By an authority that is known.
    VerifyCa,
    /// By an authority that is known, for this host.
    VerifyFull,
}

/// TLS as a URL has it.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) mode: Mode,
    /// PEM file of authorities instead of the machine's.
    pub(crate) roots: Option<PathBuf>,
    /// PEM files of our certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
}

impl Tls {
    /// By `sslmode`, `ssl`, `sslrootcert`, `sslcert` and `sslkey` of PostgreSQL's driver.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(url: &JdbcUrl) -> Result<Self> {
        let of = |name: &str| url.parameters.get(name).map(String::as_str);
        let file = |name: &str| of(name).map(PathBuf::from);
        let roots = file("sslrootcert");
        let mode = match (of("sslmode"), of("ssl")) {
            (Some("disable"), _) | (None, Some("false")) => Mode::Disable,
            // With authorities, `require` checks them, as libpq does.
            (Some("require"), _) if roots.is_some() => Mode::VerifyCa,
            (Some("require"), _) => Mode::Require,
            (Some("verify-ca"), _) => Mode::VerifyCa,
            (Some("verify-full"), _) | (None, Some(_)) => Mode::VerifyFull,
            (Some("prefer" | "allow") | None, _) => Mode::Prefer,
            (Some(other), _) => {
                return Err(unknown("sslmode", other, "disable, prefer, require, verify-ca, verify-full"));
            }
        };
        Ok(Self { mode, roots, identity: identity(file("sslcert"), file("sslkey"))? })
    }

    /// By `sslMode` of the drivers of MySQL and MariaDB, and their older words.
    #[cfg(feature = "mysql")]
    pub(crate) fn mysql(url: &JdbcUrl) -> Result<Self> {
        let of = |name: &str| url.parameters.get(name).map(String::as_str);
        let file = |name: &str| of(name).map(PathBuf::from);
        let word = of("sslMode").map(|word| word.to_ascii_lowercase().replace('_', "-"));
        let yes = |name: &str| of(name).map(|text| text.eq_ignore_ascii_case("true"));
        let roots = file("serverSslCert");
        let mode = match word.as_deref() {
            Some("disabled" | "disable") => Mode::Disable,
            Some("preferred") => Mode::Prefer,
            Some("required" | "trust") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-identity" | "verify-full") => Mode::VerifyFull,
            Some(other) => {
                return Err(unknown(
                    "sslMode",
                    other,
                    "DISABLED, PREFERRED, REQUIRED, VERIFY_CA, VERIFY_IDENTITY",
                ));
            }
            None if yes("useSSL") == Some(false) => Mode::Disable,
            None if yes("verifyServerCertificate") == Some(true) => Mode::VerifyCa,
            None if yes("requireSSL").or(yes("useSSL")) == Some(true) => Mode::Require,
            // What speaks to this machine alone needs none; the client cannot fall back by itself.
            None => Mode::Prefer,
        };
        Ok(Self { mode, roots, identity: None })
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn client_config(&self) -> Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::internal(format!("TLS cannot be set up: {e}")))?;
        let checks = matches!(self.mode, Mode::VerifyCa | Mode::VerifyFull);
        let verifier: Arc<dyn ServerCertVerifier> = if checks {
            let roots = Arc::new(self.root_store()?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
                .build()
                .map_err(|e| Error::option(format!("option 'url': the authorities cannot be used: {e}")))?;
            match self.mode {
                Mode::VerifyCa => Arc::new(Lenient { provider, authority: Some(verifier) }),
                _ => verifier,
            }
        } else {
            Arc::new(Lenient { provider, authority: None })
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.identity else { return Ok(builder.with_no_client_auth()) };
        let wrong = |what: &str, path: &PathBuf, e: &dyn std::fmt::Display| {
            Error::option(format!("option 'url': {what} '{}' cannot be used: {e}", path.display()))
                .with_hint("a PEM file")
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| wrong("sslcert", certificate, &e))?;
        let secret = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong("sslkey", key, &e))?;
        builder.with_client_auth_cert(chain, secret).map_err(|e| wrong("sslcert", certificate, &e))
    }

    #[cfg(feature = "postgres")]
    fn root_store(&self) -> Result<RootCertStore> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(path) => {
                let wrong = |e: &dyn std::fmt::Display| {
                    Error::option(format!(
                        "option 'url': sslrootcert '{}' cannot be used: {e}",
                        path.display()
                    ))
                    .with_hint("a PEM file of certificates")
                };
                for certificate in CertificateDer::pem_file_iter(path).map_err(|e| wrong(&e))? {
                    store.add(certificate.map_err(|e| wrong(&e))?).map_err(|e| wrong(&e))?;
                }
            }
            None => {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if store.is_empty() {
            return Err(Error::option("there are no certificates of authorities to check the database's by")
                .with_hint("install ca-certificates, or name a PEM file: sslrootcert=/path/ca.pem"));
        }
        Ok(store)
    }
}

fn unknown(name: &str, word: &str, words: &str) -> Error {
    Error::option(format!("option 'url': {name}={word} is not known")).with_hint(format!("one of {words}"))
}

#[cfg(feature = "postgres")]
fn identity(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<(PathBuf, PathBuf)>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        _ => Err(Error::option("option 'url': sslcert and sslkey come together")),
    }
}

/// Checks less of a server's certificate than the library does: not the name, or nothing. The line is encrypted all the
/// same.
#[cfg(feature = "postgres")]
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    /// Checks the authority; `None`: any certificate is accepted, so the other end is not known.
    authority: Option<Arc<WebPkiServerVerifier>>,
}

#[cfg(feature = "postgres")]
impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(certificate, chain, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
