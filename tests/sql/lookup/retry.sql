-- 503 and 429 pass: they are asked again, and Retry-After is honoured.
-- @file in.jsonl
--| {"id": "flaky"}
-- @route GET /k/flaky 503
--| busy
-- @route GET /k/flaky 429 Retry-After: 0
--| slow down
-- @route GET /k/flaky 200
--| {"id": "flaky", "v": 7}
CREATE TABLE t (id STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE k (id STRING, v INT) WITH ('connector' = 'http', 'url' = '${API}/k/{id}', 'format' = 'json');
SELECT t.id, k.v FROM t JOIN k ON t.id = k.id;
-- @expect
--| {"op":"+I","id":"flaky","v":7}
-- @calls 3
