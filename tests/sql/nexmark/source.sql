-- The events of the benchmark: the same in every run.
CREATE TABLE events (
  event_type INT,
  person ROW<id BIGINT, name STRING, state STRING>,
  auction ROW<id BIGINT, seller BIGINT, `dateTime` TIMESTAMP(3)>,
  bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)>,
  `dateTime` AS CASE WHEN event_type = 1 THEN auction.`dateTime` ELSE bid.`dateTime` END
) WITH ('connector' = 'nexmark', 'events.num' = '60');

SELECT event_type, auction.id, `dateTime` FROM events WHERE event_type = 1;
-- @expect
--| {"op":"+I","event_type":1,"id":1000,"dateTime":"2015-07-15 00:00:00"}
--| {"op":"+I","event_type":1,"id":1001,"dateTime":"2015-07-15 00:00:00"}
--| {"op":"+I","event_type":1,"id":1002,"dateTime":"2015-07-15 00:00:00"}
--| {"op":"+I","event_type":1,"id":1003,"dateTime":"2015-07-15 00:00:00.005"}
--| {"op":"+I","event_type":1,"id":1004,"dateTime":"2015-07-15 00:00:00.005"}
--| {"op":"+I","event_type":1,"id":1005,"dateTime":"2015-07-15 00:00:00.005"}

-- As files, for others.
CREATE TABLE files (event_type INT, bid ROW<auction BIGINT, bidder BIGINT, price BIGINT, `dateTime` TIMESTAMP(3)>)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/bids.jsonl', 'format' = 'json', 'json.encode.ignore-null-fields' = 'true');
INSERT INTO files SELECT event_type, bid FROM events WHERE event_type = 0;
-- @content bids.jsonl
--| {"event_type":0}
--| {"event_type":0}

CREATE TABLE wrong (bids ROW<price BIGINT>) WITH ('connector' = 'nexmark');
-- @error
--| connector 'nexmark' has no column 'bids'
--| did you mean 'bid'?

CREATE TABLE wrong (bid ROW<price INT>) WITH ('connector' = 'nexmark');
-- @error
--| field 'price' of column 'bid' is BIGINT
