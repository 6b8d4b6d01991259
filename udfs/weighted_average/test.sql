SET 'affluent.functions.path' = 'udfs';
SELECT k, weighted_average(v, w) AS a FROM (VALUES ('a', 1e0, 1e0), ('a', 4e0, 2e0), ('a', CAST(NULL AS DOUBLE), 9e0), ('b', 1e0, 0e0)) AS t(k, v, w) GROUP BY k;
-- @result
--| {"k":"a","a":3.0}
--| {"k":"b","a":null}
