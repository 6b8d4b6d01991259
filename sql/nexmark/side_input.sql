-- The side input of Nexmark 13: lines `n,n` for n from 0 to 9,999.

CREATE TABLE numbers (key BIGINT, `value` STRING) WITH (
  'connector' = 'datagen', 'rows-per-second' = '0',
  'fields.key.kind' = 'sequence', 'fields.key.start' = '0', 'fields.key.end' = '9999',
  'fields.value.kind' = 'sequence', 'fields.value.start' = '0', 'fields.value.end' = '9999'
);

CREATE TABLE side_input (
  key BIGINT, `value` STRING
) WITH ('connector' = 'filesystem', 'path' = '${SIDE_INPUT}', 'format' = 'csv');

INSERT INTO side_input SELECT key, `value` FROM numbers;
