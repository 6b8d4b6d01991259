//! A connection in PostgreSQL's replication mode, which the client library does not speak: the messages are its, the
//! conversation is ours.
//!
//! ```text
//!  startup (replication=database) ── login ──> commands: rows of text
//!                                                 │ START_REPLICATION
//!                                                 ▼
//!  <── copy data: 'w' a piece of the log, 'k' where the server is
//!  ──> copy data: 'r' what we have for good; lets the server forget its log
//! ```
//! What arrives is handed on as it is, whole messages together; they are read where they are used.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::config::{Config, Host, SslMode};
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::wire::EPOCH_MICROS;
use super::{Postgres, said_by_server};
use crate::database::{Fault, FaultKind};

/// Bytes that are handed on together at most, if a message is not longer.
const TOGETHER: usize = 1 << 20;
/// How long a line that only waits for us is waited for.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A place in the log of a database.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Lsn(pub(crate) u64);

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl std::str::FromStr for Lsn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no place in a log");
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let part = |text: &str| u32::from_str_radix(text, 16).map_err(|_| wrong());
        Ok(Self(u64::from(part(high)?) << 32 | u64::from(part(low)?)))
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> Self {
        lsn.to_string()
    }
}

impl TryFrom<String> for Lsn {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// A connection.
pub(crate) struct Replication {
    line: Box<dyn Line>,
    input: BytesMut,
    shown: String,
}

fn broken(e: &std::io::Error) -> Fault {
    Fault::new(FaultKind::Connect, format!("the connection broke: {e}"))
}

fn unexpected(what: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Other, format!("the server answered what was not expected: {what}"))
}

/// The length of the message at the start, when all of it is there.
fn whole(input: &[u8]) -> Result<Option<usize>, Fault> {
    let Some([_, a, b, c, d]) = input.first_chunk::<5>() else { return Ok(None) };
    let length = i32::from_be_bytes([*a, *b, *c, *d]);
    let length = usize::try_from(length).ok().filter(|length| *length >= 4);
    let length = length.ok_or_else(|| unexpected("a message without length"))? + 1;
    Ok((input.len() >= length).then_some(length))
}

/// What an error response says.
fn refused(body: &[u8]) -> Fault {
    let mut fields: [Option<String>; 4] = Default::default();
    let mut rest = body;
    while let Some((kind, tail)) = rest.split_first().filter(|(kind, _)| **kind != 0) {
        let end = tail.iter().position(|b| *b == 0).unwrap_or(tail.len());
        let text = String::from_utf8_lossy(&tail[..end]).into_owned();
        rest = tail.get(end + 1..).unwrap_or_default();
        let at = match kind {
            b'C' => 0,
            b'M' => 1,
            b'D' => 2,
            b'H' => 3,
            _ => continue,
        };
        fields[at] = Some(text);
    }
    let [code, message, detail, hint] = fields;
    said_by_server(
        &code.unwrap_or_default(),
        message.as_deref().unwrap_or("an error"),
        detail.as_deref(),
        hint.as_deref(),
    )
}

/// An identifier in a command of the replication protocol.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Postgres {
    /// A connection in replication mode.
    pub(crate) async fn replication(&self) -> Result<Replication, Fault> {
        let timeout = self.config.get_connect_timeout().copied().unwrap_or(HANDSHAKE);
        let mut last = None;
        for (n, host) in self.config.get_hosts().iter().enumerate() {
            #[allow(irrefutable_let_patterns, reason = "there are sockets on some systems")]
            let Host::Tcp(host) = host else { continue };
            let ports = self.config.get_ports();
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            let connecting = Replication::connect(&self.config, &self.tls, host, port, &self.shown);
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(fault)) => last = Some(fault),
                Err(_) => last = Some(Fault::new(FaultKind::Connect, "the connection timed out")),
            }
        }
        Err(last.unwrap_or_else(|| Fault::new(FaultKind::Other, "there is no host")).at(&self.shown))
    }
}

impl Replication {
    async fn connect(
        config: &Config,
        tls: &MakeRustlsConnect,
        host: &str,
        port: u16,
        shown: &str,
    ) -> Result<Self, Fault> {
        let refused =
            |e: std::io::Error| Fault::new(FaultKind::Connect, format!("error connecting to server: {e}"));
        let mut plain = TcpStream::connect((host, port)).await.map_err(refused)?;
        plain.set_nodelay(true).map_err(refused)?;
        let mode = config.get_ssl_mode();
        let line: Box<dyn Line> = if mode == SslMode::Disable {
            Box::new(plain)
        } else {
            let mut ask = BytesMut::new();
            frontend::ssl_request(&mut ask);
            plain.write_all(&ask).await.map_err(|e| broken(&e))?;
            let mut answer = [0];
            plain.read_exact(&mut answer).await.map_err(|e| broken(&e))?;
            match (answer[0], mode) {
                (b'S', _) => {
                    let mut tls = tls.clone();
                    let connect = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, host);
                    let connect = connect.map_err(|e| Fault::new(FaultKind::Other, e.to_string()))?;
                    let wrong = |e: std::io::Error| {
                        let kind = match e.kind() {
                            std::io::ErrorKind::InvalidData => FaultKind::Login,
                            _ => FaultKind::Connect,
                        };
                        Fault::new(kind, format!("error performing TLS handshake: {e}"))
                    };
                    Box::new(connect.connect(plain).await.map_err(wrong)?)
                }
                (_, SslMode::Prefer) => Box::new(plain),
                _ => return Err(Fault::new(FaultKind::Login, "server does not support TLS")),
            }
        };
        let mut connection = Self { line, input: BytesMut::new(), shown: shown.to_string() };
        connection.login(config).await?;
        Ok(connection)
    }

    async fn login(&mut self, config: &Config) -> Result<(), Fault> {
        let internal = |e: std::io::Error| Fault::new(FaultKind::Login, e.to_string());
        let user = config.get_user().unwrap_or_default();
        let database = config.get_dbname().unwrap_or(user);
        let name = config.get_application_name().unwrap_or("affluent");
        // Values come as texts: how they are printed must not depend on the server.
        let parameters = [
            ("user", user),
            ("database", database),
            ("replication", "database"),
            ("application_name", name),
            ("client_encoding", "UTF8"),
            ("datestyle", "ISO"),
            ("intervalstyle", "postgres"),
            ("timezone", "UTC"),
            ("extra_float_digits", "3"),
            ("bytea_output", "hex"),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out).map_err(internal)?;
        self.send(&mut out).await?;
        let password = || {
            config.get_password().ok_or_else(|| {
                Fault::new(FaultKind::Login, "the server wants a password").with_hint("set 'password'")
            })
        };
        let mut scram: Option<sasl::ScramSha256> = None;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'R' => {}
                b'E' => return Err(refused(&body)),
                b'Z' => return Ok(()),
                // Parameters, the key to cancel with, notices.
                b'S' | b'K' | b'N' => continue,
                other => return Err(unexpected(format_args!("message '{}'", other.escape_ascii()))),
            }
            let mut rest = &body[..];
            let step = rest.try_get_i32().map_err(|_| unexpected("a login without a step"))?;
            match step {
                0 => continue,
                3 => frontend::password_message(password()?, &mut out).map_err(internal)?,
                5 => {
                    let salt = rest.first_chunk().ok_or_else(|| unexpected("a login without salt"))?;
                    let hash = md5_hash(user.as_bytes(), password()?, *salt);
                    frontend::password_message(hash.as_bytes(), &mut out).map_err(internal)?;
                }
                10 => {
                    if !rest.split(|b| *b == 0).any(|name| name == b"SCRAM-SHA-256") {
                        return Err(Fault::new(
                            FaultKind::Login,
                            "the server wants a login that is not supported",
                        ));
                    }
                    let begun = sasl::ScramSha256::new(password()?, sasl::ChannelBinding::unsupported());
                    frontend::sasl_initial_response("SCRAM-SHA-256", begun.message(), &mut out)
                        .map_err(internal)?;
                    scram = Some(begun);
                }
                11 | 12 => {
                    let known = scram.as_mut().ok_or_else(|| unexpected("a login that was not begun"))?;
                    if step == 12 {
                        known.finish(rest).map_err(internal)?;
                        continue;
                    }
                    known.update(rest).map_err(internal)?;
                    frontend::sasl_response(known.message(), &mut out).map_err(internal)?;
                }
                other => {
                    let what = format!("the server wants a login that is not supported (number {other})");
                    return Err(Fault::new(FaultKind::Login, what));
                }
            }
            self.send(&mut out).await?;
        }
    }

    async fn send(&mut self, out: &mut BytesMut) -> Result<(), Fault> {
        let sent = async {
            self.line.write_all(out).await?;
            self.line.flush().await
        };
        sent.await.map_err(|e| broken(&e))?;
        out.clear();
        Ok(())
    }

    /// Waits for more. May be given up at any time: nothing is lost.
    pub(crate) async fn fill(&mut self) -> Result<(), Fault> {
        if self.input.capacity() - self.input.len() < 16 << 10 {
            self.input.reserve(256 << 10);
        }
        match self.line.read_buf(&mut self.input).await {
            Ok(0) => Err(Fault::new(FaultKind::Connect, "the server closed the connection").at(&self.shown)),
            Ok(_) => Ok(()),
            Err(e) => Err(broken(&e).at(&self.shown)),
        }
    }

    /// The next message: what it is, and what is in it.
    async fn message(&mut self) -> Result<(u8, Bytes), Fault> {
        loop {
            if let Some(length) = whole(&self.input)? {
                let mut message = self.input.split_to(length);
                let tag = message[0];
                message.advance(5);
                return Ok((tag, message.freeze()));
            }
            self.fill().await?;
        }
    }

    /// A command and its rows, as texts.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Fault> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out).map_err(|e| Fault::new(FaultKind::Other, e.to_string()))?;
        self.send(&mut out).await?;
        let (mut rows, mut error) = (Vec::new(), None);
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'D' => rows.push(super::scan::cells(&body).map(text).collect()),
                b'E' => error = Some(refused(&body).at(&self.shown)),
                b'Z' => return error.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// Begins to stream what is behind a place of the log.
    pub(crate) async fn start(&mut self, slot: &str, from: Lsn, publication: &str) -> Result<(), Fault> {
        let publication = identifier(publication).replace('\'', "''");
        let command = format!(
            "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names '{publication}')",
            identifier(slot)
        );
        let mut out = BytesMut::new();
        frontend::query(&command, &mut out).map_err(|e| Fault::new(FaultKind::Other, e.to_string()))?;
        self.send(&mut out).await?;
        loop {
            match self.message().await? {
                (b'W', _) => return Ok(()),
                (b'E', body) => return Err(refused(&body).at(&self.shown)),
                (b'N' | b'S', _) => {}
                (other, _) => {
                    return Err(unexpected(format_args!("message '{}'", other.escape_ascii())));
                }
            }
        }
    }

    /// The messages of the stream that have arrived whole, one behind the other, and whether the server asks for an
    /// answer.
    pub(crate) fn arrived(&mut self) -> Result<(Option<Bytes>, bool), Fault> {
        let (mut end, mut asks) = (0, false);
        while end < TOGETHER {
            let rest = &self.input[end..];
            let Some(length) = whole(rest)? else { break };
            match rest[0] {
                b'd' => {
                    asks |= length == 23 && rest[5] == b'k' && rest[22] == 1;
                    end += length;
                }
                _ if end > 0 => break,
                b'E' => return Err(refused(&rest[5..length]).at(&self.shown)),
                b'N' | b'S' => self.input.advance(length),
                b'c' | b'C' | b'Z' => {
                    let what = "the server ended the stream";
                    return Err(Fault::new(FaultKind::Connect, what).at(&self.shown));
                }
                other => return Err(unexpected(format_args!("message '{}'", other.escape_ascii()))),
            }
        }
        Ok(((end > 0).then(|| self.input.split_to(end).freeze()), asks))
    }

    /// Tells the server what it need not keep for us, and asks where it is.
    pub(crate) async fn confirm(&mut self, durable: Lsn, ask: bool) -> Result<(), Fault> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros());
        let now = i64::try_from(now).unwrap_or(i64::MAX) - EPOCH_MICROS;
        let mut out = BytesMut::with_capacity(39);
        out.put_u8(b'd');
        out.put_i32(38);
        out.put_u8(b'r');
        (0..3).for_each(|_| out.put_u64(durable.0));
        out.put_i64(now);
        out.put_u8(ask.into());
        self.send(&mut out).await.map_err(|fault| fault.at(&self.shown))
    }

    /// Says good-bye, as far as anybody listens.
    pub(crate) async fn end(mut self, streams: bool) {
        let mut out = BytesMut::new();
        if streams {
            frontend::copy_done(&mut out);
        }
        frontend::terminate(&mut out);
        let ended = async {
            self.line.write_all(&out).await?;
            self.line.shutdown().await
        };
        // The server notices a line that is gone, too.
        drop(tokio::time::timeout(Duration::from_secs(1), ended).await);
    }
}

fn text(value: Option<&[u8]>) -> Option<String> {
    value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_in_the_log_are_written_as_the_server_writes_them() {
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_B374_D848)));
        assert_eq!(Lsn(0x16_0000_D848).to_string(), "16/D848");
        assert!(Lsn(0x1_0000_0000) > "0/FFFFFFFF".parse().unwrap());
        for wrong in ["", "1", "1/2/3", "x/1", "1/100000000"] {
            assert!(wrong.parse::<Lsn>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn messages_are_whole_or_waited_for() {
        assert_eq!(whole(&[b'd', 0, 0, 0]), Ok(None));
        assert_eq!(whole(&[b'd', 0, 0, 0, 5]), Ok(None));
        assert_eq!(whole(&[b'd', 0, 0, 0, 5, 1, 9]), Ok(Some(6)));
        assert!(whole(&[b'd', 0, 0, 0, 3]).is_err() && whole(&[b'd', 255, 0, 0, 3]).is_err());
        let said = refused(b"SERROR\0C28P01\0Mno\0Hyes\0\0");
        assert_eq!(
            (said.kind, said.message.as_str(), said.hint.as_deref()),
            (FaultKind::Login, "no", Some("yes"))
        );
        // Cut short.
        assert_eq!(refused(b"C28P01\0Mn").message, "n");
    }
}
