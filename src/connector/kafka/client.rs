//! Clients of librdkafka: how they are made, and what their errors mean.
//!
//! All use of the library's types stands in this folder. What a client says of itself (it cannot connect, the login is
//! refused) comes by a callback and is kept here, because the call that waits for it only says that time is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::statistics::Statistics;

use super::oauth;
use super::options::TableOptions;
use super::properties::Properties;
use crate::error::{Error, Result};

/// How often the client tells figures.
const STATISTICS: &str = "1000";

/// How long somebody who waits for a first connection is told nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client has said, newest last, few.
#[derive(Debug, Default)]
pub(super) struct Said(Mutex<Vec<(Code, String)>>);

impl Said {
    const KEPT: usize = 8;

    fn add(&self, code: Code, text: &str) {
        let mut said = self.0.lock();
        if said.last().is_some_and(|(_, last)| last == text) {
            return;
        }
        if said.len() >= Self::KEPT {
            said.remove(0);
        }
        said.push((code, text.to_string()));
    }

    /// The newest that names a cause.
    fn cause(&self) -> Option<(Code, String)> {
        let said = self.0.lock();
        let telling = said.iter().rev().find(|(code, _)| !matches!(code, Code::AllBrokersDown));
        telling.or(said.last()).cloned()
    }

    /// One after which trying again makes no sense.
    fn refusal(&self) -> Option<(Code, String)> {
        self.0.lock().iter().rev().find(|(code, text)| is_refusal(*code, text)).cloned()
    }

    /// It works again.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}

fn is_refusal(code: Code, text: &str) -> bool {
    match code {
        Code::Authentication
        | Code::UnsupportedSASLMechanism
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => true,
        Code::SSL => true,
        Code::BrokerTransportFailure => {
            text.contains("incorrect security.protocol") || text.contains("require SASL")
        }
        _ => false,
    }
}

/// What all clients of a table share: the words for messages, and what is not to be in them.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    properties: Arc<Properties>,
}

impl Cluster {
    pub(super) fn new(options: &TableOptions) -> Self {
        Self { properties: Arc::new(options.properties.clone()) }
    }

    pub(super) fn properties(&self) -> &Properties {
        &self.properties
    }

    /// The servers as the user wrote them.
    pub(super) fn servers(&self) -> &str {
        self.properties.servers()
    }

    /// How long a call to the cluster may take.
    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.properties.timeout_millis.unwrap_or(60_000))
    }

    fn config(&self, id: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Its own lines come by the callback.
        config.set_log_level(RDKafkaLogLevel::Info);
        config.set("client.id", id);
        config.set("socket.keepalive.enable", "true");
        // A broker that comes back is found soon.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "2000");
        config
    }

    /// TLS looks for the system's certificates, since OpenSSL is built in.
    fn certificates(config: &mut ClientConfig) {
        let tls = config.get("security.protocol").is_some_and(|p| p.ends_with("SSL"));
        if tls && config.get("ssl.ca.location").is_none() && config.get("ssl.ca.pem").is_none() {
            config.set("ssl.ca.location", "probe");
        }
    }

    /// A consumer that partitions are assigned to by hand. `more` wins over the user's properties.
    pub(super) fn consumer(&self, group: &str, more: &[(&str, &str)]) -> Result<BaseConsumer<Context>> {
        let mut config = self.config("affluent");
        config.set("enable.auto.commit", "false");
        config.set("statistics.interval.ms", STATISTICS);
        config.set("fetch.queue.backoff.ms", "10");
        self.properties.consumer(&mut config);
        config.set("group.id", group);
        config.set(
            "enable.auto.offset.store",
            if config.get("enable.auto.commit") == Some("true") { "true" } else { "false" },
        );
        config.set("auto.offset.reset", "error");
        config.set("allow.auto.create.topics", "false");
        more.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        Self::certificates(&mut config);
        let committed = config.get("isolation.level") != Some("read_uncommitted");
        let context = Context {
            properties: self.properties.clone(),
            said: Said::default(),
            ends: Mutex::default(),
            committed,
        };
        config.create_with_context(context).map_err(|e| self.unmade(&e))
    }

    /// The configuration of a producer.
    pub(super) fn producer_config(&self) -> ClientConfig {
        let mut config = self.config("affluent");
        // As Java's producer: idempotent, by murmur2, at once.
        config.set("enable.idempotence", "true");
        config.set("partitioner", "murmur2_random");
        config.set("linger.ms", "0");
        // What is there when a request can go is sent, up to Java's limit for a request.
        config.set("batch.num.messages", "100000");
        config.set("message.max.bytes", "1048576");
        self.properties.producer(&mut config);
        // How much may wait is for the writers to say, which stop reading then.
        config.set("queue.buffering.max.messages", "0");
        config.set("queue.buffering.max.kbytes", "2147483647");
        Self::certificates(&mut config);
        config
    }

    /// The configuration of a client that makes topics.
    pub(super) fn admin_config(&self) -> ClientConfig {
        let mut config = self.config("affluent");
        self.properties.producer(&mut config);
        Self::certificates(&mut config);
        config
    }

    /// A client that could not be made.
    pub(super) fn unmade(&self, e: &KafkaError) -> Error {
        let text = self.properties.redact(&e.to_string());
        let text = text.strip_prefix("Client creation error: ").unwrap_or(&text).to_string();
        Error::option(format!("a client for Kafka at '{}' could not be made", self.servers()))
            .with_detail(text)
            .with_hint("see the table's 'properties.*'")
    }

    /// What went wrong in a call, with what the client has said.
    pub(super) fn error(&self, what: &str, code: Option<Code>, said: &Said) -> Error {
        let cause = said.refusal().or_else(|| said.cause());
        self.describe(what, code, cause)
    }

    fn describe(&self, what: &str, code: Option<Code>, cause: Option<(Code, String)>) -> Error {
        let at = format!("Kafka at '{}'", self.servers());
        // What was refused says more than that time is over.
        let by_code = code.and_then(|code| refused(code, what, &at));
        if let Some(error) = by_code {
            return error;
        }
        let cause = cause.map(|(code, text)| {
            // How long the client was in which state says nothing to people.
            let plain = text.find(" (after ").map_or(text.as_str(), |at| &text[..at]);
            (code, plain.to_string())
        });
        // The client has not said yet why there is no connection.
        let unreachable = |code: &Code| matches!(code, Code::BrokerTransportFailure | Code::AllBrokersDown);
        let cause = cause.or_else(|| code.filter(unreachable).map(|code| (code, plain(&code.to_string()))));
        let Some((code, text)) = cause else {
            let text = code.map_or_else(String::new, |code| plain(&code.to_string()));
            return Error::io(format!("{what} at {at} failed")).with_detail(if text.is_empty() {
                "no answer".into()
            } else {
                text
            });
        };
        let text = self.properties.redact(&text);
        if let Some(error) = refused(code, what, &at) {
            return error.with_detail(text);
        }
        let error = Error::io(format!("{at} could not be reached: {what} failed")).with_detail(text.clone());
        let (hint, lasting) = self.advice(code, &text);
        let error = match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
        if lasting { error.lasting() } else { error }
    }

    /// What usually is behind a text of librdkafka's, and whether it stays so.
    fn advice(&self, code: Code, text: &str) -> (Option<String>, bool) {
        let lower = text.to_ascii_lowercase();
        let has = |what: &str| lower.contains(what);
        let tls = self.properties.get("security.protocol").is_some_and(|p| p.ends_with("SSL"));
        if has("certificate verify failed")
            || has("unable to get local issuer")
            || has("self-signed")
            || has("self signed")
        {
            return (
                Some(
                    "the broker's certificate is not signed by one that is trusted: 'properties.ssl.truststore.type' = 'PEM', \
                     'properties.ssl.truststore.location' = 'ca.pem'"
                        .into(),
                ),
                true,
            );
        }
        if has("hostname") && has("verif") || has("certificate") && has("mismatch") {
            return (
                Some(
                    "the broker's certificate is for another host name than the one that it is reached by"
                        .into(),
                ),
                true,
            );
        }
        if tls
            && (has("wrong version number")
                || has("record layer")
                || has("packet length too long")
                || has("handshake failed"))
        {
            return (
                Some(
                    "does this port speak TLS? 'properties.security.protocol' = 'PLAINTEXT' (or 'SASL_PLAINTEXT') is without"
                        .into(),
                ),
                true,
            );
        }
        if has("incorrect security.protocol")
            || has("require sasl")
            || (!tls && has("disconnected") && has("apiversion"))
        {
            return (
                Some(
                    "does this port speak TLS, or ask for a login? 'properties.security.protocol' is one of PLAINTEXT, SSL, \
                     SASL_PLAINTEXT, SASL_SSL"
                        .into(),
                ),
                true,
            );
        }
        let login = has("sasl authentication") || has("mechanism") || has("sasl handshake");
        if code == Code::Authentication || login {
            let hint = match (has("mechanism"), text.rsplit_once("supported mechanisms: ")) {
                (_, Some((_, mechanisms))) => {
                    format!("'properties.sasl.mechanism' is one of the broker's: {mechanisms}")
                }
                (true, None) => {
                    "the broker does not have this mechanism: 'properties.sasl.mechanism' is one of PLAIN, SCRAM-SHA-256, \
                     SCRAM-SHA-512, OAUTHBEARER"
                        .to_string()
                }
                _ => "user or password are wrong: see 'properties.sasl.jaas.config' and 'properties.sasl.mechanism'".to_string(),
            };
            return (Some(hint), true);
        }
        if has("failed to resolve") {
            return match self.advertised(text) {
                Some(hint) => (Some(hint), false),
                None => {
                    (Some("is the name of the host right? see 'properties.bootstrap.servers'".into()), false)
                }
            };
        }
        let silent = has("transport") && !has("disconnected");
        if has("connection refused") || has("timed out") || has("unreachable") || has("no route") || silent {
            return match self.advertised(text) {
                Some(hint) => (Some(hint), false),
                None => (
                    Some("does the broker run, and are host and port right? see 'properties.bootstrap.servers'".into()),
                    false,
                ),
            };
        }
        if has("invalid response size") || has("invalid message size") {
            return (
                Some(
                    "is it Kafka that listens there, and without TLS? see 'properties.bootstrap.servers' and \
                     'properties.security.protocol'"
                        .into(),
                ),
                true,
            );
        }
        if has("brokers are down") || has("disconnected") {
            return (
                Some(
                    "the connection is cut by the other side: does this port ask for a login, or speak TLS? \
                     'properties.security.protocol' is one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"
                        .into(),
                ),
                false,
            );
        }
        (None, false)
    }

    /// A broker that was asked for its address gave one that does not work from here.
    fn advertised(&self, text: &str) -> Option<String> {
        // host:port/ID: Connect to ipv4#...
        let name = text.split_once(": ")?.0;
        let (address, id) = name.rsplit_once('/')?;
        id.parse::<i64>().ok()?;
        let address = address.rsplit_once("://").map_or(address, |(_, a)| a);
        let is_bootstrap = self
            .servers()
            .split(',')
            .any(|s| s.trim().rsplit_once("://").map_or(s.trim(), |(_, a)| a) == address);
        (!is_bootstrap).then(|| {
            format!(
                "'{}' answers, and says that broker {id} is reached at {address}, which does not work from here: see \
                 'advertised.listeners' in the broker's configuration",
                self.servers()
            )
        })
    }
}

/// Whether it says that there is no such topic or partition.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition)
}

/// Errors of rights and of topics that are not there.
fn refused(code: Code, what: &str, at: &str) -> Option<Error> {
    let acl = |operation: &str, of: &str| {
        Some(
            Error::io(format!("{what} at {at} is not allowed: {}", plain(&code.to_string())))
                .with_hint(format!(
                    "an ACL for the user is missing: kafka-acls.sh --bootstrap-server ... --add --allow-principal User:... \
                     --operation {operation} {of}"
                ))
                .lasting(),
        )
    };
    match code {
        Code::TopicAuthorizationFailed => acl("Read", "--topic ... (or Write, for a sink)"),
        Code::GroupAuthorizationFailed => acl("Read", "--group ..."),
        Code::ClusterAuthorizationFailed => acl("IdempotentWrite", "--cluster (before Kafka 2.8)"),
        Code::TransactionalIdAuthorizationFailed => acl("Write", "--transactional-id ..."),
        code if is_missing(code) => Some(
            Error::io(format!("{what} at {at} failed: there is no such topic or partition"))
                .with_hint("create it: kafka-topics.sh --bootstrap-server ... --create --topic ...")
                .lasting(),
        ),
        _ => None,
    }
}

/// `Broker: Unknown topic or partition` without what stands in front.
fn plain(text: &str) -> String {
    let text = text.split_once(" (").map_or(text, |(text, _)| text);
    text.trim_start_matches("Broker: ").trim_start_matches("Local: ").to_string()
}

/// The code of an error, if it has one.
pub(super) fn code(e: &KafkaError) -> Option<Code> {
    match e {
        KafkaError::Transaction(e) => Some(e.code()),
        e => e.rdkafka_error_code(),
    }
}

/// What a client tells.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) properties: Arc<Properties>,
    pub(super) said: Said,
    /// Offsets behind the newest record that can be read, by topic and partition.
    ends: Mutex<HashMap<(String, i32), i64>>,
    /// Records of open transactions are not read.
    committed: bool,
}

impl Context {
    /// Offsets behind the newest record, told since the last look.
    pub(super) fn take_ends(&self) -> HashMap<(String, i32), i64> {
        std::mem::take(&mut *self.ends.lock())
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(&self.properties, level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        let mut ends = self.ends.lock();
        for (name, topic) in statistics.topics {
            for (partition, figures) in topic.partitions {
                let end = if self.committed { figures.ls_offset } else { figures.hi_offset };
                if partition >= 0 && end >= 0 && figures.desired {
                    ends.insert((name.clone(), partition), end);
                }
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        note_error(&self.said, &error, reason);
    }

    fn generate_oauth_token(
        &self,
        _config: Option<&str>,
    ) -> std::result::Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth::token(&self.properties)
    }
}

impl ConsumerContext for Context {}

pub(super) fn log_line(properties: &Properties, level: RDKafkaLogLevel, facility: &str, message: &str) {
    let message = properties.redact(message);
    match level {
        // Told as errors, too, or not for people.
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            log::trace!(target: "librdkafka", "{facility} {message}");
        }
        _ => log::debug!(target: "librdkafka", "{facility} {message}"),
    }
}

pub(super) fn note_error(said: &Said, error: &KafkaError, reason: &str) {
    if let Some(code) = code(error) {
        log::debug!(target: "librdkafka", "{reason}");
        said.add(code, reason);
    }
}

/// Asks until there is an answer. Between two tries the client is served, so that it can say what is in the way;
/// `serve` does that. A refusal ends it at once.
pub(super) fn ask<T>(
    cluster: &Cluster,
    what: &str,
    said: &Said,
    timeout: Duration,
    mut call: impl FnMut(Duration) -> std::result::Result<T, KafkaError>,
    mut serve: impl FnMut() -> bool,
) -> Result<T> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        let answer = call(Duration::from_millis(500).min(timeout));
        if !serve() {
            return Err(Error::cancelled());
        }
        let e = match answer {
            Ok(answer) => {
                said.clear();
                return Ok(answer);
            }
            Err(e) => e,
        };
        let code = code(&e);
        let passes = matches!(
            code,
            Some(
                Code::OperationTimedOut
                    | Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::Resolve
                    | Code::RequestTimedOut
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::CoordinatorLoadInProgress
                    | Code::WaitingForCoordinator
                    | Code::NetworkException
                    | Code::Retry
                    | Code::BrokerNotAvailable
            )
        );
        let error = || cluster.error(what, code, said);
        if !passes || said.refusal().is_some() || begun.elapsed() >= timeout {
            // The cause may be told a moment after the failure.
            for _ in 0..10 {
                if !passes || said.cause().is_some() || !serve() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
            return Err(error());
        }
        if begun.elapsed() >= PATIENCE && !std::mem::replace(&mut told, true) {
            log::warn!("{what} waits for Kafka: {}", error());
        }
        if !matches!(code, Some(Code::OperationTimedOut)) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Metadata of a topic, or of all.
pub(super) fn metadata(
    cluster: &Cluster,
    consumer: &BaseConsumer<Context>,
    topic: Option<&str>,
    timeout: Duration,
) -> Result<Metadata> {
    let what = match topic {
        Some(topic) => format!("reading topic '{topic}'"),
        None => "listing topics".to_string(),
    };
    let call = |most: Duration| consumer.fetch_metadata(topic, most.max(Duration::from_millis(1000)));
    ask(cluster, &what, &consumer.context().said, timeout, call, || {
        serve(consumer);
        true
    })
}

/// Lets a client that has no partitions tell what it has to tell.
pub(super) fn serve(consumer: &BaseConsumer<Context>) {
    while consumer.poll(Duration::ZERO).is_some() {}
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::Options;

    fn cluster(pairs: &[(&str, &str)]) -> Cluster {
        let mut options = Options::default();
        options.set("properties.bootstrap.servers", "kafka:9092", Default::default());
        pairs.iter().for_each(|(k, v)| options.set(k, v, Default::default()));
        Cluster { properties: Arc::new(Properties::of(&options).unwrap()) }
    }

    fn said(of: &Cluster, code: Code, text: &str) -> Error {
        let said = Said::default();
        said.add(code, text);
        said.add(Code::AllBrokersDown, "1/1 brokers are down");
        of.error("reading topic 't'", Some(Code::OperationTimedOut), &said)
    }

    #[test]
    fn messages_tell_the_usual_cause() {
        let plain = cluster(&[]);
        let e = said(
            &plain,
            Code::BrokerTransportFailure,
            "kafka:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused",
        );
        assert_eq!(e.message(), "Kafka at 'kafka:9092' could not be reached: reading topic 't' failed");
        assert!(e.hint().unwrap().contains("does the broker run") && e.may_pass(), "{e}");
        let e = said(
            &plain,
            Code::BrokerTransportFailure,
            "localhost:9093/1: Connect to ipv4#127.0.0.1:9093 failed: Connection refused (after 0ms in state CONNECT)",
        );
        assert!(
            e.hint().unwrap().contains("broker 1 is reached at localhost:9093")
                && e.hint().unwrap().contains("advertised.listeners"),
            "{e}"
        );
        let e = said(
            &plain,
            Code::Resolve,
            "broker-1.internal:9092/1: Failed to resolve 'broker-1.internal:9092': Name or service not known",
        );
        assert!(e.hint().unwrap().contains("advertised.listeners"), "{e}");
        let e = said(
            &plain,
            Code::BrokerTransportFailure,
            "kafka:9092/bootstrap: Disconnected while requesting ApiVersion: might be caused by incorrect security.protocol configuration (connecting to a SSL listener?)",
        );
        assert!(e.hint().unwrap().contains("speak TLS") && !e.may_pass(), "{e}");
        let tls = cluster(&[("properties.security.protocol", "SSL")]);
        let e = said(
            &tls,
            Code::SSL,
            "ssl://kafka:9092/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number",
        );
        assert!(e.hint().unwrap().contains("PLAINTEXT") && !e.may_pass(), "{e}");
        let e = said(
            &tls,
            Code::SSL,
            "ssl://kafka:9092/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate could not be verified",
        );
        assert!(e.hint().unwrap().contains("truststore"), "{e}");
        let login = cluster(&[
            ("properties.security.protocol", "SASL_PLAINTEXT"),
            ("properties.sasl.mechanism", "PLAIN"),
            ("properties.sasl.jaas.config", "PlainLoginModule required username=\"u\" password=\"wr-ong\";"),
        ]);
        let e = said(
            &login,
            Code::Authentication,
            "sasl_plaintext://kafka:9092/bootstrap: SASL authentication error: Authentication failed: Invalid username or password wr-ong",
        );
        assert!(
            e.hint().unwrap().contains("user or password")
                && !e.may_pass()
                && !e.to_string().contains("wr-ong"),
            "{e}"
        );
        let e = said(
            &login,
            Code::UnsupportedSASLMechanism,
            "sasl_plaintext://kafka:9092/bootstrap: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: SCRAM-SHA-256",
        );
        assert!(e.hint().unwrap().ends_with("SCRAM-SHA-256"), "{e}");
        let e = said(
            &plain,
            Code::BadMessage,
            "kafka:9092/bootstrap: Receive failed: Invalid response size 1157627904 (0..100000000): increase receive.message.max.bytes",
        );
        assert!(e.hint().unwrap().contains("is it Kafka that listens there") && !e.may_pass(), "{e}");
        let e = plain.describe(
            "listing topics",
            None,
            Some((Code::AllBrokersDown, "1/1 brokers are down".into())),
        );
        assert!(e.hint().unwrap().contains("ask for a login") && e.may_pass(), "{e}");
        let down = "sasl_plaintext://kafka:9092/bootstrap: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after 0ms)";
        let e = said(&login, Code::BrokerTransportFailure, down);
        assert!(
            e.hint().unwrap().contains("does the broker run") && !e.to_string().contains("(after"),
            "{e}"
        );
    }

    #[test]
    fn rights_and_topics_are_named() {
        let of = cluster(&[]);
        let none = Said::default();
        let e = of.error("reading topic 't'", Some(Code::TopicAuthorizationFailed), &none);
        assert!(e.hint().unwrap().contains("kafka-acls.sh") && !e.may_pass(), "{e}");
        let e = of.error("reading topic 't'", Some(Code::UnknownTopicOrPartition), &none);
        assert!(e.message().contains("no such topic") && !e.may_pass(), "{e}");
        let e = of.error("reading topic 't'", Some(Code::OperationTimedOut), &none);
        assert!(e.may_pass(), "{e}");
    }
}
