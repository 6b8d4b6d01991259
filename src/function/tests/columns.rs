//! The columnar path: columns with NULLs beside constants.

use arrow::array::{Float64Array, Int64Array, StringArray, StringViewArray, TimestampMillisecondArray};

use super::*;

fn batch() -> RecordBatch {
    let text = [Some("añb,c"), None, Some(""), Some("{\"k\":[1]}"), Some("12.7")];
    let number = [Some(3), Some(-2), None, Some(0), Some(1)];
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("s", Arc::new(StringViewArray::from(text.to_vec()))),
        ("u", Arc::new(StringArray::from(text.to_vec()))),
        ("n", Arc::new(Int64Array::from(number.to_vec()))),
        ("d", Arc::new(Float64Array::from(vec![Some(1.25), None, Some(-0.5), Some(1e10), Some(f64::NAN)]))),
        (
            "t",
            Arc::new(TimestampMillisecondArray::from(vec![
                Some(0),
                None,
                Some(-1),
                Some(1_711_846_800_000),
                Some(1_729_996_200_000),
            ])),
        ),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn check(sql: &str, expected: [&str; 5]) {
    let (_, values) = evaluate_on(sql, "Europe/Berlin", &batch()).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert_eq!(shown(&values), expected, "{sql}");
}

#[test]
fn columns() {
    check("UPPER(s)", ["\"AÑB,C\"", "null", "\"\"", "\"{\\\"K\\\":[1]}\"", "\"12.7\""]);
    check("UPPER(u)", ["\"AÑB,C\"", "null", "\"\"", "\"{\\\"K\\\":[1]}\"", "\"12.7\""]);
    check("SUBSTRING(s, n)", ["\"b,c\"", "null", "null", "\"{\\\"k\\\":[1]}\"", "\"12.7\""]);
    check("SUBSTRING('abcdef', n, 2)", ["\"cd\"", "\"ef\"", "null", "\"ab\"", "\"ab\""]);
    check("SPLIT_INDEX(u, ',', 1)", ["\"c\"", "null", "null", "null", "null"]);
    check("SPLIT(s, ',')", ["[\"añb\",\"c\"]", "null", "[]", "[\"{\\\"k\\\":[1]}\"]", "[\"12.7\"]"]);
    check("REGEXP_EXTRACT(s, '[a-k]+')", ["\"a\"", "null", "null", "\"k\"", "null"]);
    check("REGEXP_COUNT('aXbXc', IF(n > 0, 'X', '[a-c]'))", ["2", "3", "3", "3", "2"]);
    check("JSON_QUERY(s, 'lax $.k')", ["null", "null", "null", "\"[1]\"", "null"]);
    check("s IS JSON", ["false", "false", "false", "true", "true"]);
    check("COALESCE(s, 'none')", ["\"añb,c\"", "\"none\"", "\"\"", "\"{\\\"k\\\":[1]}\"", "\"12.7\""]);
    check("TRY_CAST(s AS INT)", ["null", "null", "null", "null", "12"]);
    check("CAST(d AS STRING)", ["\"1.25\"", "null", "\"-0.5\"", "\"1.0E10\"", "\"NaN\""]);
    check("ROUND(d, 1)", ["1.3", "null", "-0.5", "1.0E+10", "\"NaN\""]);
    check("SQRT(n)", ["1.7320508075688772", "\"NaN\"", "null", "0.0", "1.0"]);
    check("GREATEST(n, 1)", ["3", "1", "null", "1", "1"]);
    check("ARRAY[n, 1]", ["[3,1]", "[-2,1]", "[null,1]", "[0,1]", "[1,1]"]);
    check("ARRAY[7, 8, 9][n]", ["9", "null", "null", "null", "7"]);
    check("ARRAY_CONTAINS(ARRAY[3, 0], n)", ["true", "false", "false", "true", "false"]);
    check("ARRAY_APPEND(ARRAY_DISTINCT(ARRAY[n, n]), 5)", ["[3,5]", "[-2,5]", "[null,5]", "[0,5]", "[1,5]"]);
    check("MAP['a', n]['a']", ["3", "-2", "null", "0", "1"]);
    check("YEAR(t)", ["1970", "null", "1969", "2024", "2024"]);
    check(
        "CAST(CAST(t AS TIMESTAMP_LTZ(3)) AS STRING)",
        [
            "\"1970-01-01 00:00:00.000\"",
            "null",
            "\"1969-12-31 23:59:59.999\"",
            "\"2024-03-31 01:00:00.000\"",
            "\"2024-10-27 02:30:00.000\"",
        ],
    );
    check("DATE_FORMAT(t, 'yy/M')", ["\"70/1\"", "null", "\"69/12\"", "\"24/3\"", "\"24/10\""]);
    check("TIMESTAMPDIFF(DAY, t, TIMESTAMP '1970-01-02 00:00:00')", ["1", "null", "1", "-19812", "-20022"]);
    check("CURRENT_DATE", ["\"2023-11-14\""; 5]);
}

#[test]
fn an_empty_batch_gives_an_empty_column() {
    let empty = batch().slice(0, 0);
    for sql in [
        "UPPER(s)",
        "ARRAY[n, 1]",
        "RAND(n)",
        "RAND_INTEGER(n, n)",
        "MAP[s, n]",
        "ARRAY_SORT(ARRAY[n])",
        "NOW()",
    ] {
        let (_, values) = evaluate_on(sql, "UTC", &empty).unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(values.len(), 0, "{sql}");
    }
}
