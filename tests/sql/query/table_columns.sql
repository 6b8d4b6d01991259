-- Computed and metadata columns, LIKE, hints, DESCRIBE, SHOW CREATE.
-- @file e.jsonl
--| {"id": "a", "timestamp": 1700000000000}
CREATE TABLE e (
  id STRING, `timestamp` BIGINT,
  ts AS TO_TIMESTAMP_LTZ(`timestamp`, 3),
  pt AS PROCTIME(),
  file STRING METADATA FROM 'file.name' VIRTUAL,
  WATERMARK FOR ts AS ts - INTERVAL '5' SECOND
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/e.jsonl', 'format' = 'json');

SELECT id, ts, file, pt IS NOT NULL AS has_pt FROM e;
-- @expect
--| {"op":"+I","id":"a","ts":"2023-11-14 22:13:20Z","file":"e.jsonl","has_pt":true}

DESCRIBE e;
-- @text
--| "name":"ts","type":"TIMESTAMP_LTZ(3) *ROWTIME*"
--| "name":"pt","type":"TIMESTAMP_LTZ(3) *PROCTIME*"
--| METADATA FROM 'file.name' VIRTUAL

SHOW CREATE TABLE e;
-- @text
--| `ts` AS TO_TIMESTAMP_LTZ(`timestamp`, 3)
--| WATERMARK FOR `ts` AS ts - INTERVAL '5' SECOND
--| 'connector' = 'filesystem'

-- @file other.jsonl
--| {"id": "b", "timestamp": 1700000000001}
SELECT id, `timestamp` FROM e /*+ OPTIONS('path' = '${DIR}/other.jsonl') */ AS x WHERE x.id IS NOT NULL;
-- @expect
--| {"op":"+I","id":"b","timestamp":1700000000001}

CREATE TABLE e2 (extra INT) WITH ('path' = '${DIR}/out.jsonl') LIKE e (EXCLUDING GENERATED EXCLUDING WATERMARKS EXCLUDING METADATA);
INSERT INTO e2 SELECT id, `timestamp`, 5 FROM e;
-- @content out.jsonl
--| {"id":"a","timestamp":1700000000000,"extra":5}

-- INSERT INTO adds to what is there.
INSERT INTO e2 (id) SELECT id FROM e;
-- @content out.jsonl
--| {"id":"a","timestamp":1700000000000,"extra":5}
--| {"id":"a","timestamp":null,"extra":null}
