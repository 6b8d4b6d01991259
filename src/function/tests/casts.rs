//! CAST and TRY_CAST.

use super::*;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        CAST(TRUE AS STRING) => "TRUE"
        CAST(TIMESTAMP '2020-01-01 00:00:00' AS STRING) => "2020-01-01 00:00:00"
        CAST(CAST('2020-01-01 00:00:00.1' AS TIMESTAMP(6)) AS STRING) => "2020-01-01 00:00:00.100000"
        CAST(CAST('2020-01-01 00:00:00.1' AS TIMESTAMP(0)) AS STRING) => "2020-01-01 00:00:00"
        CAST(TO_TIMESTAMP_LTZ(1, 3) AS STRING) => "1970-01-01 00:00:00.001"
        CAST(1e0 AS STRING) => "1.0"
        CAST(1e10 AS STRING) => "1.0E10"
        CAST(1.5e-5 AS STRING) => "1.5E-5"
        CAST(123456789.5e0 AS STRING) => "1.234567895E8"
        CAST(CAST(1.1 AS FLOAT) AS STRING) => "1.1"
        CAST(1.50 AS STRING) => "1.50"
        CAST(1e0/0 AS STRING) => "Infinity"
        CAST(X'41ff' AS STRING) => "A�"
        CAST('abc' AS BYTES) => "YWJj"
        CAST(DATE '2020-01-01' AS STRING) => "2020-01-01"
        CAST(TIME '10:11:12' AS STRING) => "10:11:12"
        CAST(ARRAY[1,2,NULL] AS STRING) => "[1, 2, NULL]"
        CAST(MAP['a',1,'b',2] AS STRING) => "{a=1, b=2}"
        CAST(ROW(1,'a',true) AS STRING) => "(1, a, TRUE)"
        CAST(ARRAY['a','b'] AS STRING) => "[a, b]"
        CAST(INTERVAL '5' DAY AS STRING) => "+5 00:00:00.000"
        CAST(INTERVAL '14' MONTH AS STRING) => "+1-02"
        CAST(' 12 ' AS INT) => 12
        CAST('12.7' AS INT) => 12
        CAST('abc' AS INT) => ERROR
        CAST('' AS INT) => ERROR
        CAST('+5' AS INT) => 5
        CAST('1e3' AS INT) => ERROR
        CAST('1e3' AS DOUBLE) => 1000.0
        CAST('NaN' AS DOUBLE) => "NaN"
        CAST('Infinity' AS DOUBLE) => "Infinity"
        CAST('1d' AS DOUBLE) => 1.0
        CAST('99999999999' AS INT) => ERROR
        CAST('128' AS TINYINT) => ERROR
        CAST(3.99e0 AS INT) => 3
        CAST(-3.99 AS INT) => -3
        CAST(1.255 AS DECIMAL(3,2)) => 1.26
        CAST(-1.255 AS DECIMAL(3,2)) => -1.26
        CAST(123.45 AS DECIMAL(3,2)) => ERROR
        CAST(2.5e0 AS DECIMAL(5,0)) => 3
        CAST('1.255' AS DECIMAL(3,2)) => 1.26
        CAST('abc' AS DECIMAL(3,2)) => ERROR
        CAST('1234' AS DECIMAL(3,2)) => ERROR
        CAST('t' AS BOOLEAN) => true
        CAST('yes' AS BOOLEAN) => true
        CAST('1' AS BOOLEAN) => true
        CAST('TRUE ' AS BOOLEAN) => ERROR
        CAST('x' AS BOOLEAN) => ERROR
        CAST('on' AS BOOLEAN) => ERROR
        CAST(2 AS BOOLEAN) => true
        CAST(0.0 AS BOOLEAN) => false
        CAST(TRUE AS INT) => 1
        CAST(TRUE AS DOUBLE) => 1.0
        CAST('2020-01-01' AS DATE) => "2020-01-01"
        CAST('2020-1-1' AS DATE) => "2020-01-01"
        CAST('2020' AS DATE) => "2020-01-01"
        CAST('2020-01' AS DATE) => "2020-01-01"
        CAST('2020-01-01 10:00:00' AS DATE) => "2020-01-01"
        CAST('2020-01-32' AS DATE) => ERROR
        CAST('10:11:12' AS TIME) => "10:11:12"
        CAST('10:11' AS TIME) => "10:11:00"
        CAST('2020-01-01 10:11:12' AS TIMESTAMP) => "2020-01-01T10:11:12"
        CAST('2020-01-01T10:11:12' AS TIMESTAMP) => ERROR
        CAST('2020-01-01 10:11:12Z' AS TIMESTAMP) => ERROR
        CAST('2020-01-01 10:11' AS TIMESTAMP) => ERROR
        CAST('2020-01-01' AS TIMESTAMP) => "2020-01-01T00:00:00"
        CAST('2020-01-01 10:11:12.987654' AS TIMESTAMP(3)) => "2020-01-01T10:11:12.987"
        CAST('2020-01-01 10:11:12' AS TIMESTAMP_LTZ(3)) => "2020-01-01T10:11:12Z"
        CAST(DATE '2020-01-01' AS TIMESTAMP) => "2020-01-01T00:00:00"
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS DATE) => "2020-01-01"
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS TIME) => "10:11:12"
        CAST(TIMESTAMP '2020-01-01 10:11:12.987' AS TIMESTAMP(0)) => "2020-01-01T10:11:12"
        CAST(CAST(0 AS INT) AS TIMESTAMP) => ERROR
        CAST(TIMESTAMP '2020-01-01 10:11:12' AS BIGINT) => ERROR
        CAST(TIME '10:11:12' AS TIMESTAMP) => "1970-01-01T10:11:12"
        CAST(DATE '2020-01-01' AS INT) => ERROR
        TRY_CAST('abc' AS INT) => null
        TRY_CAST('2020-13-01' AS DATE) => null
        CAST(ARRAY[1,2] AS ARRAY<STRING>) => ["1","2"]
        CAST(1 AS TIMESTAMP_LTZ(3)) => ERROR
        "###,
    );
}

/// Numbers out of range are an error where Flink wraps or gives NULL.
#[test]
fn out_of_range_is_an_error() {
    table(
        r###"
        CAST(128 AS TINYINT) => ERROR range TINYINT
        CAST(99999999999 AS INT) => ERROR range INT
        CAST(1e20 AS BIGINT) => ERROR range BIGINT
        CAST('NaN' AS DOUBLE) => "NaN"
        CAST(CAST('NaN' AS DOUBLE) AS INT) => ERROR range INT
        CAST(123.45 AS DECIMAL(3, 2)) => ERROR range
        CAST('1234' AS DECIMAL(3, 2)) => ERROR range DECIMAL(3, 2)
        TRY_CAST(128 AS TINYINT) => null
        TRY_CAST(123.45 AS DECIMAL(3, 2)) => null
        TRY_CAST('1234' AS DECIMAL(3, 2)) => null
        TRY_CAST(1e20 AS BIGINT) => null
        TRY_CAST('x' AS BOOLEAN) => null
        TRY_CAST('x' AS TIMESTAMP(3)) => null
        TRY_CAST(CAST('NaN' AS DOUBLE) AS DECIMAL(5, 2)) => null
        CAST(5 AS TIMESTAMP(3)) => ERROR TO_TIMESTAMP_LTZ
        CAST(TIMESTAMP '2020-01-01 00:00:00' AS BIGINT) => ERROR EXTRACT
        CAST(ARRAY[1] AS INT) => ERROR ARRAY<INT>
        "###,
    );
}

#[test]
fn more() {
    table(
        r###"
        CAST(1234567.125e0 AS STRING) => "1234567.125"
        CAST(12345678.125e0 AS STRING) => "1.2345678125E7"
        CAST(0.001e0 AS STRING) => "0.001"
        CAST(0.0001e0 AS STRING) => "1.0E-4"
        CAST(-0e0 AS STRING) => "-0.0"
        CAST(CAST(16777216 AS FLOAT) AS STRING) => "1.6777216E7"
        CAST('  1.5 ' AS DOUBLE) => 1.5
        CAST('inf' AS DOUBLE) => ERROR DOUBLE
        CAST('.5' AS DECIMAL(3, 1)) => 0.5
        CAST('1e2' AS DECIMAL(5, 1)) => 100.0
        CAST('1e-9' AS DECIMAL(5, 1)) => 0.0
        CAST('9.95' AS DECIMAL(2, 1)) => ERROR range
        CAST('1e999999999999' AS DECIMAL(5, 1)) => ERROR DECIMAL
        CAST('0e999999999' AS DECIMAL(5, 1)) => 0.0
        CAST('-0.05' AS DECIMAL(5, 1)) => -0.1
        CAST('5.' AS INT) => 5
        CAST('.' AS INT) => ERROR INT
        CAST('-' AS INT) => ERROR INT
        CAST('1 2' AS INT) => ERROR INT
        CAST('TRUE' AS BOOLEAN) => true
        CAST('24:00:00' AS TIME) => ERROR TIME
        CAST('2020-01-01 10:11:12.' AS TIMESTAMP(3)) => "2020-01-01T10:11:12"
        CAST(TIMESTAMP '1969-12-31 23:59:59.5' AS TIMESTAMP(0)) => "1969-12-31T23:59:59"
        CAST(NULL AS INT) => null
        CAST(CAST(NULL AS STRING) AS INT) => null
        CAST(1 AS BIGINT) => 1
        CAST(TRUE AS DECIMAL(3, 1)) => 1.0
        CAST(X'41ff' AS BYTES) => "Qf8="
        "###,
    );
}

#[test]
fn lengths_cut_and_pad() {
    let of = |values: &[Option<&str>], to: SqlType| {
        let array: ArrayRef = Arc::new(arrow::array::StringViewArray::from(values.to_vec()));
        shown(&super::super::cast::cast_array(&array, &to, "UTC", false).unwrap())
    };
    let values = [Some("añc"), None, Some("")];
    assert_eq!(of(&values, SqlType::Char(2)), ["\"añ\"", "null", "\"  \""]);
    assert_eq!(of(&values, SqlType::Varchar(2)), ["\"añ\"", "null", "\"\""]);
    assert_eq!(of(&values, SqlType::String), ["\"añc\"", "null", "\"\""]);
    assert_eq!(of(&[Some("10:11:12.567")], SqlType::Time(0)), ["\"10:11:12\""]);
    assert_eq!(of(&[Some("abc")], SqlType::Binary(4)), ["\"YWJjAA==\""]);
    assert_eq!(of(&[Some("abc")], SqlType::Varbinary(2)), ["\"YWI=\""]);
    assert_eq!(of(&[Some("2020-01-01 00:00:00.987")], SqlType::Timestamp(1)), ["\"2020-01-01T00:00:00.9\""]);
}
