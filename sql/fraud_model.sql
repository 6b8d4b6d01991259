-- The same score from a model server, as any service for models has one: a row's columns are posted as JSON.
--
--   python3 udfs/fraud_score/serve.py
--   affluent run sql/fraud_model.sql
CREATE MODEL fraud INPUT (amount INT, stock STRING, seconds BIGINT) OUTPUT (score DOUBLE)
WITH ('provider' = 'http', 'endpoint' = 'http://127.0.0.1:8090/score', 'output-mode' = 'allow_unordered');

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/transactions.jsonl', 'format' = 'json');

SELECT transaction_id, amount_obtained, score
FROM ML_PREDICT(TABLE transactions, MODEL fraud, DESCRIPTOR(amount_obtained, stock_purchased, `timestamp`))
WHERE score > 0.02;
