-- MATCH_RECOGNIZE: where the next match begins, and how long one may last.
-- Results checked against Flink 2.3.
-- @file t.jsonl
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:01.000", "price": 12, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:02.000", "price": 17, "tax": 2}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:03.000", "price": 19, "tax": 1}
--| {"symbol": "B", "ts": "2024-01-01 00:00:03.000", "price": 5, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:04.000", "price": 21, "tax": 3}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:05.000", "price": 25, "tax": 2}
--| {"symbol": "B", "ts": "2024-01-01 00:00:05.000", "price": 4, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:06.000", "price": 18, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:07.000", "price": 15, "tax": 2}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:08.000", "price": 14, "tax": 2}
--| {"symbol": "B", "ts": "2024-01-01 00:00:08.000", "price": 3, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:09.000", "price": 24, "tax": 2}
--| {"symbol": "B", "ts": "2024-01-01 00:00:09.000", "price": 9, "tax": 1}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:10.000", "price": 25, "tax": 2}
--| {"symbol": "ACME", "ts": "2024-01-01 00:00:11.000", "price": 19, "tax": 1}
SET 'parallelism.default' = '1';
CREATE TABLE t (symbol STRING, ts TIMESTAMP(3), price INT, tax INT, pt AS PROCTIME(), WATERMARK FOR ts AS ts)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES FIRST(A.ts) AS a, B.ts AS b
  AFTER MATCH SKIP TO LAST A
  PATTERN (A{2} B)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c
  AFTER MATCH SKIP TO B
  PATTERN (A B C)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c
  AFTER MATCH SKIP TO FIRST B
  PATTERN (A B C)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c
  PATTERN (A B C)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c, MATCH_ROWTIME() AS r
  PATTERN (A B*? C) WITHIN INTERVAL '3' SECOND
  DEFINE A AS A.price IN (12,17,19,18,4), C AS C.price>18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","c":"2024-01-01 00:00:03","r":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","c":"2024-01-01 00:00:03","r":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","c":"2024-01-01 00:00:04","r":"2024-01-01 00:00:04"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c, MATCH_ROWTIME() AS r
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B* C) WITHIN INTERVAL '6' SECOND
  DEFINE B AS B.price <> 25 OR A.price > 12, C AS C.price = 25) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:04","c":"2024-01-01 00:00:05","r":"2024-01-01 00:00:05"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a
  AFTER MATCH SKIP TO FIRST A
  PATTERN (A B)
  DEFINE B AS B.price>3) AS m;
-- @error
--| AFTER MATCH SKIP TO FIRST A goes to the row that the match began with

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c
  AFTER MATCH SKIP TO FIRST B
  PATTERN (A B? C)
  DEFINE B AS B.price>24) AS m;
-- @error
--| AFTER MATCH SKIP TO FIRST B: the match has no row of B

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a
  AFTER MATCH SKIP TO FIRST X
  PATTERN (A B)
  DEFINE B AS B.price>24) AS m;
-- @error
--| AFTER MATCH SKIP goes to 'X', which is not in PATTERN

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a
  PATTERN (A B) WITHIN INTERVAL '1' MONTH
  DEFINE B AS B.price>18) AS m;
-- @error
--| WITHIN is in months or years
