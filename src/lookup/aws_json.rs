//! Services of AWS that speak JSON by POST: DynamoDB, Kinesis.
//!
//! Requests are signed by `object_store`'s signer; credentials come from the table, the environment, or where a machine
//! of AWS has them.

use std::sync::{Arc, Once};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpRequest, HttpRequestBody};
use reqwest::Client;
use serde_json::Value;

use super::{Failure, FailureKind};
use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::sql::variables::expanded;

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    /// What the service calls it; empty when it did not answer.
    pub(crate) code: String,
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        refused.failure
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, code: String::new() }
    }
}

/// One of them.
pub(crate) struct Service {
    /// As hosts and signatures have it.
    name: &'static str,
    /// What operations are called.
    target: &'static str,
    content: &'static str,
}

const DYNAMODB: Service =
    Service { name: "dynamodb", target: "DynamoDB_20120810", content: "application/x-amz-json-1.0" };

/// Amazon Kinesis Data Streams.
pub(crate) const KINESIS: Service =
    Service { name: "kinesis", target: "Kinesis_20131202", content: "application/x-amz-json-1.1" };

/// Where a service is, and who asks.
pub(crate) struct Api {
    service: &'static Service,
    client: Client,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

enum Credentials {
    Fixed(Arc<AwsCredential>),
    Machine(AwsCredentialProvider),
}

impl Api {
    /// DynamoDB.
    pub(crate) fn of(options: &Options) -> Result<Self> {
        Self::of_service(options, &DYNAMODB, options.required("aws.region")?)
    }

    pub(crate) fn of_service(options: &Options, service: &'static Service, region: &str) -> Result<Self> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let region = expanded(region)?;
        let endpoint = match options.text("aws.endpoint").filter(|endpoint| !endpoint.is_empty()) {
            Some(endpoint) => expanded(endpoint)?,
            None => format!("https://{}.{region}.amazonaws.com", service.name),
        };
        let wrong = |what: &str| {
            Error::option(format!("option 'aws.endpoint' {what}"))
                .with_hint("https://host or http://127.0.0.1:8000")
                .at(options.span("aws.endpoint"))
        };
        let url = url::Url::parse(&endpoint).map_err(|_| wrong("is no URL"))?;
        if !url.username().is_empty() || url.password().is_some() || !matches!(url.scheme(), "http" | "https")
        {
            return Err(wrong("is no URL of http or https without a user"));
        }
        let text = |key: &str| options.text(key).map(expanded).transpose();
        let id = text("aws.credentials.basic.accesskeyid")?;
        let secret = text("aws.credentials.basic.secretkey")?;
        let credentials = match (id, secret) {
            (Some(key_id), Some(secret_key)) => {
                let token = text("aws.credentials.basic.sessiontoken")?;
                Credentials::Fixed(Arc::new(AwsCredential { key_id, secret_key, token }))
            }
            (None, None) => {
                let store = AmazonS3Builder::from_env().with_bucket_name("none").with_region(&region).build();
                let store = store.map_err(|e| Error::option(format!("AWS: {e}")))?;
                Credentials::Machine(store.credentials().clone())
            }
            _ => {
                return Err(Error::option(
                    "the options 'aws.credentials.basic.accesskeyid' and '.secretkey' come together",
                ));
            }
        };
        let mut client = Client::builder()
            .user_agent(concat!("affluent/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(10))
            .timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none());
        if url.scheme() == "http" {
            client = client.tls_certs_only([]);
        }
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|e| Error::io(format!("the HTTP client could not be set up: {e}")))?;
        Ok(Self {
            service,
            client,
            endpoint: endpoint.trim_end_matches('/').to_string(),
            region,
            credentials,
        })
    }

    pub(crate) fn shown(&self) -> &str {
        &self.endpoint
    }

    /// One request.
    pub(crate) async fn call(&self, operation: &str, body: &Value) -> Result<Value, Refused> {
        let answer = self.post(operation, bytes::Bytes::from(body.to_string())).await?;
        serde_json::from_slice(&answer).map_err(|e| self.undecoded(operation, &e).into())
    }

    /// The failure that an answer is which cannot be read.
    pub(crate) fn undecoded(&self, operation: &str, e: &serde_json::Error) -> Failure {
        let what = format!("{}: {operation}: the answer is not what it should be: {e}", self.endpoint);
        Failure::new(FailureKind::Decode, what)
    }

    /// The same with bodies as they are.
    pub(crate) async fn post(&self, operation: &str, bytes: bytes::Bytes) -> Result<bytes::Bytes, Refused> {
        let at = |what: String| format!("{}: {operation}: {what}", self.endpoint);
        let other = |what: String| Failure::other(at(what));
        let credential = match &self.credentials {
            Credentials::Fixed(credential) => credential.clone(),
            Credentials::Machine(provider) => provider.get_credential().await.map_err(|e| {
                let none = "there are no credentials in 'aws.credentials.basic.*' nor in AWS_ACCESS_KEY_ID and \
                            AWS_SECRET_ACCESS_KEY, and the machine has none";
                Failure::new(FailureKind::Connection, at(format!("{none}: {e}"))).retryable()
            })?,
        };
        let mut request: HttpRequest = hyper::Request::post(format!("{}/", self.endpoint))
            .header("content-type", self.service.content)
            .header("x-amz-target", format!("{}.{operation}", self.service.target))
            .body(HttpRequestBody::from(bytes.clone()))
            .map_err(|e| other(e.to_string()))?;
        AwsAuthorizer::new(&credential, self.service.name, &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| other(e.to_string()))?;
        let sent =
            self.client.post(format!("{}/", self.endpoint)).headers(request.headers().clone()).body(bytes);
        let broken = |e: reqwest::Error| {
            let kind = if e.is_timeout() { FailureKind::Timeout } else { FailureKind::Connection };
            let mut cause: &dyn std::error::Error = &e;
            while let Some(source) = cause.source() {
                cause = source;
            }
            Failure::new(kind, at(cause.to_string())).retryable()
        };
        let answer = sent.send().await.map_err(broken)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(broken)?;
        if status.is_success() {
            return Ok(body);
        }
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = |keys: &[&str]| {
            keys.iter().find_map(|key| said.get(key)?.as_str()).unwrap_or_default().to_string()
        };
        let kind = text(&["__type"]).rsplit('#').next().unwrap_or_default().to_string();
        let message = at(format!("{kind} ({}): {}", status.as_u16(), text(&["message", "Message"])));
        let limited = matches!(
            kind.as_str(),
            "ProvisionedThroughputExceededException"
                | "ThrottlingException"
                | "RequestLimitExceeded"
                | "LimitExceededException"
                | "KMSThrottlingException"
        );
        // A machine's credentials are renewed.
        let expired = matches!(kind.as_str(), "ExpiredTokenException" | "ExpiredToken")
            && matches!(self.credentials, Credentials::Machine(_));
        let failure = match status.as_u16() {
            _ if expired => Failure::new(FailureKind::Connection, message).retryable(),
            _ if limited => Failure::new(FailureKind::Limit, message).retryable(),
            status @ 500.. => Failure::new(FailureKind::Status(status), message).retryable(),
            status => Failure::new(FailureKind::Status(status), message),
        };
        Err(Refused { failure, code: kind })
    }
}
