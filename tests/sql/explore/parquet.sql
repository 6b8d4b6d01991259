-- Parquet files: written, and read without a declaration.

-- @file no.parquet
--| {"a": 1}

CREATE TABLE orders (
  id BIGINT, item STRING, price DECIMAL(10, 2), sold TIMESTAMP(3), seen TIMESTAMP_LTZ(6), due DATE, at_time TIME,
  tags ARRAY<STRING>, buyer ROW<name STRING, age INT>, counts MAP<STRING, INT>
) WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders', 'format' = 'parquet', 'parquet.compression' = 'ZSTD');
INSERT INTO orders VALUES
  (1, 'tea', 1.50, TIMESTAMP '2024-05-01 10:00:00.123', TO_TIMESTAMP_LTZ(0, 3), DATE '2024-05-01', TIME '10:00:00',
   ARRAY['a', 'b'], ROW('Ada', 36), MAP['x', 1]),
  (2, CAST(NULL AS STRING), -0.01, TIMESTAMP '1969-12-31 23:59:59.999', TO_TIMESTAMP_LTZ(-1, 3), DATE '0001-01-01',
   TIME '00:00:00', CAST(NULL AS ARRAY<STRING>), ROW(CAST(NULL AS STRING), 1), CAST(NULL AS MAP<STRING, INT>));

DESCRIBE '${DIR}/orders';
-- @text
--| "name":"price","type":"DECIMAL(10, 2)"
--| "name":"sold","type":"TIMESTAMP(3)"
--| "name":"seen","type":"TIMESTAMP_LTZ(6)"
--| "name":"buyer","type":"ROW<`name` STRING, `age` INT>"
--| "name":"counts","type":"MAP<STRING, INT>"

SELECT * FROM '${DIR}/orders/*.parquet';
-- @expect
--| {"op":"+I","id":1,"item":"tea","price":1.50,"sold":"2024-05-01 10:00:00.123","seen":"1970-01-01 00:00:00Z","due":"2024-05-01","at_time":"10:00:00","tags":["a","b"],"buyer":{"name":"Ada","age":36},"counts":{"x":1}}
--| {"op":"+I","id":2,"item":null,"price":-0.01,"sold":"1969-12-31 23:59:59.999","seen":"1969-12-31 23:59:59.999Z","due":"0001-01-01","at_time":"00:00:00","tags":null,"buyer":{"name":null,"age":1},"counts":null}

CREATE TABLE again WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders', 'format' = 'parquet');
-- @text
--| `price` DECIMAL(10, 2)

SELECT COUNT(*) AS n, SUM(price) AS total FROM again;
-- @result
--| {"n":2,"total":1.49}

-- One file, which a second INSERT adds to.
CREATE TABLE one (id BIGINT, item STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/one.parquet', 'format' = 'parquet');
INSERT INTO one SELECT id, item FROM again;
INSERT INTO one VALUES (3, 'milk');
SELECT id, item FROM '${DIR}/one.parquet';
-- @expect
--| {"op":"+I","id":1,"item":"tea"}
--| {"op":"+I","id":2,"item":null}
--| {"op":"+I","id":3,"item":"milk"}
INSERT OVERWRITE one VALUES (4, 'salt');
SELECT id, item FROM '${DIR}/one.parquet';
-- @expect
--| {"op":"+I","id":4,"item":"salt"}

-- A lookup table, as any file.
SELECT o.id, p.item FROM again AS o JOIN '${DIR}/orders/*.parquet' AS p ON p.id = o.id + 1;
-- @expect
--| {"op":"+I","id":1,"item":null}

-- Columns may be left out, wider, and be none of the file's.
CREATE TABLE wider (price DECIMAL(20, 4), id DECIMAL(20, 0), colour STRING)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders', 'format' = 'parquet');
SELECT * FROM wider;
-- @expect
--| {"op":"+I","price":1.5000,"id":1,"colour":null}
--| {"op":"+I","price":-0.0100,"id":2,"colour":null}

CREATE TABLE other (item INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders', 'format' = 'parquet');
SELECT * FROM other;
-- @error
--| column 'item' is STRING, it is declared INT
--| declare it STRING, and CAST it in the query

SELECT * FROM '${DIR}/no.parquet';
-- @error
--| no.parquet is no Parquet file
--| it begins as JSON does

CREATE TABLE bad (v INTERVAL YEAR) WITH ('connector' = 'filesystem', 'path' = '${DIR}/bad', 'format' = 'parquet');
INSERT INTO bad VALUES (INTERVAL '1' YEAR);
-- @error
--| column 'v' is INTERVAL YEAR TO MONTH, which format 'parquet' has no type for

CREATE TABLE endless (i BIGINT) WITH ('connector' = 'datagen');
CREATE TABLE growing (i BIGINT)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/growing.parquet', 'format' = 'parquet');
INSERT INTO growing SELECT i FROM endless;
-- @error
--| a file of format 'parquet' cannot grow, and the query never ends
--| write to a folder

CREATE TABLE piped (i BIGINT) WITH ('connector' = 'stdin', 'format' = 'parquet');
SELECT * FROM piped;
-- @error
--| format 'parquet' is for files, not for records and streams of bytes

CREATE TABLE old (t TIMESTAMP(3)) WITH ('connector' = 'filesystem', 'path' = '${DIR}/old', 'format' = 'parquet',
  'parquet.write.int64.timestamp' = 'false');
-- @error
--| INT96 is not written
