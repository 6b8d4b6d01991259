-- Stock purchases, each with the place where it was made: country, state and zip code come from an API.
--
--   affluent sensor-api
--   affluent run sql/transactions.sql
--
-- The user's previous transaction would be LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY ts).
-- It is left out here: OVER windows are not supported yet.

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/transactions.jsonl', 'format' = 'json');

CREATE TABLE place_of_purchase (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING,
  PRIMARY KEY (transaction_id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/transactions/{transaction_id}/place',
        'format' = 'json', 'lookup.max-retries' = '5');

SELECT t.*, p.country_of_purchase, p.state_of_purchase, p.zip_of_purchase
FROM transactions AS t
LEFT JOIN place_of_purchase AS p ON t.transaction_id = p.transaction_id;
