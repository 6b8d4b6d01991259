-- The merged column of USING: of the left side, of the right side, or whichever is there.

CREATE VIEW l AS SELECT * FROM (VALUES ('a', 1), ('b', 2)) AS v(usr, x);
CREATE VIEW r AS SELECT * FROM (VALUES (20, 'b'), (30, 'c')) AS v(y, usr);

SELECT usr, x, y FROM l JOIN r USING (usr) WHERE usr <> 'a';
-- @result
--| {"usr":"b","x":2,"y":20}

SELECT usr, x, y FROM l LEFT JOIN r USING (usr);
-- @result
--| {"usr":"a","x":1,"y":null}
--| {"usr":"b","x":2,"y":20}

SELECT usr, x, y FROM l RIGHT JOIN r USING (usr) WHERE usr IS NOT NULL;
-- @result
--| {"usr":"b","x":2,"y":20}
--| {"usr":"c","x":null,"y":30}

SELECT usr, x, y FROM l FULL JOIN r USING (usr);
-- @result
--| {"usr":"a","x":1,"y":null}
--| {"usr":"b","x":2,"y":20}
--| {"usr":"c","x":null,"y":30}

SELECT UPPER(usr) AS u, COUNT(*) AS n FROM l FULL JOIN r USING (usr) GROUP BY UPPER(usr) HAVING UPPER(usr) > 'A';
-- @result
--| {"u":"B","n":1}
--| {"u":"C","n":1}

-- It comes first, and once.
SELECT * FROM r FULL JOIN l USING (usr);
-- @result
--| {"usr":"a","y":null,"x":1}
--| {"usr":"b","y":20,"x":2}
--| {"usr":"c","y":30,"x":null}

SELECT * EXCLUDE (usr) FROM r JOIN l USING (usr);
-- @result
--| {"y":20,"x":2}

SELECT * FROM l JOIN r USING (usr) JOIN (VALUES ('b', TRUE)) AS z(usr, f) USING (usr) WHERE usr = 'b';
-- @result
--| {"usr":"b","x":2,"y":20,"f":true}

-- What each side has is still there by its table.
SELECT l.usr AS a, r.usr AS b, usr FROM l FULL JOIN r USING (usr) WHERE l.usr IS NULL;
-- @result
--| {"a":null,"b":"c","usr":"c"}

-- A subquery has names of its own.
SELECT usr FROM l JOIN r USING (usr) WHERE x IN (SELECT usr + 1 FROM (VALUES (1)) AS t(usr));
-- @result
--| {"usr":"b"}

SELECT usr FROM l NATURAL FULL JOIN r;
-- @error
--| NATURAL with a RIGHT or FULL JOIN is not supported
