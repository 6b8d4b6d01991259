-- The previous transaction of each user: what the stream itself knows of a row's past.
-- Checked against Flink 2.3.
-- @file tx.jsonl
--| {"transaction_id":"t0","user_id":"ann","amount":10,"ts":"2024-01-01 10:00:00"}
--| {"transaction_id":"t1","user_id":"bob","amount":7,"ts":"2024-01-01 10:00:05"}
--| {"transaction_id":"t2","user_id":"ann","amount":30,"ts":"2024-01-01 10:30:00"}
--| {"transaction_id":"t3","user_id":"ann","amount":null,"ts":"2024-01-01 10:50:00"}
--| {"transaction_id":"t4","user_id":"bob","amount":8,"ts":"2024-01-01 11:00:05"}
--| {"transaction_id":"t7","user_id":"bob","amount":9,"ts":"2024-01-01 11:00:04"}
--| {"transaction_id":"t5","user_id":"ann","amount":5,"ts":"2024-01-01 11:30:00"}
--| {"transaction_id":"t6","user_id":"ann","amount":6,"ts":"2024-01-01 11:30:00"}
--| {"transaction_id":"t8","user_id":null,"amount":1,"ts":"2024-01-01 12:00:00"}
--| {"transaction_id":"t9","user_id":null,"amount":2,"ts":"2024-01-01 12:00:01"}
SET 'parallelism.default' = '1';
CREATE TABLE transactions (
  transaction_id STRING, user_id STRING, amount INT, ts TIMESTAMP(3), proc AS PROCTIME(),
  WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/tx.jsonl', 'format' = 'json');

-- t7 came late, but in time: event time decides. Rows of one instant (t5, t6) see each other, as Flink has
-- it: both get what the last of them gets.
SELECT transaction_id, LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY ts) AS previous_user_transaction
FROM transactions;
-- @expect
--| {"op":"+I","transaction_id":"t0","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t1","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t2","previous_user_transaction":"t0"}
--| {"op":"+I","transaction_id":"t3","previous_user_transaction":"t2"}
--| {"op":"+I","transaction_id":"t7","previous_user_transaction":"t1"}
--| {"op":"+I","transaction_id":"t4","previous_user_transaction":"t7"}
--| {"op":"+I","transaction_id":"t5","previous_user_transaction":"t5"}
--| {"op":"+I","transaction_id":"t6","previous_user_transaction":"t5"}
--| {"op":"+I","transaction_id":"t8","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t9","previous_user_transaction":"t8"}

-- By processing time nothing waits: the transaction that came before.
SELECT transaction_id, LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY proc) AS previous_user_transaction
FROM transactions;
-- @expect ordered
--| {"op":"+I","transaction_id":"t0","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t1","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t2","previous_user_transaction":"t0"}
--| {"op":"+I","transaction_id":"t3","previous_user_transaction":"t2"}
--| {"op":"+I","transaction_id":"t4","previous_user_transaction":"t1"}
--| {"op":"+I","transaction_id":"t7","previous_user_transaction":"t4"}
--| {"op":"+I","transaction_id":"t5","previous_user_transaction":"t3"}
--| {"op":"+I","transaction_id":"t6","previous_user_transaction":"t5"}
--| {"op":"+I","transaction_id":"t8","previous_user_transaction":null}
--| {"op":"+I","transaction_id":"t9","previous_user_transaction":"t8"}

-- Further back, with a default; a NULL that is there is no reason for the default.
SELECT transaction_id, LAG(amount, 2, -1) OVER (PARTITION BY user_id ORDER BY ts) AS p,
  LAG(amount, 0) OVER (PARTITION BY user_id ORDER BY ts) AS same FROM transactions;
-- @expect
--| {"op":"+I","transaction_id":"t0","p":-1,"same":10}
--| {"op":"+I","transaction_id":"t1","p":-1,"same":7}
--| {"op":"+I","transaction_id":"t2","p":-1,"same":30}
--| {"op":"+I","transaction_id":"t3","p":10,"same":null}
--| {"op":"+I","transaction_id":"t7","p":-1,"same":9}
--| {"op":"+I","transaction_id":"t4","p":7,"same":8}
--| {"op":"+I","transaction_id":"t5","p":null,"same":6}
--| {"op":"+I","transaction_id":"t6","p":null,"same":6}
--| {"op":"+I","transaction_id":"t8","p":-1,"same":1}
--| {"op":"+I","transaction_id":"t9","p":-1,"same":2}

-- Enriched from two sides: the past of the user, and sums of the last hour. Flink refuses two frames in one
-- SELECT; here each is an operator of its own.
SELECT transaction_id, LAG(transaction_id) OVER (PARTITION BY user_id ORDER BY ts) AS p,
  SUM(amount) OVER (PARTITION BY user_id ORDER BY ts RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS s
FROM transactions WHERE user_id = 'ann';
-- @expect
--| {"op":"+I","transaction_id":"t0","p":null,"s":10}
--| {"op":"+I","transaction_id":"t2","p":"t0","s":40}
--| {"op":"+I","transaction_id":"t3","p":"t2","s":40}
--| {"op":"+I","transaction_id":"t5","p":"t5","s":41}
--| {"op":"+I","transaction_id":"t6","p":"t5","s":41}

-- Rows without a value do not count; what is remembered crosses batches.
SELECT transaction_id, LAG(amount) IGNORE NULLS OVER (PARTITION BY user_id ORDER BY proc) AS one, LAG(amount, 2, -1) IGNORE NULLS OVER (PARTITION BY user_id ORDER BY proc) AS two
FROM transactions WHERE user_id IN ('ann', 'bob');
-- @expect
--| {"op":"+I","transaction_id":"t0","one":null,"two":-1}
--| {"op":"+I","transaction_id":"t1","one":null,"two":-1}
--| {"op":"+I","transaction_id":"t2","one":10,"two":-1}
--| {"op":"+I","transaction_id":"t3","one":30,"two":10}
--| {"op":"+I","transaction_id":"t4","one":7,"two":-1}
--| {"op":"+I","transaction_id":"t7","one":8,"two":7}
--| {"op":"+I","transaction_id":"t5","one":30,"two":10}
--| {"op":"+I","transaction_id":"t6","one":5,"two":30}
