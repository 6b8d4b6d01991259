//! Connections to NATS.

use std::fmt;
use std::sync::{Arc, Once};
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr};
use rustls::ClientConfig;

use crate::catalog::Options;
use crate::connector::tls;
use crate::error::{Error, Result};
use crate::lookup::{Failure, FailureKind};
use crate::sql::variables::expanded;

/// Where NATS is, and who we are.
#[derive(Clone)]
pub(super) struct Server {
    addresses: Vec<ServerAddr>,
    /// Without secrets.
    shown: String,
    login: Login,
    tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone)]
enum Login {
    None,
    User(String, String),
    Token(String),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Server {
    pub(super) fn of(options: &Options) -> Result<Self> {
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let hint = "nats://host:4222, or tls://host:4222";
        let (mut addresses, mut shown, mut secure) = (Vec::new(), Vec::new(), false);
        for text in expanded(options.required("url")?)?.split(',').map(str::trim).filter(|t| !t.is_empty()) {
            let text = if text.contains("://") { text.to_string() } else { format!("nats://{text}") };
            let url = url::Url::parse(&text).map_err(|_| wrong("url", "this is no URL").with_hint(hint))?;
            if !matches!(url.scheme(), "nats" | "tls") || url.host_str().is_none_or(str::is_empty) {
                return Err(wrong("url", "it is not one of NATS").with_hint(hint));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(wrong("url", "it must not hold a user name or password")
                    .with_hint("'username' and 'password', or 'token'"));
            }
            secure |= url.scheme() == "tls";
            shown.push(text.trim_end_matches('/').to_string());
            addresses
                .push(text.parse::<ServerAddr>().map_err(|e| wrong("url", &e.to_string()).with_hint(hint))?);
        }
        if addresses.is_empty() {
            return Err(wrong("url", "it is empty").with_hint(hint));
        }
        let text = |key: &str| options.text(key).map(expanded).transpose();
        let (user, password) = (text("username")?, text("password")?);
        let login = match (user, password, text("token")?) {
            (None, None, None) => Login::None,
            (Some(user), password, None) => Login::User(user, password.unwrap_or_default()),
            (None, None, Some(token)) => Login::Token(token),
            (None, Some(_), ..) => return Err(wrong("password", "it needs a 'username'")),
            _ => {
                return Err(Error::option("options 'username' and 'token' exclude each other"));
            }
        };
        let asked = tls::is_asked_for(options);
        let config =
            (secure || asked.is_some()).then(|| tls::client_config(options).map(Arc::new)).transpose()?;
        Ok(Self { addresses, shown: shown.join(","), login, tls: config })
    }

    /// A connection, which comes back by itself when it breaks.
    pub(super) async fn connect(&self, table: &str) -> Result<Client, Failure> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let mut options = ConnectOptions::new()
            .name(format!("affluent {table}"))
            .connection_timeout(Duration::from_secs(10))
            .request_timeout(Some(Duration::from_secs(10)));
        let about = table.to_string();
        let shown = self.shown.clone();
        options = options.event_callback(move |event| {
            let (about, shown) = (about.clone(), shown.clone());
            async move {
                match event {
                    async_nats::Event::Disconnected => {
                        log::warn!("table '{about}': the connection to {shown} broke; it is made again");
                    }
                    other => log::debug!("table '{about}': {shown}: {other}"),
                }
            }
        });
        options = match &self.login {
            Login::None => options,
            Login::User(user, password) => options.user_and_password(user.clone(), password.clone()),
            Login::Token(token) => options.token(token.clone()),
        };
        if let Some(config) = &self.tls {
            options = options.tls_client_config(config.as_ref().clone()).require_tls(true);
        }
        options.connect(self.addresses.clone()).await.map_err(|e| {
            let lasts = matches!(
                e.kind(),
                ConnectErrorKind::AuthorizationViolation
                    | ConnectErrorKind::Authentication
                    | ConnectErrorKind::ServerParse
            );
            let hint = match e.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    " ('username' and 'password', or 'token', say who we are)"
                }
                ConnectErrorKind::Tls => " ('tls.ca' names the authorities to trust)",
                _ => "",
            };
            let failure =
                Failure::new(FailureKind::Connection, format!("no connection to {self}: {}{hint}", root(&e)));
            if lasts { failure } else { failure.retryable() }
        })
    }
}

/// What is at the bottom of an error.
pub(super) fn root(e: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = e;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let (top, bottom) = (e.to_string(), cause.to_string());
    if top.contains(&bottom) { top } else { bottom }
}
