-- Keys inside of ROW columns: in templates, in whole tables, with others beside them.
-- @file in.jsonl
--| {"id": 5, "city": "Ulm"}
--| {"id": 9, "city": "Bonn"}
--| {"id": null, "city": "Ulm"}
-- @route GET /c/5 200
--| {"customer": {"id": 5, "address": {"city": "Ulm"}}, "name": "five"}
-- @route GET /c/9 200
--| [{"customer": {"id": 9, "address": {"city": "Bonn"}}, "name": "nine"}, {"customer": {"id": 1, "address": null}, "name": "another one"}]
-- @route POST /many 200
--| [{"customer": {"id": 9}, "name": "nine"}, {"customer": {"id": 5}, "name": "five"}]
-- @file customers.jsonl
--| {"customer": {"id": 5, "address": {"city": "Ulm"}}, "name": "five"}
--| {"customer": {"id": 9, "address": null}, "name": "nine"}
--| {"customer": null, "name": "nobody"}
CREATE TABLE t (id INT, city STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE c (customer ROW<id INT, address ROW<city STRING>>, name STRING)
WITH ('connector' = 'http', 'url' = '${API}/c/{customer.id}', 'format' = 'json');

SELECT t.id, c.name, c.customer.address.city AS city FROM t LEFT JOIN c ON t.id = c.customer.id;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five","city":"Ulm"}
--| {"op":"+I","id":9,"name":"nine","city":"Bonn"}
--| {"op":"+I","id":null,"name":null,"city":null}
-- @calls 2

-- What the url has no place for is a condition; a constant is a key as well.
SELECT t.id, c.name FROM t LEFT JOIN c ON t.id = c.customer.id AND t.city = c.customer.address.city AND c.name <> 'x';
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":"nine"}
--| {"op":"+I","id":null,"name":null}

SELECT t.id, c.name FROM t JOIN c ON c.customer.id = 5 AND t.id < 6;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}

-- The place is named, and what does not fit is refused as for other keys.
SELECT t.id, c.name FROM t JOIN c ON t.city = c.customer.id;
-- @error
--| key 'customer.id' of lookup table 'c' is INT, it is compared with STRING

CREATE TABLE wrong (customer ROW<id INT>, name STRING) WITH ('connector' = 'http', 'url' = '${API}/c/{customer.di}', 'format' = 'json');
-- @error
--| table 'wrong' has no column 'customer.di'

-- Many keys in a request.
CREATE TABLE m (customer ROW<id INT>, name STRING) WITH ('connector' = 'http', 'url' = '${API}/many', 'lookup-method' = 'POST',
    'http.request.body-template' = '{"ids": {{keys}}}', 'lookup.batch.max-size' = '10', 'format' = 'json');
SELECT t.id, m.name FROM t LEFT JOIN m ON t.id = m.customer.id;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":"nine"}
--| {"op":"+I","id":null,"name":null}

-- A file, which is kept whole.
CREATE TABLE f (customer ROW<id INT, address ROW<city STRING>>, name STRING)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/customers.jsonl', 'format' = 'json');
SELECT t.id, f.name FROM t LEFT JOIN f ON t.id = f.customer.id;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":"nine"}
--| {"op":"+I","id":null,"name":null}

SELECT t.id, f.name FROM t LEFT JOIN f ON t.city = f.customer.address.city;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
--| {"op":"+I","id":9,"name":null}
--| {"op":"+I","id":null,"name":"five"}

-- Beside a key of the table, a field is a condition, as before.
SELECT t.id, f.name FROM t JOIN f ON f.name = 'five' AND t.id = f.customer.id;
-- @expect ordered
--| {"op":"+I","id":5,"name":"five"}
