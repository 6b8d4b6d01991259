//! TLS with brokers: who is trusted, and who we are.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::catalog::Options;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};

const CA: &str = "tls.ca";
const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";

/// Options of connectors that speak TLS.
pub(super) const OPTIONS: [OptionDef; 3] = [
    OptionDef::new(
        CA,
        OptionKind::Text,
        "",
        "PEM file of the authorities to trust, instead of the machine's",
    ),
    OptionDef::new(CERTIFICATE, OptionKind::Text, "", "PEM file of the client's certificate"),
    OptionDef::new(KEY, OptionKind::Text, "", "PEM file of the client's private key"),
];

/// Whether a table has such options, which need TLS.
pub(super) fn is_asked_for(options: &Options) -> Option<&'static str> {
    [CA, CERTIFICATE, KEY].into_iter().find(|key| options.contains(key))
}

/// What the options say.
pub(super) fn client_config(options: &Options) -> Result<ClientConfig> {
    let wrong = |key: &str, path: &str, e: &dyn std::fmt::Display| {
        Error::option(format!("option '{key}': '{path}' cannot be used: {e}"))
            .with_hint("a PEM file")
            .at(options.span(key))
    };
    let chain = |key: &str, path: &str| {
        CertificateDer::pem_file_iter(Path::new(path))
            .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
            .map_err(|e| wrong(key, path, &e))
    };
    let mut roots = RootCertStore::empty();
    match options.text(CA) {
        Some(path) => {
            for certificate in chain(CA, path)? {
                roots.add(certificate).map_err(|e| wrong(CA, path, &e))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::option("there are no certificates of authorities to check the broker's by")
            .with_hint(format!("install ca-certificates, or name a PEM file: '{CA}'")));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::internal(format!("TLS cannot be set up: {e}")))?
        .with_root_certificates(roots);
    match (options.text(CERTIFICATE), options.text(KEY)) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let secret = PrivateKeyDer::from_pem_file(Path::new(key)).map_err(|e| wrong(KEY, key, &e))?;
            builder
                .with_client_auth_cert(chain(CERTIFICATE, certificate)?, secret)
                .map_err(|e| wrong(CERTIFICATE, certificate, &e))
        }
        (given, _) => {
            let given = if given.is_some() { CERTIFICATE } else { KEY };
            Err(Error::option(format!("the options '{CERTIFICATE}' and '{KEY}' come together"))
                .at(options.span(given)))
        }
    }
}
