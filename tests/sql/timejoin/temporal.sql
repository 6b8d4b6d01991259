-- Event-time temporal joins: each row with the version of its time.
-- checked against Flink 2.3

-- @file orders.jsonl
--| {"id": 1, "currency": "EUR", "ts": "2024-05-01 09:00:00", "price": 10}
--| {"id": 2, "currency": "EUR", "ts": "2024-05-01 10:15:00", "price": 10}
--| {"id": 3, "currency": "USD", "ts": "2024-05-01 10:30:00", "price": 10}
--| {"id": 4, "currency": "EUR", "ts": "2024-05-01 11:00:00", "price": 20}
--| {"id": 5, "currency": null, "ts": "2024-05-01 11:30:00", "price": 20}
--| {"id": 6, "currency": "GBP", "ts": "2024-05-01 11:45:00", "price": 20}

-- @file rates.jsonl
--| {"currency": "EUR", "rate": 110, "since": "2024-05-01 10:00:00"}
--| {"currency": "USD", "rate": 100, "since": "2024-05-01 10:00:00"}
--| {"currency": "EUR", "rate": 120, "since": "2024-05-01 10:45:00"}
--| {"currency": "EUR", "rate": 130, "since": "2024-05-01 12:00:00"}

CREATE TABLE orders (id INT, currency STRING, ts TIMESTAMP(3), price INT, pt AS PROCTIME(), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders.jsonl', 'format' = 'json');

CREATE TABLE rates (currency STRING, rate INT, since TIMESTAMP(3), WATERMARK FOR since AS since,
    PRIMARY KEY (currency) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/rates.jsonl', 'format' = 'json');

SELECT o.id, o.price * r.rate AS amount FROM orders AS o
  JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
-- @expect
--| {"op":"+I","id":2,"amount":1100}
--| {"op":"+I","id":3,"amount":1000}
--| {"op":"+I","id":4,"amount":2400}

SELECT o.id, r.rate, r.since FROM orders AS o
  LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
-- @expect
--| {"op":"+I","id":1,"rate":null,"since":null}
--| {"op":"+I","id":2,"rate":110,"since":"2024-05-01 10:00:00"}
--| {"op":"+I","id":3,"rate":100,"since":"2024-05-01 10:00:00"}
--| {"op":"+I","id":4,"rate":120,"since":"2024-05-01 10:45:00"}
--| {"op":"+I","id":5,"rate":null,"since":null}
--| {"op":"+I","id":6,"rate":null,"since":null}

-- A version that does not pass is no match; the one before it is not valid any more.
SELECT o.id, r.rate FROM orders AS o
  LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency AND r.rate < 115 AND o.id < 5;
-- @expect
--| {"op":"+I","id":1,"rate":null}
--| {"op":"+I","id":2,"rate":110}
--| {"op":"+I","id":3,"rate":100}
--| {"op":"+I","id":4,"rate":null}
--| {"op":"+I","id":5,"rate":null}
--| {"op":"+I","id":6,"rate":null}

SELECT o.id, r.rate FROM orders AS o
  LEFT JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency WHERE r.rate < 115;
-- @expect
--| {"op":"+I","id":2,"rate":110}
--| {"op":"+I","id":3,"rate":100}

-- The last row of each key is a versioned table.
CREATE VIEW last_rates AS
  SELECT currency, rate, since FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY currency ORDER BY since DESC) AS n FROM rates) WHERE n = 1;

SELECT o.id, r.rate FROM orders AS o
  JOIN last_rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
-- @expect
--| {"op":"+I","id":2,"rate":110}
--| {"op":"+I","id":3,"rate":100}
--| {"op":"+I","id":4,"rate":120}

-- The left time stays a time attribute.
CREATE VIEW rated AS
  SELECT o.id, o.ts FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;

SELECT window_start, COUNT(*) AS n FROM TUMBLE(TABLE rated, DESCRIPTOR(ts), INTERVAL '1' HOUR) GROUP BY window_start, window_end;
-- @expect
--| {"op":"+I","window_start":"2024-05-01 10:00:00","n":2}
--| {"op":"+I","window_start":"2024-05-01 11:00:00","n":1}

EXPLAIN SELECT o.id, r.rate FROM orders AS o JOIN rates FOR SYSTEM_TIME AS OF o.ts AS r ON o.currency = r.currency;
-- @text
--| TemporalJoin(joinType=[Inner], where=[o.currency = r.currency], asOf=[o.ts], versions=[currency]
