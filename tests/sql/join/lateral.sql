-- The first rows for each row on the left; subqueries over a collection of the row.
-- @file cust.jsonl
--| {"id": 1, "amt": 15}
--| {"id": 2, "amt": 1}
--| {"id": 3, "amt": 0}
-- @file orders.jsonl
--| {"oid": 1, "cid": 1, "amount": 10, "items": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 5}]}
--| {"oid": 2, "cid": 1, "amount": 30, "items": []}
--| {"oid": 3, "cid": 1, "amount": 20, "items": null}
--| {"oid": 4, "cid": 2, "amount": 5, "items": [{"sku": "a", "qty": 2}, {"sku": "a", "qty": null}]}
--| {"oid": 5, "cid": null, "amount": 99, "items": [{"sku": "c", "qty": 9}]}
CREATE TABLE cust (id INT, amt INT) WITH ('connector' = 'filesystem', 'path' = '${DIR}/cust.jsonl', 'format' = 'json');
CREATE TABLE orders (oid INT, cid INT, amount INT, items ARRAY<ROW<sku STRING, qty INT>>) WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders.jsonl', 'format' = 'json');

SELECT c.id, t.oid, t.amount FROM cust AS c CROSS JOIN LATERAL (SELECT oid, amount FROM orders AS o WHERE o.cid = c.id ORDER BY amount DESC LIMIT 2) AS t;
-- @result
--| {"id":1,"oid":2,"amount":30}
--| {"id":1,"oid":3,"amount":20}
--| {"id":2,"oid":4,"amount":5}
SELECT c.id, t.oid FROM cust AS c, LATERAL (SELECT oid FROM orders AS o WHERE amount < 30 AND c.id = o.cid ORDER BY o.amount DESC LIMIT 1) AS t;
-- @result
--| {"id":1,"oid":3}
--| {"id":2,"oid":4}
SELECT c.id, t.n FROM cust AS c LEFT JOIN LATERAL (SELECT oid AS n FROM orders AS o WHERE o.cid = c.id ORDER BY amount LIMIT 1) AS t ON TRUE;
-- @result
--| {"id":1,"n":1}
--| {"id":2,"n":4}
--| {"id":3,"n":null}
SELECT c.id, t.n FROM cust AS c LEFT JOIN LATERAL (SELECT oid AS n, amount FROM orders AS o WHERE o.cid = c.id ORDER BY amount LIMIT 1) AS t ON t.amount > c.amt;
-- @result
--| {"id":1,"n":null}
--| {"id":2,"n":4}
--| {"id":3,"n":null}
SELECT c.id, t.oid FROM cust AS c CROSS JOIN LATERAL (SELECT oid FROM orders AS o WHERE o.cid = c.id ORDER BY amount DESC LIMIT 1 OFFSET 1) AS t;
-- @result
--| {"id":1,"oid":3}
SELECT c.id, t.total FROM cust AS c CROSS JOIN LATERAL (SELECT amount / 20 AS tier, SUM(amount) AS total FROM orders AS o WHERE o.cid = c.id GROUP BY amount / 20 ORDER BY total DESC LIMIT 1) AS t;
-- @result
--| {"id":1,"total":50}
--| {"id":2,"total":5}
SELECT c.id, t.oid FROM cust AS c CROSS JOIN LATERAL (SELECT oid FROM orders AS o WHERE o.cid = c.id AND o.amount > c.amt ORDER BY amount LIMIT 1) AS t;
-- @error
--| a LATERAL subquery with LIMIT and a condition on the left side that is no equality is not supported
--| ROW_NUMBER()

SELECT oid FROM orders AS o WHERE EXISTS (SELECT 1 FROM UNNEST(o.items) AS i(sku, qty) WHERE i.qty > 3);
-- @expect
--| {"op":"+I","oid":1}
--| {"op":"+I","oid":5}
SELECT oid FROM orders AS o WHERE NOT EXISTS (SELECT 1 FROM UNNEST(o.items) AS i(sku, qty) WHERE i.qty > o.amount / 10);
-- @expect
--| {"op":"+I","oid":2}
--| {"op":"+I","oid":3}
--| {"op":"+I","oid":5}
SELECT oid, (SELECT SUM(i.qty) FROM UNNEST(o.items) AS i(sku, qty)) AS s, (SELECT COUNT(*) FROM UNNEST(items) AS i(sku, qty) WHERE qty IS NOT NULL) AS n, (SELECT MAX(qty) + 1 FROM UNNEST(items) AS i(sku, qty)) AS m, (SELECT COUNT(DISTINCT sku) FROM UNNEST(items) AS i(sku, qty)) AS d, (SELECT LISTAGG(sku) FROM UNNEST(items) AS i(sku, qty)) AS l FROM orders AS o;
-- @expect
--| {"op":"+I","oid":1,"s":6,"n":2,"m":6,"d":2,"l":"a,b"}
--| {"op":"+I","oid":2,"s":null,"n":0,"m":null,"d":0,"l":null}
--| {"op":"+I","oid":3,"s":null,"n":0,"m":null,"d":0,"l":null}
--| {"op":"+I","oid":4,"s":2,"n":1,"m":3,"d":1,"l":"a,a"}
--| {"op":"+I","oid":5,"s":9,"n":1,"m":10,"d":1,"l":"c"}
SELECT oid, 'a' IN (SELECT sku FROM UNNEST(items) AS i(sku, qty)) AS a, 5 IN (SELECT qty FROM UNNEST(items) AS i(sku, qty)) AS b, 1 < ALL (SELECT qty FROM UNNEST(items) AS i(sku, qty)) AS c FROM orders;
-- @expect
--| {"op":"+I","oid":1,"a":true,"b":true,"c":false}
--| {"op":"+I","oid":2,"a":false,"b":false,"c":true}
--| {"op":"+I","oid":3,"a":false,"b":false,"c":true}
--| {"op":"+I","oid":4,"a":true,"b":null,"c":null}
--| {"op":"+I","oid":5,"a":false,"b":false,"c":true}
SELECT cid, SUM((SELECT SUM(qty) FROM UNNEST(items) AS i(sku, qty) WHERE CAST(i.sku = 'a' AS INT) = 1)) AS s FROM orders GROUP BY cid;
-- @result
--| {"cid":1,"s":1}
--| {"cid":2,"s":2}
--| {"cid":null,"s":null}
SELECT oid, t.sku FROM orders AS o, LATERAL (SELECT sku FROM UNNEST(o.items) AS i(sku, qty) WHERE qty > 1) AS t;
-- @expect
--| {"op":"+I","oid":1,"sku":"b"}
--| {"op":"+I","oid":4,"sku":"a"}
--| {"op":"+I","oid":5,"sku":"c"}
SELECT oid, t.sku FROM orders AS o LEFT JOIN LATERAL (SELECT sku FROM UNNEST(o.items) AS i(sku, qty) WHERE qty > 1) AS t ON TRUE;
-- @expect
--| {"op":"+I","oid":1,"sku":"b"}
--| {"op":"+I","oid":2,"sku":null}
--| {"op":"+I","oid":3,"sku":null}
--| {"op":"+I","oid":4,"sku":"a"}
--| {"op":"+I","oid":5,"sku":"c"}
SELECT oid, (SELECT sku FROM UNNEST(items) AS i(sku, qty)) AS s FROM orders;
-- @error
--| may return more than one row
--| CROSS JOIN UNNEST

-- Over rows that stand in the query.
SELECT id FROM (VALUES (1, ARRAY[1, 2]), (2, ARRAY[3])) AS g(id, a) WHERE EXISTS (SELECT 1 FROM UNNEST(a) AS t(x) WHERE x = 2);
-- @result
--| {"id":1}
