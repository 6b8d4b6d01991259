//! `affluent options`: every option of connectors, formats and lookups and every setting, from their definitions.

use crate::catalog::options::{OptionDef, OptionKind};
use crate::config::SETTINGS;
use crate::connector::registry::{WATERMARK, connectors};
use crate::console::fault::Fault;
use crate::console::output::Output;
use crate::error::{Error, Result};
use crate::format::{FORMAT_NAMES, Format};
use crate::lookup::config::{HINT_OPTIONS, OPTIONS};
use crate::nearest::nearest;

/// A part of the page.
struct Section {
    name: &'static str,
    title: String,
    text: String,
    options: Vec<&'static OptionDef>,
}

/// Everything, in the order of the page.
fn sections() -> Vec<Section> {
    let mut all = Vec::new();
    for connector in connectors() {
        let name = connector.name();
        let mut text = connector.doc().to_string();
        if connector.takes_format() {
            text.push_str(match connector.default_format() {
                Some(_) => ". Takes a `format` and its options",
                None => ". Needs a `format` and takes its options",
            });
        }
        if !connector.metadata().is_empty() {
            text.push_str(&format!(". Metadata columns: `{}`", connector.metadata().join("`, `")));
        }
        all.push(Section {
            name,
            title: format!("Connector `{name}`"),
            text,
            options: connector.options().iter().collect(),
        });
    }
    for &name in FORMAT_NAMES {
        all.push(Section {
            name,
            title: format!("Format `{name}`"),
            text: format!("`'format' = '{name}'`"),
            options: Format::definitions(name).iter().collect(),
        });
    }
    let fixed: [(&str, &str, &str, &'static [OptionDef]); 7] = [
        ("lookup", "Lookup tables", "of every table that is looked up in, whatever its connector", OPTIONS),
        (
            "hint",
            "Hint `LOOKUP`",
            "`/*+ LOOKUP('table'='t', ...) */` after SELECT, for one query",
            HINT_OPTIONS,
        ),
        (
            "watermark",
            "Tables with a watermark",
            "of every table that is read and declares WATERMARK FOR",
            WATERMARK,
        ),
        (
            "functions",
            "User functions",
            "`WITH` of CREATE FUNCTION; those that wait for their answers have the `lookup.*` options of lookup tables, too",
            crate::function::user::OPTIONS,
        ),
        (
            "models",
            "Models",
            "`WITH` of CREATE MODEL; the `lookup.*` options of lookup tables, too",
            crate::function::user::model::OPTIONS,
        ),
        ("test", "Tests", "`TEST 'name' WITH (...)` of a test file", crate::trial::OPTIONS),
        ("settings", "Settings", "`SET 'key' = 'value'`, or `--set key=value`", SETTINGS),
    ];
    for (name, title, text, options) in fixed {
        let (title, text) = (title.to_string(), text.to_string());
        all.push(Section { name, title, text, options: options.iter().collect() });
    }
    all
}

fn kind(kind: OptionKind) -> String {
    match kind {
        OptionKind::Text => "text".into(),
        OptionKind::Bool => "`true`, `false`".into(),
        OptionKind::Integer => "whole number".into(),
        OptionKind::Number => "number".into(),
        OptionKind::Duration => "duration".into(),
        OptionKind::Size => "size".into(),
        OptionKind::Choice(words) => format!("`{}`", words.join("`, `")),
    }
}

/// A Markdown page of the named part, or of all.
pub fn page(wanted: Option<&str>) -> Result<String> {
    if wanted.is_some_and(|name| name.eq_ignore_ascii_case("metrics")) {
        return Ok(crate::metrics::catalogue::page());
    }
    let all = sections();
    let shown: Vec<&Section> = match wanted {
        None => all.iter().collect(),
        Some(name) => all.iter().filter(|s| s.name.eq_ignore_ascii_case(name)).collect(),
    };
    if let (true, Some(name)) = (shown.is_empty(), wanted) {
        let error = Error::option(format!("there are no options of '{name}'"));
        return Err(match nearest(name, all.iter().map(|s| s.name)) {
            Some(near) => error.with_hint(format!("did you mean '{near}'?")),
            None => {
                let names: Vec<&str> = all.iter().map(|s| s.name).chain(["metrics"]).collect();
                error.with_hint(format!("one of {}", names.join(", ")))
            }
        });
    }
    let mut page = String::new();
    if wanted.is_none() {
        page.push_str(
            "# Options\n\nDurations are written `500 ms`, `1 s`, `5 min`, `1 h`, `1 d`; sizes `64 kb`, `16 mb`. \
             An option that is not known is refused.\n\n",
        );
    }
    for section in shown {
        page.push_str(&format!("## {}\n\n{}.\n\n", section.title, section.text));
        if section.options.is_empty() {
            page.push_str("No options.\n\n");
            continue;
        }
        page.push_str("| option | value | default | meaning |\n|---|---|---|---|\n");
        for option in &section.options {
            let default = match option.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let cells = [format!("`{}`", option.key), kind(option.kind), default, option.doc.to_string()];
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            page.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        page.push('\n');
    }
    Ok(page)
}

/// Prints the page.
pub fn print(wanted: Option<&str>, mut output: Output) -> Result<u8> {
    match output.line(page(wanted)?.trim_end()) {
        Ok(()) | Err(Fault::Closed) => Ok(0),
        Err(Fault::Error(e)) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_page_has_every_option_with_its_meaning() {
        let page = page(None).unwrap();
        for section in sections() {
            assert!(page.contains(&format!("## {}\n", section.title)), "{}", section.title);
            for option in section.options {
                assert!(page.contains(&format!("| `{}` |", option.key)), "{}", option.key);
                assert!(!option.doc.is_empty(), "{} has no meaning", option.key);
            }
        }
        for line in page.lines().filter(|l| l.starts_with('|')) {
            assert_eq!(line.replace("\\|", "").matches('|').count(), 5, "{line}");
        }
    }

    #[test]
    fn one_part() {
        let http = page(Some("HTTP")).unwrap();
        assert!(http.starts_with("## Connector `http`") && !http.contains("filesystem`\n"), "{http}");
        assert_eq!(page(Some("htp")).unwrap_err().hint(), Some("did you mean 'http'?"));
        assert!(page(Some("nonsense")).unwrap_err().hint().is_some_and(|h| h.contains("settings")));
    }
}
