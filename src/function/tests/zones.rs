//! TIMESTAMP_LTZ on the days when the clock changes.

use super::table_in;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table_in(
        "Europe/Berlin",
        r###"
        CAST(CAST('2024-03-31 02:30:00' AS TIMESTAMP_LTZ(3)) AS STRING) => "2024-03-31 03:30:00.000"
        UNIX_TIMESTAMP('2024-03-31 02:30:00') => 1711848600
        UNIX_TIMESTAMP('2024-10-27 02:30:00') => 1729992600
        FROM_UNIXTIME(1711846800) => "2024-03-31 03:00:00"
        CAST(TO_TIMESTAMP_LTZ(1711846800, 0) AS STRING) => "2024-03-31 03:00:00.000"
        CAST(TO_TIMESTAMP_LTZ(1729992600, 0) AS STRING) => "2024-10-27 02:30:00.000"
        CAST(CEIL(TO_TIMESTAMP_LTZ(1711846800, 0) TO DAY) AS STRING) => "2024-04-01 00:00:00.000"
        CAST(FLOOR(TO_TIMESTAMP_LTZ(1711846800, 0) TO HOUR) AS STRING) => "2024-03-31 03:00:00.000"
        EXTRACT(HOUR FROM TO_TIMESTAMP_LTZ(1711846800, 0)) => 3
        CAST(TIMESTAMPADD(DAY, 1, CAST('2024-03-30 12:00:00' AS TIMESTAMP_LTZ(3))) AS STRING) => "2024-03-31 13:00:00.000"
        CAST(TIMESTAMPADD(HOUR, 24, CAST('2024-03-30 12:00:00' AS TIMESTAMP_LTZ(3))) AS STRING) => "2024-03-31 13:00:00.000"
        TIMESTAMPDIFF(HOUR, CAST('2024-03-31 00:00:00' AS TIMESTAMP_LTZ(3)), CAST('2024-04-01 00:00:00' AS TIMESTAMP_LTZ(3))) => 23
        TIMESTAMPDIFF(DAY, CAST('2024-03-31 00:00:00' AS TIMESTAMP_LTZ(3)), CAST('2024-04-01 00:00:00' AS TIMESTAMP_LTZ(3))) => 0
        TIMESTAMPDIFF(MONTH, CAST('2024-03-01 00:00:00' AS TIMESTAMP_LTZ(3)), CAST('2024-04-01 00:00:00' AS TIMESTAMP_LTZ(3))) => 1
        DATE_FORMAT(TO_TIMESTAMP_LTZ(1711846800, 0), 'yyyy-MM-dd HH:mm') => "2024-03-31 03:00"
        CAST(CAST('2024-10-27 02:30:00' AS TIMESTAMP_LTZ(3)) AS TIMESTAMP(3)) => "2024-10-27T02:30:00"
        CAST(TO_TIMESTAMP_LTZ(1711846800, 0) AS DATE) => "2024-03-31"
        CAST(TO_TIMESTAMP_LTZ(1711846800, 0) AS TIME) => "03:00:00"
        CAST(CAST(DATE '2024-03-31' AS TIMESTAMP_LTZ(3)) AS STRING) => "2024-03-31 00:00:00.000"
        CAST(TO_TIMESTAMP_LTZ('2024-03-31 02:30:00') AS STRING) => "2024-03-31 04:30:00.000"
        CONVERT_TZ('2024-03-31 01:30:00', 'UTC', 'Europe/Berlin') => "2024-03-31 03:30:00"
        "###,
    );
}

/// Flink rounds to days and longer with the offset of the moment itself, which is wrong by an hour when the clock
/// changes in between. Months are added in UTC, as Flink does.
#[test]
fn days_are_local_and_months_are_added_in_utc() {
    table_in(
        "Europe/Berlin",
        r###"
        CAST(FLOOR(TO_TIMESTAMP_LTZ(1711846800, 0) TO DAY) AS STRING) => "2024-03-31 00:00:00.000"
        CAST(FLOOR(TO_TIMESTAMP_LTZ(1711846800, 0) TO MONTH) AS STRING) => "2024-03-01 00:00:00.000"
        CAST(FLOOR(TO_TIMESTAMP_LTZ(1730001600, 0) TO DAY) AS STRING) => "2024-10-27 00:00:00.000"
        CAST(TIMESTAMPADD(MONTH, 1, CAST('2024-03-15 12:00:00' AS TIMESTAMP_LTZ(3))) AS STRING) => "2024-04-15 13:00:00.000"
        DATE_FORMAT(TO_TIMESTAMP_LTZ(1711846800, 0), 'HH:mm z Z XXX VV') => "03:00 Europe/Berlin +0200 +02:00 Europe/Berlin"
        "###,
    );
}

/// A local time that exists twice is the earlier instant in a CAST.
#[test]
fn twice() {
    table_in(
        "Europe/Berlin",
        r###"
        EXTRACT(EPOCH FROM CAST('2024-10-27 02:30:00' AS TIMESTAMP_LTZ(3))) => 1729989000
        CONVERT_TZ('2024-10-27 02:30:00', 'Europe/Berlin', 'UTC') => "2024-10-27 01:30:00"
        "###,
    );
    table_in("+05:30", "CAST(TO_TIMESTAMP_LTZ(0, 0) AS STRING) => \"1970-01-01 05:30:00.000\"");
    table_in("Mars/Base", "CURRENT_DATE => ERROR zone");
}
