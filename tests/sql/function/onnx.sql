-- Models in ONNX are computed in this process: one matrix of the inputs, NULL in a row, what does not fit.
-- udfs/fraud_score/model.onnx: features [rows, 9] -> score [rows, 1] = Sigmoid(features * weights + bias).
CREATE MODEL fraud INPUT (a DOUBLE, b DOUBLE, c FLOAT, d INT, e INT, f BIGINT, g BOOLEAN, h DECIMAL(5, 2), i DOUBLE) OUTPUT (score DOUBLE)
WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
CREATE VIEW rows_ AS SELECT k, a, b, CAST(0 AS FLOAT) AS c, d, 0 AS e, CAST(0 AS BIGINT) AS f, FALSE AS g, 0.00 AS h, 0e0 AS i
  FROM (VALUES (1, 0e0, 0e0, 0), (2, 1e0, 0e0, 0), (3, CAST(NULL AS DOUBLE), 0e0, 0), (4, 0e0, 0e0, 1)) AS t(k, a, b, d);
SELECT k, ROUND(score, 3) AS score FROM ML_PREDICT(TABLE rows_, MODEL fraud, DESCRIPTOR(a, b, c, d, e, f, g, h, i));
-- @expect
--| {"op":"+I","k":1,"score":0.008}
--| {"op":"+I","k":2,"score":0.08}
--| {"op":"+I","k":3,"score":null}
--| {"op":"+I","k":4,"score":0.003}

-- An ARRAY is a row of the matrix.
CREATE MODEL vector INPUT (features ARRAY<DOUBLE>) OUTPUT (score FLOAT) WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
CREATE VIEW vectors AS SELECT k, ARRAY[x, 0e0, 0e0, 0e0, 0e0, 0e0, 0e0, 0e0, 0e0] AS v FROM (VALUES (1, 0e0), (2, 1e0)) AS t(k, x);
SELECT k, CAST(ROUND(score, 3) AS STRING) AS score FROM ML_PREDICT(TABLE vectors, MODEL vector, DESCRIPTOR(v));
-- @expect
--| {"op":"+I","k":1,"score":"0.008"}
--| {"op":"+I","k":2,"score":"0.08"}
-- What the model refuses is an error with its reason.
CREATE VIEW short AS SELECT 1 AS k, ARRAY[1e0, 2e0] AS v;
SELECT score FROM ML_PREDICT(TABLE short, MODEL vector, DESCRIPTOR(v));
-- @error
--| features

-- Outputs as an ARRAY.
CREATE MODEL listed INPUT (features ARRAY<DOUBLE>) OUTPUT (score ARRAY<DOUBLE>) WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
SELECT k, CARDINALITY(score) AS n FROM ML_PREDICT(TABLE vectors, MODEL listed, DESCRIPTOR(v));
-- @expect
--| {"op":"+I","k":1,"n":1}
--| {"op":"+I","k":2,"n":1}

-- What does not fit is an error of the statement.
CREATE MODEL m INPUT (a DOUBLE, b DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
-- @error
--| model 'm': its inputs are features [rows, 9]: 9 numbers are wanted, INPUT has 2
CREATE MODEL m INPUT (a STRING) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
-- @error
--| model 'm': INPUT 'a' is STRING
CREATE MODEL m INPUT (features ARRAY<DOUBLE>) OUTPUT (a DOUBLE, b DOUBLE) WITH ('provider' = 'onnx', 'file' = 'udfs/fraud_score/model.onnx');
SELECT a, b FROM ML_PREDICT(TABLE vectors, MODEL m, DESCRIPTOR(v));
-- @error
--| it gave 1 numbers a row, OUTPUT has 2
CREATE MODEL n INPUT (a DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx', 'file' = 'missing.onnx');
-- @error
--| model 'n': cannot read 'missing.onnx'
CREATE MODEL n INPUT (a DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx', 'file' = 'Cargo.toml');
-- @error
--| model 'n': 'Cargo.toml' does not load
CREATE MODEL n INPUT (a DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx');
-- @error
--| option 'file' is required
CREATE MODEL n INPUT (a DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'onnx', 'file' = 'a.onnx', 'temperature' = '1');
-- @error
--| option 'temperature' has no effect with this provider
CREATE MODEL n INPUT (a DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'http', 'endpoint' = 'http://localhost', 'file' = 'a.onnx');
-- @error
--| option 'file' has no effect with this provider
