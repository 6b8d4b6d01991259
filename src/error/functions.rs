//! Names of functions that people write where there is no such function, and what to write instead.

/// What functions of other systems are called here.
const FUNCTIONS: &[(&str, &str)] = &[
    ("array_length", "CARDINALITY(array)"),
    ("array_size", "CARDINALITY(array)"),
    ("date_part", "EXTRACT(HOUR FROM ts)"),
    ("date_trunc", "FLOOR(ts TO HOUR)"),
    ("datediff", "TIMESTAMPDIFF(DAY, a, b)"),
    ("from_json", "JSON_VALUE(text, '$.path') or JSON_QUERY(text, '$.path')"),
    ("get_json_object", "JSON_VALUE(text, '$.path')"),
    ("getdate", "CURRENT_TIMESTAMP"),
    ("group_concat", "LISTAGG(x, ',')"),
    ("iif", "IF(condition, a, b)"),
    ("json_extract", "JSON_VALUE(text, '$.path') or JSON_QUERY(text, '$.path')"),
    ("json_extract_string", "JSON_VALUE(text, '$.path')"),
    ("len", "CHAR_LENGTH(text)"),
    ("length", "CHAR_LENGTH(text)"),
    ("nvl", "COALESCE(a, b)"),
    ("regexp_like", "REGEXP(text, pattern)"),
    ("regexp_matches", "REGEXP(text, pattern)"),
    ("split_part", "SPLIT_INDEX(text, ',', 0)"),
    ("str_to_date", "TO_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')"),
    ("strftime", "DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss')"),
    ("string_agg", "LISTAGG(x, ',')"),
    ("string_split", "SPLIT(text, ',')"),
    ("strptime", "TO_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')"),
    ("to_char", "DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm:ss')"),
];

/// How a function of another system is written here.
pub(super) fn function_here(name: &str) -> Option<&'static str> {
    FUNCTIONS.iter().find(|(other, _)| name.eq_ignore_ascii_case(other)).map(|(_, here)| *here)
}

/// Functions that are none without OVER, lower case.
pub(crate) const OF_WINDOWS: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "ntile",
    "percent_rank",
    "cume_dist",
    "nth_value",
];

/// Whether a function is none without OVER.
pub(super) fn is_of_windows(name: &str) -> bool {
    OF_WINDOWS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Functions of Flink's that are not there: why, and what to do.
pub(super) fn refused(name: &str) -> Option<(&'static str, &'static str)> {
    let upper = name.to_ascii_uppercase();
    Some(match upper.as_str() {
        "PARSE_JSON" | "TRY_PARSE_JSON" => (
            "there is no type VARIANT",
            "keep the document as STRING: JSON_VALUE, JSON_QUERY and JSON_EXISTS read it, IS JSON tests it",
        ),
        "OBJECT_OF" | "OBJECT_UPDATE" => (
            "there are no classes of Java",
            "ROW(...) makes a value of several fields: CAST(ROW(1) AS ROW<x INT>)",
        ),
        "BITMAP_BUILD_AGG" => ("bitmaps are built from arrays", "write BITMAP_BUILD(ARRAY_AGG(DISTINCT x))"),
        "BITMAP_BUILD_CARDINALITY_AGG" => ("bitmaps are built from arrays", "write COUNT(DISTINCT x)"),
        name if name.starts_with("BITMAP_") && name.ends_with("_AGG") => (
            "bitmaps are not aggregated",
            "build one from the values: BITMAP_BUILD(ARRAY_AGG(DISTINCT x)); COUNT(DISTINCT x) counts exactly",
        ),
        _ => return None,
    })
}
