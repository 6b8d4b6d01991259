//! Tokens of OAUTHBEARER: unsecured ones for trying out, and those of a token endpoint.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde_json::{Value, json};

use super::properties::{Oauth, Properties};

type Failure = Box<dyn std::error::Error>;

/// How long an endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(20);

fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// A token for the broker. Called by the thread that serves the client, which has nothing to do without one.
pub(super) fn token(properties: &Properties) -> Result<OAuthToken, Failure> {
    match &properties.oauth {
        None => Err("no login is configured".into()),
        Some(Oauth::Unsecured { subject, lifetime, scope }) => {
            Ok(unsecured(subject, *lifetime, scope.as_deref(), now_seconds()))
        }
        Some(Oauth::Endpoint { url, client, secret, scope }) => {
            let asked = ask(url.clone(), client.clone(), secret.clone(), scope.clone());
            asked.map_err(|e| properties.redact(&e).into())
        }
    }
}

/// A token without a signature, as Java's unsecured login module makes it.
fn unsecured(subject: &str, lifetime: u64, scope: Option<&str>, now: u64) -> OAuthToken {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let mut claims = json!({ "sub": subject, "iat": now, "exp": now + lifetime });
    if let Some(scope) = scope {
        claims["scope"] = json!(scope.split_whitespace().collect::<Vec<_>>());
    }
    let token = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims));
    let lifetime_ms = i64::try_from((now + lifetime) * 1000).unwrap_or(i64::MAX);
    OAuthToken { token, principal_name: subject.to_string(), lifetime_ms }
}

/// Asks a token endpoint (client credentials), on a thread of its own.
fn ask(url: String, client: String, secret: String, scope: Option<String>) -> Result<OAuthToken, String> {
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| e.to_string())?.block_on(async move {
            let http = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(|e| e.to_string())?;
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("grant_type", "client_credentials");
            if let Some(scope) = &scope {
                form.append_pair("scope", scope);
            }
            let request = http
                .post(&url)
                .basic_auth(&client, Some(&secret))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form.finish());
            let said =
                |e: reqwest::Error| format!("the token endpoint {url} did not answer: {}", e.without_url());
            let answer = request.send().await.map_err(said)?;
            let status = answer.status();
            let body = answer.text().await.map_err(said)?;
            if !status.is_success() {
                return Err(format!("the token endpoint {url} answered {status}"));
            }
            granted(&body, &client, now_seconds())
        })
    });
    asked.join().unwrap_or_else(|_| Err("asking the token endpoint failed".to_string()))
}

/// What the answer of a token endpoint holds.
fn granted(body: &str, client: &str, now: u64) -> Result<OAuthToken, String> {
    let answer: Value =
        serde_json::from_str(body).map_err(|_| "the token endpoint's answer is not JSON".to_string())?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let token = token.ok_or("the token endpoint's answer has no access_token")?.to_string();
    // Who it is for stands in it.
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Option<Value> = claims.and_then(|claims| serde_json::from_slice(&claims).ok());
    let subject =
        claims.as_ref().and_then(|c| c.get("sub")).and_then(Value::as_str).unwrap_or(client).to_string();
    let lasts = answer.get("expires_in").and_then(Value::as_u64).unwrap_or(300);
    let lifetime_ms = i64::try_from((now + lasts) * 1000).unwrap_or(i64::MAX);
    Ok(OAuthToken { token, principal_name: subject, lifetime_ms })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn tokens() {
        let token = unsecured("alice", 60, Some("a b"), 1000);
        let parts: Vec<&str> = token.token.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims, json!({ "sub": "alice", "iat": 1000, "exp": 1060, "scope": ["a", "b"] }));
        assert_eq!((parts.len(), parts[2], token.lifetime_ms), (3, "", 1_060_000));
        let signed = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"sub":"svc"}"#));
        let answer = json!({ "access_token": signed, "expires_in": 10 }).to_string();
        let granted = granted(&answer, "id", 1000).unwrap();
        assert_eq!((granted.principal_name.as_str(), granted.lifetime_ms), ("svc", 1_010_000));
        assert!(super::granted("{}", "id", 0).is_err_and(|e| e.contains("access_token")));
    }
}
