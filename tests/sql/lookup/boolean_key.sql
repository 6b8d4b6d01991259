-- A BOOLEAN key that is compared with a constant, which the simplifier makes the column alone.

-- @route GET /cc/DE/true 200
--| {"country": "DE", "vip": true, "name": "Ada"}
-- @route GET /cc/DE/false 200
--| {"country": "DE", "vip": false, "name": "Bob"}
CREATE TABLE o (oid INT, country STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/o.jsonl', 'format' = 'json');
-- @file o.jsonl
--| {"oid": 1, "country": "DE"}
CREATE TABLE cc (country STRING, vip BOOLEAN, name STRING) WITH ('connector' = 'http', 'url' = '${API}/cc/{country}/{vip}', 'format' = 'json');

SELECT o.oid, x.name FROM o LEFT JOIN cc AS x ON x.country = o.country AND x.vip = TRUE;
-- @expect
--| {"op":"+I","oid":1,"name":"Ada"}

SELECT o.oid, x.name FROM o LEFT JOIN cc AS x ON x.country = o.country AND NOT x.vip;
-- @expect
--| {"op":"+I","oid":1,"name":"Bob"}
