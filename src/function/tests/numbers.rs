//! Numbers and choices.

use super::*;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        ROUND(2.5) => 3
        ROUND(-2.5) => -3
        ROUND(1234.567, -2) => 1200
        ROUND(2.675e0, 2) => 2.68
        ROUND(15, -1) => 20
        TRUNCATE(-1.567, 2) => -1.56
        TRUNCATE(42.324, -1) => 40
        TRUNCATE(42.324e0) => 42.0
        FLOOR(-1.5) => -2
        CEIL(-1.5e0) => -1.0
        SIGN(-2.5) => -1.0
        MOD(-5, 3) => -2
        MOD(5, -3) => 2
        -5 / 3 => -1
        LOG(8) => 2.0794415416798357
        LOG(2, 8) => 3.0
        LOG2(0) => "-Infinity"
        LN(-1) => "NaN"
        SQRT(-1) => "NaN"
        POWER(0, -1) => "Infinity"
        BIN(5) => "101"
        BIN(-1) => "1111111111111111111111111111111111111111111111111111111111111111"
        COT(1) => 0.6420926159343306
        SINH(1) => 1.1752011936438014
        TANH(1) => 0.7615941559557649
        ATAN2(1, 2) => 0.4636476090008061
        GREATEST('a', 'b') => "b"
        LEAST(3, 1.5) => 1.5
        NULLIF(1, 1) => null
        IFNULL(NULL, 5) => 5
        TYPEOF(1) => "INT NOT NULL"
        TYPEOF(1.5) => "DECIMAL(2, 1) NOT NULL"
        TYPEOF(CAST(1 AS BIGINT) + 1) => "BIGINT NOT NULL"
        TYPEOF(CURRENT_TIMESTAMP) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(LOCALTIMESTAMP) => "TIMESTAMP(3) NOT NULL"
        TYPEOF(NOW()) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(CURRENT_ROW_TIMESTAMP()) => "TIMESTAMP_LTZ(3) NOT NULL"
        TYPEOF(UNIX_TIMESTAMP()) => "BIGINT NOT NULL"
        TYPEOF(CHAR_LENGTH('a')) => "INT NOT NULL"
        TYPEOF(POSITION('a' IN 'b')) => "INT NOT NULL"
        TYPEOF(EXTRACT(YEAR FROM DATE '2020-01-01')) => "BIGINT NOT NULL"
        TYPEOF(YEAR(DATE '2020-01-01')) => "BIGINT NOT NULL"
        TYPEOF(CARDINALITY(ARRAY[1])) => "INT NOT NULL"
        TYPEOF(ROUND(1.567, 1)) => "DECIMAL(3, 1) NOT NULL"
        TYPEOF(ROUND(1.567)) => "DECIMAL(2, 0) NOT NULL"
        TYPEOF(ROUND(3)) => "INT NOT NULL"
        TYPEOF(FLOOR(1.5)) => "DECIMAL(2, 0) NOT NULL"
        TYPEOF(CEIL(3)) => "INT NOT NULL"
        TYPEOF(TRUNCATE(1.567, 1)) => "DECIMAL(3, 1) NOT NULL"
        TYPEOF(SIGN(-3)) => "INT NOT NULL"
        TYPEOF(ABS(-3)) => "INT NOT NULL"
        TYPEOF(POWER(2, 3)) => "DOUBLE NOT NULL"
        TYPEOF(MOD(5, 3)) => "INT NOT NULL"
        TYPEOF(HEX(5)) => "STRING NOT NULL"
        TYPEOF(ASCII('a')) => "INT NOT NULL"
        TYPEOF(UNHEX('41')) => "BYTES"
        TYPEOF(TO_TIMESTAMP('2020-01-01 00:00:00')) => "TIMESTAMP(3)"
        TYPEOF(TO_TIMESTAMP_LTZ(0, 3)) => "TIMESTAMP_LTZ(3)"
        TYPEOF(TO_TIMESTAMP_LTZ('2020-01-01 00:00:00')) => "TIMESTAMP_LTZ(3)"
        TYPEOF(TIMESTAMPDIFF(DAY, DATE '2020-01-01', DATE '2020-02-01')) => "INT NOT NULL"
        TYPEOF(TIMESTAMPADD(HOUR, 1, DATE '2020-01-01')) => "TIMESTAMP(6) NOT NULL"
        TYPEOF(REGEXP_COUNT('a','b')) => "INT"
        TYPEOF(LOG10(5)) => "DOUBLE NOT NULL"
        TYPEOF(BIN(5)) => "STRING NOT NULL"
        TYPEOF(RAND_INTEGER(5)) => "INT NOT NULL"
        TYPEOF(FLOOR(TIMESTAMP '2020-01-01 12:34:56' TO HOUR)) => "TIMESTAMP(0) NOT NULL"
        TYPEOF(COALESCE(1, CAST(2 AS BIGINT))) => "BIGINT NOT NULL"
        TYPEOF(IF(true, 1, 2.5)) => "DECIMAL(11, 1) NOT NULL"
        "###,
    );
}

#[test]
fn null_in_null_out() {
    for call in [
        "ABS(@)",
        "SIGN(@)",
        "ROUND(@)",
        "ROUND(1.5, @)",
        "TRUNCATE(@)",
        "FLOOR(@)",
        "CEIL(@)",
        "MOD(@, 2)",
        "POWER(@, 2)",
        "SQRT(@)",
        "LOG(@)",
        "LOG(2, @)",
        "BIN(@)",
        "HEX(@)",
        "GREATEST(1, @)",
        "LEAST(@, 1)",
        "COALESCE(@, @)",
        "@ + 1",
    ] {
        table(&format!("{} => null", call.replace('@', "CAST(NULL AS INT)")));
    }
}

#[test]
fn more() {
    table(
        r###"
        7 / 2 => 3
        -7 / 2 => -3
        1 / 0 => ERROR zero
        MOD(1, 0) => ERROR zero
        1e0 / 0 => "Infinity"
        ABS(CAST(-128 AS TINYINT)) => ERROR range
        ABS(-1.50) => 1.50
        ROUND(0.5e0) => 1.0
        ROUND(-0.5e0) => -1.0
        ROUND(1.005e0, 2) => 1.01
        ROUND(1e300, 2) => 1.0E+300
        ROUND(1e-300, 2) => 0.0
        ROUND(CAST(126 AS TINYINT), -1) => ERROR range
        ROUND(5, -30) => 0
        ROUND(123.456, 10) => 123.456
        TRUNCATE(-15, -1) => -10
        CEILING(1.2) => 2
        FLOOR(7) => 7
        FLOOR(-0.5e0) => -1.0
        POWER(2, 10) => 1024.0
        E() > 2.7 AND PI() > 3.1 => true
        COSH(0) => 1.0
        RAND() BETWEEN 0 AND 1 => true
        RAND(1) = RAND(1) => true
        RAND_INTEGER(1) => 0
        RAND_INTEGER(0) => ERROR positive
        CHAR_LENGTH(UUID()) => 36
        UUID() = UUID() => false
        IF(1 > 2, 'a', 'b') => "b"
        IF(CAST(NULL AS BOOLEAN), 1, 2) => 2
        IF(TRUE, 1, 1 / 0) => 1
        IFNULL(CAST(NULL AS INT), 5) => 5
        NULLIF(1, 2) => 1
        COALESCE(CAST(NULL AS INT), 2, 3) => 2
        COALESCE(NULL, NULL) => null
        GREATEST(DATE '2020-01-01', DATE '2021-01-01') => "2021-01-01"
        GREATEST(1, CAST(NULL AS INT), 2) => null
        CASE WHEN 1 = 1 THEN 'x' END => "x"
        TYPEOF(NULL) => "NULL"
        TYPEOF(ARRAY[ROW(1, 'a')]) => "ARRAY<ROW<`EXPR$0` INT NOT NULL, `EXPR$1` CHAR(1) NOT NULL> NOT NULL> NOT NULL"
        SINUS(1) => ERROR sinus
        "###,
    );
}

#[test]
fn names_are_sorted_and_found() {
    let functions = Functions::new(FunctionContext { zone: "UTC".into(), clock: ManualClock::new(0) });
    let names = functions.names();
    assert!(names.is_sorted());
    assert!(names.iter().all(|n| !n.starts_with('$')));
    for name in ["UPPER", "JSON_VALUE", "IF", "FLOOR", "CURRENT_TIMESTAMP", "PROCTIME", "TO_TIMESTAMP_LTZ"] {
        assert!(names.iter().any(|n| n == name), "{name}");
    }
    assert!(functions.scalar("upper").is_some() && functions.scalar("UPPER").is_some());
    assert!(functions.scalar("date_trunc").is_none());
}

/// Extremes of every argument: an error or a value, never a panic.
#[test]
fn extremes() {
    let most = "9223372036854775807";
    let least = "(-9223372036854775807 - 1)";
    for n in [most, least] {
        for call in [
            "ROUND(1, @)",
            "ROUND(1.5, @)",
            "ROUND(1.5e0, @)",
            "TRUNCATE(15, @)",
            "TRUNCATE(1.5, @)",
            "LEFT('añ', @)",
            "RIGHT('añ', @)",
            "SUBSTRING('añ', @, @)",
            "SUBSTRING('añ', 1, @)",
            "LPAD('a', @, 'x')",
            "REPEAT('a', @)",
            "OVERLAY('abc' PLACING 'x' FROM @)",
            "OVERLAY('abc' PLACING 'x' FROM 1 FOR @)",
            "LOCATE('a', 'bab', @)",
            "INSTR('aa', 'a', @)",
            "INSTR('aa', 'a', 1, @)",
            "SPLIT_INDEX('a,b', ',', @)",
            "SPLIT_INDEX('a,b', @, 1)",
            "ELT(@, 'a')",
            "CHR(@)",
            "BIN(@)",
            "HEX(@)",
            "ABS(@)",
            "SIGN(@)",
            "REGEXP_EXTRACT('a', 'a', @)",
            "REGEXP_EXTRACT_ALL('a', 'a', @)",
            "ARRAY[1][one + @]",
            "ARRAY_SLICE(ARRAY[1, 2], @, @)",
            "FROM_UNIXTIME(@)",
            "TO_TIMESTAMP_LTZ(@, 0)",
            "TO_TIMESTAMP_LTZ(@, 3)",
            "TO_TIMESTAMP_LTZ(1, @)",
            "RAND_INTEGER(@)",
            "RAND(@)",
            "TIMESTAMPADD(MONTH, @, DATE '2020-01-01')",
            "TIMESTAMPADD(SECOND, @, TIMESTAMP '2020-01-01 00:00:00')",
            "TIMESTAMPADD(DAY, @, TIME '10:00:00')",
            "CAST(@ AS DECIMAL(5, 2))",
            "CAST(@ AS STRING)",
            "SHA2('a', @)",
            "PRINTF('%d', @)",
            "GREATEST(@, 1.5)",
        ] {
            let sql = call.replace('@', n);
            let _ = std::hint::black_box(outcome(&sql, "Europe/Berlin"));
        }
    }
}
