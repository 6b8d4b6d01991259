SET 'affluent.functions.path' = 'udfs';
SELECT a, s, fraud_score(a, s, t) AS score FROM (VALUES
  (95, 'TSLA', CAST(1602720000 AS BIGINT)),
  (95, 'TSLA', CAST(1602763200 AS BIGINT)),
  (10, 'AAPL', CAST(1602720000 AS BIGINT)),
  (10, CAST(NULL AS STRING), CAST(1602720000 AS BIGINT))) AS v(a, s, t);
-- @expect
--| {"op":"+I","a":95,"s":"TSLA","score":0.8395}
--| {"op":"+I","a":95,"s":"TSLA","score":0.0277}
--| {"op":"+I","a":10,"s":"AAPL","score":0.0008}
--| {"op":"+I","a":10,"s":null,"score":null}
