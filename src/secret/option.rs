//! Options of tables: which values are secrets, and texts without them.

use std::borrow::Cow;

/// What stands in place of a secret.
const HIDDEN: &str = "******";

/// Whether an option, header or query parameter of this name carries a secret.
pub fn is_sensitive_name(name: &str) -> bool {
    const WORDS: [&str; 10] =
        ["auth", "key", "token", "secret", "password", "cookie", "credential", "signature", "appid", "jaas"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// A value as it may be shown: secrets become asterisks, references to the environment stay.
pub fn redacted<'a>(key: &str, value: &'a str) -> Cow<'a, str> {
    let inner = value.strip_prefix("${").and_then(|v| v.strip_suffix('}'));
    let reference = inner.is_some_and(|name| !name.contains(['{', '}', '$']));
    let name = match key.split_once(".header.") {
        Some((_, header)) => header,
        // Keys of the cache and of datagen are no secrets.
        None if ["lookup.", "fields."].iter().any(|group| key.starts_with(group))
            || matches!(key, "redis.key" | "sink.idempotency-key") =>
        {
            return value.into();
        }
        // Where a key store is, but not what opens it.
        None if key.starts_with("properties.ssl.")
            && (key.ends_with(".location") || key.ends_with(".type")) =>
        {
            return value.into();
        }
        // Nor is that a format is one of keys.
        None => key.strip_prefix("key.").unwrap_or(key),
    };
    let is_header = key.contains(".header.");
    if reference {
        value.into()
    } else if !is_header && ["url", "uri", "endpoint"].iter().any(|word| key.ends_with(word)) {
        redacted_url(value).into()
    } else if is_sensitive_name(name) {
        HIDDEN.into()
    } else {
        value.into()
    }
}

/// What must not be shown of a URL: user info, and the values of query parameters that carry secrets.
fn url_secrets(url: &str) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let base = url.find('?').unwrap_or(url.len());
    if let Some(start) = url[..base].find("://").map(|at| at + 3) {
        let host_end = url[start..base].find('/').map_or(base, |n| start + n);
        if let Some(at) = url[start..host_end].rfind('@') {
            found.push(start..start + at);
        }
    }
    let mut from = base + 1;
    for pair in url.get(from..).unwrap_or_default().split('&') {
        if let Some((name, value)) = pair.split_once('=')
            && is_sensitive_name(name)
            && !value.starts_with(['{', '$'])
        {
            let start = from + name.len() + 1;
            found.push(start..start + value.len());
        }
        from += pair.len() + 1;
    }
    found
}

/// A URL without its secrets.
fn redacted_url(url: &str) -> String {
    let mut shown = url.to_string();
    for range in url_secrets(url).into_iter().rev() {
        shown.replace_range(range, HIDDEN);
    }
    shown
}

/// A text of SQL as it may be shown beside a message: as long as it was, with asterisks for the secrets that stand in
/// the values of options.
pub fn masked(text: &str) -> Cow<'_, str> {
    let mut out: Option<Vec<u8>> = None;
    let mut before: Option<(&str, usize)> = None;
    let mut from = 0;
    while let Some(open) = text[from..].find(['\'', '-', '/']).map(|n| from + n) {
        // An apostrophe in a comment opens nothing.
        let comment =
            [("--", "\n"), ("/*", "*/")].into_iter().find(|(start, _)| text[open..].starts_with(start));
        if let Some((_, closed)) = comment {
            from = text[open..].find(closed).map_or(text.len(), |n| open + n + closed.len());
            continue;
        }
        if !text[open..].starts_with('\'') {
            from = open + 1;
            continue;
        }
        let mut end = open + 1;
        loop {
            match text[end..].find('\'') {
                None => end = text.len(),
                Some(n) if text[end + n + 1..].starts_with('\'') => {
                    end += n + 2;
                    continue;
                }
                Some(n) => end += n,
            }
            break;
        }
        let value = &text[open + 1..end];
        // An option's key stands right before its value, whether the sign between them was forgotten or not.
        let between = |at: usize| text[at..open].trim_matches([' ', '\t', '\r', '\n', '=', ':']);
        let key = before.filter(|(_, at)| between(*at).is_empty());
        let secrets = match key {
            Some((key, _)) if !value.is_empty() && redacted(key, value) == HIDDEN => {
                std::iter::once(0..value.len()).collect::<Vec<_>>()
            }
            Some(_) => url_secrets(value),
            None => Vec::new(),
        };
        for range in secrets {
            let out = out.get_or_insert_with(|| text.as_bytes().to_vec());
            out[open + 1 + range.start..open + 1 + range.end].fill(b'*');
        }
        from = (end + 1).min(text.len());
        before = Some((value, from));
    }
    match out.map(String::from_utf8) {
        Some(Ok(masked)) => masked.into(),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let header = "http.source.lookup.header.";
        for (key, value, shown) in [
            (
                "url",
                "https://u:pw@h/x?appid=S&id={id}&key={k}",
                "https://******@h/x?appid=******&id={id}&key={k}",
            ),
            ("url", "http://h/{id}", "http://h/{id}"),
            (&format!("{header}X-Auth"), "abc", HIDDEN),
            (&format!("{header}X-Auth"), "${A}", "${A}"),
            (&format!("{header}X-Auth"), "${A}literal}", HIDDEN),
            (&format!("{header}Accept"), "text/plain", "text/plain"),
            ("lookup.partial-cache.cache-missing-key", "true", "true"),
            ("uri", "redis://:pw@h:1/0", "redis://******@h:1/0"),
            ("http.security.oidc.token.endpoint.url", "http://h/token", "http://h/token"),
            ("http.security.oidc.token.request", "client_secret=x", HIDDEN),
            ("key.fields", "id", "id"),
            ("key.avro-confluent.url", "http://u:p@h", "http://******@h"),
            ("key.avro-confluent.basic-auth.user-info", "u:p", HIDDEN),
            ("http.source.scan.url", "http://h/x?a=1&token=T&b=2", "http://h/x?a=1&token=******&b=2"),
            ("url", "jdbc:sqlite:a.db?x=//u@h", "jdbc:sqlite:a.db?x=//u@h"),
        ] {
            assert_eq!(redacted(key, value), shown, "{key}");
        }
    }

    #[test]
    fn secrets_are_not_drawn() {
        for (text, shown) in [
            ("WITH ('password' = 'a''bä', 'x' = 'y')", "WITH ('password' = '******', 'x' = 'y')"),
            ("WITH ('password'='S')", "WITH ('password'='*')"),
            ("'password' 'S'", "'password' '*'"),
            ("'password' = '${P}'", "'password' = '${P}'"),
            ("'url' = 'jdbc:postgresql://boss:SECRET@h/d'", "'url' = 'jdbc:postgresql://***********@h/d'"),
            ("'uri' = 'redis://h?password=SECRET&x=1'", "'uri' = 'redis://h?password=******&x=1'"),
            ("SELECT 'password', 'shown'", "SELECT 'password', 'shown'"),
            ("'password' = 'not closed", "'password' = '**********"),
            ("'a' = '''' 'password'", "'a' = '''' 'password'"),
            ("-- don't\n'password' = 'S'", "-- don't\n'password' = '*'"),
            ("/* don't */ 'password' = 'S' - 1 / 2", "/* don't */ 'password' = '*' - 1 / 2"),
            ("no literal", "no literal"),
        ] {
            assert_eq!(masked(text), shown);
            assert_eq!(masked(text).len(), text.len());
        }
    }
}
