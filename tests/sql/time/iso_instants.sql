-- ISO-8601 with Z or an offset is read into TIMESTAMP_LTZ, by CAST as by the formats.
SET 'table.local-time-zone' = 'Asia/Tokyo';
SELECT CAST('2026-01-05T08:00:19.500+01:00' AS TIMESTAMP_LTZ(3)) AS a,
       CAST('2026-01-05T08:00:19Z' AS TIMESTAMP_LTZ(3)) AS b,
       CAST('2026-01-05 08:00:19' AS TIMESTAMP_LTZ(3)) AS c,
       TRY_CAST('2026-01-05T08:00:19+25:00' AS TIMESTAMP_LTZ(3)) AS d;
-- @expect
--| {"op":"+I","a":"2026-01-05 07:00:19.5Z","b":"2026-01-05 08:00:19Z","c":"2026-01-04 23:00:19Z","d":null}
