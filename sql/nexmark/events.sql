-- Nexmark: an auction house as a stream of events, made by the benchmark's generator.
--
--   affluent run sql/nexmark/{events,views,q5}.sql --var EVENTS=1000000
--
-- The queries are those of the nexmark-flink suite, in its SQL. Each ends in a blackhole: replace the sink, or run
-- the SELECT alone, to see results. q6 is left out: its OVER window would have to take retractions, which no
-- version of the suite has run.
--
-- files.sql declares the same table over JSON files, which write.sql makes.

CREATE TABLE events (
  event_type INT,  -- 0: person, 1: auction, 2: bid; the two other rows are NULL
  person ROW<
    id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
    `dateTime` TIMESTAMP(3), extra STRING>,
  auction ROW<
    id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
    `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
  bid ROW<
    auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
    `dateTime` TIMESTAMP(3), extra STRING>,
  `dateTime` AS CASE
    WHEN event_type = 0 THEN person.`dateTime`
    WHEN event_type = 1 THEN auction.`dateTime`
    ELSE bid.`dateTime`
  END,
  WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND
) WITH (
  'connector' = 'nexmark',
  'events.num' = '${EVENTS}'
);
