//! Models: what CREATE MODEL makes. A prediction is a call: the row's columns go out, the outputs come back.
//!
//! | provider | is asked | for |
//! |---|---|---|
//! | `openai` | `{endpoint}` of the chat completions or the embeddings API, of any service that has them | the answer's text, or the vector |
//! | `http` | `{endpoint}` with the inputs as a JSON object; with `'batch'` an array of them | an object of the outputs, or an array |
//! | `function` | a function of the session | its result |
//! | `onnx` | nobody: a model in a file is computed here (feature `onnx`) | its outputs |
//!
//! With `'batch'` of a chat several rows with numbers go into one prompt, and JSON with the same numbers is wanted back.
//! A row that is missing there is asked for alone.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

use super::caller::{CallContext, Callable, Caller, Results};
use super::web::{Grants, HEADER, Web, WebRequest, WebResponse};
use super::{Parameter, Returns, UserFunction};
use crate::catalog::options::{OptionDef, OptionKind, Options};
use crate::error::{Error, Result, Span};
use crate::flow::Chunk;
use crate::format::Encoder as _;
use crate::format::json::{JsonDocuments, JsonEncoder, JsonOptions};
use crate::lookup::{BoxFuture, Failure, FailureKind};
use crate::sql::SqlType;

/// Bytes of an answer, at most.
const MOST: usize = 64 << 20;

const PROVIDERS: &[&str] = &["openai", "http", "function", "onnx"];

/// Options of models, besides those of calls.
pub const OPTIONS: &[OptionDef] = &[
    OptionDef::new("provider", OptionKind::Choice(PROVIDERS), "", "who predicts"),
    OptionDef::new(
        "endpoint",
        OptionKind::Text,
        "",
        "openai, http: the address, such as https://api.openai.com/v1/chat/completions or .../embeddings",
    ),
    OptionDef::new("api-key", OptionKind::Text, "", "openai: sent as a bearer token; '${OPENAI_API_KEY}'"),
    OptionDef::new("model", OptionKind::Text, "", "openai: the model's name"),
    OptionDef::new("system-prompt", OptionKind::Text, "", "openai: what the model is told before each input"),
    OptionDef::new("temperature", OptionKind::Number, "", "openai: randomness of the answer"),
    OptionDef::new("top-p", OptionKind::Number, "", "openai: share of the probable words"),
    OptionDef::new("stop", OptionKind::Text, "", "openai: words that end the answer, with commas between"),
    OptionDef::new("max-tokens", OptionKind::Integer, "", "openai: length of the answer"),
    OptionDef::new("dimension", OptionKind::Integer, "", "openai: length of an embedding"),
    OptionDef::new("function", OptionKind::Text, "", "function: the function's name"),
    OptionDef::new("file", OptionKind::Text, "", "onnx: the model, relative to the file of the statement"),
    OptionDef::new("batch", OptionKind::Integer, "1; 1024 with onnx", "rows of one request at most"),
    OptionDef::new("timeout", OptionKind::Duration, "3 min", "for one row, queueing and retries included"),
    OptionDef::new("capacity", OptionKind::Integer, "256", "calls in flight per task"),
    OptionDef::new(
        "output-mode",
        OptionKind::Choice(&["ordered", "allow_unordered"]),
        "ordered",
        "output order of the model",
    ),
    OptionDef::new("header.*", OptionKind::Text, "", "openai, http: a header of each request"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Chat,
    Embeddings,
    Http,
}

/// A model that is asked over HTTP.
#[derive(Debug)]
pub struct Model {
    provider: Provider,
    endpoint: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What every request has.
    body: Value,
    system: Option<String>,
    outputs: Vec<(String, SqlType)>,
    digest: String,
}

pub use crate::sql::{MODEL_PREFIX as PREFIX, model_key as key};

/// Whether a model is computed in this process.
pub fn is_onnx(options: &Options) -> bool {
    options.text("provider").is_some_and(|p| p.eq_ignore_ascii_case("onnx"))
}

/// Options that have no effect with a provider.
pub fn check_options(name: &str, options: &Options) -> Result<()> {
    let onnx = is_onnx(options);
    let own = |key: &str| ["provider", "file", "batch", "timeout", "capacity", "output-mode"].contains(&key);
    let foreign = |key: &str| if onnx { !own(key) && !key.starts_with("lookup.") } else { key == "file" };
    match options.iter().find(|(key, _)| foreign(key)) {
        Some((key, _)) => {
            Err(Error::option(format!("model '{name}': option '{key}' has no effect with this provider"))
                .at(options.span(key)))
        }
        None => Ok(()),
    }
}

/// The function that a model of provider `function` calls.
pub fn function_of(options: &Options) -> Option<&str> {
    options.text("provider").filter(|p| p.eq_ignore_ascii_case("function")).and(options.text("function"))
}

impl Model {
    /// From the options of its statement.
    pub fn new(
        name: &str,
        options: &Options,
        parameters: &[Parameter],
        returns: &Returns,
        span: Span,
    ) -> Result<Self> {
        let in_model = |what: String| Error::option(format!("model '{name}': {what}"));
        let provider = options.choice("provider", PROVIDERS)?;
        let needs = |key: &str| {
            options.text(key).ok_or_else(|| in_model(format!("option '{key}' is required")).at(span))
        };
        let provider = provider.ok_or_else(|| {
            in_model("option 'provider' is required".to_string())
                .with_hint("one of openai, http, function, onnx")
                .at(span)
        })?;
        let endpoint = needs("endpoint")?;
        let at = options.span("endpoint");
        let endpoint = Url::parse(endpoint)
            .ok()
            .filter(|u| matches!(u.scheme(), "http" | "https") && u.host().is_some())
            .ok_or_else(|| in_model("option 'endpoint' is not a URL".to_string()).at(at))?;
        let provider = match provider {
            "http" => Provider::Http,
            _ if endpoint.path().trim_end_matches('/').ends_with("/embeddings") => Provider::Embeddings,
            _ if endpoint.path().trim_end_matches('/').ends_with("/chat/completions") => Provider::Chat,
            _ => {
                return Err(in_model(
                    "option 'endpoint' is neither of chat completions nor of embeddings".to_string(),
                )
                .with_hint("it ends with /chat/completions or /embeddings")
                .at(at));
            }
        };
        let Returns::Value(SqlType::Row(outputs)) = returns else {
            return Err(Error::internal("a model without outputs"));
        };
        let mut body = json!({});
        if provider != Provider::Http {
            body["model"] = json!(needs("model")?);
            check_openai(name, provider, parameters, outputs, span)?;
        }
        for (key, field) in [("temperature", "temperature"), ("top-p", "top_p")] {
            if let (Some(number), Provider::Chat) = (options.number(key)?, provider) {
                body[field] = json!(number);
            }
        }
        let tokens = options.integer("max-tokens")?;
        if let (Some(tokens), Provider::Chat) = (tokens, provider) {
            body["max_tokens"] = json!(tokens);
        }
        if let (Some(stop), Provider::Chat) = (options.text("stop"), provider) {
            body["stop"] = json!(stop.split(',').map(str::trim).collect::<Vec<_>>());
        }
        if let (Some(dimension), Provider::Embeddings) = (options.integer("dimension")?, provider) {
            body["dimensions"] = json!(dimension);
        }
        const CHAT: [&str; 5] = ["temperature", "top-p", "stop", "max-tokens", "system-prompt"];
        for key in CHAT.iter().chain(&["dimension", "model", "api-key"]) {
            let fits = match *key {
                "dimension" => provider == Provider::Embeddings,
                "model" | "api-key" => provider != Provider::Http,
                _ => provider == Provider::Chat,
            };
            if options.contains(key) && !fits {
                return Err(in_model(format!(
                    "option '{key}' has no effect with this provider and endpoint"
                ))
                .at(options.span(key)));
            }
        }
        let mut headers = Vec::new();
        for (header, value) in options.with_prefix(HEADER) {
            let wrong = || in_model(format!("option '{HEADER}{header}' is no header"));
            super::web::note_secret(header, value);
            let name = HeaderName::from_str(header).map_err(|_| wrong())?;
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        if let Some(key) = options.text("api-key") {
            // A service may say it back.
            crate::secret::note("api-key", key);
            let value = HeaderValue::from_str(&format!("Bearer {key}"));
            let mut value =
                value.map_err(|_| in_model("option 'api-key' is not allowed in a header".to_string()))?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let digest = crate::digest::digest(&format!("{endpoint} {body}"));
        let system = options.text("system-prompt").map(str::to_string);
        Ok(Self { provider, endpoint, headers, body, system, outputs: outputs.clone(), digest })
    }
}

fn check_openai(
    name: &str,
    provider: Provider,
    parameters: &[Parameter],
    outputs: &[(String, SqlType)],
    span: Span,
) -> Result<()> {
    let text = |t: &SqlType| matches!(t.to_arrow("UTC"), DataType::Utf8View);
    if !matches!(parameters, [only] if text(&only.data_type)) {
        return Err(
            Error::plan(format!("model '{name}' of provider 'openai' has one INPUT, a STRING")).at(span)
        );
    }
    let fits = match (provider, outputs) {
        (Provider::Chat, [(_, t)]) => text(t),
        (Provider::Embeddings, [(_, SqlType::Array(item))]) => {
            matches!(**item, SqlType::Float | SqlType::Double)
        }
        _ => false,
    };
    let wanted = if provider == Provider::Chat { "a STRING" } else { "an ARRAY<FLOAT> or ARRAY<DOUBLE>" };
    match fits {
        true => Ok(()),
        false => Err(Error::plan(format!("model '{name}' has one OUTPUT, {wanted}")).at(span)),
    }
}

impl Callable for Model {
    fn caller(&self, function: &Arc<UserFunction>, context: &CallContext) -> Result<Arc<dyn Caller>> {
        let outputs = self.outputs.iter().map(|(n, t)| Field::new(n, t.to_arrow(&context.zone), true));
        let inputs = function.parameters.iter().zip(&context.arguments);
        let inputs = inputs.map(|(p, t)| Field::new(&p.name, t.clone(), true));
        Ok(Arc::new(ModelCaller(Arc::new(Asking {
            provider: self.provider,
            endpoint: self.endpoint.clone(),
            body: self.body.clone(),
            system: self.system.clone(),
            inputs: Arc::new(Schema::new(inputs.collect::<Vec<_>>())),
            outputs: Arc::new(Schema::new(outputs.collect::<Vec<_>>())),
            result: function.returns.computed().to_arrow(&context.zone),
            web: Web::new(Grants::of_url(&self.endpoint, self.headers.clone())),
            batch: function.batch,
        }))))
    }

    fn digest(&self) -> String {
        self.digest.clone()
    }

    fn language(&self) -> &'static str {
        "MODEL"
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

struct ModelCaller(Arc<Asking>);

struct Asking {
    provider: Provider,
    endpoint: Url,
    body: Value,
    system: Option<String>,
    inputs: SchemaRef,
    outputs: SchemaRef,
    result: DataType,
    web: Web,
    batch: usize,
}

type Answer = std::result::Result<Results, Failure>;

fn broken(what: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Decode, what.to_string())
}

impl Asking {
    async fn post(&self, body: &Value) -> std::result::Result<Bytes, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = WebRequest {
            method: Method::POST,
            url: self.endpoint.clone(),
            headers,
            body: Some(body.to_string().into()),
            timeout: None,
            most: MOST,
        };
        let response = self.web.send(request).await.map_err(|f| Failure {
            kind: FailureKind::Connection,
            message: f.message,
            retry_after: None,
            retryable: f.retryable,
        })?;
        if response.status.is_success() {
            return Ok(response.body);
        }
        Err(refused(&response))
    }

    /// The inputs of rows as JSON objects.
    fn objects(&self, arguments: &RecordBatch) -> std::result::Result<Vec<Value>, Failure> {
        let batch =
            RecordBatch::try_new(self.inputs.clone(), arguments.columns().to_vec()).map_err(broken)?;
        let mut encoder =
            JsonEncoder::new(JsonOptions::default(), self.inputs.clone()).map_err(|e| broken(e.message()))?;
        let mut bytes = Vec::new();
        encoder
            .encode(&Chunk::append(batch, std::time::Instant::now()), &mut bytes)
            .map_err(|e| broken(e.message()))?;
        bytes
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).map_err(broken))
            .collect()
    }

    /// Rows of outputs from an array of JSON objects.
    fn rows(&self, answers: &[Value]) -> std::result::Result<ArrayRef, Failure> {
        let body = serde_json::to_vec(answers).map_err(broken)?;
        let mut documents =
            JsonDocuments::new(JsonOptions::default(), self.outputs.clone(), "", "the model's answer".into())
                .map_err(|e| broken(e.message()))?;
        let rows = documents.decode(&body).map_err(|e| {
            let detail = e.detail().map(|d| format!(" ({d})")).unwrap_or_default();
            broken(format!("{}{detail}", e.message()))
        })?;
        let fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().collect();
        let row = StructArray::try_new(fields.into(), rows.columns().to_vec(), None).map_err(broken)?;
        cast(&row, &self.result).map_err(broken)
    }

    async fn http(&self, arguments: RecordBatch) -> Answer {
        let objects = self.objects(&arguments)?;
        let rows = objects.len();
        let body = match (self.batch, objects.into_iter().next()) {
            (1, Some(one)) => one,
            _ => Value::Array(self.objects(&arguments)?),
        };
        let answer: Value = serde_json::from_slice(&self.post(&body).await?)
            .map_err(|e| broken(format!("the model's answer is not JSON: {e}")))?;
        let answers = match (self.batch, answer) {
            (1, Value::Array(mut all)) if all.len() == 1 => vec![all.remove(0)],
            (1, one) => vec![one],
            (_, Value::Array(all)) => all,
            (_, Value::Object(mut object)) => {
                let all = ["predictions", "outputs"].iter().find_map(|key| object.remove(*key));
                match all {
                    Some(Value::Array(all)) => all,
                    _ => return Err(broken("the model's answer is neither an array nor has 'predictions'")),
                }
            }
            _ => return Err(broken("the model's answer is no array")),
        };
        if answers.len() != rows {
            return Err(broken(format!("the model answered {} of {rows} rows", answers.len())));
        }
        // A single output may come without its name.
        let only = match self.outputs.fields().iter().as_slice() {
            [only] => Some(only.name().clone()),
            _ => None,
        };
        let answers: Vec<Value> = answers
            .into_iter()
            .map(|answer| match (&only, answer) {
                (Some(name), bare) if !bare.is_object() => json!({ name.as_str(): bare }),
                (_, answer) => answer,
            })
            .collect();
        Ok(Results::new(self.rows(&answers)?))
    }

    fn inputs_of(&self, arguments: &RecordBatch) -> Vec<Option<String>> {
        let texts = arguments.columns().first().and_then(|c| c.as_string_view_opt().cloned());
        let texts: StringViewArray = texts.unwrap_or_else(|| StringViewArray::from(Vec::<&str>::new()));
        texts.iter().map(|t| t.map(str::to_string)).collect()
    }

    fn chat_body(&self, prompt: &str, system: Option<&str>) -> Value {
        let mut messages = Vec::new();
        if let Some(system) = system {
            messages.push(json!({ "role": "system", "content": system }));
        }
        messages.push(json!({ "role": "user", "content": prompt }));
        let mut body = self.body.clone();
        body["messages"] = Value::Array(messages);
        body
    }

    async fn chat_one(&self, prompt: &str) -> std::result::Result<String, Failure> {
        content(&self.post(&self.chat_body(prompt, self.system.as_deref())).await?)
    }

    /// Several inputs in one prompt; those that have no answer come back as `None`.
    async fn chat_many(
        &self,
        prompts: &[(usize, String)],
    ) -> std::result::Result<Vec<Option<String>>, Failure> {
        let rule = "The user message is a JSON array of objects with \"id\" and \"input\". Handle every input on its own. \
                    Reply with a JSON array of objects with \"id\" and \"answer\" (a string), one for each id, and nothing else.";
        let system = match &self.system {
            Some(system) => format!("{system}\n\n{rule}"),
            None => rule.to_string(),
        };
        let inputs: Vec<Value> =
            prompts.iter().map(|(id, input)| json!({ "id": id, "input": input })).collect();
        let prompt = Value::Array(inputs).to_string();
        let text = content(&self.post(&self.chat_body(&prompt, Some(&system))).await?)?;
        let mut answers = vec![None; prompts.len()];
        // Models like to put JSON between fences.
        let start = text.find('[').unwrap_or(0);
        let end = text.rfind(']').map_or(text.len(), |e| e + 1);
        let found: Vec<Value> =
            text.get(start..end).and_then(|array| serde_json::from_str(array).ok()).unwrap_or_default();
        for answer in found {
            let id = answer.get("id").and_then(Value::as_u64);
            let text = answer.get("answer").and_then(Value::as_str);
            let place = id.and_then(|id| prompts.iter().position(|(known, _)| *known as u64 == id));
            if let (Some(place), Some(text)) = (place, text) {
                answers[place] = Some(text.to_string());
            }
        }
        Ok(answers)
    }

    async fn chat(&self, arguments: RecordBatch) -> Answer {
        let inputs = self.inputs_of(&arguments);
        let prompts: Vec<(usize, String)> =
            inputs.iter().enumerate().filter_map(|(i, t)| Some((i, t.clone()?))).collect();
        let mut texts: Vec<Option<String>> = vec![None; inputs.len()];
        let mut failures = Vec::new();
        let found = match prompts.as_slice() {
            [] => Vec::new(),
            [(_, one)] => vec![Some(self.chat_one(one).await?)],
            many => self.chat_many(many).await?,
        };
        for ((row, prompt), answer) in prompts.iter().zip(found) {
            let answer = match answer {
                Some(answer) => Ok(answer),
                None => self.chat_one(prompt).await,
            };
            match answer {
                Ok(answer) => texts[*row] = Some(answer),
                Err(failure) => failures.push((*row as u32, failure)),
            }
        }
        let column: ArrayRef = Arc::new(texts.into_iter().collect::<StringViewArray>());
        Ok(Results { values: self.single(column)?, failures })
    }

    async fn embed(&self, arguments: RecordBatch) -> Answer {
        let inputs = self.inputs_of(&arguments);
        let texts: Vec<&String> = inputs.iter().flatten().collect();
        let mut vectors: Vec<Value> = Vec::new();
        if !texts.is_empty() {
            let mut body = self.body.clone();
            body["input"] = json!(texts);
            let answer: Value = serde_json::from_slice(&self.post(&body).await?)
                .map_err(|e| broken(format!("the model's answer is not JSON: {e}")))?;
            vectors = vec![Value::Null; texts.len()];
            for (i, one) in answer.get("data").and_then(Value::as_array).into_iter().flatten().enumerate() {
                let place = one.get("index").and_then(Value::as_u64).map_or(i, |index| index as usize);
                if let (Some(slot), Some(vector)) = (vectors.get_mut(place), one.get("embedding")) {
                    *slot = vector.clone();
                }
            }
            if vectors.contains(&Value::Null) {
                return Err(broken("the model's answer lacks an embedding"));
            }
            let wanted = self.body.get("dimensions").and_then(Value::as_u64);
            let length = |vector: &Value| vector.as_array().map_or(0, |numbers| numbers.len() as u64);
            let other = wanted.and_then(|n| Some((n, vectors.iter().map(length).find(|found| *found != n)?)));
            if let Some((wanted, found)) = other {
                return Err(broken(format!("an embedding has {found} numbers, and 'dimension' is {wanted}")));
            }
        }
        let mut vectors = vectors.into_iter();
        let name = self.outputs.field(0).name().clone();
        let answers: Vec<Value> = inputs
            .iter()
            .map(|input| {
                let vector = input.as_ref().and_then(|_| vectors.next()).unwrap_or(Value::Null);
                json!({ name.as_str(): vector })
            })
            .collect();
        Ok(Results::new(self.rows(&answers)?))
    }

    /// A column as the only output.
    fn single(&self, column: ArrayRef) -> std::result::Result<ArrayRef, Failure> {
        let DataType::Struct(fields) = &self.result else { return Err(broken("a model without outputs")) };
        let column = match fields.first() {
            Some(field) => cast(&column, field.data_type()).map_err(broken)?,
            None => column,
        };
        Ok(Arc::new(StructArray::try_new(fields.clone(), vec![column], None).map_err(broken)?))
    }
}

/// The text of a chat's answer.
fn content(body: &[u8]) -> std::result::Result<String, Failure> {
    let answer: Value =
        serde_json::from_slice(body).map_err(|e| broken(format!("the model's answer is not JSON: {e}")))?;
    let text = answer.pointer("/choices/0/message/content").and_then(Value::as_str);
    text.map(str::to_string).ok_or_else(|| broken("the model's answer has no text"))
}

/// A status that is no success.
fn refused(response: &WebResponse) -> Failure {
    let status = response.status.as_u16();
    let text = String::from_utf8_lossy(&response.body);
    let said: Option<String> = serde_json::from_str::<Value>(&text)
        .ok()
        .and_then(|v| v.pointer("/error/message").and_then(Value::as_str).map(str::to_string));
    let said = said.unwrap_or_else(|| text.trim().to_string());
    let cut: String = said.chars().take(160).collect();
    let message = if cut.is_empty() { format!("status {status}") } else { format!("status {status}: {cut}") };
    let retryable = matches!(status, 408 | 429 | 500 | 502 | 503 | 504);
    let retry_after: Option<Duration> = response.retry_after();
    Failure { kind: FailureKind::Status(status), message, retry_after, retryable }
}

impl Caller for ModelCaller {
    fn call(&self, arguments: RecordBatch) -> BoxFuture<Answer> {
        let asking = self.0.clone();
        Box::pin(async move {
            match asking.provider {
                Provider::Http => asking.http(arguments).await,
                Provider::Chat => asking.chat(arguments).await,
                Provider::Embeddings => asking.embed(arguments).await,
            }
        })
    }

    fn max_rows(&self) -> usize {
        self.0.batch
    }

    fn describe(&self) -> String {
        let many =
            if self.0.batch > 1 { format!(", up to {} rows a request", self.0.batch) } else { String::new() };
        format!("POST {}{many}", super::web::shown(&self.0.endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_chat_is_found() {
        let body = br#"{"choices":[{"message":{"role":"assistant","content":"ok"}}]}"#;
        assert_eq!(content(body).ok().as_deref(), Some("ok"));
        assert!(content(b"{}").is_err() && content(b"<html>").is_err());
    }
}
