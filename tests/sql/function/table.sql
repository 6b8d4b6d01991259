-- A function as the backend of a lookup table: with the cache, retries and errors of any other.
-- @route GET /sensor/a 200
--| {"brand":"Bosch","country":"DE"}
-- @route GET /sensor/b 404
-- @route POST /sensors 200
--| [{"id":"b","brand":"Sensirion"},{"id":"a","brand":"Bosch"}]
CREATE FUNCTION sensor_info(id STRING) RETURNS ROW<brand STRING, country STRING> LANGUAGE JAVASCRIPT AS $$
  export async function sensor_info(id) {
    const r = await fetch(`${API}/sensor/${id}`);
    return r.status === 404 ? null : r.json();
  }
$$ WITH ('allow-hosts' = '${API}');
CREATE TABLE sensors (id STRING, brand STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'function', 'function' = 'sensor_info', 'lookup.cache' = 'PARTIAL', 'lookup.partial-cache.max-rows' = '100');
SELECT t.id, s.brand, s.country FROM (VALUES ('a'), ('b'), ('a')) AS t(id) LEFT JOIN sensors AS s ON t.id = s.id;
-- @expect
--| {"op":"+I","id":"a","brand":"Bosch","country":"DE"}
--| {"op":"+I","id":"b","brand":null,"country":null}
--| {"op":"+I","id":"a","brand":"Bosch","country":"DE"}
-- @calls 2

-- Many keys in one call: rows are told apart by their key.
CREATE FUNCTION sensor_infos(ids ARRAY<STRING>) RETURNS TABLE (id STRING, brand STRING) LANGUAGE JAVASCRIPT AS $$
  export async function sensor_infos(ids) {
    const r = await fetch('${API}/sensors', { method: 'POST', body: JSON.stringify(ids), headers: { 'content-type': 'application/json' } });
    return r.json();
  }
$$ WITH ('allow-hosts' = '${API}', 'batch' = '100');
CREATE TABLE infos (id STRING, brand STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'function', 'function' = 'sensor_infos');
SELECT t.id, s.brand FROM (VALUES ('a'), ('b')) AS t(id) JOIN infos AS s ON t.id = s.id;
-- @expect
--| {"op":"+I","id":"a","brand":"Bosch"}
--| {"op":"+I","id":"b","brand":"Sensirion"}
-- @calls 3

-- Several rows for a key; a scalar.
CREATE FUNCTION twice(id INT) RETURNS TABLE (n INT) LANGUAGE JAVASCRIPT AS $$ await null; return [{ n: id }, { n: id * 2 }] $$;
CREATE TABLE twos (id INT, n INT, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'function', 'function' = 'twice');
SELECT t.id, s.n FROM (VALUES (1), (2)) AS t(id) JOIN twos AS s ON t.id = s.id;
-- @expect
--| {"op":"+I","id":1,"n":1}
--| {"op":"+I","id":1,"n":2}
--| {"op":"+I","id":2,"n":2}
--| {"op":"+I","id":2,"n":4}
CREATE FUNCTION named(id INT) RETURNS STRING LANGUAGE JAVASCRIPT AS $$ await null; return id === 2 ? null : `n${id}` $$;
CREATE TABLE names (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'function', 'function' = 'named');
SELECT t.id, s.name FROM (VALUES (1), (2)) AS t(id) LEFT JOIN names AS s ON t.id = s.id;
-- @expect
--| {"op":"+I","id":1,"name":"n1"}
--| {"op":"+I","id":2,"name":null}

CREATE TABLE nobody (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'function', 'function' = 'namde');
SELECT s.name FROM (VALUES (1)) AS t(id) JOIN nobody AS s ON t.id = s.id;
-- @error
--| function 'namde' is not known
--| did you mean 'named'?
CREATE FUNCTION computes(id INT) RETURNS STRING RETURN 'x';
CREATE TABLE computed (id INT, name STRING, PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'function', 'function' = 'computes');
SELECT s.name FROM (VALUES (1)) AS t(id) JOIN computed AS s ON t.id = s.id;
-- @error
--| does not wait for its answers
SELECT s.nothing FROM (VALUES (1)) AS t(id) JOIN names AS s ON t.id = s.id AND s.name = 'n1';
-- @error
--| nothing
