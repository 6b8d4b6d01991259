SET 'affluent.functions.path' = 'udfs';
SELECT mask_email(a) AS m FROM (VALUES ('ann@example.org'), ('"a@b"@example.org'), ('no address'), (CAST(NULL AS STRING))) AS t(a);
-- @expect
--| {"op":"+I","m":"a***@example.org"}
--| {"op":"+I","m":"\"***@example.org"}
--| {"op":"+I","m":"***"}
--| {"op":"+I","m":null}
