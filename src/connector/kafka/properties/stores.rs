//! Java's key and trust stores: PEM goes to librdkafka, the other kinds are refused with the command that converts them.

use super::{PREFIX, Properties};
use crate::catalog::Options;
use crate::error::{Error, Result};

/// Java's key and trust stores, which may be PEM here.
#[derive(Debug, Default)]
pub(super) struct Stores {
    truststore: Store,
    keystore: Store,
    certificates: Option<String>,
    chain: Option<String>,
    key: Option<String>,
    key_password: Option<String>,
}

#[derive(Debug, Default)]
struct Store {
    location: Option<String>,
    kind: Option<String>,
    password: Option<String>,
}

impl Stores {
    /// Whether it is one of theirs.
    pub(super) fn take(&mut self, name: &str, value: &str) -> bool {
        let slot = match name {
            "ssl.truststore.location" => &mut self.truststore.location,
            "ssl.truststore.type" => &mut self.truststore.kind,
            "ssl.truststore.password" => &mut self.truststore.password,
            "ssl.keystore.location" => &mut self.keystore.location,
            "ssl.keystore.type" => &mut self.keystore.kind,
            "ssl.keystore.password" => &mut self.keystore.password,
            "ssl.truststore.certificates" => &mut self.certificates,
            "ssl.keystore.certificate.chain" => &mut self.chain,
            "ssl.keystore.key" => &mut self.key,
            "ssl.key.password" => &mut self.key_password,
            _ => return false,
        };
        *slot = Some(value.to_string());
        true
    }

    pub(super) fn put(self, to: &mut Properties, options: &Options) -> Result<()> {
        let at = |e: Error, key: &str| e.at(options.span(&format!("{PREFIX}{key}")));
        if let Some(pem) = &self.certificates {
            to.set("ssl.ca.pem", &lines(pem));
        }
        if let Some(location) = &self.truststore.location {
            match kind(&self.truststore, location) {
                Kind::Pem => to.set("ssl.ca.location", location),
                Kind::Jks | Kind::Pkcs12 => {
                    return Err(at(
                        Error::unsupported(format!("truststore '{location}' is a Java key store, which OpenSSL cannot read"))
                            .with_detail("'properties.ssl.truststore.type' says its kind; JKS is Java's default")
                            .with_hint(format!(
                                "keytool -exportcert -rfc -keystore {location} -alias ALIAS > ca.pem, then \
                                 'properties.ssl.truststore.type' = 'PEM', 'properties.ssl.truststore.location' = 'ca.pem'"
                            )),
                        "ssl.truststore.location",
                    ));
                }
            }
        }
        if let Some(chain) = &self.chain {
            to.set("ssl.certificate.pem", &lines(chain));
        }
        if let Some(key) = &self.key {
            to.set("ssl.key.pem", &lines(key));
            to.secrets.push(key.clone());
        }
        if let Some(location) = &self.keystore.location {
            match kind(&self.keystore, location) {
                // One file has both.
                Kind::Pem => {
                    to.set("ssl.certificate.location", location);
                    to.set("ssl.key.location", location);
                }
                Kind::Pkcs12 => {
                    to.set("ssl.keystore.location", location);
                    if let Some(password) = &self.keystore.password {
                        to.set("ssl.keystore.password", password);
                    }
                }
                Kind::Jks => {
                    return Err(at(
                        Error::unsupported(format!("keystore '{location}' is in Java's format JKS, which OpenSSL cannot read"))
                            .with_hint(format!(
                                "keytool -importkeystore -srckeystore {location} -destkeystore keys.p12 -deststoretype \
                                 PKCS12, then 'properties.ssl.keystore.type' = 'PKCS12', \
                                 'properties.ssl.keystore.location' = 'keys.p12'"
                            )),
                        "ssl.keystore.location",
                    ));
                }
            }
        }
        if let Some(password) = &self.key_password {
            to.set("ssl.key.password", password);
        }
        to.secrets.extend(
            self.key_password.into_iter().chain(self.keystore.password).chain(self.truststore.password),
        );
        Ok(())
    }
}

enum Kind {
    Jks,
    Pkcs12,
    Pem,
}

fn kind(store: &Store, location: &str) -> Kind {
    let end = location.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    match store.kind.as_deref().map(str::to_ascii_uppercase).as_deref() {
        Some("PEM") => Kind::Pem,
        Some("PKCS12") => Kind::Pkcs12,
        Some(_) => Kind::Jks,
        None if matches!(end.as_str(), "pem" | "crt" | "cer" | "cert") => Kind::Pem,
        None if matches!(end.as_str(), "p12" | "pfx") => Kind::Pkcs12,
        None => Kind::Jks,
    }
}

/// PEM on one line, as property files have it, with its lines.
pub(super) fn lines(pem: &str) -> String {
    if pem.contains('\n') {
        return pem.to_string();
    }
    pem.replace("\\n", "\n").replace("----- ", "-----\n").replace(" -----", "\n-----")
}
