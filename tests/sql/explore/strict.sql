-- Where columns are found out, a value that their type would change is an error that names the place and the way out.
-- @file n.jsonl
--| {"id": 1, "o": {"t": "2024-01-01 00:00:00.120000"}}
--| {"id": "00123", "o": {"t": "2024-01-01 00:00:00"}}
CREATE TABLE n (id BIGINT, o ROW<t TIMESTAMP(3)>) WITH ('connector' = 'filesystem', 'path' = '${DIR}/n.jsonl', 'format' = 'json', 'json.strict' = 'true');
SELECT id FROM n;
-- @error
--| n.jsonl, line 2, field 'id': expected BIGINT, found "00123"
--| declare the columns, this one as STRING

SELECT o.t FROM n;
-- @result
--| {"t":"2024-01-01 00:00:00.12"}
--| {"t":"2024-01-01 00:00:00"}

-- @file m.jsonl
--| {"t": "2024-01-01 00:00:00.123456"}
CREATE TABLE m (t TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/m.jsonl', 'format' = 'json', 'json.strict' = 'true');
SELECT * FROM m;
-- @error
--| digits of the fraction would be lost

SELECT * FROM m /*+ OPTIONS('json.strict' = 'false') */;
-- @result
--| {"t":"2024-01-01 00:00:00.123"}

-- @file c.csv
--| 1,0.5,2024-01-01 00:00:00.100
--| 2,007,2024-01-01 00:00:00
CREATE TABLE c (id INT, v DOUBLE, t TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/c.csv', 'format' = 'csv', 'csv.strict' = 'true');
SELECT id, t FROM c;
-- @result
--| {"id":1,"t":"2024-01-01 00:00:00.1"}
--| {"id":2,"t":"2024-01-01 00:00:00"}

SELECT v FROM c;
-- @error
--| c.csv, line 2, column 'v': '007' is not a DOUBLE
--| this one as STRING

-- @file d.csv
--| +49151,2024-01-01 00:00:00
--| 1,2024-01-01 00:00:00.1234
CREATE TABLE d (n BIGINT, t TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/d.csv', 'format' = 'csv', 'csv.strict' = 'true');
SELECT n FROM d;
-- @error
--| '+49151' is not a BIGINT

SELECT t FROM d;
-- @error
--| '2024-01-01 00:00:00.1234' is not a TIMESTAMP
