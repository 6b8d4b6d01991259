-- Files without a declaration: their columns follow from a sample.

-- @file events.jsonl
--| {"id": 1, "at": "2024-05-01T10:00:00Z", "who": {"name": "Ada"}}
--| {"id": 2, "at": "2024-05-01T10:00:01Z", "extra": 1.5}
-- @file sensors.csv
--| id,brand
--| 1,Acme
--| 2,Beko

-- @file empty.csv
--| a,b
--| 1,
--| ,x
-- @file minutes.csv
--| id,at
--| 1,2026-01-05 08:00
--| 2,2026-01-05 09:30:15
-- @file notes.txt
--| A note is no table
--| at all.
-- @file own/part-1
--| {"a":1}
--| {"a":2}
-- @file days/day=2024-05-01/kind=a/x.jsonl
--| {"id": 1}
-- @file days/day=2024-05-02/kind=__DEFAULT_PARTITION__/y.jsonl
--| {"id": 2}
-- @file sales.csv
--| "";"price";"sold"
--| "a";1.5;TRUE
--| "b;c";NA;FALSE
-- @file pretty.json
--| [
--|   { "a": 1, "t": "2026-01-05T08:00:19.000+01:00" },
--|   { "a": 2,
--|     "t": "2026-01-05T08:00:19Z" }
--| ]
-- @file arrays.jsonl
--| [{"a":1},{"a":2}]
--| []
--| {"a":3}
-- @file broken.jsonl
--| [{"a":1},{"a":2
--| [{"a":4},5]
--| {"a":8}
-- @file short.csv
--| 3,x
--| 1,2,3,4
--| bad,y,z
--| 8,y,

DESCRIBE '${DIR}/events.jsonl';
-- @text
--| "name":"id","type":"BIGINT"
--| "name":"at","type":"TIMESTAMP_LTZ(3)"
--| "name":"extra","type":"DOUBLE"

SELECT id, who.name, extra FROM '${DIR}/events.jsonl';
-- @expect
--| {"op":"+I","id":1,"name":"Ada","extra":null}
--| {"op":"+I","id":2,"name":null,"extra":1.5}

-- A file on the right of a join is a lookup table, as any table of the connector.
SELECT e.id, s.brand FROM '${DIR}/events.jsonl' AS e JOIN '${DIR}/sensors.csv' AS s ON e.id = s.id;
-- @expect
--| {"op":"+I","id":1,"brand":"Acme"}
--| {"op":"+I","id":2,"brand":"Beko"}

CREATE TABLE t WITH ('connector' = 'filesystem', 'path' = '${DIR}/sensors.csv', 'format' = 'csv');
-- @text
--| `id` BIGINT
--| `brand` STRING
--| 'csv.skip-header' = 'true'

SELECT brand FROM t WHERE id = 2;
-- @expect
--| {"op":"+I","brand":"Beko"}

SELECT * FROM '${DIR}/missing.jsonl';
-- @error
--| missing.jsonl

SELECT * FROM '${DIR}/notes.txt';
-- @error
--| follows neither from its name nor from its content

-- A folder of own output has names without an end; what is in it tells.
SELECT COUNT(*) AS n FROM '${DIR}/own';
-- @result
--| {"n":2}

-- Separator, quotes, header, the text for NULL and encoding are found out.
DESCRIBE '${DIR}/sales.csv';
-- @text
--| "name":"f0","type":"STRING"
--| file WITH ('csv.field-delimiter' = ';', 'csv.null-literal' = 'NA', 'csv.skip-header' = 'true', 'csv.strict' = 'true')
--| "name":"price","type":"DOUBLE"
--| "name":"sold","type":"BOOLEAN"
SELECT * FROM '${DIR}/sales.csv' WHERE price IS NULL;
-- @expect
--| {"op":"+I","f0":"b;c","price":null,"sold":false}

-- A hint says what is found out wrongly, and what the sample does not tell.
SELECT * FROM '${DIR}/sales.csv' /*+ OPTIONS('csv.field-delimiter' = ',', 'csv.null-literal' = 'x') */ AS s LIMIT 1;
-- @expect
--| {"op":"+I","f0":";\"price\";\"sold\""}
SELECT n.a, n.b FROM '${DIR}/empty.csv' AS n;
-- @expect
--| {"op":"+I","a":1,"b":""}
--| {"op":"+I","a":null,"b":"x"}
SELECT n.a, n.b FROM '${DIR}/empty.csv' /*+ OPTIONS('csv.null-literal' = '') */ AS n;
-- @expect
--| {"op":"+I","a":1,"b":null}
--| {"op":"+I","a":null,"b":"x"}
SELECT * FROM '${DIR}/notes.txt' /*+ OPTIONS('format' = 'csv') */;
-- @expect
--| {"op":"+I","A note is no table":"at all."}

-- Seconds may be missing in CSV.
DESCRIBE '${DIR}/minutes.csv';
-- @text
--| "name":"at","type":"TIMESTAMP(3)"

-- Arrays, and documents over many lines.
SELECT a, t FROM '${DIR}/pretty.json';
-- @expect
--| {"op":"+I","a":1,"t":"2026-01-05 07:00:19Z"}
--| {"op":"+I","a":2,"t":"2026-01-05 08:00:19Z"}
CREATE TABLE arrays (a INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/arrays.jsonl', 'format' = 'json');
SELECT a FROM arrays;
-- @expect
--| {"op":"+I","a":1}
--| {"op":"+I","a":2}
--| {"op":"+I","a":3}
CREATE TABLE lenient (a INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/broken.jsonl', 'format' = 'json', 'json.ignore-parse-errors' = 'true');
SELECT a FROM lenient;
-- @expect
--| {"op":"+I","a":4}
--| {"op":"+I","a":8}

-- Short lines are filled up, longer ones are left out.
CREATE TABLE short (a INT, b STRING, c STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/short.csv', 'format' = 'csv', 'csv.ignore-parse-errors' = 'true');
SELECT * FROM short;
-- @expect
--| {"op":"+I","a":3,"b":"x","c":null}
--| {"op":"+I","a":null,"b":"y","c":"z"}
--| {"op":"+I","a":8,"b":"y","c":""}

CREATE TABLE d WITH ('connector' = 'datagen');
-- @error
--| table 'd' has no columns

-- Folders name=value are columns.
SELECT id, `day`, kind FROM '${DIR}/days';
-- @expect
--| {"op":"+I","id":1,"day":"2024-05-01","kind":"a"}
--| {"op":"+I","id":2,"day":"2024-05-02","kind":null}

DESCRIBE '${DIR}/days/*/*/*.jsonl';
-- @text
--| "name":"day","type":"DATE"
--| "name":"kind","type":"STRING"

CREATE TABLE days WITH ('connector' = 'filesystem', 'path' = '${DIR}/days', 'format' = 'json');
-- @text
--| PARTITIONED BY (`day`, `kind`)
