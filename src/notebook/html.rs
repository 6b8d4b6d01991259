//! HTML that is safe to put into a notebook.
//!
//! What a stream sends is text and stays text. Three things could make more of it: markup, so `<`, `>`, `&` and
//! quotes are escaped; control characters and those that reorder their neighbours, so they are made
//! visible as on a terminal; and formulas, because JupyterLab sets `$...$` in HTML with MathJax, whose macros
//! can hold links. MathJax does not look for the end of a formula beyond an element, so every `$` and `\` stands
//! in one of its own.

use arrow::array::RecordBatch;

use crate::console::render::text::TextColumn;
use crate::console::render::visible;
use crate::error::Result;
use crate::flow::Kind;

/// Columns of a table that are shown.
pub const COLUMNS: usize = 60;

/// Characters of a value that are shown.
const VALUE: usize = 2_000;

/// Appends text as HTML.
pub fn push_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '$' => out.push_str("<span>$</span>"),
            '\\' => out.push_str("<span>\\</span>"),
            c => out.push(c),
        }
    }
}

/// Appends a value: unsafe characters visible, cut where it is long, escaped.
fn push_value(raw: &str, scratch: &mut String, out: &mut String) {
    scratch.clear();
    let cut = raw.char_indices().nth(VALUE).map(|(i, _)| i);
    visible::push_text(&raw[..cut.unwrap_or(raw.len())], scratch);
    push_escaped(scratch, out);
    if cut.is_some() {
        out.push('…');
    }
}

/// Text of one or several lines as HTML.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    push_escaped(&visible::lines(text), &mut out);
    out
}

/// What stands around the rows of a table.
#[derive(Debug, Clone, Default)]
pub struct Around<'a> {
    /// The kind of each row, as a first column.
    pub kinds: Option<&'a [Kind]>,
    /// A line above the rows.
    pub above: Option<String>,
    /// A line below them.
    pub below: Option<String>,
    /// Many rows have a box that scrolls. A table that is painted again and again has none: it would jump back.
    pub scrolls: bool,
}

/// Characters of a value that stands in one line; a longer one has a box of its own, so that it does not squeeze others.
const LINE: usize = 60;

/// Sorts the rows by the column whose head was clicked, the other way round at the next click; NULLs stay last.
const SORT: &str = "const h=event.target.closest('th');if(h){const b=h.closest('table').tBodies[0],\
d=h.dataset.d=h.dataset.d==='1'?'-1':'1',n=h.dataset.n,\
v=r=>{const c=r.cells[h.cellIndex];return !c||c.dataset.z?null:n?Number(c.textContent):c.textContent};\
b.append(...[...b.rows].map(r=>[v(r),r]).sort(([x],[y])=>x===null?(y===null?0:1):y===null?-1:\
d*(n?x-y:x<y?-1:x>y?1:0)).map(p=>p[1]))}";

/// A table; numbers to the right, all else to the left. A click on a column's head sorts; what is larger than its box
/// scrolls.
pub fn table(batch: &RecordBatch, around: &Around<'_>) -> Result<String> {
    let schema = batch.schema();
    let all = schema.fields().len();
    let shown = all.min(COLUMNS);
    let columns =
        batch.columns()[..shown].iter().map(|c| TextColumn::new(&**c)).collect::<Result<Vec<_>>>()?;
    let numeric: Vec<bool> = schema.fields()[..shown].iter().map(|f| f.data_type().is_numeric()).collect();
    let (mut raw, mut scratch) = (String::new(), String::new());
    let mut out = String::new();
    let line = |text: &Option<String>, out: &mut String| {
        if let Some(text) = text {
            out.push_str("<div class=\"tex2jax_ignore mathjax_ignore\"><i>");
            push_escaped(text, out);
            out.push_str("</i></div>");
        }
    };
    line(&around.above, &mut out);
    let height = if around.scrolls { ";max-height:32em" } else { "" };
    out.push_str(&format!("<div style=\"overflow:auto;max-width:100%{height}\">"));
    out.push_str(
        "<table class=\"dataframe tex2jax_ignore mathjax_ignore\" style=\"white-space:nowrap;margin:0\">",
    );
    out.push_str(&format!("<thead title=\"a click sorts\" onclick=\"{SORT}\"><tr>"));
    const HEAD: &str = "position:sticky;top:0;cursor:pointer;background:var(--jp-layout-color0,#fff)";
    if around.kinds.is_some() {
        out.push_str(&format!("<th style=\"text-align:left;{HEAD}\">op</th>"));
    }
    for (field, numeric) in schema.fields().iter().zip(&numeric) {
        let (side, mark) = if *numeric { ("right", " data-n=\"1\"") } else { ("left", "") };
        out.push_str(&format!("<th dir=\"auto\"{mark} style=\"text-align:{side};{HEAD}\">"));
        push_value(field.name(), &mut scratch, &mut out);
        out.push_str("</th>");
    }
    if shown < all {
        out.push_str(&format!("<th>… {} more columns</th>", all - shown));
    }
    out.push_str("</tr></thead><tbody>");
    for row in 0..batch.num_rows() {
        out.push_str("<tr>");
        if let Some(kinds) = around.kinds {
            let kind = kinds.get(row).map_or("", |k| k.as_str());
            out.push_str(&format!("<td style=\"text-align:left\">{kind}</td>"));
        }
        for (column, numeric) in columns.iter().zip(&numeric) {
            if column.is_null(row) {
                let side = if *numeric { "right" } else { "left" };
                out.push_str(&format!("<td data-z=\"1\" style=\"text-align:{side}\"><i>NULL</i></td>"));
                continue;
            }
            out.push_str(if *numeric {
                "<td style=\"text-align:right\">"
            } else {
                "<td dir=\"auto\" style=\"text-align:left\">"
            });
            raw.clear();
            column.write(row, &mut raw)?;
            let is_long = raw.char_indices().nth(LINE).is_some();
            if is_long {
                out.push_str(
                    "<div style=\"width:max-content;max-width:30em;max-height:7em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere\">",
                );
            }
            push_value(&raw, &mut scratch, &mut out);
            out.push_str(if is_long { "</div></td>" } else { "</td>" });
        }
        if shown < all {
            out.push_str("<td>…</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div>");
    line(&around.below, &mut out);
    Ok(out)
}

/// A warning: nothing has failed, so it is not red.
pub fn warning(text: &str) -> String {
    format!(
        "<div class=\"tex2jax_ignore mathjax_ignore\" style=\"border-left:4px solid #d9a400;padding:2px 8px;margin:4px 0;\
         white-space:pre-wrap\">{}</div>",
        escaped(text)
    )
}

/// A line of small print.
pub fn line(text: &str) -> String {
    format!("<div class=\"tex2jax_ignore mathjax_ignore\" style=\"font-size:90%\">{}</div>", escaped(text))
}

/// Text of a message in a box of its own.
pub fn message(text: &str) -> String {
    format!("<pre class=\"tex2jax_ignore mathjax_ignore\">{}</pre>", escaped(text))
}

/// The columns of a batch that are shown as text: those that [`table`] shows.
pub fn first_columns(batch: &RecordBatch) -> Result<RecordBatch> {
    let shown: Vec<usize> = (0..batch.num_columns().min(COLUMNS)).collect();
    Ok(batch.project(&shown)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
    }

    #[test]
    fn values_stay_text() {
        let bad = "<script>alert(1)</script>&\"'\u{1b}[31m\n$\\href{javascript:alert(1)}{x}$\u{202e}";
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some(bad), None, Some("NULL"), Some("שלום")]));
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), Some(-2), None, Some(4)]));
        let html = table(&batch(vec![("id", ids), ("<b>name", names)]), &Around::default()).unwrap();
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains('\u{1b}'), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;␛[31m↵"), "{html}");
        assert!(html.contains("<span>$</span><span>\\</span>href{"), "{html}");
        assert!(html.contains("<span>\\</span>u{202e}"), "{html}");
        assert!(html.contains("<td dir=\"auto\" style=\"text-align:left\">NULL</td>"), "{html}");
        assert!(html.contains("<td data-z=\"1\" style=\"text-align:left\"><i>NULL</i></td>"), "{html}");
        assert!(html.contains("<td dir=\"auto\" style=\"text-align:left\">שלום</td>"), "{html}");
        assert!(html.contains("<td style=\"text-align:right\">-2</td>"), "{html}");
    }

    #[test]
    fn many_columns_and_long_values_are_cut() {
        let value: ArrayRef = Arc::new(StringArray::from(vec!["é".repeat(5000)]));
        let names: Vec<String> = (0..500).map(|i| format!("c{i}")).collect();
        let wide = batch(names.iter().map(|n| (n.as_str(), value.clone())).collect());
        let html = table(&wide, &Around::default()).unwrap();
        assert!(html.contains(">c59</th><th>… 440 more columns</th>") && !html.contains("c60"), "{html}");
        assert!(html.contains(&format!("overflow-wrap:anywhere\">{}…</div></td>", "é".repeat(VALUE))));
        assert!(html.len() < 300_000, "{}", html.len());
        assert_eq!(first_columns(&wide).unwrap().num_columns(), COLUMNS);
    }

    #[test]
    fn lines_around_the_rows() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let kinds = [Kind::UpdateAfter];
        let (above, below) = (Some("3 before".into()), Some("<2>".into()));
        let around = Around { kinds: Some(&kinds), above, below, scrolls: true };
        let html = table(&batch(vec![("id", ids)]), &around).unwrap();
        assert!(html.contains("<td style=\"text-align:left\">+U</td>"), "{html}");
        assert!(
            html.contains("<i>3 before</i></div><div style=\"overflow:auto;max-width:100%;max-height:32em\"")
        );
        assert!(html.ends_with("<i>&lt;2&gt;</i></div>"), "{html}");
        assert_eq!(escaped("a\n\u{7}<"), "a\n␇&lt;");
    }
}
