//! One connection to a broker, whichever version it speaks.
//!
//! The library reconnects by itself, but what that means is a matter of who uses it: so a connection here is over when it
//! breaks, and its owner makes another.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::{TlsConfiguration, Transport, v5};
use rustls::ClientConfig;

/// Requests of ours that may wait for the connection.
const REQUESTS: usize = 256;
/// Messages of ours that may be unacknowledged on a connection.
pub(super) const IN_FLIGHT: u16 = 1000;
/// Seconds that connecting may take.
const CONNECTING: u64 = 10;

/// The version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Three,
    Five,
}

/// Where a broker is, and who we are.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) version: Version,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) client_id: String,
    pub(super) login: Option<(String, String)>,
    pub(super) keep_alive: Duration,
    pub(super) session_expiry: Duration,
    pub(super) max_packet: u32,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// What has happened on a connection.
pub(super) enum Event {
    /// It is there; whether the broker knew the session.
    Connected(bool),
    Message(Incoming),
    /// A message of ours was sent under this number; 0: without acknowledgement.
    Sent(u16),
    /// It was taken, or refused.
    Acknowledged(u16, Result<(), String>),
    /// A subscription was refused.
    Refused(String),
    /// We have said good-bye, behind all that was asked for before.
    Left,
    Other,
}

/// A message that has come.
pub(super) struct Incoming {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) duplicate: bool,
    pub(super) number: u16,
    pub(super) properties: Vec<(String, String)>,
    pub(super) content_type: Option<String>,
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) what: String,
    /// Another would break as well.
    pub(super) lasts: bool,
    /// Another client has come with this one's name.
    pub(super) taken_over: bool,
    pub(super) hint: Option<&'static str>,
}

/// Sends requests on a connection.
#[derive(Clone)]
pub(super) enum Client {
    Three(rumqttc::AsyncClient),
    Five(v5::AsyncClient),
}

/// Its other half, to be polled.
pub(super) enum Connection {
    Three(Box<rumqttc::EventLoop>),
    Five(Box<v5::EventLoop>),
}

impl Address {
    /// A connection; it is made when it is polled. `session`: it outlives the connection, with so many messages
    /// unacknowledged; otherwise it begins empty.
    pub(super) fn connection(&self, client_id: &str, session: Option<u16>) -> (Client, Connection) {
        let transport = match &self.tls {
            Some(config) => Transport::tls_with_config(TlsConfiguration::Rustls(config.clone())),
            None => Transport::tcp(),
        };
        match self.version {
            Version::Three => {
                let mut options = rumqttc::MqttOptions::new(client_id, &self.host, self.port);
                options.set_transport(transport);
                options.set_keep_alive(self.keep_alive);
                options.set_clean_session(session.is_none());
                options.set_manual_acks(session.is_some());
                options.set_inflight(IN_FLIGHT);
                let most = self.max_packet as usize;
                options.set_max_packet_size(most, most);
                if let Some((user, password)) = &self.login {
                    options.set_credentials(user, password);
                }
                let (client, mut connection) = rumqttc::AsyncClient::new(options, REQUESTS);
                let mut network = connection.network_options();
                network.set_connection_timeout(CONNECTING).set_tcp_nodelay(true);
                connection.set_network_options(network);
                (Client::Three(client), Connection::Three(Box::new(connection)))
            }
            Version::Five => {
                let mut options = v5::MqttOptions::new(client_id, &self.host, self.port);
                options.set_transport(transport);
                options.set_keep_alive(self.keep_alive);
                options.set_clean_start(session.is_none());
                options.set_manual_acks(session.is_some());
                options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
                options.set_max_packet_size(Some(self.max_packet));
                options.set_connection_timeout(CONNECTING);
                let expiry = u32::try_from(self.session_expiry.as_secs()).unwrap_or(u32::MAX);
                options.set_session_expiry_interval(Some(session.map_or(0, |_| expiry)));
                options.set_receive_maximum(session);
                if let Some((user, password)) = &self.login {
                    options.set_credentials(user, password);
                }
                let mut network = options.network_options();
                network.set_connection_timeout(CONNECTING).set_tcp_nodelay(true);
                options.set_network_options(network);
                let (client, connection) = v5::AsyncClient::new(options, REQUESTS);
                (Client::Five(client), Connection::Five(Box::new(connection)))
            }
        }
    }
}

impl Client {
    /// Asks for topics. `Err`: the connection is over.
    pub(super) async fn subscribe(&self, topics: &[String], qos: u8) -> Result<(), ()> {
        match self {
            Self::Three(client) => {
                let qos = if qos == 0 { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce };
                let filters = topics.iter().map(|t| rumqttc::SubscribeFilter::new(t.clone(), qos));
                client.subscribe_many(filters).await.map_err(drop)
            }
            Self::Five(client) => {
                use v5::mqttbytes::QoS;
                let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                let filters = topics.iter().map(|t| v5::mqttbytes::v5::Filter::new(t.clone(), qos));
                client.subscribe_many(filters).await.map_err(drop)
            }
        }
    }

    /// Acknowledges a message (QoS 1).
    pub(super) async fn acknowledge(&self, number: u16) -> Result<(), ()> {
        match self {
            Self::Three(client) => {
                let mut message = rumqttc::Publish::new("", rumqttc::QoS::AtLeastOnce, Vec::new());
                message.pkid = number;
                client.ack(&message).await.map_err(drop)
            }
            Self::Five(client) => {
                use v5::mqttbytes::QoS;
                let mut message = v5::mqttbytes::v5::Publish::new("", QoS::AtLeastOnce, Bytes::new(), None);
                message.pkid = number;
                client.ack(&message).await.map_err(drop)
            }
        }
    }

    /// Sends a message.
    pub(super) async fn publish(&self, topic: &str, qos: u8, retain: bool, payload: Bytes) -> Result<(), ()> {
        match self {
            Self::Three(client) => {
                let qos = if qos == 0 { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce };
                client.publish_bytes(topic, qos, retain, payload).await.map_err(drop)
            }
            Self::Five(client) => {
                use v5::mqttbytes::QoS;
                let qos = if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                client.publish_bytes(topic, qos, retain, payload).await.map_err(drop)
            }
        }
    }

    /// Says good-bye when what was asked for before is done. `Err`: the connection is over.
    pub(super) async fn depart(&self) -> Result<(), ()> {
        match self {
            Self::Three(client) => client.disconnect().await.map_err(drop),
            Self::Five(client) => client.disconnect().await.map_err(drop),
        }
    }

    /// Says good-bye.
    pub(super) fn leave(&self) {
        // A connection that is gone hears nothing.
        let _ = match self {
            Self::Three(client) => client.try_disconnect().map_err(drop),
            Self::Five(client) => client.try_disconnect().map_err(drop),
        };
    }
}

impl Connection {
    /// What happens next. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Event, Broken> {
        match self {
            Self::Three(connection) => match connection.poll().await {
                Ok(event) => Ok(of_three(event)),
                Err(e) => Err(broken_three(&e)),
            },
            Self::Five(connection) => match connection.poll().await {
                Ok(event) => Ok(of_five(event)),
                Err(e) => Err(broken_five(&e)),
            },
        }
    }
}

fn of_three(event: rumqttc::Event) -> Event {
    use rumqttc::{Outgoing, Packet, SubscribeReasonCode};
    match event {
        rumqttc::Event::Incoming(Packet::ConnAck(ack)) => Event::Connected(ack.session_present),
        rumqttc::Event::Incoming(Packet::Publish(message)) => Event::Message(Incoming {
            topic: message.topic,
            payload: message.payload,
            qos: message.qos as u8,
            retain: message.retain,
            duplicate: message.dup,
            number: message.pkid,
            properties: Vec::new(),
            content_type: None,
        }),
        rumqttc::Event::Incoming(Packet::PubAck(ack)) => Event::Acknowledged(ack.pkid, Ok(())),
        rumqttc::Event::Incoming(Packet::SubAck(ack))
            if ack.return_codes.contains(&SubscribeReasonCode::Failure) =>
        {
            Event::Refused("the broker refuses it".into())
        }
        rumqttc::Event::Outgoing(Outgoing::Publish(number)) => Event::Sent(number),
        rumqttc::Event::Outgoing(Outgoing::Disconnect) => Event::Left,
        _ => Event::Other,
    }
}

fn of_five(event: v5::Event) -> Event {
    use v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
    match event {
        v5::Event::Incoming(Packet::ConnAck(ack)) => Event::Connected(ack.session_present),
        v5::Event::Incoming(Packet::Publish(message)) => {
            let (properties, content_type) = match message.properties {
                Some(properties) => (properties.user_properties, properties.content_type),
                None => (Vec::new(), None),
            };
            Event::Message(Incoming {
                topic: String::from_utf8_lossy(&message.topic).into_owned(),
                payload: message.payload,
                qos: message.qos as u8,
                retain: message.retain,
                duplicate: message.dup,
                number: message.pkid,
                properties,
                content_type,
            })
        }
        v5::Event::Incoming(Packet::PubAck(ack)) => {
            let result = match ack.reason {
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => Ok(()),
                other => Err(spaced(&format!("{other:?}"))),
            };
            Event::Acknowledged(ack.pkid, result)
        }
        v5::Event::Incoming(Packet::SubAck(ack)) => {
            let refused = ack.return_codes.iter().find(|c| !matches!(c, SubscribeReasonCode::Success(_)));
            match refused {
                Some(code) => {
                    Event::Refused(format!("the broker refuses it: {}", spaced(&format!("{code:?}"))))
                }
                None => Event::Other,
            }
        }
        v5::Event::Outgoing(rumqttc::Outgoing::Publish(number)) => Event::Sent(number),
        v5::Event::Outgoing(rumqttc::Outgoing::Disconnect) => Event::Left,
        _ => Event::Other,
    }
}

/// `NotAuthorized` as `not authorized`.
fn spaced(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

const LOGIN: &str = "'username' and 'password' say who reads and writes";
/// Why a connection may end soon after it began.
pub(super) const SAME_NAME: &str =
    "if another client has the same name, each process needs a 'client-id' of its own";
const LARGE: &str = "'mqtt.max-packet-size' says what is taken";
const PLAIN: &str = "mqtts:// speaks TLS, mqtt:// does not: is it the broker's port for the other?";

fn io(e: &std::io::Error) -> Broken {
    Broken { what: e.to_string(), lasts: false, taken_over: false, hint: None }
}

fn tls(e: &rumqttc::TlsError) -> Broken {
    let what = format!("TLS: {e}");
    let certificate = what.contains("certificate") || what.contains("Certificate");
    let hint = match certificate {
        true => "'tls.ca' names the authorities to trust",
        false => PLAIN,
    };
    Broken { what, lasts: certificate, taken_over: false, hint: Some(hint) }
}

fn refused(code: &str) -> Broken {
    let lasts = ["BadUserNamePassword", "NotAuthorized", "BadClientId", "ClientIdentifierNotValid", "Banned"];
    let version = ["RefusedProtocolVersion", "UnsupportedProtocolVersion"].contains(&code);
    let lasts = lasts.contains(&code) || version;
    let hint = match version {
        true => "'mqtt.version' = '3.1.1' (or '5')",
        false => LOGIN,
    };
    Broken {
        what: format!("the broker refuses the connection: {}", spaced(code)),
        lasts,
        taken_over: false,
        hint: lasts.then_some(hint),
    }
}

fn broken_three(e: &rumqttc::ConnectionError) -> Broken {
    use rumqttc::{ConnectionError as E, StateError};
    match e {
        E::Io(e) => io(e),
        E::Tls(e) => tls(e),
        E::ConnectionRefused(code) => refused(&format!("{code:?}")),
        E::NetworkTimeout | E::FlushTimeout => Broken {
            what: format!("no answer within {CONNECTING} s"),
            lasts: false,
            taken_over: false,
            hint: None,
        },
        E::MqttState(StateError::Deserialization(rumqttc::Error::PayloadSizeLimitExceeded(size))) => Broken {
            what: format!("a message of {size} bytes is too large"),
            lasts: true,
            taken_over: false,
            hint: Some(LARGE),
        },
        E::MqttState(StateError::Io(e)) => io(e),
        other => Broken { what: other.to_string(), lasts: false, taken_over: false, hint: None },
    }
}

fn broken_five(e: &v5::ConnectionError) -> Broken {
    use v5::{ConnectionError as E, StateError};
    match e {
        E::Io(e) => io(e),
        E::Tls(e) => tls(e),
        E::ConnectionRefused(code) => refused(&format!("{code:?}")),
        E::Timeout(_) => Broken {
            what: format!("no answer within {CONNECTING} s"),
            lasts: false,
            taken_over: false,
            hint: None,
        },
        E::MqttState(StateError::ConnFail { reason }) => refused(&format!("{reason:?}")),
        E::MqttState(
            StateError::IncomingPacketTooLarge { pkt_size, .. }
            | StateError::Deserialization(v5::mqttbytes::Error::PayloadSizeLimitExceeded { pkt_size, .. }),
        ) => Broken {
            what: format!("a message of {pkt_size} bytes is too large"),
            lasts: true,
            taken_over: false,
            hint: Some(LARGE),
        },
        E::MqttState(StateError::OutgoingPacketTooLarge { pkt_size, max }) => Broken {
            what: format!("a message of {pkt_size} bytes is too large, the broker takes {max}"),
            lasts: true,
            taken_over: false,
            hint: Some("its configuration says how large messages may be (Mosquitto: max_packet_size)"),
        },
        E::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            let code = format!("{reason_code:?}");
            let hint = (code == "SessionTakenOver").then_some(SAME_NAME);
            let said = reason_string.as_deref().map(|s| format!(" ({s})")).unwrap_or_default();
            Broken {
                what: format!("the broker ends the connection: {}{said}", spaced(&code)),
                lasts: false,
                taken_over: hint.is_some(),
                hint,
            }
        }
        E::MqttState(StateError::Io(e)) => io(e),
        other => Broken { what: other.to_string(), lasts: false, taken_over: false, hint: None },
    }
}
