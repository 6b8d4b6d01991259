// A lookup backend of a program: it answers for many keys in one request.

use std::sync::Arc;

use affluent::arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewArray};
use affluent::arrow::datatypes::SchemaRef;
use affluent::contract::{Answers, Backend, BoxFuture, Failure, OptionDef, OptionKind};
use affluent::{Error, Session};

struct Dictionary {
    /// The columns that the query reads, its key among them.
    schema: SchemaRef,
    greeting: String,
}

impl Backend for Dictionary {
    fn lookup(&self, keys: RecordBatch) -> BoxFuture<Result<Answers, Failure>> {
        let (schema, greeting) = (self.schema.clone(), self.greeting.clone());
        // A real one would send a request here.
        Box::pin(async move {
            let names = keys.column(0).as_string_view();
            let greetings: StringViewArray =
                names.iter().map(|n| Some(format!("{greeting} {}", n?))).collect();
            let greetings: ArrayRef = Arc::new(greetings);
            let column = |name: &str| if name == "name" { keys.column(0).clone() } else { greetings.clone() };
            let columns = schema.fields().iter().map(|field| column(field.name())).collect();
            let rows = RecordBatch::try_new(schema.clone(), columns);
            let rows = rows.map_err(|e| Failure::other(e.to_string()))?;
            Ok(Answers::one_each(rows))
        })
    }
    fn max_keys(&self) -> usize {
        100
    }
    fn describe(&self) -> String {
        "a dictionary".to_string()
    }
}

const OPTIONS: &[OptionDef] = &[OptionDef::new("greeting", OptionKind::Text, "hello", "the first word")];

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    session.register_lookup("dictionary", OPTIONS, |request| {
        let greeting = request.table.options.text("greeting").unwrap_or("hello").to_string();
        Ok(Arc::new(Dictionary { schema: request.schema.clone(), greeting }))
    })?;
    session.sql(
        "CREATE TABLE people (name STRING, phrase STRING) WITH ('connector' = 'dictionary', 'greeting' = 'good day')",
    )?;
    let rows = session.query(
        "SELECT p.phrase FROM (VALUES ('Ann'), ('Bob')) AS t (name) JOIN people AS p ON t.name = p.name",
    )?;
    let rows = rows.collect()?;
    let phrases: Vec<_> = rows.column(0).as_string_view().iter().flatten().collect();
    assert_eq!(phrases, ["good day Ann", "good day Bob"]);
    Ok(())
}
