//! `properties.*`: what users of Java's client write, as librdkafka calls it.
//!
//! Most names are the same. Of the others, some have another name, some another form (JAAS, PEM), and some have no
//! counterpart: those are refused by name, with what to do. What nobody knows is found out by librdkafka itself.

mod jaas;
mod stores;

use rdkafka::ClientConfig;

use self::jaas::Jaas;
use self::stores::Stores;
use crate::catalog::Options;
use crate::error::{Error, Result, Span};
use crate::nearest::nearest;

/// The prefix of options that go to the client.
pub(super) const PREFIX: &str = "properties.";

/// Properties of one table, as librdkafka takes them, and those that are for us.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties {
    /// Names and values of librdkafka, in order.
    client: Vec<(String, String)>,
    /// `buffer.memory`: bytes of records that wait to be sent.
    pub(super) buffer_memory: Option<usize>,
    /// `queue.buffering.max.messages`: the same in records.
    pub(super) buffer_records: Option<usize>,
    /// `max.poll.records`: rows of a batch at most.
    pub(super) poll_records: Option<usize>,
    /// `default.api.timeout.ms`
    pub(super) timeout_millis: Option<u64>,
    /// `commit.offsets.on.checkpoint`
    pub(super) commits: bool,
    /// Where tokens of OAUTHBEARER come from.
    pub(super) oauth: Option<Oauth>,
    /// Texts that no message may show.
    pub(super) secrets: Vec<String>,
}

/// How a token is had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Oauth {
    /// A token without signature, for brokers that are tried out: its claims.
    Unsecured {
        /// `sub`
        subject: String,
        /// Seconds that it is good for.
        lifetime: u64,
        /// `scope`
        scope: Option<String>,
    },
    /// Asked for with the client's credentials (OIDC).
    Endpoint {
        /// `sasl.oauthbearer.token.endpoint.url`
        url: String,
        /// `clientId`
        client: String,
        /// `clientSecret`
        secret: String,
        /// `scope`
        scope: Option<String>,
    },
}

/// Java's name and librdkafka's, where they differ and the value stays.
const RENAMED: &[(&str, &str)] = &[
    ("max.request.size", "message.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("sasl.login.refresh.window.factor", ""),
];

/// Java's names that librdkafka has nothing for, and why they are not missed or what to do.
const REFUSED: &[(&str, &str)] = &[
    ("key.deserializer", "keys are read by 'key.format'"),
    ("value.deserializer", "values are read by 'value.format'"),
    ("key.serializer", "keys are written by 'key.format'"),
    ("value.serializer", "values are written by 'value.format'"),
    ("partitioner.class", "'sink.partitioner' chooses the partition"),
    ("interceptor.classes", "there are no Java classes here; leave it out"),
    ("metric.reporters", "there are no Java classes here; leave it out"),
    ("metrics.num.samples", "leave it out"),
    ("metrics.recording.level", "leave it out"),
    ("metrics.sample.window.ms", "leave it out"),
    ("transactional.id", "'sink.transactional-id-prefix' makes it"),
    ("exclude.internal.topics", "a 'topic-pattern' never finds internal topics; leave it out"),
    ("auto.include.jmx.reporter", "leave it out"),
    ("enable.metrics.push", "leave it out"),
    ("sasl.client.callback.handler.class", "there are no Java classes here; leave it out"),
    ("sasl.login.class", "there are no Java classes here; leave it out"),
    ("security.providers", "there are no Java classes here; leave it out"),
    ("ssl.engine.factory.class", "there are no Java classes here; leave it out"),
    ("ssl.provider", "there are no Java classes here; leave it out"),
    ("ssl.protocol", "OpenSSL agrees on the newest version that both sides know; leave it out"),
    ("ssl.enabled.protocols", "OpenSSL agrees on the newest version that both sides know; leave it out"),
    ("ssl.keymanager.algorithm", "leave it out"),
    ("ssl.trustmanager.algorithm", "leave it out"),
    ("ssl.secure.random.implementation", "leave it out"),
    ("partition.discovery.interval.ms", "'scan.topic-partition-discovery.interval' is the option for it"),
    ("client.id.prefix", "'properties.client.id' is the whole name here"),
    ("register.consumer.metrics", "leave it out"),
];

/// Names that only a producer or only a consumer has: the other one does not get them.
const PRODUCER_ONLY: &[&str] = &[
    "acks",
    "request.required.acks",
    "linger.ms",
    "queue.buffering.max.ms",
    "batch.size",
    "batch.num.messages",
    "compression.type",
    "compression.codec",
    "compression.level",
    "retries",
    "message.send.max.retries",
    "delivery.timeout.ms",
    "message.timeout.ms",
    "transaction.timeout.ms",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "sticky.partitioning.linger.ms",
    "queue.buffering.max.kbytes",
    "partitioner",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "request.timeout.ms",
];
const CONSUMER_ONLY: &[&str] = &[
    "group.id",
    "group.instance.id",
    "auto.offset.reset",
    "enable.auto.commit",
    "auto.commit.interval.ms",
    "isolation.level",
    "fetch.min.bytes",
    "fetch.max.bytes",
    "fetch.wait.max.ms",
    "max.partition.fetch.bytes",
    "fetch.message.max.bytes",
    "fetch.error.backoff.ms",
    "fetch.queue.backoff.ms",
    "queued.min.messages",
    "queued.max.messages.kbytes",
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "check.crcs",
    "allow.auto.create.topics",
    "client.rack",
    "enable.partition.eof",
    "group.protocol",
    "group.remote.assignor",
    "coordinator.query.interval.ms",
];

impl Properties {
    /// From a table's options.
    pub(super) fn of(options: &Options) -> Result<Self> {
        let mut all = Self { commits: true, ..Self::default() };
        let mut stores = Stores::default();
        let mut jaas = None;
        for (name, value) in options.with_prefix(PREFIX) {
            let key = format!("{PREFIX}{name}");
            let span = options.span(&key);
            let value = value.trim();
            if name == "sasl.jaas.config" {
                jaas = Some((Jaas::parse(value).map_err(|e| e.at(span))?, span));
                continue;
            }
            if stores.take(name, value) {
                continue;
            }
            all.take(name, value, span)?;
        }
        stores.put(&mut all, options)?;
        let mechanism = options
            .text("properties.sasl.mechanism")
            .or(options.text("properties.sasl.mechanisms"))
            .map(str::to_ascii_uppercase);
        all.log_in(mechanism.as_deref(), jaas, options)?;
        all.check()?;
        Ok(all)
    }

    fn set(&mut self, name: &str, value: &str) {
        self.client.push((name.to_string(), value.to_string()));
    }

    /// The servers.
    pub(super) fn servers(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or_default()
    }

    /// The value of a property under librdkafka's name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.client.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn take(&mut self, name: &str, value: &str, span: Span) -> Result<()> {
        let number = || {
            value.parse::<u64>().map_err(|_| {
                Error::option(format!("option '{PREFIX}{name}': '{value}' is not a whole number from 0"))
                    .at(span)
            })
        };
        let flag = || {
            crate::catalog::options::parse_bool(value)
                .map_err(|e| e.context(format!("option '{PREFIX}{name}'")).at(span))
        };
        let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        match name {
            "buffer.memory" => self.buffer_memory = Some(size(number()?)),
            "queue.buffering.max.kbytes" => self.buffer_memory = Some(size(number()?.saturating_mul(1024))),
            "queue.buffering.max.messages" => self.buffer_records = Some(size(number()?)),
            "max.poll.records" => self.poll_records = Some(size(number()?).max(1)),
            "default.api.timeout.ms" | "max.block.ms" => self.timeout_millis = Some(number()?.max(1)),
            "commit.offsets.on.checkpoint" => self.commits = flag()?,
            // Java's class names.
            "partition.assignment.strategy" => {
                let short = |class: &str| match class.trim().rsplit('.').next().unwrap_or_default() {
                    "RangeAssignor" => "range".to_string(),
                    "RoundRobinAssignor" => "roundrobin".to_string(),
                    "CooperativeStickyAssignor" => "cooperative-sticky".to_string(),
                    other => other.to_string(),
                };
                self.set(name, &value.split(',').map(short).collect::<Vec<_>>().join(","));
            }
            // Empty turns it off in Java.
            "ssl.endpoint.identification.algorithm" => {
                self.set(name, if value.is_empty() { "none" } else { value });
            }
            "sasl.kerberos.service.name" | "sasl.kerberos.principal" | "sasl.kerberos.keytab" => {
                return Err(kerberos().at(span));
            }
            "sasl.login.callback.handler.class" => {
                let class = value.rsplit('.').next().unwrap_or_default();
                match class {
                    "OAuthBearerLoginCallbackHandler" | "OAuthBearerUnsecuredLoginCallbackHandler" => {}
                    "IAMClientCallbackHandler" => return Err(iam().at(span)),
                    _ => {
                        return Err(Error::unsupported(format!("option '{PREFIX}{name}': class '{class}' is Java's"))
                            .with_hint(
                                "tokens come from 'properties.sasl.oauthbearer.token.endpoint.url' with clientId and \
                                 clientSecret in 'properties.sasl.jaas.config'",
                            )
                            .at(span));
                    }
                }
            }
            // Read with the mechanism.
            "sasl.oauthbearer.token.endpoint.url" | "sasl.mechanism" | "sasl.mechanisms" => {}
            _ => {
                if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
                    return Err(Error::unsupported(format!(
                        "option '{PREFIX}{name}' of Java's client has no counterpart in librdkafka"
                    ))
                    .with_hint(*why)
                    .at(span));
                }
                let ours = RENAMED.iter().find(|(java, _)| *java == name).map_or(name, |(_, ours)| ours);
                if ours.is_empty() {
                    return Err(Error::unsupported(format!(
                        "option '{PREFIX}{name}' of Java's client has no counterpart in librdkafka"
                    ))
                    .with_hint("leave it out")
                    .at(span));
                }
                let value =
                    if name == "security.protocol" { value.to_ascii_uppercase() } else { value.to_string() };
                if ["password", "secret"].iter().any(|word| name.contains(word)) {
                    self.secrets.push(value.clone());
                }
                check_one(name, ours, &value).map_err(|e| e.at(span))?;
                self.set(ours, &value);
            }
        }
        Ok(())
    }

    /// Name and password, or a way to tokens.
    fn log_in(
        &mut self,
        mechanism: Option<&str>,
        jaas: Option<(Jaas, Span)>,
        options: &Options,
    ) -> Result<()> {
        let at = |e: Error| e.at(options.span("properties.sasl.mechanism"));
        let protocol = self.get("security.protocol").unwrap_or("PLAINTEXT").to_string();
        let sasl = protocol.starts_with("SASL");
        if !sasl && (mechanism.is_some() || jaas.is_some()) {
            return Err(Error::option(format!(
                "a login is given, and 'properties.security.protocol' is {protocol}, which has none"
            ))
            .with_hint("'properties.security.protocol' = 'SASL_SSL' (or 'SASL_PLAINTEXT' without TLS)"));
        }
        if !sasl {
            return Ok(());
        }
        // Java's default is GSSAPI.
        let Some(mechanism) = mechanism else {
            return Err(Error::option(format!(
                "'properties.security.protocol' is {protocol}: option 'properties.sasl.mechanism' is required"
            ))
            .with_hint("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"));
        };
        match mechanism {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
                self.set("sasl.mechanism", mechanism);
                if let Some((jaas, span)) = jaas {
                    let wanted = if mechanism == "PLAIN" { "PlainLoginModule" } else { "ScramLoginModule" };
                    if jaas.module != wanted {
                        return Err(Error::option(format!(
                            "'properties.sasl.jaas.config' names {}, and mechanism {mechanism} needs {wanted}",
                            jaas.module
                        ))
                        .at(span));
                    }
                    let value = |name: &str| {
                        jaas.option(name).ok_or_else(|| {
                            Error::option(format!("'properties.sasl.jaas.config' has no {name}=\"...\""))
                                .at(span)
                        })
                    };
                    let (user, password) = (value("username")?.to_string(), value("password")?.to_string());
                    self.set("sasl.username", &user);
                    self.set("sasl.password", &password);
                    self.secrets.push(password);
                } else if self.get("sasl.username").is_none() || self.get("sasl.password").is_none() {
                    return Err(at(Error::option(format!(
                        "mechanism {mechanism} needs a user and a password"
                    ))
                    .with_hint(format!(
                        "'properties.sasl.jaas.config' = 'org.apache.kafka.common.security.{} required \
                             username=\"...\" password=\"${{PASSWORD}}\";'",
                        if mechanism == "PLAIN" {
                            "plain.PlainLoginModule"
                        } else {
                            "scram.ScramLoginModule"
                        }
                    ))));
                }
                Ok(())
            }
            "OAUTHBEARER" => {
                self.set("sasl.mechanism", mechanism);
                let (jaas, span) = match &jaas {
                    Some((jaas, span)) if jaas.module == "OAuthBearerLoginModule" => (jaas, *span),
                    Some((jaas, span)) => {
                        return Err(Error::option(format!(
                            "'properties.sasl.jaas.config' names {}, and mechanism OAUTHBEARER needs \
                             OAuthBearerLoginModule",
                            jaas.module
                        ))
                        .at(*span));
                    }
                    None => {
                        return Err(at(Error::option(
                            "mechanism OAUTHBEARER needs 'properties.sasl.jaas.config'",
                        )
                        .with_hint(
                            "'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                                 clientId=\"...\" clientSecret=\"${SECRET}\";', and \
                                 'properties.sasl.oauthbearer.token.endpoint.url'",
                        )));
                    }
                };
                let text = |name: &str| jaas.option(name).map(str::to_string);
                self.oauth = Some(match options.text("properties.sasl.oauthbearer.token.endpoint.url") {
                    Some(url) => {
                        let missing = |name: &str| {
                            Error::option(format!("'properties.sasl.jaas.config' has no {name}=\"...\""))
                                .at(span)
                        };
                        let secret = text("clientSecret").ok_or_else(|| missing("clientSecret"))?;
                        self.secrets.push(secret.clone());
                        Oauth::Endpoint {
                            url: url.to_string(),
                            client: text("clientId").ok_or_else(|| missing("clientId"))?,
                            secret,
                            scope: text("scope"),
                        }
                    }
                    None => match text("unsecuredLoginStringClaim_sub") {
                        Some(subject) => Oauth::Unsecured {
                            subject,
                            lifetime: text("unsecuredLoginLifetimeSeconds")
                                .and_then(|s| s.parse().ok())
                                .unwrap_or(3600),
                            scope: text("unsecuredLoginStringClaim_scope"),
                        },
                        None => {
                            return Err(Error::option(
                                "option 'properties.sasl.oauthbearer.token.endpoint.url' is required",
                            )
                            .with_hint("it gives tokens for clientId and clientSecret of 'properties.sasl.jaas.config'")
                            .at(span));
                        }
                    },
                });
                Ok(())
            }
            "GSSAPI" => Err(at(kerberos())),
            "AWS_MSK_IAM" => Err(at(iam())),
            other => Err(at(Error::option(format!("mechanism '{other}' is not known"))
                .with_hint("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"))),
        }
    }

    /// Lets librdkafka look at what belongs together.
    fn check(&self) -> Result<()> {
        let mut config = ClientConfig::new();
        self.client.iter().filter(|(_, v)| !v.is_empty()).for_each(|(name, value)| {
            config.set(name, value);
        });
        config.create_native_config().map(drop).map_err(|e| Error::option(e.to_string()))
    }

    /// What a consumer takes of them.
    pub(super) fn consumer(&self, config: &mut ClientConfig) {
        self.apply(config, PRODUCER_ONLY);
        if let Some(timeout) = self.get("request.timeout.ms") {
            config.set("socket.timeout.ms", timeout);
        }
    }

    /// What a producer takes of them.
    pub(super) fn producer(&self, config: &mut ClientConfig) {
        self.apply(config, CONSUMER_ONLY);
    }

    fn apply(&self, config: &mut ClientConfig, without: &[&str]) {
        for (name, value) in self.client.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
            config.set(name, value);
        }
    }

    /// A text without passwords.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = crate::secret::redact(text).into_owned();
        for secret in self.secrets.iter().filter(|s| s.len() >= 4) {
            text = text.replace(secret.as_str(), "***");
        }
        text
    }
}

fn kerberos() -> Error {
    Error::unsupported("Kerberos (GSSAPI) is not in this build")
        .with_hint("PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are")
}

fn iam() -> Error {
    Error::unsupported("AWS_MSK_IAM is not supported yet")
        .with_hint("Amazon MSK takes SCRAM-SHA-512, too: a secret of AWS Secrets Manager that is associated with the cluster")
}

/// Asks librdkafka about one property.
fn check_one(name: &str, ours: &str, value: &str) -> Result<()> {
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;
    let mut config = ClientConfig::new();
    config.set(ours, value);
    match config.create_native_config() {
        Ok(_) => Ok(()),
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            let known = PRODUCER_ONLY.iter().chain(CONSUMER_ONLY).copied();
            let known = known.chain(COMMON.iter().copied()).chain(RENAMED.iter().map(|(java, _)| *java));
            let error = Error::option(format!("Kafka's client has no property '{name}'"));
            Err(match nearest(name, known) {
                Some(near) => error.with_hint(format!("did you mean '{PREFIX}{near}'?")),
                None => error
                    .with_hint("properties are those of Java's client or of librdkafka (CONFIGURATION.md)"),
            })
        }
        Err(KafkaError::ClientConfig(_, why, ..)) => {
            Err(Error::option(format!("option '{PREFIX}{name}' = '{value}': {why}")))
        }
        Err(e) => Err(Error::option(format!("option '{PREFIX}{name}': {e}"))),
    }
}

/// More names that are asked for often.
const COMMON: &[&str] = &[
    "bootstrap.servers",
    "client.id",
    "security.protocol",
    "sasl.mechanism",
    "sasl.jaas.config",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.truststore.certificates",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "ssl.keystore.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "metadata.max.age.ms",
    "reconnect.backoff.ms",
    "reconnect.backoff.max.ms",
    "retry.backoff.ms",
    "connections.max.idle.ms",
    "socket.timeout.ms",
    "socket.keepalive.enable",
    "buffer.memory",
    "max.poll.records",
    "sasl.username",
    "sasl.password",
    "ssl.ca.location",
    "client.dns.lookup",
    "default.api.timeout.ms",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Properties> {
        let mut options = Options::default();
        for (key, value) in pairs {
            options.set(&format!("{PREFIX}{key}"), value, Default::default());
        }
        Properties::of(&options)
    }

    #[test]
    fn names_of_java_become_those_of_librdkafka() {
        let properties = of(&[
            ("bootstrap.servers", "a:1,b:2"),
            ("max.request.size", "2000000"),
            ("fetch.max.wait.ms", "50"),
            ("buffer.memory", "33554432"),
            ("ssl.endpoint.identification.algorithm", ""),
            ("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"),
        ])
        .unwrap();
        assert_eq!(properties.servers(), "a:1,b:2");
        assert_eq!(properties.get("message.max.bytes"), Some("2000000"));
        assert_eq!(properties.get("ssl.endpoint.identification.algorithm"), Some("none"));
        assert_eq!(properties.get("partition.assignment.strategy"), Some("cooperative-sticky"));
        assert_eq!(properties.buffer_memory, Some(33_554_432));
        let mut consumer = ClientConfig::new();
        properties.consumer(&mut consumer);
        assert_eq!(consumer.get("fetch.wait.max.ms"), Some("50"));
        let mut producer = ClientConfig::new();
        properties.producer(&mut producer);
        assert_eq!(producer.get("fetch.wait.max.ms"), None);
    }

    #[test]
    fn java_properties_without_counterpart_are_refused_by_name() {
        let e = of(&[("interceptor.classes", "x.Y")]).unwrap_err();
        assert!(e.message().contains("'properties.interceptor.classes'"), "{e}");
        let e = of(&[("fetch.min.byte", "1")]).unwrap_err();
        assert_eq!(e.hint(), Some("did you mean 'properties.fetch.min.bytes'?"));
        let e = of(&[("fetch.min.bytes", "many")]).unwrap_err();
        assert!(e.message().contains("'properties.fetch.min.bytes' = 'many'"), "{e}");
        let e = of(&[("security.protocol", "SSL"), ("ssl.truststore.location", "/x/trust.jks")]).unwrap_err();
        assert!(e.message().contains("Java key store") && e.hint().unwrap().contains("keytool"), "{e}");
        let e = of(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "GSSAPI")]).unwrap_err();
        assert!(e.message().contains("Kerberos"), "{e}");
        let e = of(&[("sasl.mechanism", "PLAIN")]).unwrap_err();
        assert!(e.message().contains("PLAINTEXT, which has none"), "{e}");
    }

    #[test]
    fn jaas_is_read_and_never_shown() {
        let jaas = r#"shaded.org.apache.kafka.common.security.scram.ScramLoginModule required
            username="alice" password="it\"s; secret";"#;
        let properties = of(&[
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "scram-sha-512"),
            ("sasl.jaas.config", jaas),
        ])
        .unwrap();
        assert_eq!(properties.get("sasl.username"), Some("alice"));
        assert_eq!(properties.get("sasl.password"), Some("it\"s; secret"));
        assert_eq!(properties.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(properties.redact("password it\"s; secret is wrong"), "password *** is wrong");
        let plain = [("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")];
        for (wrong, says) in [
            ("PlainLoginModule required username=\"a\" password=\"hush-hush\"", "does not end"),
            ("PlainLoginModule optional username=\"a\";", "'required'"),
            ("PlainLoginModule required username=\"a password=hush-hush;", "quotation mark"),
            ("x.ScramLoginModule required username=\"a\" password=\"hush-hush\";", "needs PlainLoginModule"),
            ("x.PlainLoginModule required username=\"a\";", "password"),
        ] {
            let e = of(&[plain[0], plain[1], ("sasl.jaas.config", wrong)]).unwrap_err();
            assert!(e.message().contains(says) && !e.to_string().contains("hush-hush"), "{e}");
        }
    }

    #[test]
    fn pem_may_stand_in_one_line_or_in_files() {
        let pem = "-----BEGIN CERTIFICATE----- TUlJ -----END CERTIFICATE-----";
        assert_eq!(stores::lines(pem), "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----");
        let properties = of(&[
            ("security.protocol", "SSL"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "/x/ca"),
            ("ssl.keystore.location", "/x/client.p12"),
            ("ssl.keystore.password", "changeit"),
        ])
        .unwrap();
        assert_eq!(properties.get("ssl.ca.location"), Some("/x/ca"));
        assert_eq!(properties.get("ssl.keystore.location"), Some("/x/client.p12"));
    }
}
