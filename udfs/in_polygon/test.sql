-- A triangle with a hole; the text in any case, numbers in any form.
SET 'affluent.functions.path' = 'udfs';
SELECT k, in_polygon(x, y, 'polygon((0 0, 1e1 0, 0 10, 0 0), (1 1, 3 1, 1 3, 1 1))') AS inside
FROM (VALUES ('in', 4e0, 1e0), ('hole', 1.5, 1.5), ('out', 9e0, 9e0), ('left', -1e0, 1e0), ('none', CAST(NULL AS DOUBLE), 1e0)) AS t(k, x, y);
-- @expect
--| {"op":"+I","k":"in","inside":true}
--| {"op":"+I","k":"hole","inside":false}
--| {"op":"+I","k":"out","inside":false}
--| {"op":"+I","k":"left","inside":false}
--| {"op":"+I","k":"none","inside":null}
SELECT in_polygon(1e0, 1e0, 'POLYGON ((0 0, 1 0, 1 1))') AS inside;
-- @error
--| function 'in_polygon' failed: a ring does not end where it begins
SELECT in_polygon(1e0, 1e0, 'POINT (1 1)') AS inside;
-- @error
--| the text is no POLYGON
