//! `'connector' = 'mqtt'`: topics of an MQTT broker (3.1.1 and 5), as source and sink.
//!
//! # Reading
//! MQTT has no positions: a broker keeps for a session what it has sent and not been acknowledged. So the session has a
//! fixed name (`client-id`), outlives the connection, and a message (QoS 1) is **acknowledged when the checkpoint that
//! holds it is durable**; a process that comes back gets everything after it again: at-least-once. A message that comes again
//! after a mere loss of the connection is recognised, as long as it has not been acknowledged. Without checkpoints it is acknowledged when the job has
//! taken it. QoS 0 is what it says: at most once.
//!
//! Brokers bound how many messages may be unacknowledged. With MQTT 5 the client says how many (`scan.max-unacknowledged`); with
//! 3.1.1 the broker does (Mosquitto: `max_inflight_messages`, 20), and as many are read between two checkpoints.
//!
//! `$share/group/topic` divides a topic among several processes, each with a `client-id` of its own.
//!
//! # Writing
//! At-least-once with QoS 1: a checkpoint waits until the broker has acknowledged what lies before it. Order is kept per
//! topic.
//!
//! # Metadata
//! `topic` (STRING; a sink writes it where the table declares it), `qos` (INT), `retain` (BOOLEAN, written), `duplicate`
//! (BOOLEAN), and with MQTT 5 `user-properties` (MAP<STRING, STRING>), `content-type` (STRING).

mod client;
mod sink;
mod source;

use std::sync::Arc;
use std::time::Duration;

use self::client::{Address, Version};
use super::messages::{self, Kept, Known};
use super::outbox;
use super::tls;
use super::{Connector, Nature, Place, ScanRequest, Sink, SinkRequest, Source};
use crate::catalog::Table;
use crate::catalog::options::{OptionDef, OptionKind};
use crate::error::{Error, Result};
use crate::sql::variables::expanded;

/// The connector.
#[derive(Debug)]
pub struct Mqtt;

const OWN: [OptionDef; 11] = [
    OptionDef::new("url", OptionKind::Text, "", "mqtt://host:1883, or mqtts://host:8883 with TLS"),
    OptionDef::new(
        "topic",
        OptionKind::Text,
        "",
        "source: topic filters, separated by ';', with + and #, $share/group/filter too; sink: the topic",
    ),
    OptionDef::new(
        "qos",
        OptionKind::Choice(&["0", "1"]),
        "1",
        "quality of service: 0 at most once, 1 at least once",
    ),
    OptionDef::new(
        "client-id",
        OptionKind::Text,
        "",
        "name of the session, one for each process; default: affluent- and the table's name",
    ),
    OptionDef::new("username", OptionKind::Text, "", "user; ${NAME} is taken from the environment"),
    OptionDef::new("password", OptionKind::Text, "", "password; ${NAME} is taken from the environment"),
    OptionDef::new("mqtt.version", OptionKind::Choice(&["5", "3.1.1"]), "5", "version of the protocol"),
    OptionDef::new(
        "mqtt.keep-alive",
        OptionKind::Duration,
        "30 s",
        "how often a silent connection is checked",
    ),
    OptionDef::new(
        "mqtt.session-expiry",
        OptionKind::Duration,
        "7 d",
        "source, MQTT 5: how long the broker keeps messages for a process that is disconnected",
    ),
    OptionDef::new("mqtt.max-packet-size", OptionKind::Size, "16 mb", "a larger message is an error"),
    OptionDef::new(
        "scan.max-unacknowledged",
        OptionKind::Integer,
        "65535",
        "source, MQTT 5: messages that may wait for their checkpoint; the broker sends no more then",
    ),
];
const SINK: [OptionDef; 2] = [
    OptionDef::new(
        outbox::BATCH,
        OptionKind::Integer,
        "500",
        "sink: messages of a topic that are on their way together",
    ),
    OptionDef::new(
        "sink.retain",
        OptionKind::Bool,
        "false",
        "sink: the broker keeps the last message of a topic",
    ),
];
const FEW: [OptionDef; 16] = outbox::chained(&outbox::chained::<13>(&OWN, &SINK), &tls::OPTIONS);
const OPTIONS: [OptionDef; 16 + outbox::COUNT] = outbox::with_options(&FEW);

const METADATA: &[Known] = &[
    ("topic", Kept::Text),
    ("qos", Kept::Int),
    ("retain", Kept::Bool),
    ("duplicate", Kept::Bool),
    ("user-properties", Kept::Map),
    ("content-type", Kept::Text),
];
const KEYS: &[&str] = &["topic", "qos", "retain", "duplicate", "user-properties", "content-type"];

/// The options of a table.
#[derive(Clone)]
struct Settings {
    table: String,
    address: Address,
    topics: Vec<String>,
    qos: u8,
    unacknowledged: u16,
}

impl Settings {
    fn of(table: &Table) -> Result<Self> {
        let options = &table.options;
        let wrong =
            |key: &str, what: &str| Error::option(format!("option '{key}': {what}")).at(options.span(key));
        let version = match options.choice("mqtt.version", &["5", "3.1.1"])? {
            Some("3.1.1") => Version::Three,
            _ => Version::Five,
        };
        let text = |key: &str| options.text(key).map(expanded).transpose();
        let url = expanded(options.required("url")?)?;
        let hint = "mqtt://host:1883, or mqtts://host:8883 with TLS";
        let parsed = url::Url::parse(&url).map_err(|_| wrong("url", "this is no URL").with_hint(hint))?;
        let is_tls = match parsed.scheme() {
            "mqtt" | "tcp" => false,
            "mqtts" | "ssl" => true,
            "ws" | "wss" => {
                return Err(Error::unsupported("option 'url': MQTT over WebSocket is not supported")
                    .with_hint(hint)
                    .at(options.span("url")));
            }
            other => return Err(wrong("url", &format!("'{other}' is not MQTT")).with_hint(hint)),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(wrong("url", "it must not hold a user name or password")
                .with_hint("'username' = '...', 'password' = '${PASSWORD}'"));
        }
        let host = parsed.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("url", "it has no host").with_hint(hint))?;
        let port = parsed.port().unwrap_or(if is_tls { 8883 } else { 1883 });
        if let Some(key) = tls::is_asked_for(options).filter(|_| !is_tls) {
            return Err(wrong(key, "the url has no TLS").with_hint("'url' = 'mqtts://...'"));
        }
        let topics: Vec<String> = options
            .required("topic")?
            .split(';')
            .map(|topic| topic.trim().to_string())
            .filter(|topic| !topic.is_empty())
            .collect();
        if let Some(topic) = topics.iter().find(|t| !is_filter(t)) {
            return Err(wrong("topic", &format!("'{topic}' is not a topic filter"))
                .with_hint("+ stands for one level and # for all that follow, each on a level of its own: plant/+/sensors/#"));
        }
        if topics.is_empty() {
            return Err(wrong("topic", "it is empty"));
        }
        let (username, password) = (text("username")?, text("password")?);
        if password.is_some() && username.is_none() {
            return Err(wrong("password", "it needs a 'username'"));
        }
        let client_id = text("client-id")?.unwrap_or_else(|| format!("affluent-{}", table.name));
        let small = |key: &'static str, default: u16| -> Result<u16> {
            match options.integer(key)? {
                None => Ok(default),
                Some(n) => u16::try_from(n)
                    .ok()
                    .filter(|n| *n > 0)
                    .ok_or_else(|| wrong(key, "it must be from 1 to 65535")),
            }
        };
        let keep_alive = options.duration("mqtt.keep-alive")?.unwrap_or(Duration::from_secs(30));
        if keep_alive < Duration::from_secs(1) || keep_alive > Duration::from_secs(65_535) {
            return Err(wrong("mqtt.keep-alive", "it must be from 1 s to 65535 s"));
        }
        let unacknowledged = small("scan.max-unacknowledged", u16::MAX)?;
        let address = Address {
            version,
            host: host.trim_matches(['[', ']']).to_string(),
            port,
            tls: is_tls.then(|| tls::client_config(options).map(Arc::new)).transpose()?,
            client_id,
            login: username.map(|user| (user, password.unwrap_or_default())),
            keep_alive,
            session_expiry: options
                .duration("mqtt.session-expiry")?
                .unwrap_or(Duration::from_secs(7 * 86_400)),
            max_packet: u32::try_from(options.size("mqtt.max-packet-size")?.unwrap_or(16 << 20))
                .ok()
                .filter(|n| (128..=268_435_455).contains(n))
                .ok_or_else(|| wrong("mqtt.max-packet-size", "it must be from 128 bytes to 256 mb"))?,
        };
        Ok(Self {
            table: table.name.clone(),
            address,
            topics,
            qos: if options.choice("qos", &["0", "1"])? == Some("0") { 0 } else { 1 },
            unacknowledged,
        })
    }

    fn describe(&self) -> String {
        format!("topic={}, url={}, qos={}", self.topics.join(";"), self.address, self.qos)
    }
}

/// Whether wildcards stand where they may.
fn is_filter(topic: &str) -> bool {
    let topic = match topic.strip_prefix("$share/") {
        Some(shared) => match shared.split_once('/') {
            Some((group, topic)) if !group.is_empty() && !group.contains(['+', '#']) => topic,
            _ => return false,
        },
        None => topic,
    };
    let levels: Vec<&str> = topic.split('/').collect();
    !topic.is_empty()
        && !topic.contains('\0')
        && levels.iter().enumerate().all(|(i, level)| match *level {
            "+" => true,
            "#" => i + 1 == levels.len(),
            level => !level.contains(['+', '#']),
        })
}

impl Connector for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn doc(&self) -> &'static str {
        "topics of an MQTT broker (3.1.1, 5), as source and sink"
    }

    fn options(&self) -> &'static [OptionDef] {
        &OPTIONS
    }

    fn takes_format(&self) -> bool {
        true
    }

    fn rejects(&self) -> bool {
        true
    }

    fn metadata(&self) -> &'static [&'static str] {
        KEYS
    }

    fn check(&self, table: &Table) -> Result<()> {
        Settings::of(table)?;
        outbox::Bounds::of(&table.options, sink::BATCH)?;
        messages::check(table, METADATA)
    }

    fn probe(&self, table: &Table) -> Result<Vec<String>> {
        let Settings { table, address, .. } = Settings::of(table)?;
        messages::ask(async move {
            // Not the session of the job.
            let name = format!("{}-check-{:08x}", address.client_id, rand::random::<u32>());
            let (client, mut connection) = address.connection(&name, None);
            loop {
                match connection.next().await {
                    Ok(client::Event::Connected(_)) => {
                        client.leave();
                        return Ok(vec![format!("table '{table}': {address} takes the connection")]);
                    }
                    Ok(_) => {}
                    Err(broken) => {
                        let error = Error::io(format!(
                            "table '{table}': no connection to {address}: {}",
                            broken.what
                        ));
                        return Err(match broken.hint {
                            Some(hint) => error.with_hint(hint),
                            None => error,
                        });
                    }
                }
            }
        })
    }

    fn place(&self, table: &Table) -> Result<Option<Place>> {
        let settings = Settings::of(table)?;
        let topics = settings.topics.join(";");
        Ok(Some(Place::new("mqtt", format!("{topics} at {}", settings.address), topics)))
    }

    fn nature(&self, table: &Table) -> Nature {
        Nature { bounded: false, ..Nature::declared(self.options(), &table.options) }
    }

    fn source(&self, request: &ScanRequest) -> Result<Arc<dyn Source>> {
        let made = source::MqttSource::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }

    fn sink(&self, request: &SinkRequest) -> Result<Arc<dyn Sink>> {
        let made = sink::MqttSink::new(request);
        Ok(Arc::new(made.map_err(|e| request.table.context(e))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_alone_in_their_level() {
        for good in ["a", "a/b", "+/b/#", "#", "$share/g/a/+", "/a/", "$SYS/x"] {
            assert!(is_filter(good), "{good}");
        }
        for bad in ["", "a+", "a/#/b", "a/b#", "$share/g", "$share//a", "$share/+/a"] {
            assert!(!is_filter(bad), "{bad}");
        }
    }
}
