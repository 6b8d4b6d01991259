//! HTTP for the code of users: hosts that the statement grants, and nothing else.
//!
//! - A host is granted by its name, by a suffix (`*.example.com`), by its address or by a range of addresses
//!   (`10.0.0.0/8`); without a port, ports 80 and 443 are.
//! - An address of this machine or of a private network is reached only when it is granted itself, whatever a name
//!   says of it; `localhost` grants the loopback addresses.
//! - Every redirect is held against the same list, and headers that the engine sets stay with the host they were
//!   sent to.
//! - Headers of the statement (`header.Authorization`) are set here: the code does not see them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, redirect};
use url::{Host, Url};

use crate::catalog::options::Options;
use crate::error::{Error, Result};
use crate::lookup::wire::{self, Broken, Fault};

/// Option that grants hosts.
pub const ALLOW_HOSTS: &str = "allow-hosts";
/// Options that set headers begin so.
pub const HEADER: &str = "header.";
/// Redirects that one request follows.
const REDIRECTS: usize = 10;
/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What code may reach.
#[derive(Clone, Default)]
pub struct Grants {
    hosts: Vec<Granted>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Grants").field("hosts", &self.hosts).field("headers", &headers).finish()
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Granted {
    host: Which,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq)]
enum Which {
    Name(String),
    /// With its point.
    Suffix(String),
    /// Address and length of the prefix.
    Range(IpAddr, u8),
}

impl Which {
    fn covers(&self, address: IpAddr) -> bool {
        match (self, address) {
            (Self::Range(IpAddr::V4(net), bits), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(*bits)).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (Self::Range(IpAddr::V6(net), bits), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(*bits)).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (Self::Name(name), address) => name == "localhost" && address.is_loopback(),
            _ => false,
        }
    }
}

/// Addresses that are not of the public network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || v4.is_multicast()
                || a == 0
                // Shared address space of carriers.
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_private(IpAddr::V4(v4));
            }
            let first = v6.segments()[0];
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || (first & 0xfe00) == 0xfc00
                || (first & 0xffc0) == 0xfe80
        }
    }
}

fn granted(text: &str) -> Option<Granted> {
    // An address that was pasted.
    let text = text.strip_prefix("https://").or(text.strip_prefix("http://")).unwrap_or(text);
    let text = text.strip_suffix('/').unwrap_or(text);
    if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(Granted { host: Which::Range(address, bits), port: None });
    }
    if let Some((net, bits)) = text.split_once('/') {
        let address: IpAddr = net.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
        return Some(Granted { host: Which::Range(address, bits), port: None });
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (text, None),
    };
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(Granted { host: Which::Range(address, bits), port });
    }
    let (name, suffix) = match name.strip_prefix('*') {
        Some(suffix) => (suffix.strip_prefix('.')?, true),
        None => (name, false),
    };
    let plain = !name.is_empty()
        && name.split('.').all(|label| {
            !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        });
    // As the URL has it: lower case, international names in their ASCII form.
    let name = Url::parse(&format!("http://{name}/")).ok()?.host_str()?.to_string();
    let host = if suffix { Which::Suffix(format!(".{name}")) } else { Which::Name(name) };
    plain.then_some(Granted { host, port })
}

impl Grants {
    /// What the options of a statement grant.
    pub fn from_options(options: &Options) -> Result<Self> {
        let mut hosts = Vec::new();
        let words = options.text(ALLOW_HOSTS).unwrap_or_default();
        for word in words.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            hosts.push(granted(word).ok_or_else(|| {
                Error::option(format!("option '{ALLOW_HOSTS}': '{word}' is not a host"))
                    .with_hint("write names, '*.suffix', 'host:port', addresses or '10.0.0.0/8', with commas between")
                    .at(options.span(ALLOW_HOSTS))
            })?);
        }
        let mut headers = Vec::new();
        for (name, value) in options.with_prefix(HEADER) {
            let key = format!("{HEADER}{name}");
            let wrong = |what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(&key));
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("this is no header's name"))?;
            note_secret(name.as_str(), value);
            let mut value =
                HeaderValue::from_str(value).map_err(|_| wrong("the value is not allowed in a header"))?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if let (true, Some((name, _))) = (hosts.is_empty(), headers.first()) {
            return Err(Error::option(format!("option '{HEADER}{name}' is sent to no host"))
                .with_hint(format!("name the hosts that are asked: '{ALLOW_HOSTS}' = 'api.example.com'"))
                .at(options.span(&format!("{HEADER}{name}"))));
        }
        Ok(Self { hosts, headers })
    }

    /// Grants of one address alone, for models.
    pub fn of_url(url: &Url, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let port = url.port_or_known_default();
        let host = match url.host() {
            Some(Host::Ipv4(v4)) => Which::Range(IpAddr::V4(v4), 32),
            Some(Host::Ipv6(v6)) => Which::Range(IpAddr::V6(v6), 128),
            _ => Which::Name(url.host_str().unwrap_or_default().to_string()),
        };
        let mut hosts = vec![Granted { host: host.clone(), port }];
        if let Which::Name(_) = host {
            // A name in the statement itself is where the model is, also in a private network.
            for net in [IpAddr::V4([0, 0, 0, 0].into()), IpAddr::V6([0; 8].into())] {
                hosts.push(Granted { host: Which::Range(net, 0), port: Some(0) });
            }
        }
        Self { hosts, headers }
    }

    /// Whether anything is granted.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Why a URL is not to be asked.
    fn refusal(&self, url: &Url) -> Option<String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Some(format!("'{}' is neither http nor https", url.scheme()));
        }
        let shown = url.host_str().unwrap_or_default();
        if self.hosts.is_empty() {
            return Some(format!(
                "host '{shown}' is not granted: the function needs '{ALLOW_HOSTS}' = '{shown}'"
            ));
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let is_port = |granted: &Granted| match granted.port {
            Some(granted) => granted == port,
            None => matches!(port, 80 | 443),
        };
        let found = match url.host() {
            Some(Host::Ipv4(v4)) => self.hosts.iter().any(|h| h.host.covers(IpAddr::V4(v4)) && is_port(h)),
            Some(Host::Ipv6(v6)) => self.hosts.iter().any(|h| h.host.covers(IpAddr::V6(v6)) && is_port(h)),
            Some(Host::Domain(domain)) => self.hosts.iter().any(|h| {
                let named = match &h.host {
                    Which::Name(name) => name == domain,
                    Which::Suffix(suffix) => domain.ends_with(suffix.as_str()),
                    Which::Range(..) => false,
                };
                named && is_port(h)
            }),
            None => false,
        };
        (!found).then(|| {
            let port = url.port().map(|p| format!(":{p}")).unwrap_or_default();
            format!("host '{shown}{port}' is not granted by '{ALLOW_HOSTS}'")
        })
    }

    fn is_reachable(&self, address: IpAddr) -> bool {
        !is_private(address) || self.hosts.iter().any(|h| h.host.covers(address))
    }

    /// Headers of the statement, for a request to a granted host.
    fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
    }
}

/// Looks names up, and leaves out addresses that are not granted.
struct Resolver(Arc<Grants>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let grants = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let reachable: Vec<SocketAddr> =
                found.iter().copied().filter(|a| grants.is_reachable(a.ip())).collect();
            if let (true, Some(first)) = (reachable.is_empty(), found.first()) {
                let address = first.ip();
                let what = format!(
                    "'{}' is at {address}, a private address that '{ALLOW_HOSTS}' does not name",
                    name.as_str()
                );
                return Err(what.into());
            }
            Ok(Box::new(reachable.into_iter()) as Addrs)
        })
    }
}

/// A request of the code.
#[derive(Debug)]
pub struct WebRequest {
    /// Method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Headers that the code sets.
    pub headers: HeaderMap,
    /// Body.
    pub body: Option<Bytes>,
    /// For the whole of it.
    pub timeout: Option<Duration>,
    /// Bytes of the answer's body, at most.
    pub most: usize,
}

/// What came back.
#[derive(Debug)]
pub struct WebResponse {
    /// Status.
    pub status: StatusCode,
    /// Where it came from, after redirects.
    pub url: Url,
    /// Whether there were redirects.
    pub redirected: bool,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl WebResponse {
    /// How long it asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub struct WebFailure {
    /// For people, without secrets.
    pub message: String,
    /// Whether another attempt may succeed.
    pub retryable: bool,
    /// It took too long.
    pub timed_out: bool,
}

impl WebFailure {
    fn lasting(message: impl Into<String>) -> Self {
        Self { message: message.into(), retryable: false, timed_out: false }
    }
}

/// Notes the value of a header that carries a secret: a service may say it back, and a message would show it.
pub fn note_secret(header: &str, value: &str) {
    if crate::catalog::ddl::is_sensitive_name(header) {
        let bare = value.split_once(' ').map_or(value, |(_, bare)| bare);
        crate::secret::note(header, bare);
    }
}

/// A client with grants.
pub struct Web {
    grants: Arc<Grants>,
    /// One for hosts of this machine and of private networks, past proxies, and one for others; with TLS and without.
    clients: [OnceLock<Client>; 4],
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").field("grants", &self.grants).finish_non_exhaustive()
    }
}

impl Web {
    /// With these grants. Nothing is set up yet.
    pub fn new(grants: Grants) -> Self {
        Self { grants: Arc::new(grants), clients: Default::default() }
    }

    fn client(&self, url: &Url) -> std::result::Result<Client, WebFailure> {
        static PROVIDER: Once = Once::new();
        // An error says that an embedding program has installed its own, which is as good.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let direct = match url.host() {
            Some(Host::Ipv4(v4)) => is_private(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => is_private(IpAddr::V6(v6)),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        let tls = url.scheme() == "https";
        let place = &self.clients[usize::from(direct) + 2 * usize::from(tls)];
        if let Some(client) = place.get() {
            return Ok(client.clone());
        }
        let mut builder = Client::builder()
            .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .referer(false)
            .redirect(redirect::Policy::none())
            .dns_resolver(Arc::new(Resolver(self.grants.clone())));
        if direct {
            builder = builder.no_proxy();
        }
        if !tls {
            // The machine's authorities need not be read, nor be there.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|e| {
            WebFailure::lasting(format!("the HTTP client could not be set up: {}", cause(&e)))
        })?;
        Ok(place.get_or_init(|| client).clone())
    }

    /// Sends a request and follows its redirects.
    pub async fn send(&self, request: WebRequest) -> std::result::Result<WebResponse, WebFailure> {
        let WebRequest { mut method, mut url, mut headers, mut body, timeout, most } = request;
        let origin = url.origin();
        let deadline = timeout.map(|t| tokio::time::Instant::now() + t);
        for hop in 0..=REDIRECTS {
            if let Some(refusal) = self.grants.refusal(&url) {
                let after = if hop > 0 { "a redirect goes where the function may not: " } else { "" };
                return Err(WebFailure::lasting(format!("{after}{refusal}")));
            }
            let mut sent = headers.clone();
            if url.origin() == origin {
                self.grants.add_headers(&mut sent);
            }
            let mut builder = self.client(&url)?.request(method.clone(), url.clone()).headers(sent);
            if let Some(body) = &body {
                builder = builder.body(body.clone());
            }
            let exchange = async {
                let (client, request) = builder.build_split();
                let request = request.map_err(|e| transport(&url, &e))?;
                let response = wire::execute(&client, request, true).await.map_err(|e| match e {
                    Broken::Client(e) => transport(&url, &e),
                    Broken::Mocked(fault) => WebFailure {
                        message: format!("{}: {fault}", shown(&url)),
                        retryable: matches!(fault, Fault::NoConnection(_)),
                        timed_out: false,
                    },
                })?;
                read(response, &url, most).await
            };
            let response = match deadline {
                None => exchange.await?,
                Some(deadline) => match tokio::time::timeout_at(deadline, exchange).await {
                    Ok(response) => response?,
                    Err(_) => {
                        return Err(WebFailure {
                            message: format!("no answer from {} in time", shown(&url)),
                            retryable: true,
                            timed_out: true,
                        });
                    }
                },
            };
            let to = response
                .headers
                .get(LOCATION)
                .filter(|_| matches!(response.status.as_u16(), 301 | 302 | 303 | 307 | 308));
            let Some(to) = to else {
                return Ok(WebResponse { url, redirected: hop > 0, ..response });
            };
            let next = to.to_str().ok().and_then(|to| url.join(to).ok());
            let next = next
                .ok_or_else(|| WebFailure::lasting(format!("{} redirects to what is no URL", shown(&url))))?;
            let keeps = matches!(response.status.as_u16(), 307 | 308);
            if !keeps && (response.status.as_u16() == 303 || method == Method::POST) && method != Method::HEAD
            {
                method = Method::GET;
                body = None;
            }
            if next.origin() != url.origin() {
                headers.remove(AUTHORIZATION);
                headers.remove(COOKIE);
            }
            url = next;
        }
        Err(WebFailure::lasting(format!("more than {REDIRECTS} redirects, the last to {}", shown(&url))))
    }
}

async fn read(
    mut response: reqwest::Response,
    url: &Url,
    most: usize,
) -> std::result::Result<WebResponse, WebFailure> {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| transport(url, &e))? {
        if body.len() + chunk.len() > most {
            return Err(WebFailure::lasting(format!(
                "the answer of {} is larger than {most} bytes",
                shown(url)
            )));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(WebResponse { status, url: url.clone(), redirected: false, headers, body: body.freeze() })
}

/// A URL without login, query and fragment: keys may stand there.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// What went wrong below HTTP.
fn transport(url: &Url, error: &reqwest::Error) -> WebFailure {
    let cause = cause(error);
    let lasting = error.is_builder() || cause.contains("a private address");
    let what = match () {
        () if error.is_connect() => "no connection to",
        () if error.is_timeout() => "no answer in time from",
        () => "the connection broke to",
    };
    WebFailure {
        message: format!("{what} {}: {cause}", shown(url)),
        retryable: !lasting,
        timed_out: error.is_timeout(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn grants(hosts: &str) -> Grants {
        let mut options = Options::default();
        options.set(ALLOW_HOSTS, hosts, Default::default());
        Grants::from_options(&options).unwrap()
    }

    fn refuses(grants: &Grants, url: &str) -> bool {
        grants.refusal(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn hosts_are_granted_by_name_suffix_port_and_address() {
        let grants = grants("api.example.com, *.example.org, local.test:8080, 10.1.0.0/16, [::1]");
        for url in [
            "https://api.example.com/x",
            "http://API.EXAMPLE.COM",
            "https://a.b.example.org",
            "http://local.test:8080",
            "http://10.1.2.3/",
            "http://[::1]/",
        ] {
            assert!(!refuses(&grants, url), "{url}");
        }
        for url in [
            "https://example.com",
            "https://api.example.com.evil.test",
            "https://example.org",
            "https://evil-example.org",
            "https://api.example.com:8443",
            "http://local.test",
            "http://10.2.0.1",
            "http://127.0.0.1",
            "ftp://api.example.com",
            "http://api.example.com@evil.test/",
            // Another way to write an address.
            "http://0x7f.1/",
        ] {
            assert!(refuses(&grants, url), "{url}");
        }
    }

    #[test]
    fn private_addresses_are_reached_when_they_are_named() {
        let named = grants("models.internal, 10.0.0.0/8, localhost");
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for reached in ["93.184.216.34", "10.1.2.3", "127.0.0.1", "::1", "2606:2800::1"] {
            assert!(named.is_reachable(address(reached)), "{reached}");
        }
        for private in [
            "192.168.1.1",
            "169.254.169.254",
            "172.16.0.1",
            "100.64.0.1",
            "fe80::1",
            "fd00::1",
            "::ffff:192.168.0.1",
            "0.0.0.0",
        ] {
            assert!(!named.is_reachable(address(private)), "{private}");
        }
    }

    #[test]
    fn malformed_hosts_are_refused() {
        for word in ["http://a/b", "a b", "*", "*.", "a:b", "10.0.0.0/33", "a..b"] {
            assert!(granted(word).is_none(), "{word}");
        }
        let mut options = Options::default();
        options.set("header.Authorization", "Bearer x", Default::default());
        assert!(Grants::from_options(&options).is_err());
    }
}
