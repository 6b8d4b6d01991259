-- Stock purchases from topic to topic, each with the place where it was made and the user's purchase before it.
--
-- A Kafka broker must run, with the topics 'transactions' and 'enriched-transactions' (see sql/kafka_sensors.sql);
-- in another terminal:                             affluent sensor-api
-- Then, in the folder that holds sql/:             affluent run sql/kafka_transactions.sql --var KAFKA=localhost:9092
--
-- Some events:    kcat -b localhost:9092 -t transactions -P < sql/data/transactions.jsonl

SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`, 0),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND
) WITH ('connector' = 'kafka', 'topic' = 'transactions', 'properties.bootstrap.servers' = '${KAFKA}',
        'properties.group.id' = 'affluent-transactions', 'scan.startup.mode' = 'earliest-offset',
        'scan.watermark.idle-timeout' = '1 s', 'format' = 'json');

CREATE TABLE place_of_purchase (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING,
  PRIMARY KEY (transaction_id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/transactions/{transaction_id}/place',
        'format' = 'json', 'lookup.max-retries' = '5');

CREATE TABLE enriched (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT,
  previous_transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING
) WITH ('connector' = 'kafka', 'topic' = 'enriched-transactions', 'properties.bootstrap.servers' = '${KAFKA}',
        'key.format' = 'raw', 'key.fields' = 'user_id', 'format' = 'json',
        'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = 'affluent-transactions');

INSERT INTO enriched
SELECT t.user_id, t.transaction_id, t.stock_purchased, t.amount_obtained, t.`timestamp`, t.previous_transaction_id,
       p.country_of_purchase, p.state_of_purchase, p.zip_of_purchase
FROM (
  SELECT *, LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY ts) AS previous_transaction_id
  FROM transactions
) AS t
LEFT JOIN place_of_purchase AS p ON t.transaction_id = p.transaction_id;
