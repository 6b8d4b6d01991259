//! Small tables of which all rows are known: SHOW, DESCRIBE, SET.

use arrow::array::RecordBatch;

use super::layout::{Frame, Wish, cell, fitting, table_widths, write_left_out};
use super::text::TextColumn;
use super::visible;
use crate::error::Result;

/// Appends a table as a box; numbers to the right, all else to the left.
pub fn write_table(batch: &RecordBatch, terminal: Option<usize>, out: &mut Vec<u8>) -> Result<()> {
    if batch.num_rows() == 0 {
        out.extend_from_slice(b"Empty set\n");
        return Ok(());
    }
    let schema = batch.schema();
    let columns = batch.columns().iter().map(|c| TextColumn::new(&**c)).collect::<Result<Vec<_>>>()?;
    let mut scratch = Default::default();
    let mut wishes: Vec<Wish> = schema.fields().iter().map(|f| Wish::new(f.name(), f.data_type())).collect();
    for (wish, column) in wishes.iter_mut().zip(&columns) {
        for row in 0..batch.num_rows() {
            wish.seen = wish.seen.max(visible::width(cell(column, row, &mut scratch)?));
        }
    }
    let shown = fitting(&table_widths(&wishes, terminal), terminal, 0);
    wishes.truncate(shown);
    let mut frame = Frame::new(table_widths(&wishes, terminal), &wishes);
    frame.rule(out);
    frame.header(&schema, false, true, out);
    frame.rule(out);
    for row in 0..batch.num_rows() {
        for (i, column) in columns.iter().enumerate().take(shown) {
            let left = !schema.field(i).data_type().is_numeric();
            frame.push(i, cell(column, row, &mut scratch)?, left);
        }
        frame.finish(out);
    }
    frame.rule(out);
    write_left_out(&schema, shown, terminal, out);
    frame.write_cut(terminal, out);
    out.extend_from_slice(format!("{} in set\n", super::rows(batch.num_rows() as u64)).as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tests::chunk;
    use super::*;
    use crate::flow::Kind::Insert;

    fn table(rows: &[(i64, &str)], width: Option<usize>) -> String {
        let rows: Vec<_> = rows.iter().map(|(id, name)| (Insert, Some(*id), Some(*name))).collect();
        let mut out = Vec::new();
        write_table(&chunk(&rows).batch, width, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn as_wide_as_needed() {
        let expected = "\
+----+-------+
| id | name  |
+----+-------+
|  1 | a↵b   |
| 22 | 日本x |
+----+-------+
2 rows in set
";
        assert_eq!(table(&[(1, "a\nb"), (22, "日本x")], Some(80)), expected);
        assert_eq!(table(&[], None), "Empty set\n");
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let expected = "\
+----+
| id |
+----+
|  1 |
+----+
1 of 2 c...
left out...
1 row in set
";
        assert_eq!(table(&[(1, "x")], Some(11)), expected);
    }

    #[test]
    fn pressed_into_a_narrow_terminal() {
        let expected = "\
+----+-------------+
| id | name        |
+----+-------------+
|  1 | a long d... |
+----+-------------+
\\x or -o vertical...
1 row in set
";
        assert_eq!(table(&[(1, "a long description")], Some(20)), expected);
    }
}
