//! A schema registry with Confluent's interface. Schemas never change, so each is asked for once in a process.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::CONFLUENT;
use crate::catalog::Options;
use crate::error::{Error, Result};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How often a registry that does not answer is asked.
const TRIES: usize = 3;

static KNOWN: LazyLock<Mutex<HashMap<(String, u32), String>>> = LazyLock::new(Mutex::default);

/// Where schemas are.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Registry {
    urls: Vec<String>,
    /// The value of the header.
    authorization: Option<String>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("urls", &self.urls).finish_non_exhaustive()
    }
}

impl Registry {
    pub(super) fn from_options(options: &Options) -> Result<Self> {
        let key = |name: &str| format!("{CONFLUENT}.{name}");
        let url = options
            .required(&key("url"))
            .map_err(|e| e.with_hint("'avro-confluent.url' = 'http://localhost:8081'"))?;
        let mut urls = Vec::new();
        for text in url.split(',').map(str::trim) {
            match url::Url::parse(text) {
                Ok(parsed) if matches!(parsed.scheme(), "http" | "https") && parsed.password().is_none() => {
                    urls.push(text.trim_end_matches('/').to_string());
                }
                _ => {
                    return Err(Error::option(format!("option '{}' is no URL of a registry", key("url")))
                        .with_hint("http://host:8081; a login is 'avro-confluent.basic-auth.user-info'")
                        .at(options.span(&key("url"))));
                }
            }
        }
        let basic = options.text(&key("basic-auth.user-info"));
        let bearer = options.text(&key("bearer-auth.token"));
        let authorization = match (basic, bearer) {
            (Some(_), Some(_)) => {
                return Err(Error::option("a user and a token are given for the schema registry")
                    .at(options.span(&key("bearer-auth.token"))));
            }
            (Some(user), None) => {
                Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user)))
            }
            (None, Some(token)) => Some(format!("Bearer {token}")),
            (None, None) => None,
        };
        Ok(Self { urls, authorization })
    }

    fn named(&self) -> String {
        self.urls.join(",")
    }

    /// A schema, with those that it refers to inside.
    pub(super) fn schema(&self, id: u32) -> Result<String> {
        let key = (self.named(), id);
        if let Some(known) = KNOWN.lock().get(&key) {
            return Ok(known.clone());
        }
        let answer = self.ask("GET", &format!("/schemas/ids/{id}"), None)?.ok_or_else(|| {
            Error::decode(format!("schema {id} is not in the registry at {}", self.named()))
                .with_hint("was the record written with another registry? see 'avro-confluent.url'")
        })?;
        let json = self.whole(&answer)?;
        KNOWN.lock().insert(key, json.clone());
        Ok(json)
    }

    /// The newest schema of a subject.
    pub(super) fn latest(&self, subject: &str) -> Result<String> {
        let path = format!("/subjects/{}/versions/latest", utf8_percent_encode(subject, NON_ALPHANUMERIC));
        let answer = self.ask("GET", &path, None)?;
        let answer = answer.ok_or_else(|| {
            Error::io(format!("subject '{subject}' is not in the registry at {}", self.named()))
                .with_hint("declare the columns, or name it: 'avro-confluent.subject'")
                .lasting()
        })?;
        self.whole(&answer)
    }

    /// Registers a schema, if it is not there; its id.
    pub(super) fn register(&self, subject: &str, schema: &str) -> Result<u32> {
        let path = format!("/subjects/{}/versions", utf8_percent_encode(subject, NON_ALPHANUMERIC));
        let answer = self.ask("POST", &path, Some(json!({ "schema": schema }).to_string()))?;
        let id = answer
            .as_ref()
            .and_then(|a| a.get("id"))
            .and_then(Value::as_u64)
            .and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| {
            Error::io(format!("the registry at {} gave no id for subject '{subject}'", self.named()))
        })?;
        KNOWN.lock().insert((self.named(), id), schema.to_string());
        Ok(id)
    }

    /// A schema with what it refers to put in where it is first used.
    fn whole(&self, answer: &Value) -> Result<String> {
        let text = answer.get("schema").and_then(Value::as_str).unwrap_or_default();
        if let Some(kind) = answer.get("schemaType").and_then(Value::as_str)
            && kind != "AVRO"
        {
            return Err(Error::decode(format!("the schema is of type {kind}, not Avro")));
        }
        let mut referred = BTreeMap::new();
        self.references(answer, &mut referred, 0)?;
        if referred.is_empty() {
            return Ok(text.to_string());
        }
        let mut schema: Value =
            serde_json::from_str(text).map_err(|_| Error::decode("a schema is not JSON"))?;
        inline(&mut schema, &mut referred);
        Ok(schema.to_string())
    }

    fn references(&self, answer: &Value, all: &mut BTreeMap<String, Value>, depth: usize) -> Result<()> {
        const DEEPEST: usize = 32;
        if depth > DEEPEST {
            return Err(Error::decode("schemas refer to each other without end"));
        }
        for reference in answer.get("references").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| reference.get(name).and_then(Value::as_str);
            let (Some(name), Some(subject)) = (text("name"), text("subject")) else { continue };
            if all.contains_key(name) {
                continue;
            }
            let version = reference.get("version").and_then(Value::as_u64).unwrap_or(1);
            let subject = utf8_percent_encode(subject, NON_ALPHANUMERIC);
            let answer = self.ask("GET", &format!("/subjects/{subject}/versions/{version}"), None)?;
            let answer = answer
                .ok_or_else(|| Error::decode(format!("a schema refers to '{name}', which is not there")))?;
            let schema = answer.get("schema").and_then(Value::as_str).unwrap_or_default();
            let schema = serde_json::from_str(schema).map_err(|_| Error::decode("a schema is not JSON"))?;
            all.insert(name.to_string(), schema);
            self.references(&answer, all, depth + 1)?;
        }
        Ok(())
    }

    /// One request; `None`: there is no such thing.
    fn ask(&self, method: &'static str, path: &str, body: Option<String>) -> Result<Option<Value>> {
        let mut last = None;
        for attempt in 0..TRIES {
            for url in &self.urls {
                match request(method, format!("{url}{path}"), self.authorization.clone(), body.clone()) {
                    Ok((200..=299, text)) => {
                        let answer = serde_json::from_str(&text);
                        return answer.map(Some).map_err(|_| {
                            Error::io(format!("the registry at {url} gave an answer that is not JSON"))
                        });
                    }
                    Ok((404, _)) => return Ok(None),
                    Ok((401 | 403, _)) => {
                        return Err(Error::io(format!("the registry at {url} refuses the login"))
                            .with_hint("see 'avro-confluent.basic-auth.user-info' or 'avro-confluent.bearer-auth.token'")
                            .lasting());
                    }
                    Ok((status @ 400..=499, text)) => {
                        let said = serde_json::from_str::<Value>(&text).ok();
                        let said = said.as_ref().and_then(|v| v.get("message")).and_then(Value::as_str);
                        let error = Error::io(format!("the registry at {url} refuses the schema ({status})"))
                            .lasting();
                        return Err(match said {
                            Some(said) => error.with_detail(said),
                            None => error,
                        });
                    }
                    Ok((status, _)) => last = Some(format!("{url} answered {status}")),
                    Err(e) => last = Some(e),
                }
            }
            std::thread::sleep(Duration::from_millis(100 << attempt));
        }
        Err(Error::io("the schema registry did not answer").with_detail(last.unwrap_or_default()))
    }
}

/// Puts definitions where they are named first.
fn inline(schema: &mut Value, referred: &mut BTreeMap<String, Value>) {
    match schema {
        Value::String(name) => {
            if let Some(mut definition) = referred.remove(name.as_str()) {
                inline(&mut definition, referred);
                *schema = definition;
            }
        }
        Value::Array(branches) => branches.iter_mut().for_each(|branch| inline(branch, referred)),
        Value::Object(object) => {
            for key in ["type", "items", "values"] {
                if let Some(inner) = object.get_mut(key) {
                    inline(inner, referred);
                }
            }
            for field in object.get_mut("fields").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(inner) = field.get_mut("type") {
                    inline(inner, referred);
                }
            }
        }
        _ => {}
    }
}

/// A request on its own thread: this is asked where nothing can be awaited.
fn request(
    method: &'static str,
    url: String,
    authorization: Option<String>,
    body: Option<String>,
) -> std::result::Result<(u16, String), String> {
    let asked = std::thread::spawn(move || {
        // An error says that an embedding program has installed its own, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| e.to_string())?.block_on(async move {
            let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| e.to_string())?;
            let mut request = match method {
                "POST" => client.post(&url),
                _ => client.get(&url),
            };
            request = request.header("accept", "application/vnd.schemaregistry.v1+json");
            if let Some(authorization) = authorization {
                request = request.header("authorization", authorization);
            }
            if let Some(body) = body {
                request = request.header("content-type", "application/vnd.schemaregistry.v1+json").body(body);
            }
            let failed = |e: reqwest::Error| {
                let mut cause: &dyn std::error::Error = &e;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                format!("{url}: {cause}")
            };
            let answer = request.send().await.map_err(failed)?;
            let status = answer.status().as_u16();
            Ok((status, answer.text().await.map_err(failed)?))
        })
    });
    asked.join().unwrap_or_else(|_| Err("the request failed".to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referenced_schemas_are_inlined_once() {
        let mut schema = json!({ "type": "record", "name": "A", "fields": [
            { "name": "x", "type": ["null", "com.B"] }, { "name": "y", "type": { "type": "array", "items": "com.B" } } ] });
        let definition = json!({ "type": "record", "name": "B", "namespace": "com", "fields": [] });
        inline(&mut schema, &mut BTreeMap::from([("com.B".to_string(), definition.clone())]));
        assert_eq!(schema["fields"][0]["type"], json!(["null", definition]));
        assert_eq!(schema["fields"][1]["type"]["items"], json!("com.B"));
    }
}
