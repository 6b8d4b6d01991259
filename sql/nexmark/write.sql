-- Nexmark's events as JSON files, for queries that are to read and decode, and for other engines.
--
--   affluent run sql/nexmark/{events,write}.sql --var EVENTS=1000000 --var EVENTS_PATH=/tmp/nexmark.jsonl

-- One file, in order of event time: whoever reads several files one after the other takes the second to be late.
SET 'parallelism.default' = '1';

CREATE TABLE event_files (
  event_type INT,
  person ROW<
    id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, state STRING,
    `dateTime` TIMESTAMP(3), extra STRING>,
  auction ROW<
    id BIGINT, itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT,
    `dateTime` TIMESTAMP(3), expires TIMESTAMP(3), seller BIGINT, category BIGINT, extra STRING>,
  bid ROW<
    auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
    `dateTime` TIMESTAMP(3), extra STRING>
) WITH ('connector' = 'filesystem', 'path' = '${EVENTS_PATH}', 'format' = 'json');

INSERT INTO event_files SELECT event_type, person, auction, bid FROM events;
