//! Dates and times in UTC.

use super::*;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05.123', 'yyyy-MM-dd HH:mm:ss.SSS') => "2020-01-05 13:04:05.123"
        DATE_FORMAT('2020-01-05 13:04:05', 'EEE EEEE, d MMM MMMM yy h:m:s a D w') => "Sun Sunday, 5 Jan January 20 1:4:5 PM 5 2"
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05', 'b') => ERROR
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05.123456789', 'SSSSSS n ''at'' K k u e c Q') => "123456 123456789 at 1 13 2020 1 1 1"
        DATE_FORMAT(TIMESTAMP '2020-01-05 13:04:05', 'YYYY') => "2020"
        DATE_FORMAT('garbage', 'yyyy') => null
        TO_DATE('2020-1-5') => "2020-01-05"
        TO_DATE('20200105', 'yyyyMMdd') => "2020-01-05"
        TO_DATE('xx') => null
        TO_TIMESTAMP('2020-01-05') => "2020-01-05T00:00:00"
        TO_TIMESTAMP('2020-01-05 13:04:05.123456') => "2020-01-05T13:04:05.123"
        TO_TIMESTAMP('2020-01-05T13:04:05') => null
        TO_TIMESTAMP('05/01/2020 13:04', 'dd/MM/yyyy HH:mm') => "2020-01-05T13:04:00"
        TO_TIMESTAMP('2020-01-05 1:04:05 PM', 'yyyy-MM-dd h:mm:ss a') => "2020-01-05T13:04:05"
        TO_TIMESTAMP('bad') => null
        TO_TIMESTAMP('2020-02-30 00:00:00') => "2020-02-29T00:00:00"
        TO_TIMESTAMP_LTZ(1000, 0) => "1970-01-01T00:16:40Z"
        TO_TIMESTAMP_LTZ(1000, 3) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ(1000) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ(1000, 2) => "1970-01-01T00:00:10Z"
        TO_TIMESTAMP_LTZ(1.5, 0) => "1970-01-01T00:00:01Z"
        TO_TIMESTAMP_LTZ('2020-01-01 00:00:00') => "2020-01-01T00:00:00Z"
        TO_TIMESTAMP_LTZ('01/02/2020', 'dd/MM/yyyy') => "2020-02-01T00:00:00Z"
        TO_TIMESTAMP_LTZ('2020-01-01 00:00:00', 'yyyy-MM-dd HH:mm:ss', 'Asia/Shanghai') => "2019-12-31T16:00:00Z"
        UNIX_TIMESTAMP('1970-01-01 00:01:40') => 100
        UNIX_TIMESTAMP('1970-01-01', 'yyyy-MM-dd') => 0
        UNIX_TIMESTAMP('bad') => null
        UNIX_TIMESTAMP('2010-10-14 12:22:22.000') => 1287058942
        FROM_UNIXTIME(100) => "1970-01-01 00:01:40"
        FROM_UNIXTIME(100, 'HH') => "00"
        FROM_UNIXTIME(-1) => "1969-12-31 23:59:59"
        CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'America/Los_Angeles') => "1969-12-31 16:00:00"
        CONVERT_TZ('2024-03-31 02:30:00', 'Europe/Berlin', 'UTC') => "2024-03-31 01:30:00"
        CONVERT_TZ('2024-10-27 02:30:00', 'Europe/Berlin', 'UTC') => "2024-10-27 01:30:00"
        CONVERT_TZ('1970-01-01', 'UTC', 'Asia/Tokyo') => null
        EXTRACT(DOW FROM DATE '2020-01-05') => 1
        EXTRACT(ISODOW FROM DATE '2020-01-05') => 7
        EXTRACT(WEEK FROM DATE '2021-01-03') => 53
        EXTRACT(EPOCH FROM TIMESTAMP '1970-01-01 00:00:10.5') => 10
        EXTRACT(MILLISECOND FROM TIMESTAMP '1970-01-01 00:00:10.567') => 567
        EXTRACT(CENTURY FROM DATE '2020-01-05') => 21
        EXTRACT(DECADE FROM DATE '2020-01-05') => 202
        EXTRACT(DOY FROM DATE '2020-02-05') => 36
        DAYOFWEEK(DATE '2020-01-05') => 1
        WEEK(DATE '2021-01-03') => 53
        QUARTER(DATE '2021-04-03') => 2
        HOUR(TIMESTAMP '2020-01-01 13:04:05') => 13
        SECOND(TIME '13:04:05') => 5
        FLOOR(TIMESTAMP '2020-08-15 12:34:56.789' TO DAY) => "2020-08-15T00:00:00"
        FLOOR(TIMESTAMP '2020-08-15 12:34:56.789' TO WEEK) => "2020-08-09T00:00:00"
        FLOOR(DATE '2020-08-15' TO QUARTER) => "2020-07-01"
        CEIL(DATE '2020-08-15' TO MONTH) => "2020-09-01"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO MINUTE) => "2020-08-15T12:35:00"
        CEIL(TIMESTAMP '2020-08-15 12:00:00' TO HOUR) => "2020-08-15T12:00:00"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO YEAR) => "2021-01-01T00:00:00"
        CEIL(TIMESTAMP '2020-08-15 12:34:56.789' TO WEEK) => "2020-08-16T00:00:00"
        FLOOR(TIME '12:34:56' TO MINUTE) => "12:34:00"
        CEIL(TIME '12:34:56' TO HOUR) => "13:00:00"
        TIMESTAMPADD(MONTH, 1, TIMESTAMP '2020-01-31 10:00:00') => "2020-02-29T10:00:00"
        TIMESTAMPADD(WEEK, 1, DATE '2020-01-31') => "2020-02-07"
        TIMESTAMPADD(QUARTER, 1, DATE '2020-01-31') => "2020-04-30"
        TIMESTAMPADD(SECOND, 1, DATE '2020-01-31') => "2020-01-31T00:00:01"
        TIMESTAMPADD(SECOND, 1, TIMESTAMP '2020-01-31 10:00:00.5') => "2020-01-31T10:00:01.5"
        TIMESTAMPDIFF(MONTH, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-02-29 10:00:00') => 1
        TIMESTAMPDIFF(DAY, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-01-30 11:00:00') => 0
        TIMESTAMPDIFF(HOUR, TIMESTAMP '2020-01-31 10:00:00', TIMESTAMP '2020-01-30 11:30:00') => -22
        TIMESTAMPDIFF(YEAR, DATE '2020-02-29', DATE '2021-02-28') => 1
        TIMESTAMPDIFF(SECOND, DATE '2020-02-29', TIMESTAMP '2020-02-29 00:00:01.9') => 1
        "###,
    );
}

#[test]
fn null_in_null_out() {
    for call in [
        "YEAR(@)",
        "EXTRACT(DAY FROM @)",
        "FLOOR(@ TO HOUR)",
        "CEIL(@ TO DAY)",
        "TIMESTAMPADD(DAY, 1, @)",
        "TIMESTAMPADD(DAY, CAST(NULL AS INT), TIMESTAMP '2020-01-01 00:00:00')",
        "TIMESTAMPDIFF(DAY, @, @)",
        "DATE_FORMAT(@, 'yyyy')",
        "TO_DATE(CAST(NULL AS STRING))",
        "TO_TIMESTAMP(CAST(NULL AS STRING))",
        "TO_TIMESTAMP_LTZ(CAST(NULL AS BIGINT), 3)",
        "UNIX_TIMESTAMP(CAST(NULL AS STRING))",
        "FROM_UNIXTIME(CAST(NULL AS BIGINT))",
        "CONVERT_TZ(CAST(NULL AS STRING), 'UTC', 'UTC')",
    ] {
        table(&format!("{} => null", call.replace('@', "CAST(NULL AS TIMESTAMP(3))")));
    }
}

#[test]
fn more() {
    table(
        r###"
        DATE_FORMAT(TIMESTAMP '2024-12-30 00:00:00', 'YYYY w W e') => "2025 1 5 2"
        DATE_FORMAT(TIMESTAMP '2024-12-30 00:05:00', 'h K H k') => "12 0 0 24"
        DATE_FORMAT(TIMESTAMP '2024-12-30 00:05:00', '''''yyyy''o''''clock''') => "'2024o'clock"
        DATE_FORMAT(TIMESTAMP '2024-12-30 00:05:00', 'yyyy''') => ERROR quote
        DATE_FORMAT(TIMESTAMP '2024-12-30 00:05:00', 'XXX') => ERROR zone
        TO_TIMESTAMP('20240101123456', 'yyyyMMddHHmmss') => "2024-01-01T12:34:56"
        TO_TIMESTAMP('20240101123456789', 'yyyyMMddHHmmssSSS') => "2024-01-01T12:34:56.789"
        TO_TIMESTAMP('2024-1-1', 'yyyy-MM-dd') => "2024-01-01T00:00:00"
        TO_TIMESTAMP('2024-01-01 24:00:00') => "2024-01-02T00:00:00"
        TO_TIMESTAMP('2024-01-01 00:00:00.5', 'yyyy-MM-dd HH:mm:ss.SSS') => "2024-01-01T00:00:00.5"
        TO_TIMESTAMP('2024-01-01T12:00:00.123', 'yyyy-MM-dd''T''HH:mm:ss.SSS') => "2024-01-01T12:00:00.123"
        TO_TIMESTAMP('01 Feb 2024', 'dd MMM yyyy') => "2024-02-01T00:00:00"
        TO_TIMESTAMP('1 2 2024', 'd M yyyy') => "2024-02-01T00:00:00"
        TO_TIMESTAMP('x', 'yyyy-MM-dd') => null
        TO_TIMESTAMP('2024', 'jjjj') => ERROR letter
        TO_DATE('2024-02-30') => null
        TO_TIMESTAMP_LTZ('2024-03-31T12:00:00+02:00', 'yyyy-MM-dd''T''HH:mm:ssXXX') => "2024-03-31T10:00:00Z"
        TO_TIMESTAMP_LTZ(9223372036854775807, 0) => ERROR range
        TO_TIMESTAMP_LTZ(1, 10) => ERROR precision
        TO_TIMESTAMP_LTZ(-1500, 3) => "1969-12-31T23:59:58.5Z"
        FROM_UNIXTIME(9223372036854775807) => ERROR range
        CONVERT_TZ('2024-01-01 00:00:00', 'nowhere', 'UTC') => ERROR zone
        CONVERT_TZ('2024-03-31 01:30:00', 'UTC', 'GMT+3') => "2024-03-31 04:30:00"
        FLOOR(TIMESTAMP '2020-08-15 12:34:56' TO CENTURY) => "2001-01-01T00:00:00"
        FLOOR(TIMESTAMP '1969-12-31 23:59:59.500' TO SECOND) => "1969-12-31T23:59:59"
        CEIL(DATE '9999-12-31' TO DAY) => "9999-12-31"
        WEEK(DATE '2024-12-30') => 1
        EXTRACT(NONSENSE FROM DATE '2024-12-30') => ERROR NONSENSE
        YEAR(TIME '10:00:00') => ERROR TIME
        TIMESTAMPADD(YEAR, 1, DATE '2024-02-29') => "2025-02-28"
        TIMESTAMPADD(DAY, 9223372036854775807, DATE '2024-02-29') => ERROR range
        TIMESTAMPDIFF(MONTH, DATE '2024-03-31', DATE '2024-02-29') => -1
        TIMESTAMPDIFF(SECOND, DATE '0001-01-01', DATE '2024-02-29') => ERROR range
        TIMESTAMPDIFF(QUARTER, DATE '2024-01-01', DATE '2024-12-31') => 3
        CURRENT_TIMESTAMP => "2023-11-14T22:13:20.123Z"
        NOW() => "2023-11-14T22:13:20.123Z"
        LOCALTIMESTAMP => "2023-11-14T22:13:20.123"
        CURRENT_DATE => "2023-11-14"
        CURRENT_TIME => "22:13:20"
        UNIX_TIMESTAMP() => 1700000000
        TIMESTAMP '2020-01-01 00:00:00' + INTERVAL '1' DAY => "2020-01-02T00:00:00"
        "###,
    );
}

#[test]
fn proctime_says_so_and_nothing_folds_the_clock() {
    let (field, values) = evaluate_on("PROCTIME()", "Europe/Berlin", &one_row()).unwrap();
    assert_eq!(field.metadata().get(TIME_METADATA_KEY).map(String::as_str), Some("proctime"));
    assert_eq!(*values.data_type(), DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into())));
    let functions = Functions::new(FunctionContext { zone: "UTC".into(), clock: ManualClock::new(0) });
    for name in ["now", "current_timestamp", "current_date", "proctime", "rand", "uuid", "$unix_now"] {
        let volatility = functions.scalar(name).unwrap().signature().volatility;
        assert_eq!(volatility, datafusion_expr::Volatility::Volatile, "{name}");
    }
}
