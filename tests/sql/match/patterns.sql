-- MATCH_RECOGNIZE: quantifiers, greedy and reluctant, and what becomes of rows that several variables could take.
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
  MEASURES A.ts AS a, LAST(B.ts) AS bt, C.price AS c, MATCH_ROWTIME() AS rt
  ONE ROW PER MATCH
  AFTER MATCH SKIP PAST LAST ROW
  PATTERN (A B+ C)
  DEFINE B AS B.price < LAST(B.price,1) OR (LAST(B.price,1) IS NULL AND B.price < A.price), C AS C.price > LAST(B.price)) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","bt":"2024-01-01 00:00:08","c":24,"rt":"2024-01-01 00:00:09"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, B.ts AS b
  PATTERN (A B?)
  DEFINE B AS B.price>18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:11","b":null}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b
  PATTERN (A B+?)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:02"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b
  PATTERN (A B*?)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":null}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:11","b":null}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  PATTERN (A B{1,3}? C)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:02","c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:03","c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:04","c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":"2024-01-01 00:00:06","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":"2024-01-01 00:00:07","c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":"2024-01-01 00:00:08","c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":"2024-01-01 00:00:09","c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":"2024-01-01 00:00:10","c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  PATTERN (A B{0,2} C)
  DEFINE B AS B.price>20) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":null,"c":"2024-01-01 00:00:02"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":null,"c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":null,"c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":null,"c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":null,"c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":"2024-01-01 00:00:10","c":"2024-01-01 00:00:11"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":"2024-01-01 00:00:10","c":"2024-01-01 00:00:11"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":null,"c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  PATTERN (A B{2,} C)
  DEFINE B AS B.price>15) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:06","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:06","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:06","c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:06","c":"2024-01-01 00:00:07"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, C.ts AS c
  PATTERN ((A B) C)
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
  MEASURES A.ts AS a, B.ts AS b, C.ts AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B? C)
  DEFINE B AS B.price>18, C AS C.price > 18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":null,"c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":null,"c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":null,"c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":null,"c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":null,"c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":null,"c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B* C)
  DEFINE B AS B.price>18, C AS C.price > 12) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":null,"c":"2024-01-01 00:00:02"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":null,"c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":null,"c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":null,"c":"2024-01-01 00:00:08"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B*? C)
  DEFINE B AS B.price>18, C AS C.price > 12) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":null,"c":"2024-01-01 00:00:02"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":null,"c":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":null,"c":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":null,"c":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:05","b":null,"c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:06","b":null,"c":"2024-01-01 00:00:07"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":null,"c":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":null,"c":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09","b":null,"c":"2024-01-01 00:00:10"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10","b":null,"c":"2024-01-01 00:00:11"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a, LAST(B.ts) AS b, C.ts AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A B{1,2} C)
  DEFINE B AS B.price>18, C AS C.price > 12) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04","b":"2024-01-01 00:00:05","c":"2024-01-01 00:00:06"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a
  PATTERN (A B+)
  DEFINE B AS B.price>3) AS m;
-- @error
--| a greedy quantifier at the end in PATTERN is not supported

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES FIRST(A.ts) AS a, LAST(B.ts) AS b, C.ts AS c
  AFTER MATCH SKIP TO NEXT ROW
  PATTERN (A+ B* C)
  DEFINE A AS A.price<20, B AS B.price>14, C AS C.price > 12) AS m;
-- @error
--| an optional variable after a greedy one
