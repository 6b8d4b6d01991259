-- TO_CHANGELOG and FROM_CHANGELOG without PARTITION BY.
-- checked against Flink 2.3
-- @file in.jsonl
--| {"op":"INSERT","id":1,"name":"Alice","cnt":1}
--| {"op":"INSERT","id":2,"name":"Bob","cnt":5}
--| {"op":"UPDATE_BEFORE","id":1,"name":"Alice","cnt":1}
--| {"op":"UPDATE_AFTER","id":1,"name":"Alice","cnt":2}
--| {"op":"DELETE","id":2,"name":"Bob","cnt":5}
-- @file coded.jsonl
--| {"k":1,"code":"c","v":10}
--| {"k":2,"code":"r","v":20}
--| {"k":1,"code":"ub","v":10}
--| {"k":1,"code":"ua","v":11}
--| {"k":2,"code":"d","v":20}
CREATE TABLE src (op STRING, id BIGINT, name STRING, cnt BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/in.jsonl', 'format' = 'json');
CREATE TABLE coded (k BIGINT, code STRING, v BIGINT)
WITH ('connector' = 'filesystem', 'path' = '${DIR}/coded.jsonl', 'format' = 'json');

SELECT * FROM FROM_CHANGELOG(input => TABLE src);
-- @expect ordered
--| {"op":"+I","id":1,"name":"Alice","cnt":1}
--| {"op":"+I","id":2,"name":"Bob","cnt":5}
--| {"op":"-U","id":1,"name":"Alice","cnt":1}
--| {"op":"+U","id":1,"name":"Alice","cnt":2}
--| {"op":"-D","id":2,"name":"Bob","cnt":5}

SELECT x.v, x.k FROM TABLE(FROM_CHANGELOG(TABLE coded, DESCRIPTOR(code),
  MAP['c, r', 'INSERT', 'ub', 'UPDATE_BEFORE', 'ua', 'UPDATE_AFTER', 'd', 'DELETE'])) AS x;
-- @expect ordered
--| {"op":"+I","v":10,"k":1}
--| {"op":"+I","v":20,"k":2}
--| {"op":"-U","v":10,"k":1}
--| {"op":"+U","v":11,"k":1}
--| {"op":"-D","v":20,"k":2}

CREATE VIEW changing AS SELECT * FROM FROM_CHANGELOG(input => TABLE src);

SELECT * FROM TO_CHANGELOG(input => TABLE changing);
-- @expect ordered
--| {"op":"+I","op":"INSERT","id":1,"name":"Alice","cnt":1}
--| {"op":"+I","op":"INSERT","id":2,"name":"Bob","cnt":5}
--| {"op":"+I","op":"UPDATE_BEFORE","id":1,"name":"Alice","cnt":1}
--| {"op":"+I","op":"UPDATE_AFTER","id":1,"name":"Alice","cnt":2}
--| {"op":"+I","op":"DELETE","id":2,"name":"Bob","cnt":5}

-- What has no code is dropped.
SELECT * FROM TO_CHANGELOG(input => TABLE changing, op => DESCRIPTOR(code),
  op_mapping => MAP['INSERT, UPDATE_AFTER', 'U', 'DELETE', 'D']);
-- @expect ordered
--| {"op":"+I","code":"U","id":1,"name":"Alice","cnt":1}
--| {"op":"+I","code":"U","id":2,"name":"Bob","cnt":5}
--| {"op":"+I","code":"U","id":1,"name":"Alice","cnt":2}
--| {"op":"+I","code":"D","id":2,"name":"Bob","cnt":5}

SELECT x.op AS code, x.id FROM TO_CHANGELOG(input => TABLE changing) AS x WHERE x.op <> 'UPDATE_BEFORE';
-- @expect ordered
--| {"op":"+I","code":"INSERT","id":1}
--| {"op":"+I","code":"INSERT","id":2}
--| {"op":"+I","code":"UPDATE_AFTER","id":1}
--| {"op":"+I","code":"DELETE","id":2}

SELECT * FROM TO_CHANGELOG(input => TABLE coded);
-- @expect ordered
--| {"op":"+I","op":"INSERT","k":1,"code":"c","v":10}
--| {"op":"+I","op":"INSERT","k":2,"code":"r","v":20}
--| {"op":"+I","op":"INSERT","k":1,"code":"ub","v":10}
--| {"op":"+I","op":"INSERT","k":1,"code":"ua","v":11}
--| {"op":"+I","op":"INSERT","k":2,"code":"d","v":20}

SELECT * FROM TO_CHANGELOG(input => TABLE src);
-- @error
--| the input has a column 'op' already

SELECT * FROM FROM_CHANGELOG(input => TABLE coded, op => DESCRIPTOR(code),
  op_mapping => MAP['c', 'INSERT', 'ub', 'UPDATE_BEFORE', 'ua', 'UPDATE_AFTER', 'd', 'DELETE']);
-- @error
--| the operation code 'r' is not known
