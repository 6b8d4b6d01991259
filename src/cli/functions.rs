//! `affluent functions`: every function with its arguments and result, from the registry.

use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::session::Session;

/// A Markdown page of all functions, or of those whose name begins so.
pub fn page(session: &Session, wanted: Option<&str>) -> Result<String> {
    let names = session.function_names();
    let upper = wanted.unwrap_or_default().to_ascii_uppercase();
    let shown: Vec<&String> = names.iter().filter(|name| name.starts_with(&upper)).collect();
    if shown.is_empty() {
        let error = Error::option(format!("there is no function '{upper}'"));
        return Err(match nearest(&upper, names.iter().map(String::as_str)) {
            Some(near) => error.with_hint(format!("did you mean {near}?")),
            None => error.with_hint("`affluent functions` lists them"),
        });
    }
    let mut page = String::new();
    if wanted.is_none() {
        page.push_str(
            "# Functions\n\nThe arguments and the result of each. Arguments in brackets may be left out.\n\n",
        );
    }
    page.push_str("| function | arguments and result |\n|---|---|\n");
    for name in shown {
        let help = session.function_help(name).unwrap_or_else(|| format!("{name}(...)"));
        page.push_str(&format!("| `{name}` | `{}` |\n", help.replace('|', "\\|")));
    }
    Ok(page)
}

/// Prints the page.
pub fn print(session: &Session, wanted: Option<&str>, mut output: Output) -> Result<u8> {
    match output.line(page(session, wanted)?.trim_end()) {
        Ok(()) | Err(Fault::Closed) => Ok(0),
        Err(Fault::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_function_is_on_the_page() {
        let session = Session::new().unwrap();
        let all = page(&session, None).unwrap();
        for name in session.function_names() {
            assert!(all.contains(&format!("| `{name}` |")), "{name}");
        }
        assert!(page(&session, Some("json_")).unwrap().contains("JSON_VALUE"));
        assert!(page(&session, Some("UPPPER")).unwrap_err().hint().is_some_and(|h| h.contains("UPPER")));
    }
}
