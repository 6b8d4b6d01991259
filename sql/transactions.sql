-- Stock purchases, each with the place where it was made and the user's previous transaction.
--
--   affluent run sql/transactions.sql                            places come from a file
--   affluent run sql/transactions.sql --var BACKEND=api          ... from the API that `affluent sensor-api` serves
--   affluent run sql/transactions.sql --var BACKEND=postgres     ... from a table of PostgreSQL, in PLACES_URL
--   affluent run sql/transactions.sql --var BACKEND=dynamodb     ... from a table of DynamoDB, in AWS_REGION
--
-- The databases have a table `places` with the columns of sql/data/places.csv, by transaction_id.

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp` * 1000, 3),
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/transactions.jsonl', 'format' = 'json');

CREATE TABLE file (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/places.csv', 'format' = 'csv', 'csv.skip-header' = 'true');

CREATE TABLE api (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING,
  PRIMARY KEY (transaction_id) NOT ENFORCED
) WITH ('connector' = 'http', 'url' = 'http://127.0.0.1:8080/transactions/{transaction_id}/place',
        'format' = 'json', 'lookup.max-retries' = '5');

CREATE TABLE postgres (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING,
  PRIMARY KEY (transaction_id) NOT ENFORCED
) WITH ('connector' = 'jdbc', 'url' = '${PLACES_URL:-jdbc:postgresql://127.0.0.1:5432/postgres}', 'table-name' = 'places',
        'username' = '${PLACES_USER:-postgres}', 'password' = '${PLACES_PASSWORD:-}');

CREATE TABLE dynamodb (
  transaction_id STRING, country_of_purchase STRING, state_of_purchase STRING, zip_of_purchase STRING,
  PRIMARY KEY (transaction_id) NOT ENFORCED
) WITH ('connector' = 'dynamodb', 'table-name' = 'places', 'aws.region' = '${AWS_REGION:-eu-north-1}',
        'aws.endpoint' = '${AWS_ENDPOINT_URL_DYNAMODB:-https://dynamodb.eu-north-1.amazonaws.com}');

SELECT t.user_id, t.transaction_id, t.stock_purchased, t.amount_obtained, t.`timestamp`, t.previous_transaction_id,
       p.country_of_purchase, p.state_of_purchase, p.zip_of_purchase
FROM (
  SELECT *, LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY ts) AS previous_transaction_id FROM transactions
) AS t
LEFT JOIN ${BACKEND:-file} AS p ON t.transaction_id = p.transaction_id;
