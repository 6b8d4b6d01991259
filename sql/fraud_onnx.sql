-- The same score from a model in ONNX, computed in this process: no worker, no server. What the model sees of a
-- transaction is computed in SQL.
--
--   python3 udfs/fraud_score/train.py      (the model is in the repository; this makes it again, in a second)
--   affluent run sql/fraud_onnx.sql
CREATE MODEL fraud
INPUT (amount DOUBLE, night DOUBLE, amount_at_night DOUBLE, aapl DOUBLE, amzn DOUBLE, goog DOUBLE, intc DOUBLE, msft DOUBLE, tsla DOUBLE)
OUTPUT (score DOUBLE)
WITH ('provider' = 'onnx', 'file' = '../udfs/fraud_score/model.onnx');

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/transactions.jsonl', 'format' = 'json');

CREATE VIEW features AS
SELECT transaction_id, amount_obtained, amount, night, amount * night AS amount_at_night,
  IF(stock_purchased = 'AAPL', 1e0, 0e0) AS aapl, IF(stock_purchased = 'AMZN', 1e0, 0e0) AS amzn,
  IF(stock_purchased = 'GOOG', 1e0, 0e0) AS goog, IF(stock_purchased = 'INTC', 1e0, 0e0) AS intc,
  IF(stock_purchased = 'MSFT', 1e0, 0e0) AS msft, IF(stock_purchased = 'TSLA', 1e0, 0e0) AS tsla
FROM (
  SELECT *, amount_obtained / 100e0 AS amount,
    IF(MOD(`timestamp` / 3600, 24) BETWEEN 6 AND 21, 0e0, 1e0) AS night
  FROM transactions
);

SELECT transaction_id, amount_obtained, ROUND(score, 4) AS score
FROM ML_PREDICT(TABLE features, MODEL fraud,
  DESCRIPTOR(amount, night, amount_at_night, aapl, amzn, goog, intc, msft, tsla))
WHERE score > 0.02;
