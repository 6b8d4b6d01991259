//! `jdbc:postgresql://host:port/db?user=...`, `jdbc:mysql://...`, `jdbc:mariadb://...`, `jdbc:sqlite:FILE`.

use std::collections::BTreeMap;

use crate::catalog::Options;
use crate::error::{Error, Result};
use crate::sql::variables::expanded;

/// A database that a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Sqlite,
    Postgres,
    MySql,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgresql",
            Self::MySql => "mysql",
        }
    }

    pub(crate) fn feature(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            other => other.name(),
        }
    }
}

/// A JDBC URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct JdbcUrl {
    pub(crate) system: System,
    /// Hosts and ports in the order they are tried.
    pub(crate) hosts: Vec<(String, u16)>,
    /// The database, or the file of SQLite.
    pub(crate) name: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    /// What follows the question mark, without user and password.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl std::fmt::Debug for JdbcUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

impl JdbcUrl {
    /// The URL of a table's options, with `username` and `password`.
    pub(crate) fn of(options: &Options) -> Result<Self> {
        let mut url = Self::parse(options.required("url")?).map_err(|e| e.at(options.span("url")))?;
        let read = |key: &str| options.text(key).map(expanded).transpose();
        url.user = read("username")?.or(url.user);
        url.password = read("password")?.or(url.password);
        Ok(url)
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::option("option 'url' is not a JDBC URL")
                .with_hint(
                "jdbc:postgresql://host:5432/database, jdbc:mysql://host:3306/database, or jdbc:sqlite:/path/to/file.db",
            )
        };
        let text = expanded(text)?;
        let rest = text.strip_prefix("jdbc:").ok_or_else(wrong)?;
        let (scheme, rest) = rest.split_once(':').ok_or_else(wrong)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.insert(key.to_string(), decoded(value));
        }
        let (user, password) = (parameters.remove("user"), parameters.remove("password"));
        let system = match scheme {
            "sqlite" => System::Sqlite,
            "postgresql" | "postgres" => System::Postgres,
            "mysql" | "mariadb" => System::MySql,
            other => {
                return Err(Error::unsupported(format!("option 'url': database '{other}' is not known"))
                    .with_hint("there are: jdbc:postgresql:, jdbc:mysql:, jdbc:mariadb:, jdbc:sqlite:"));
            }
        };
        let url = |hosts, name: &str| Self {
            system,
            hosts,
            name: name.to_string(),
            user: user.clone(),
            password: password.clone(),
            parameters: parameters.clone(),
        };
        if system == System::Sqlite {
            return if rest.is_empty() { Err(wrong()) } else { Ok(url(Vec::new(), rest)) };
        }
        let port = if system == System::Postgres { 5432 } else { 3306 };
        let Some(rest) = rest.strip_prefix("//") else {
            // jdbc:postgresql:database is on this machine.
            return Ok(url(vec![("localhost".into(), port)], rest.trim_start_matches('/')));
        };
        let (authority, name) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(Error::option("option 'url' must not hold a user name or password")
                .with_hint("use 'username' and 'password' = '${PASSWORD}'"));
        }
        let host = |host: &str| -> Result<(String, u16)> {
            match host.rsplit_once(':').filter(|(name, _)| !name.ends_with(':') && !host.ends_with(']')) {
                Some((name, port)) => {
                    Ok((name.trim_matches(['[', ']']).into(), port.parse().map_err(|_| wrong())?))
                }
                None => Ok((host.trim_matches(['[', ']']).into(), port)),
            }
        };
        let hosts = authority.split(',').filter(|h| !h.is_empty()).map(host).collect::<Result<Vec<_>>>()?;
        let hosts = if hosts.is_empty() { vec![("localhost".into(), port)] } else { hosts };
        Ok(url(hosts, &decoded(name)))
    }

    /// Refuses parameters that are not among those that act, or that tune a driver which is not here.
    #[cfg(any(feature = "postgres", feature = "mysql", feature = "sqlite"))]
    pub(crate) fn check_parameters(&self, acting: &[&str], tuning: &[&str]) -> Result<()> {
        for name in self.parameters.keys() {
            if !acting.contains(&name.as_str()) && !tuning.contains(&name.as_str()) {
                return Err(Error::option(format!("option 'url': parameter '{name}' is not supported"))
                    .with_hint(format!("it knows: {}", acting.join(", "))));
            }
        }
        Ok(())
    }

    /// A parameter that is a whole number.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>> {
        let parse = |text: &String| {
            let wrong =
                |_| Error::option(format!("option 'url': {name}={text} is not a whole number from 0"));
            text.parse().map_err(wrong)
        };
        self.parameters.get(name).map(parse).transpose()
    }

    /// All that distinguishes connections, passwords too: not for messages.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(crate) fn identity(&self) -> String {
        format!("{}\n{:?}\n{:?}\n{:?}", self.shown(), self.user, self.password, self.parameters)
    }

    /// For messages, without user, password and parameters.
    pub(crate) fn shown(&self) -> String {
        if self.system == System::Sqlite {
            return format!("jdbc:sqlite:{}", self.name);
        }
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        format!("jdbc:{}://{}/{}", self.system.name(), hosts.join(","), self.name)
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url =
            JdbcUrl::parse("jdbc:postgresql://a:1,[::1]:2,c/my%20db?user=u&password=p%26&sslmode=require");
        let url = url.unwrap();
        assert_eq!(url.hosts, [("a".into(), 1), ("::1".into(), 2), ("c".to_string(), 5432)]);
        assert_eq!(
            (url.name.as_str(), url.user.as_deref(), url.password.as_deref()),
            ("my db", Some("u"), Some("p&"))
        );
        assert_eq!(url.parameters["sslmode"], "require");
        assert_eq!(format!("{url:?}"), "jdbc:postgresql://a:1,::1:2,c:5432/my db");
        let local = JdbcUrl::parse("jdbc:postgresql:db").unwrap();
        assert_eq!((local.hosts, local.name), (vec![("localhost".to_string(), 5432)], "db".to_string()));
        assert_eq!(JdbcUrl::parse("jdbc:sqlite:/tmp/a.db").unwrap().name, "/tmp/a.db");
        assert_eq!(JdbcUrl::parse("jdbc:mariadb://h/d").unwrap().hosts, [("h".to_string(), 3306)]);
        for wrong in
            ["postgresql://h/d", "jdbc:sqlite:", "jdbc:oracle:thin:x", "jdbc:postgresql://u:p@h/d", "jdbc"]
        {
            assert!(JdbcUrl::parse(wrong).is_err(), "{wrong}");
        }
    }
}
