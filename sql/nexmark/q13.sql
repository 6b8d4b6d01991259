-- Nexmark 13, bounded side input: every bid with what a file says of its auction. A lookup join.
--
-- The file has a line `n,n` for each n below 10,000; it can be made with
--   affluent run sql/nexmark/side_input.sql --var SIDE_INPUT=/tmp/side_input.csv
--   affluent run sql/nexmark/{events,views,q13}.sql --var EVENTS=100000 --var SIDE_INPUT=/tmp/side_input.csv

CREATE TABLE side_input (
  key BIGINT, `value` STRING
) WITH ('connector' = 'filesystem', 'path' = '${SIDE_INPUT}', 'format' = 'csv');

CREATE TABLE nexmark_q13 (
  auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3), `value` STRING
) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q13
SELECT B.auction, B.bidder, B.price, B.`dateTime`, S.`value`
FROM (SELECT *, PROCTIME() AS p_time FROM bid) AS B
JOIN side_input FOR SYSTEM_TIME AS OF B.p_time AS S ON MOD(B.auction, 10000) = S.key;
