//! What an asynchronous function finds besides the language: `fetch`, timers, `console`, `URL`, encoders, `crypto`.
//!
//! The larger part is JavaScript (`host.js`) over a few functions here, which note what the code starts; the driver
//! takes it from there when the code has nothing more to run.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rquickjs::{Ctx, Exception, Function, Object, Persistent, Runtime, TypedArray, Value};
use sha2::Digest;
use url::Url;

use super::super::web::WebRequest;
use super::{CatchResultExt, thrown};
use crate::error::{Error, Result};

/// Something that the code has started.
#[derive(Debug)]
pub(super) enum Started {
    /// A request, or why it cannot be made.
    Fetch { operation: u32, request: std::result::Result<Box<WebRequest>, String> },
    /// A timer.
    Timer { operation: u32, after: Duration },
    /// A timer that is not wanted any more.
    Clear { operation: u32 },
}

/// A call that has its result, or what was thrown.
pub(super) struct Settled {
    pub(super) call: u32,
    pub(super) failed: bool,
    pub(super) value: Persistent<Value<'static>>,
}

/// Promises that were rejected while it was not handled: which, and why.
type Rejected = Arc<Mutex<Vec<(u64, String)>>>;

/// What the functions note.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) started: RefCell<Vec<Started>>,
    pub(super) settled: RefCell<Vec<Settled>>,
    pub(super) rejected: Rejected,
    /// Bytes of an answer's body, at most.
    pub(super) most: Cell<usize>,
}

/// The engine's handles into an instance.
pub(super) struct Host {
    pub(super) watch: Persistent<Function<'static>>,
    pub(super) response: Persistent<Function<'static>>,
    pub(super) failure: Persistent<Function<'static>>,
    pub(super) fire: Persistent<Function<'static>>,
    pub(super) notes: Rc<Notes>,
}

/// A request as the code describes it.
fn request(
    what: &[String],
    text: Option<String>,
    bytes: Option<Vec<u8>>,
    limit: f64,
    most: usize,
) -> std::result::Result<Box<WebRequest>, String> {
    let [method, url, headers] = what else { return Err("fetch takes a URL".to_string()) };
    let method = Method::from_str(method).map_err(|_| format!("'{method}' is no method of HTTP"))?;
    let parsed = Url::parse(url).map_err(|e| format!("'{url}' is not a URL: {e}"))?;
    let list: Vec<(String, String)> = serde_json::from_str(headers).map_err(|e| e.to_string())?;
    let mut headers = HeaderMap::new();
    for (name, value) in list {
        let header = HeaderName::from_str(&name).map_err(|_| format!("'{name}' is no header's name"))?;
        if ["connection", "content-length", "host", "transfer-encoding", "upgrade"].contains(&header.as_str())
        {
            return Err(format!("the header '{name}' is the engine's to set"));
        }
        let value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the value of '{name}' is no header's value"))?;
        headers.append(header, value);
    }
    let body = text.map(Into::into).or(bytes.map(Into::into));
    let timeout = (limit > 0.0).then(|| Duration::from_millis(limit.min(1e12) as u64));
    Ok(Box::new(WebRequest { method, url: parsed, headers, body, timeout, most }))
}

/// The parts of a URL as JSON; `null` for what is none.
fn url_parts(url: &str, base: Option<&str>) -> String {
    let parsed = match base {
        Some(base) => Url::parse(base).and_then(|base| base.join(url)),
        None => Url::parse(url),
    };
    let Ok(url) = parsed else { return "null".to_string() };
    let port = url.port().map(|p| p.to_string()).unwrap_or_default();
    let hostname = url.host_str().unwrap_or_default();
    let host = if port.is_empty() { hostname.to_string() } else { format!("{hostname}:{port}") };
    let part = |mark: char, text: Option<&str>| {
        text.filter(|t| !t.is_empty()).map(|t| format!("{mark}{t}")).unwrap_or_default()
    };
    serde_json::json!({
        "protocol": format!("{}:", url.scheme()),
        "host": host,
        "hostname": hostname,
        "port": port,
        "origin": url.origin().ascii_serialization(),
        "username": url.username(),
        "pathname": url.path(),
        "search": part('?', url.query()),
        "hash": part('#', url.fragment()),
    })
    .to_string()
}

fn bytes_of(array: &TypedArray<'_, u8>) -> rquickjs::Result<Vec<u8>> {
    (0..array.len() as u32).map(|i| array.as_object().get::<_, u8>(i)).collect()
}

fn digest(name: &str, data: &[u8]) -> Option<Vec<u8>> {
    Some(match name {
        "SHA-1" => sha1::Sha1::digest(data).to_vec(),
        "SHA-256" => sha2::Sha256::digest(data).to_vec(),
        "SHA-384" => sha2::Sha384::digest(data).to_vec(),
        "SHA-512" => sha2::Sha512::digest(data).to_vec(),
        _ => return None,
    })
}

/// The functions that `host.js` is written over.
fn functions<'js>(ctx: &Ctx<'js>, notes: &Rc<Notes>, name: &str) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    let fetch = notes.clone();
    host.set(
        "fetch",
        Function::new(
            ctx.clone(),
            move |operation: u32,
                  what: Vec<String>,
                  text: Option<String>,
                  bytes: Option<TypedArray<'js, u8>>,
                  limit: f64|
                  -> rquickjs::Result<()> {
                let bytes = bytes.as_ref().map(bytes_of).transpose()?;
                let request = request(&what, text, bytes, limit, fetch.most.get());
                fetch.started.borrow_mut().push(Started::Fetch { operation, request });
                Ok(())
            },
        )?,
    )?;
    let timer = notes.clone();
    host.set(
        "timer",
        Function::new(ctx.clone(), move |operation: u32, millis: f64| {
            let after = Duration::from_millis(millis.clamp(0.0, 1e12) as u64);
            timer.started.borrow_mut().push(Started::Timer { operation, after });
        })?,
    )?;
    let clear = notes.clone();
    host.set(
        "clear",
        Function::new(ctx.clone(), move |operation: u32| {
            clear.started.borrow_mut().push(Started::Clear { operation });
        })?,
    )?;
    let done = notes.clone();
    host.set(
        "done",
        Function::new(ctx.clone(), move |ctx: Ctx<'js>, call: u32, failed: bool, value: Value<'js>| {
            let value = Persistent::save(&ctx, value);
            done.settled.borrow_mut().push(Settled { call, failed, value });
        })?,
    )?;
    let function = name.to_string();
    host.set(
        "log",
        Function::new(ctx.clone(), move |level: String, text: String| {
            let level = match level.as_str() {
                "debug" => log::Level::Debug,
                "warn" => log::Level::Warn,
                "error" => log::Level::Error,
                _ => log::Level::Info,
            };
            log::log!(level, "function '{function}': {text}");
        })?,
    )?;
    host.set(
        "url",
        Function::new(ctx.clone(), |url: String, base: Option<String>| url_parts(&url, base.as_deref()))?,
    )?;
    host.set(
        "encode",
        Function::new(ctx.clone(), |ctx: Ctx<'js>, text: String| {
            TypedArray::<u8>::new_copy(ctx, text.as_bytes())
        })?,
    )?;
    host.set(
        "decode",
        Function::new(ctx.clone(), |bytes: TypedArray<'js, u8>| -> rquickjs::Result<String> {
            Ok(String::from_utf8_lossy(&bytes_of(&bytes)?).into_owned())
        })?,
    )?;
    host.set("uuid", Function::new(ctx.clone(), || uuid::Uuid::new_v4().to_string())?)?;
    host.set(
        "random",
        Function::new(ctx.clone(), |ctx: Ctx<'js>, length: u32| {
            let bytes: Vec<u8> = (0..length.min(65_536)).map(|_| rand::random()).collect();
            TypedArray::<u8>::new_copy(ctx, bytes)
        })?,
    )?;
    host.set(
        "digest",
        Function::new(
            ctx.clone(),
            |ctx: Ctx<'js>,
             name: String,
             data: TypedArray<'js, u8>|
             -> rquickjs::Result<TypedArray<'js, u8>> {
                match digest(&name, &bytes_of(&data)?) {
                    Some(digest) => TypedArray::<u8>::new_copy(ctx, digest),
                    None => Err(Exception::throw_type(&ctx, &format!("'{name}' is no digest that is known"))),
                }
            },
        )?,
    )?;
    Ok(host)
}

impl Host {
    /// Gives an instance what asynchronous functions find. `most`: bytes of an answer's body.
    pub(super) fn install(ctx: &Ctx<'_>, name: &str, most: usize) -> Result<Self> {
        let notes = Rc::new(Notes::default());
        notes.most.set(most);
        let handles = (|| {
            let make: Function<'_> = ctx.eval(include_str!("host.js"))?;
            let handles: Object<'_> = make.call((functions(ctx, &notes, name)?,))?;
            let handle = |name: &str| -> rquickjs::Result<Persistent<Function<'static>>> {
                Ok(Persistent::save(ctx, handles.get::<_, Function<'_>>(name)?))
            };
            Ok((handle("watch")?, handle("response")?, handle("failure")?, handle("fire")?))
        })();
        let (watch, response, failure, fire) = handles
            .catch(ctx)
            .map_err(|e| Error::internal(format!("JavaScript's host functions: {}", thrown(e).0)))?;
        Ok(Self { watch, response, failure, fire, notes })
    }

    /// Notes rejections that nobody listens to.
    pub(super) fn track(&self, runtime: &Runtime) {
        let rejected = self.notes.rejected.clone();
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, handled| {
            let mut hasher = std::hash::DefaultHasher::new();
            promise.hash(&mut hasher);
            let which = hasher.finish();
            let mut rejected = rejected.lock();
            rejected.retain(|(other, _)| *other != which);
            if !handled {
                let message = reason.as_object().and_then(|o| o.get::<_, String>("message").ok());
                let name = reason.as_object().and_then(|o| o.get::<_, String>("name").ok());
                let text = match (name, message) {
                    (Some(name), Some(message)) => format!("{name}: {message}"),
                    _ => super::values::shown(&reason),
                };
                // What a getter threw is of no account.
                if ctx.has_exception() {
                    drop(ctx.catch());
                }
                rejected.push((which, text));
            }
        })));
    }
}
