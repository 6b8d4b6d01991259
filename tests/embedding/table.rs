// A table function of a program: a closure that returns rows, for each row that it is joined with.

use affluent::arrow::array::AsArray;
use affluent::arrow::datatypes::Int64Type;
use affluent::{Error, Session, udf};

/// The words of a text, with their lengths.
fn words(text: &str) -> Vec<(String, i64)> {
    text.split_whitespace().map(|word| (word.to_string(), word.len() as i64)).collect()
}

pub fn main() -> Result<(), Error> {
    let session = Session::new()?;
    session.add_function(udf::table("words", ["word", "length"], words))?;
    let query = "SELECT w.word, w.length FROM (VALUES ('a bc'), (''), ('def')) AS t (line), \
                 LATERAL TABLE(words(t.line)) AS w";
    let rows = session.query(query)?.collect()?;
    let found: Vec<_> = rows.column(0).as_string_view().iter().flatten().collect();
    assert_eq!(found, ["a", "bc", "def"]);
    assert_eq!(rows.column(1).as_primitive::<Int64Type>().values(), &[1, 2, 3]);
    Ok(())
}
