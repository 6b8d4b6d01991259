//! SHOW CREATE FUNCTION and SHOW CREATE MODEL.

use super::{Returns, UserFunction};
use crate::catalog::ddl::redacted;
use crate::sql::{FunctionBody, SqlType};

impl UserFunction {
    fn show_create_model(&self) -> String {
        let Returns::Value(SqlType::Row(outputs)) = &self.returns else { return String::new() };
        let list = |columns: Vec<(&String, &SqlType)>| {
            columns.iter().map(|(n, t)| format!("{} {t}", quoted(n))).collect::<Vec<_>>().join(", ")
        };
        let inputs = list(self.parameters.iter().map(|p| (&p.name, &p.data_type)).collect());
        let outputs = list(outputs.iter().map(|(n, t)| (n, t)).collect());
        let mut text = format!("CREATE MODEL {}\nINPUT ({inputs})\nOUTPUT ({outputs})", quoted(&self.name));
        if let Some(comment) = &self.statement.comment {
            text.push_str(&format!("\nCOMMENT {}", literal(comment)));
        }
        let options = self.statement.options.iter().map(|o| {
            let written = o.written.as_ref().unwrap_or(&o.value.value);
            format!("{} = {}", literal(&o.key.value), literal(&redacted(&o.key.value, written)))
        });
        text.push_str(&format!("\nWITH ({})", options.collect::<Vec<_>>().join(", ")));
        text
    }

    /// The statement that would make this function again; secrets redacted.
    pub fn show_create(&self) -> String {
        let s = &self.statement;
        if self.is_model() {
            return self.show_create_model();
        }
        let mut text = String::from("CREATE ");
        for (set, word) in [(s.temporary, "TEMPORARY "), (s.system, "SYSTEM "), (s.aggregate, "AGGREGATE ")] {
            text.push_str(if set { word } else { "" });
        }
        let parameters = self.parameters.iter().enumerate().map(|(i, p)| {
            let name = s.parameters.as_ref().and_then(|all| all.get(i)).and_then(|p| p.name.as_ref());
            let name = name.map(|n| format!("{} ", quoted(&n.value))).unwrap_or_default();
            let default = p.default.as_ref().map(|d| format!(" DEFAULT {}", d.text)).unwrap_or_default();
            format!("{name}{}{default}", p.data_type)
        });
        let parameters = parameters.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("FUNCTION {}", quoted(&self.name)));
        if s.parameters.is_some() || !self.parameters.iter().any(|p| p.any) {
            text.push_str(&format!("({parameters})"));
        }
        match &self.returns {
            Returns::Value(t) => text.push_str(&format!("\nRETURNS {t}")),
            Returns::Rows(columns) => {
                let columns = columns.iter().map(|(n, t)| format!("{} {t}", quoted(n)));
                text.push_str(&format!("\nRETURNS TABLE ({})", columns.collect::<Vec<_>>().join(", ")));
            }
        }
        text.push_str(&format!("\nLANGUAGE {}", self.language()));
        match s.deterministic {
            Some(true) => text.push_str("\nDETERMINISTIC"),
            Some(false) => text.push_str("\nNOT DETERMINISTIC"),
            None => {}
        }
        if self.strict {
            text.push_str("\nRETURNS NULL ON NULL INPUT");
        }
        if let Some(comment) = &s.comment {
            text.push_str(&format!("\nCOMMENT {}", literal(comment)));
        }
        let files = s.using.iter().map(|(kind, path)| format!("{} {}", kind.value, literal(&path.value)));
        let files = files.collect::<Vec<_>>().join(", ");
        if !files.is_empty() {
            text.push_str(&format!("\nUSING {files}"));
        }
        if !s.options.is_empty() {
            let options = s.options.iter().map(|o| {
                format!(
                    "{} = {}",
                    literal(&o.key.value),
                    literal(&redacted(&o.key.value, o.written.as_ref().unwrap_or(&o.value.value)))
                )
            });
            text.push_str(&format!("\nWITH ({})", options.collect::<Vec<_>>().join(", ")));
        }
        match &s.body {
            Some(FunctionBody::Identifier(name)) => text.push_str(&format!("\nAS {}", literal(&name.value))),
            Some(FunctionBody::Code { text: code, .. }) => {
                let tag = match code.contains("$$") {
                    true => "$code$",
                    false => "$$",
                };
                text.push_str(&format!("\nAS {tag}{code}{tag}"));
            }
            Some(FunctionBody::Expression(expression)) => {
                text.push_str(&format!("\nRETURN {}", expression.text))
            }
            Some(FunctionBody::Query { text: query, .. }) => text.push_str(&format!("\nRETURN {query}")),
            None => {}
        }
        text
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
