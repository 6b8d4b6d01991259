-- MATCH_RECOGNIZE: what MEASURES and DEFINE see of a match.
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
  MEASURES price AS p, LAST(price,1) AS p1, FIRST(price) AS f, FIRST(price,1) AS f1, symbol AS sy
  PATTERN (A B C)
  DEFINE B AS price > 3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","p":19,"p1":17,"f":12,"f1":17,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":21,"p1":19,"f":17,"f1":19,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":25,"p1":21,"f":19,"f1":21,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":18,"p1":25,"f":21,"f1":25,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":15,"p1":18,"f":25,"f1":18,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":14,"p1":15,"f":18,"f1":15,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":24,"p1":14,"f":15,"f1":14,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":25,"p1":24,"f":14,"f1":24,"sy":"ACME"}
--| {"op":"+I","symbol":"ACME","p":19,"p1":25,"f":24,"f1":25,"sy":"ACME"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES LAST(A.price*A.tax,1) AS p, LAST(A.price+1) AS q
  PATTERN (A{2} B)
  DEFINE B AS price > 3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","p":12,"q":18}
--| {"op":"+I","symbol":"ACME","p":34,"q":20}
--| {"op":"+I","symbol":"ACME","p":19,"q":22}
--| {"op":"+I","symbol":"ACME","p":63,"q":26}
--| {"op":"+I","symbol":"ACME","p":50,"q":19}
--| {"op":"+I","symbol":"ACME","p":18,"q":16}
--| {"op":"+I","symbol":"ACME","p":30,"q":15}
--| {"op":"+I","symbol":"ACME","p":28,"q":25}
--| {"op":"+I","symbol":"ACME","p":48,"q":26}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES FIRST(A.ts) AS a, B.ts AS b
  PATTERN (A{2} B)
  DEFINE B AS B.price > SUM(A.tax) * 5) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:01","b":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02","b":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03","b":"2024-01-01 00:00:05"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:07","b":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08","b":"2024-01-01 00:00:10"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES LISTAGG(CAST(A.price AS STRING)) AS s, FIRST_VALUE(A.price) AS f, STDDEV_POP(A.price) AS sd, COLLECT(A.tax) AS co
  PATTERN (A{3} B)
  DEFINE B AS B.price>3) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","s":"12,17,19","f":12,"sd":2,"co":{"1":2,"2":1}}
--| {"op":"+I","symbol":"ACME","s":"17,19,21","f":17,"sd":1,"co":{"2":1,"1":1,"3":1}}
--| {"op":"+I","symbol":"ACME","s":"19,21,25","f":19,"sd":2,"co":{"1":1,"3":1,"2":1}}
--| {"op":"+I","symbol":"ACME","s":"21,25,18","f":21,"sd":2,"co":{"3":1,"2":1,"1":1}}
--| {"op":"+I","symbol":"ACME","s":"25,18,15","f":25,"sd":4,"co":{"2":2,"1":1}}
--| {"op":"+I","symbol":"ACME","s":"18,15,14","f":18,"sd":1,"co":{"1":1,"2":2}}
--| {"op":"+I","symbol":"ACME","s":"15,14,24","f":15,"sd":4,"co":{"2":3}}
--| {"op":"+I","symbol":"ACME","s":"14,24,25","f":14,"sd":4,"co":{"2":3}}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts, price DESC
  MEASURES A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:02"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:03"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:04"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:08"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:09"}
--| {"op":"+I","symbol":"ACME","a":"2024-01-01 00:00:10"}

SELECT * FROM t MATCH_RECOGNIZE (ORDER BY ts
  MEASURES A.symbol AS sa, B.symbol AS sb, A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @expect
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:02"}
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:03"}
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:04"}
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:08"}
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:09"}
--| {"op":"+I","sa":"ACME","sb":"ACME","a":"2024-01-01 00:00:10"}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.price AS a, MATCH_PROCTIME() IS NULL AS mp
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":17,"mp":false}
--| {"op":"+I","symbol":"ACME","a":19,"mp":false}
--| {"op":"+I","symbol":"ACME","a":21,"mp":false}
--| {"op":"+I","symbol":"ACME","a":14,"mp":false}
--| {"op":"+I","symbol":"ACME","a":24,"mp":false}
--| {"op":"+I","symbol":"ACME","a":25,"mp":false}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.price AS a
  PATTERN (A B)
  DEFINE B AS B.price>18 AND MATCH_ROWTIME() IS NOT NULL) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":17}
--| {"op":"+I","symbol":"ACME","a":19}
--| {"op":"+I","symbol":"ACME","a":21}
--| {"op":"+I","symbol":"ACME","a":14}
--| {"op":"+I","symbol":"ACME","a":24}
--| {"op":"+I","symbol":"ACME","a":25}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY pt
  MEASURES A.price AS a, B.price AS b, MATCH_PROCTIME() IS NOT NULL AS mp
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @expect
--| {"op":"+I","symbol":"ACME","a":17,"b":19,"mp":true}
--| {"op":"+I","symbol":"ACME","a":19,"b":21,"mp":true}
--| {"op":"+I","symbol":"ACME","a":21,"b":25,"mp":true}
--| {"op":"+I","symbol":"ACME","a":14,"b":24,"mp":true}
--| {"op":"+I","symbol":"ACME","a":24,"b":25,"mp":true}
--| {"op":"+I","symbol":"ACME","a":25,"b":19,"mp":true}

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES SUM(A.price + B.tax) AS s
  PATTERN (A+ B)
  DEFINE A AS A.price<18) AS m;
-- @error
--| several variables of the pattern in one aggregate

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES SUM(DISTINCT A.price) AS s
  PATTERN (A+ B)
  DEFINE A AS A.price<18) AS m;
-- @error
--| DISTINCT in aggregates of MATCH_RECOGNIZE is not supported

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES LAST(FIRST(A.price)) AS p
  PATTERN (A{2} B)
  DEFINE B AS price > 3) AS m;
-- @error
--| LAST takes columns: it is not nested

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.price>PREV(B.price)) AS m;
-- @error
--| PREV is not supported

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES X.price AS p
  PATTERN (A{2} B)
  DEFINE B AS price > 3) AS m;
-- @error
--| 'X' is no variable of PATTERN and no column

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY price
  MEASURES A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @error
--| MATCH_RECOGNIZE is ordered by a time attribute first

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol
  MEASURES A.ts AS a
  PATTERN (A B)
  DEFINE B AS B.price>18) AS m;
-- @error
--| MATCH_RECOGNIZE needs ORDER BY a time attribute

SELECT * FROM t MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.price AS p
  PATTERN (A{2} B)
  DEFINE B AS price > 3, B AS price>4) AS m;
-- @error
--| variable 'B' is defined twice

SELECT * FROM (SELECT symbol, MAX(ts) AS ts, SUM(price) AS price FROM t GROUP BY symbol) MATCH_RECOGNIZE (PARTITION BY symbol ORDER BY ts
  MEASURES A.price AS x
  PATTERN (A B)
  DEFINE B AS B.price > 2) AS m;
-- @error
--| MATCH_RECOGNIZE takes rows that do not change
