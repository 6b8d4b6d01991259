-- A machine-learning score for each transaction, by a function in Python: a worker process beside the engine.
--
--   python3 udfs/fraud_score/train.py      (the model is in the repository; this makes it again, in a second)
--   affluent run sql/fraud.sql
--
-- sql/fraud_model.sql asks the same model over HTTP.
SET 'affluent.functions.path' = 'udfs';

CREATE TABLE transactions (
  user_id STRING, transaction_id STRING, stock_purchased STRING, amount_obtained INT, `timestamp` BIGINT
) WITH ('connector' = 'filesystem', 'path' = 'sql/data/transactions.jsonl', 'format' = 'json');

SELECT transaction_id, amount_obtained, score
FROM (SELECT *, fraud_score(amount_obtained, stock_purchased, `timestamp`) AS score FROM transactions) AS t
WHERE score > 0.02;
