-- What cannot be compared or called is said in SQL's words.
-- @file t.jsonl
--| {"k": 1, "ts": "2020-01-01 00:00:00"}
CREATE TABLE t (k INT, ts TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT * FROM t WHERE ts BETWEEN 1 AND 2;
-- @error
--| BETWEEN does not compare TIMESTAMP(3) with INT
SELECT * FROM t WHERE ts IN (1, 2);
-- @error
--| IN does not compare TIMESTAMP(3) with INT
SELECT k, ROW_NUMBER(1) OVER (ORDER BY k) FROM t;
-- @error
--| ROW_NUMBER takes no argument
SELECT k, RANK(1) OVER (ORDER BY k) FROM t;
-- @error
--| RANK takes no argument

SELECT k + ARRAY[1] FROM t;
-- @error
--| ARRAY
SELECT -'a' FROM t;
-- @error
--| can only be used with signed numeric types
--| CAST('a' AS ...) converts it
SELECT NOT 5 FROM t;
-- @error
--| can only be used with boolean expressions
--| CAST(5 AS ...) converts it
SELECT MAP['a', 1] + k FROM t;
-- @error
--| types that do not meet: MAP and INT
SELECT k || INTERVAL '1' DAY FROM t;
-- @error
--| types that do not meet: INT and INTERVAL
SELECT k[1] FROM t;
-- @error
--| argument 1 of [ ] must be ARRAY or MAP, not INT
SELECT ts + ts FROM t;
-- @error
--| '+' does not take TIMESTAMP(3) and TIMESTAMP(3)
SELECT k FROM t WHERE k;
-- @error
--| a condition is BOOLEAN, and t.k is INT
SELECT k FROM t ORDER BY nope;
-- @error
--| column 'nope' not found
SELECT k IN (SELECT ARRAY[1]) FROM t;
-- @error
--| INT
SELECT INTERVAL '1' FOO;
-- @error
--| an INTERVAL has a unit
--| no_foreign_words.sql:51:17

SELECT ts + 2 * INTERVAL '1' SECOND AS a, ts - k * INTERVAL '1' DAY AS b, ts + INTERVAL '2' MONTH * k AS c, (k + 1) * INTERVAL '1' HOUR + ts AS d FROM t;
-- @expect ordered
--| {"op":"+I","a":"2020-01-01 00:00:02","b":"2019-12-31 00:00:00","c":"2020-03-01 00:00:00","d":"2020-01-01 02:00:00"}


SELECT 'x' LIKE 1;
-- @error
--| the pattern of LIKE must be STRING, not BIGINT
SELECT 1 IS JSON;
-- @error
--| argument 1 of IS JSON must be STRING, not BIGINT
SELECT JSON_OBJECT(1: 2);
-- @error
--| a key of JSON_OBJECT must be STRING, not
