-- The first rows of each partition.
-- Results checked against Flink 2.3.
-- @file in/1.jsonl
--| {"id":"t0","u":"ann","amount":10}
--| {"id":"t1","u":"bob","amount":7}
--| {"id":"t2","u":"ann","amount":30}
-- @file in/2.jsonl
--| {"id":"t3","u":"ann","amount":null}
--| {"id":"t4","u":"bob","amount":8}
--| {"id":"t5","u":"ann","amount":15}
--| {"id":"t6","u":"ann","amount":6}
--| {"id":"t8","u":null,"amount":1}
--| {"id":"t9","u":null,"amount":2}
SET 'parallelism.default' = '1';
CREATE TABLE tx (id STRING, u STRING, amount INT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in', 'format' = 'json');

-- With the rank, rows move: the row of a rank is updated.
SELECT id, u, amount, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount DESC) AS rn FROM tx) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"t2","u":"ann","amount":30,"rn":1}
--| {"op":"+I","id":"t0","u":"ann","amount":10,"rn":2}
--| {"op":"+I","id":"t1","u":"bob","amount":7,"rn":1}
--| {"op":"-U","id":"t1","u":"bob","amount":7,"rn":1}
--| {"op":"+U","id":"t4","u":"bob","amount":8,"rn":1}
--| {"op":"+I","id":"t1","u":"bob","amount":7,"rn":2}
--| {"op":"-U","id":"t0","u":"ann","amount":10,"rn":2}
--| {"op":"+U","id":"t5","u":"ann","amount":15,"rn":2}
--| {"op":"+I","id":"t9","u":null,"amount":2,"rn":1}
--| {"op":"+I","id":"t8","u":null,"amount":1,"rn":2}

-- Without it, rows enter and leave.
SELECT id, u, amount FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount DESC) AS rn FROM tx) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"t2","u":"ann","amount":30}
--| {"op":"+I","id":"t0","u":"ann","amount":10}
--| {"op":"+I","id":"t1","u":"bob","amount":7}
--| {"op":"+I","id":"t4","u":"bob","amount":8}
--| {"op":"-D","id":"t0","u":"ann","amount":10}
--| {"op":"+I","id":"t5","u":"ann","amount":15}
--| {"op":"+I","id":"t9","u":null,"amount":2}
--| {"op":"+I","id":"t8","u":null,"amount":1}

-- NULL is less than every value.
SELECT id, u, amount, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount) AS rn FROM tx) WHERE rn < 2;
-- @expect
--| {"op":"+I","id":"t0","u":"ann","amount":10,"rn":1}
--| {"op":"+I","id":"t1","u":"bob","amount":7,"rn":1}
--| {"op":"-U","id":"t0","u":"ann","amount":10,"rn":1}
--| {"op":"+U","id":"t3","u":"ann","amount":null,"rn":1}
--| {"op":"+I","id":"t8","u":null,"amount":1,"rn":1}
SELECT id, u FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount NULLS LAST) AS rn FROM tx) WHERE rn = 1;
-- @expect
--| {"op":"+I","id":"t0","u":"ann"}
--| {"op":"+I","id":"t1","u":"bob"}
--| {"op":"-U","id":"t0","u":"ann"}
--| {"op":"+U","id":"t6","u":"ann"}
--| {"op":"+I","id":"t8","u":null}

-- One rank alone, a range of ranks, and other conditions, which hold for what was ranked.
SELECT id, u, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount DESC, id) AS rn FROM tx) WHERE 2 = rn;
-- @expect
--| {"op":"+I","id":"t0","u":"ann","rn":2}
--| {"op":"+I","id":"t1","u":"bob","rn":2}
--| {"op":"-U","id":"t0","u":"ann","rn":2}
--| {"op":"+U","id":"t5","u":"ann","rn":2}
--| {"op":"+I","id":"t8","u":null,"rn":2}
SELECT id, u, amount, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount DESC, id) AS rn FROM tx)
WHERE rn BETWEEN 2 AND 3 AND amount > 7;
-- @expect
--| {"op":"+I","id":"t0","u":"ann","amount":10,"rn":2}
--| {"op":"-U","id":"t0","u":"ann","amount":10,"rn":2}
--| {"op":"+U","id":"t5","u":"ann","amount":15,"rn":2}
--| {"op":"+I","id":"t0","u":"ann","amount":10,"rn":3}
SELECT id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount) AS rn FROM tx) WHERE rn < 1;
-- @expect

SELECT id, u, amount FROM tx QUALIFY ROW_NUMBER() OVER (PARTITION BY u ORDER BY amount DESC) <= 1;
-- @expect
--| {"op":"+I","id":"t2","u":"ann","amount":30}
--| {"op":"+I","id":"t1","u":"bob","amount":7}
--| {"op":"-U","id":"t1","u":"bob","amount":7}
--| {"op":"+U","id":"t4","u":"bob","amount":8}
--| {"op":"+I","id":"t9","u":null,"amount":2}

-- Expressions as keys and order; no partition.
SELECT id, rn FROM (
  SELECT id, ROW_NUMBER() OVER (PARTITION BY CHAR_LENGTH(u) ORDER BY amount * -1 NULLS LAST) AS rn FROM tx) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"t2","rn":1}
--| {"op":"+I","id":"t0","rn":2}
--| {"op":"-U","id":"t0","rn":2}
--| {"op":"+U","id":"t5","rn":2}
--| {"op":"+I","id":"t9","rn":1}
--| {"op":"+I","id":"t8","rn":2}
SELECT id, rn FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY amount DESC) AS rn FROM tx) WHERE rn <= 2;
-- @expect
--| {"op":"+I","id":"t2","rn":1}
--| {"op":"+I","id":"t0","rn":2}
--| {"op":"-U","id":"t0","rn":2}
--| {"op":"+U","id":"t5","rn":2}

-- Of rows that change: counts by user.
SELECT u, c, rn FROM (
  SELECT u, c, ROW_NUMBER() OVER (ORDER BY c DESC, u) AS rn FROM (SELECT u, COUNT(id) AS c FROM tx GROUP BY u)) WHERE rn <= 2;
-- @expect
--| {"op":"+I","u":"ann","c":2,"rn":1}
--| {"op":"+I","u":"bob","c":1,"rn":2}
--| {"op":"-U","u":"ann","c":2,"rn":1}
--| {"op":"+U","u":"ann","c":5,"rn":1}
--| {"op":"-U","u":"bob","c":1,"rn":2}
--| {"op":"+U","u":null,"c":2,"rn":2}

-- A last rank that a column gives.
SELECT id, rn FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY u, amount ORDER BY id) AS rn FROM tx) WHERE rn <= amount AND u = 'ann';
-- @expect
--| {"op":"+I","id":"t0","rn":1}
--| {"op":"+I","id":"t2","rn":1}
--| {"op":"+I","id":"t5","rn":1}
--| {"op":"+I","id":"t6","rn":1}

-- Flink has no RANK and DENSE_RANK here.
SELECT id, u, r FROM (SELECT *, RANK() OVER (PARTITION BY u ORDER BY CHAR_LENGTH(id)) AS r FROM tx) WHERE r = 1 AND u <> 'ann';
-- @expect
--| {"op":"+I","id":"t1","u":"bob","r":1}
--| {"op":"+I","id":"t4","u":"bob","r":1}
SELECT id, d FROM (SELECT *, DENSE_RANK() OVER (ORDER BY u) AS d FROM tx) WHERE d <= 2;
-- @expect
--| {"op":"+I","id":"t0","d":1}
--| {"op":"+I","id":"t2","d":1}
--| {"op":"+I","id":"t1","d":2}
--| {"op":"-D","id":"t0","d":1}
--| {"op":"-D","id":"t2","d":1}
--| {"op":"-D","id":"t1","d":2}
--| {"op":"+I","id":"t8","d":1}
--| {"op":"+I","id":"t9","d":1}
--| {"op":"+I","id":"t0","d":2}
--| {"op":"+I","id":"t2","d":2}
--| {"op":"+I","id":"t3","d":2}
--| {"op":"+I","id":"t5","d":2}
--| {"op":"+I","id":"t6","d":2}
