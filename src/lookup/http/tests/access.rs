//! Who is asked with what: tokens, signatures, certificates, redirects, lists of keys, validators, formats.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;

use super::*;

const GRANT: &str = "grant_type=client_credentials&client_id=me&client_secret=${TOKEN}";

/// An API that takes the token that was given last, and its token endpoint.
async fn guarded(expires: &'static str) -> (TestServer, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let tokens = Arc::new(AtomicUsize::new(0));
    let valid = Arc::new(AtomicUsize::new(0));
    let (given, current) = (tokens.clone(), valid.clone());
    let server = TestServer::start(move |seen| match seen.target.as_str() {
        "/token" => {
            assert_eq!(
                (seen.method.as_str(), seen.body.as_str()),
                ("POST", "grant_type=client_credentials&client_id=me&client_secret=tok-3n-secret")
            );
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            current.store(n, Ordering::SeqCst);
            let body = format!(
                r#"{{"access_token":"opaque-token-{n}","token_type":"bearer","expires_in":{expires}}}"#
            );
            Reply { delay: Duration::from_millis(30), ..reply(200, body) }
        }
        _ => {
            let wanted = format!("Bearer opaque-token-{}", current.load(Ordering::SeqCst));
            match seen.headers.get("authorization").and_then(|v| v.to_str().ok()) {
                Some(token) if token == wanted => reply(200, r#"{"brand":"a"}"#),
                Some(token) => reply(401, format!("{token} is no good")),
                None => reply(401, "who are you"),
            }
        }
    })
    .await;
    (server, tokens, valid)
}

#[tokio::test]
async fn one_token_is_asked_for_and_renewed_when_it_is_refused() {
    let (server, tokens, valid) = guarded("3600").await;
    let endpoint = server.url("/token");
    let options = [
        ("http.security.oidc.token.endpoint.url", endpoint.as_str()),
        ("http.security.oidc.token.request", GRANT),
    ];
    let lookup = lookup(&server.url("/s/{id}"), &options).unwrap();
    // Many at once: one token.
    let names: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let asked = names.iter().map(|id| ask(&lookup, id));
    for found in futures::future::join_all(asked).await {
        assert_eq!(found.unwrap().num_rows(), 1);
    }
    assert_eq!(tokens.load(Ordering::SeqCst), 1);
    // Taken back before its end: one of those who notice asks for the next.
    valid.store(99, Ordering::SeqCst);
    let asked = names.iter().map(|id| ask(&lookup, id));
    for found in futures::future::join_all(asked).await {
        assert_eq!(found.unwrap().num_rows(), 1);
    }
    assert_eq!(tokens.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_that_expires_is_renewed_and_none_is_shown() {
    let (server, tokens, valid) = guarded("\"0.2\"").await;
    let endpoint = server.url("/token");
    let options = [
        ("http.security.oidc.token.endpoint.url", endpoint.as_str()),
        ("http.security.oidc.token.request", GRANT),
    ];
    let lookup = lookup(&server.url("/s/{id}"), &options).unwrap();
    ask(&lookup, "1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(250)).await;
    ask(&lookup, "2").await.unwrap();
    assert_eq!(tokens.load(Ordering::SeqCst), 2);
    // A service that refuses the new one as well has the last word; its echo of the token is not repeated.
    let stop = valid.clone();
    let refuses = TestServer::start(move |seen| match seen.target.as_str() {
        "/token" => reply(200, r#"{"access_token":"opaque-token-9"}"#),
        _ => {
            stop.fetch_add(1, Ordering::SeqCst);
            reply(401, format!("{:?} is no good", seen.headers["authorization"].to_str().unwrap()))
        }
    })
    .await;
    let endpoint = refuses.url("/token");
    let options = [
        ("http.security.oidc.token.endpoint.url", endpoint.as_str()),
        ("http.security.oidc.token.request", GRANT),
    ];
    let lookup = super::lookup(&refuses.url("/s/{id}"), &options).unwrap();
    let failure = ask(&lookup, "1").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Status(401));
    assert!(!failure.message.contains("opaque") && failure.message.contains("***"), "{}", failure.message);
}

#[tokio::test]
async fn a_token_endpoint_that_fails_is_the_failure() {
    let server = TestServer::start(|seen| match seen.target.as_str() {
        "/token" => reply(503, "later"),
        _ => panic!("asked without a token"),
    })
    .await;
    let endpoint = server.url("/token");
    let options = [
        ("http.security.oidc.token.endpoint.url", endpoint.as_str()),
        ("http.security.oidc.token.request", GRANT),
    ];
    let lookup = lookup(&server.url("/s/{id}"), &options).unwrap();
    let failure = ask(&lookup, "1").await.unwrap_err();
    assert_eq!((failure.kind, failure.retryable), (FailureKind::Status(503), true));
    assert!(failure.message.contains("token endpoint"), "{}", failure.message);
    assert!(!failure.message.contains("tok-3n-secret"));
    for (options, what) in [
        (&[("http.security.oidc.token.request", GRANT)][..], "needs 'http.security.oidc.token.endpoint.url'"),
        (
            &[
                ("http.security.oidc.token.endpoint.url", "http://idp.example/t"),
                ("http.security.oidc.token.request", GRANT),
            ],
            "over TLS only",
        ),
    ] {
        let e = super::lookup("http://127.0.0.1/{id}", options).unwrap_err();
        assert!(e.message().contains(what), "{e}");
    }
}

#[tokio::test]
async fn requests_are_signed_for_aws() {
    let server = TestServer::start(|seen| {
        let text =
            |name: &str| seen.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
        let header = text("authorization");
        assert!(header.starts_with("AWS4-HMAC-SHA256 Credential=AKID/2"), "{header}");
        assert!(
            header.contains("/eu-west-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature="),
            "{header}"
        );
        assert_eq!(text("x-amz-date").len(), 16);
        reply(200, r#"{"brand":"a"}"#)
    })
    .await;
    let mut options = vec![
        ("http.security.aws.service", "execute-api"),
        ("http.security.aws.region", "eu-west-1"),
        ("http.security.aws.access-key", "AKID"),
        ("http.security.aws.secret-key", "${TOKEN}"),
    ];
    let lookup = lookup(&server.url("/s/{id}"), &options).unwrap();
    ask(&lookup, "a b").await.unwrap();
    assert_eq!(server.take().len(), 1);
    options.pop();
    let e = super::lookup("http://127.0.0.1/{id}", &options).unwrap_err();
    assert!(e.message().contains("there is no secret-key"), "{e}");
    let e = super::lookup("http://127.0.0.1/{id}", &options[1..2]).unwrap_err();
    assert!(e.message().contains("needs 'http.security.aws.service'"), "{e}");
}

#[tokio::test]
async fn redirects_never_take_the_headers_to_another_host() {
    let elsewhere = TestServer::start(|seen| {
        let own: Vec<_> = seen.headers.keys().map(|k| k.as_str().to_string()).collect();
        assert!(!own.iter().any(|k| k == "authorization" || k == "x-key"), "{own:?}");
        reply(200, r#"{"brand":"far"}"#)
    })
    .await;
    let far = elsewhere.url("/r/7");
    let server = TestServer::start(move |seen| match seen.target.as_str() {
        "/s/near" => Reply { headers: vec![("location", "/r/7".into())], ..reply(302, "") },
        "/s/far" => Reply { headers: vec![("location", far.clone())], ..reply(307, "") },
        "/s/loop" => Reply { headers: vec![("location", "/s/loop".into())], ..reply(301, "") },
        "/s/file" => Reply { headers: vec![("location", "file:///etc/passwd".into())], ..reply(302, "") },
        _ => {
            assert!(seen.headers.contains_key("authorization"));
            reply(200, r#"{"brand":"near"}"#)
        }
    })
    .await;
    let header = ("http.source.lookup.header.Authorization", "Bearer ${TOKEN}");
    let with = |redirects| {
        lookup(&server.url("/s/{id}"), &[header, ("http.source.lookup.redirects", redirects)]).unwrap()
    };
    let brand = |rows: RecordBatch| rows.column(1).as_string_view().value(0).to_string();
    let same = with("same-origin");
    assert_eq!(brand(ask(&same, "near").await.unwrap()), "near");
    assert_eq!(ask(&same, "far").await.unwrap_err().kind, FailureKind::Status(307));
    assert!(ask(&same, "loop").await.unwrap_err().message.contains("more than 5 redirects"));
    assert_eq!(elsewhere.take().len(), 0);
    let all = with("follow");
    assert_eq!(brand(ask(&all, "far").await.unwrap()), "far");
    assert_eq!(ask(&all, "file").await.unwrap_err().kind, FailureKind::Status(302));
    assert_eq!(ask(&with("none"), "near").await.unwrap_err().kind, FailureKind::Status(302));
}

#[tokio::test]
async fn a_get_lists_the_keys_of_a_batch() {
    let server = TestServer::start(|seen| {
        let ids = seen.target.split_once("ids=").unwrap().1.to_string();
        let rows: Vec<String> = ids
            .split(',')
            .filter(|id| *id != "gone")
            .map(|id| format!(r#"{{"id":"{}","brand":"b{id}"}}"#, id.replace("%20", " ")))
            .collect();
        reply(200, format!("[{}]", rows.join(",")))
    })
    .await;
    let lookup = lookup(&server.url("/s?v=1&ids={id}"), &[("lookup.batch.max-size", "10")]).unwrap();
    assert_eq!(lookup.max_keys(), 10);
    let answers = lookup.lookup(keys(&["7", "gone", "a b"])).await;
    let found: Vec<_> = each(answers, 3).into_iter().map(|r| rows(&r.unwrap())).collect();
    assert_eq!(found, [vec!["7/b7/-".to_string()], vec![], vec!["a b/ba%20b/-".to_string()]]);
    assert_eq!(server.take()[0].target, "/s?v=1&ids=7,gone,a%20b");
    // A comma in a key would make two of it.
    let failure = lookup.lookup(keys(&["1", "a,b"])).await.unwrap_err();
    assert_eq!((failure.kind, server.take().len()), (FailureKind::Key, 0));
    // Too long for a URL: refused here, and split by the client.
    let long: Vec<String> = (0..9).map(|n| format!("{n}{}", "x".repeat(1000))).collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    assert!(lookup.lookup(keys(&long)).await.unwrap_err().message.contains("longer than"));
    let e = super::lookup("http://h/s/{id}", &[("lookup.batch.max-size", "10")]).unwrap_err();
    assert!(e.message().contains("in the query of the url only"), "{e}");
}

#[tokio::test]
async fn headers_carry_keys() {
    let server = TestServer::start(|seen| {
        let tenant = seen.headers["x-tenant"].to_str().unwrap();
        reply(200, format!(r#"{{"brand":"of {tenant}"}}"#))
    })
    .await;
    let header = ("http.source.lookup.header.X-Tenant", "t-{id}");
    let lookup = lookup(&server.url("/s?k={id}"), &[header]).unwrap();
    assert_eq!(rows(&ask(&lookup, "7").await.unwrap()), ["7/of t-7/-"]);
    let failure = ask(&lookup, "a\nb").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Key);
    let e = super::lookup("http://h/s?k={id}", &[header, ("lookup.batch.max-size", "10")]).unwrap_err();
    assert!(e.message().contains("a header has a place for one key only"), "{e}");
}

#[tokio::test]
async fn validators_save_the_body_and_the_service_says_how_long() {
    let served = Arc::new(AtomicUsize::new(0));
    let whole = served.clone();
    let server = TestServer::start(move |seen| {
        let known = seen.headers.get("if-none-match").is_some_and(|etag| etag == "\"v1\"");
        let headers = vec![("etag", "\"v1\"".to_string()), ("cache-control", "max-age=7".to_string())];
        match known {
            true => Reply { headers, ..reply(304, "") },
            false => {
                whole.fetch_add(1, Ordering::SeqCst);
                Reply { headers, ..reply(200, r#"{"brand":"a"}"#) }
            }
        }
    })
    .await;
    let wanted = lookup(&server.url("/s/{id}"), &[("http.source.lookup.cache-control", "true")]).unwrap();
    for _ in 0..3 {
        let answers = wanted.lookup(keys(&["7"])).await.unwrap();
        assert_eq!(
            (rows(&answers.rows), answers.max_age),
            (vec!["7/a/-".to_string()], Some(Duration::from_secs(7)))
        );
    }
    assert_eq!((served.load(Ordering::SeqCst), server.take().len()), (1, 3));
    // Not asked for: neither is looked at.
    let plain = lookup(&server.url("/s/{id}"), &[]).unwrap();
    for _ in 0..2 {
        assert_eq!(plain.lookup(keys(&["7"])).await.unwrap().max_age, None);
    }
    assert_eq!(served.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn answers_may_be_csv_or_one_text() {
    let csv = [("format", "csv")];
    let found = ask_once(&csv, || reply(200, "7,acme,3\n8,other,4\n7,\"a, b\",5\n")).await.unwrap();
    assert_eq!(found, ["7/acme/3", "7/a, b/5"]);
    assert_eq!(ask_once(&csv, || reply(200, "")).await.unwrap(), Vec::<String>::new());
    for make in [
        (|| reply(200, "7,acme,many\n")) as fn() -> Reply,
        || reply(200, "<html>Welcome</html>"),
        || reply(200, "7,a\n"),
    ] {
        assert_eq!(ask_once(&csv, make).await.unwrap_err().kind, FailureKind::Decode);
    }
    // A batch of lines is told apart by the key in them.
    let server = TestServer::start(|_| reply(200, "2,b,\n1,a,1\n")).await;
    let options = [("format", "csv"), ("lookup.batch.max-size", "10")];
    let lookup = lookup(&server.url("/s?ids={id}"), &options).unwrap();
    let found: Vec<_> =
        each(lookup.lookup(keys(&["1", "2", "3"])).await, 3).into_iter().map(|r| rows(&r.unwrap())).collect();
    assert_eq!(found, [vec!["1/a/1".to_string()], vec!["2/b/-".to_string()], vec![]]);
    let e = super::lookup("http://h/{id}", &[("format", "raw")]).unwrap_err();
    assert!(e.message().contains("a 'raw' answer is one value"), "{e}");
    assert!(super::lookup("http://h/{id}", &[("format", "xml")]).is_err());
}

#[tokio::test]
async fn deflated_answers_are_read() {
    for raw in [false, true] {
        let server = TestServer::start(move |_| {
            let body = br#"{"brand":"a"}"#;
            let packed = match raw {
                false => {
                    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), Default::default());
                    packer.write_all(body).unwrap();
                    packer.finish().unwrap()
                }
                true => {
                    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
                    packer.write_all(body).unwrap();
                    packer.finish().unwrap()
                }
            };
            Reply { headers: vec![("content-encoding", "deflate".into())], ..reply(200, packed) }
        })
        .await;
        let lookup = lookup(&server.url("/s/{id}"), &[]).unwrap();
        assert_eq!(rows(&ask(&lookup, "7").await.unwrap()), ["7/a/-"]);
    }
}

/// Runs openssl; false if it is not installed or does not do it.
fn openssl(dir: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.args(arguments.split(' ')).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A server process that ends with the test.
struct Ends(std::process::Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_own_authority_and_client_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::fs::write(path.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    let made = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ca",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem -days 2 -extfile san",
        "req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=client",
        "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out client.pem -days 2 -extfile san",
    ];
    if !made.iter().all(|arguments| openssl(path, arguments)) {
        println!("left out: openssl is not installed");
        return;
    }
    // It serves files as whole answers.
    std::fs::write(
        path.join("7"),
        "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"brand\":\"tls\"}",
    )
    .unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-cert",
            "server.pem",
            "-key",
            "server.key",
        ])
        .args(["-CAfile", "ca.pem", "-Verify", "1", "-verify_return_error", "-HTTP", "-quiet"])
        .current_dir(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _server = Ends(server);
    let mut tries = 0;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        tries += 1;
        assert!(tries < 500, "openssl s_server does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let file = |name: &str| path.join(name).to_string_lossy().into_owned();
    let (ca, certificate, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let all = [
        ("http.security.cert.server", ca.as_str()),
        ("http.security.cert.client", certificate.as_str()),
        ("http.security.key.client", key.as_str()),
    ];
    let url = format!("https://127.0.0.1:{port}/{{id}}");
    let found = ask(&lookup(&url, &all).unwrap(), "7").await.unwrap();
    assert_eq!(rows(&found), ["7/tls/-"]);
    // Without a certificate it does not let us in, and without the authority we do not trust it.
    let failure = ask(&lookup(&url, &all[..1]).unwrap(), "7").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection, "{failure:?}");
    std::fs::write(path.join("other.cnf"), "").unwrap();
    assert!(openssl(
        path,
        "req -x509 -newkey rsa:2048 -nodes -keyout o.key -out o.pem -days 2 -subj /CN=other"
    ));
    let other = file("o.pem");
    let failure =
        ask(&lookup(&url, &[("http.security.cert.server", other.as_str())]).unwrap(), "7").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connection, "{failure:?}");
    let e = lookup(&url, &all[..2]).unwrap_err();
    assert!(e.message().contains("belong together"), "{e}");
}
