-- A table of an API read as a whole: one GET of the URL that lists its rows, or one a page; and kept whole for lookups.
-- @route GET /rates 200
--| [{"cur": "EUR", "rate": 1.0}, {"cur": "USD", "rate": 1.1}, {"cur": "GBP", "rate": 0.9}]
CREATE TABLE rates (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/rates');
SELECT * FROM rates WHERE rate >= 1;
-- @expect
--| {"op":"+I","cur":"EUR","rate":1.0}
--| {"op":"+I","cur":"USD","rate":1.1}
-- @calls 1
--| GET /rates

EXPLAIN SELECT * FROM rates;
-- @text
--| Source: rates (http: GET ${API}/rates, cannot be replayed) [cur, rate], bounded

-- A Link header is followed without being told, from host to the same host.
-- @route GET /linked 200 Link: </linked?page=2>; rel="next", </linked?page=1>; rel="first"
--| [{"cur": "A", "rate": 1}]
-- @route GET /linked?page=2 200
--| [{"cur": "B", "rate": 2}]
CREATE TABLE linked (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/linked');
SELECT * FROM linked;
-- @expect
--| {"op":"+I","cur":"A","rate":1.0}
--| {"op":"+I","cur":"B","rate":2.0}
SELECT * FROM linked /*+ OPTIONS('http.source.paging' = 'none') */;
-- @expect
--| {"op":"+I","cur":"A","rate":1.0}

-- @route GET /elsewhere 200 Link: <http://example.invalid/x>; rel=next
--| [{"cur": "A", "rate": 1}]
CREATE TABLE elsewhere (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/elsewhere');
SELECT * FROM elsewhere;
-- @error
--| the next page is on another host

-- A cursor in the body; the rows stand at a pointer.
-- @route GET /cursor?k=v 200
--| {"items": [{"cur": "A", "rate": 1}], "meta": {"next": "x y"}}
-- @route GET /cursor?k=v&cursor=x+y 200
--| {"items": [{"cur": "B", "rate": 2}], "meta": {"next": null}}
CREATE TABLE cursors (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/cursor?k=v', 'http.source.lookup.result-pointer' = '/items', 'http.source.paging' = 'cursor', 'http.source.paging.next-pointer' = '/meta/next');
SELECT cur FROM cursors;
-- @expect
--| {"op":"+I","cur":"A"}
--| {"op":"+I","cur":"B"}

-- Numbers of pages: a short page is the last one. A URL with a place for a key, and another that lists all rows.
-- @route GET /all?n=2&page=1 200
--| [{"cur": "A", "rate": 1}, {"cur": "B", "rate": 2}]
-- @route GET /all?n=2&page=2 200
--| [{"cur": "C", "rate": 3}]
CREATE TABLE numbered (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/one/{cur}', 'http.source.scan.url' = '${API}/all', 'http.source.paging' = 'page-number', 'http.source.paging.size' = '2', 'http.source.paging.size-parameter' = 'n');
SELECT COUNT(*) AS n, SUM(rate) AS s FROM numbered;
-- @result
--| {"n":3,"s":6.0}

-- An API that does not know the parameter gives the same page for ever.
-- @route GET /same?page=1 200
--| [{"cur": "A", "rate": 1}]
-- @route GET /same?page=2 200
--| [{"cur": "A", "rate": 1}]
CREATE TABLE same (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/same', 'http.source.paging' = 'page-number');
SELECT * FROM same;
-- @error
--| this page has the same rows as the one before
--| http.source.paging.parameter

-- What is not there is an error: no key was asked for.
-- @route GET /gone 404
CREATE TABLE gone (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/gone');
SELECT * FROM gone;
-- @error
--| answered 404
--| http.source.scan.url

CREATE TABLE keyed (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/rates/{cur}');
SELECT * FROM keyed;
-- @error
--| its url has a place for 'cur'
--| 'http.source.scan.url' = '${API}/rates'

CREATE TABLE posted (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/rates', 'lookup-method' = 'POST');
SELECT * FROM posted;
-- @error
--| asked by POST with a key

CREATE TABLE wrong (cur STRING) WITH ('connector' = 'http', 'url' = '${API}/rates', 'http.source.paging.size' = '3');
-- @error
--| 'http.source.paging.size' is for 'http.source.paging' = 'page-number' or 'offset'

CREATE TABLE wrong (cur STRING) WITH ('connector' = 'http', 'url' = '${API}/rates/{cur}', 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h');
-- @error
--| 'http.source.scan.url'

-- FULL: one load, and any column is a key.
-- @route GET /kept 200
--| [{"cur": "EUR", "rate": 1.0}, {"cur": "USD", "rate": 1.1}, {"cur": "GBP", "rate": 0.9}]
CREATE TABLE kept (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/rates/{cur}', 'http.source.scan.url' = '${API}/kept', 'lookup.cache' = 'FULL', 'lookup.full-cache.periodic-reload.interval' = '1 h');
SELECT x.c, k.rate FROM (VALUES ('EUR'), ('USD'), ('XXX'), ('EUR')) AS x(c) LEFT JOIN kept AS k ON x.c = k.cur;
-- @expect
--| {"op":"+I","c":"EUR","rate":1.0}
--| {"op":"+I","c":"USD","rate":1.1}
--| {"op":"+I","c":"XXX","rate":null}
--| {"op":"+I","c":"EUR","rate":1.0}
SELECT x.r, k.cur FROM (VALUES (CAST(0.9 AS DOUBLE)), (CAST(7 AS DOUBLE))) AS x(r) LEFT JOIN kept AS k ON x.r = k.rate;
-- @expect
--| {"op":"+I","r":0.9,"cur":"GBP"}
--| {"op":"+I","r":7.0,"cur":null}

-- Several pages are one answer for a key, where the table says so.
-- @route GET /history?cur=EUR&page=1 200
--| [{"cur": "EUR", "rate": 1}, {"cur": "EUR", "rate": 2}]
-- @route GET /history?cur=EUR&page=2 200
--| [{"cur": "EUR", "rate": 3}]
-- @route GET /history?cur=EUR&page=3 404
-- @route GET /history?cur=XXX&page=1 404
CREATE TABLE history (cur STRING, rate DOUBLE) WITH ('connector' = 'http', 'url' = '${API}/history', 'http.source.paging' = 'page-number');
SELECT x.c, h.rate FROM (VALUES ('EUR'), ('XXX')) AS x(c) LEFT JOIN history AS h ON x.c = h.cur;
-- @expect
--| {"op":"+I","c":"EUR","rate":1.0}
--| {"op":"+I","c":"EUR","rate":2.0}
--| {"op":"+I","c":"EUR","rate":3.0}
--| {"op":"+I","c":"XXX","rate":null}

-- A join with a table of an API stays a lookup.
EXPLAIN SELECT x.c FROM (VALUES ('EUR')) AS x(c) JOIN rates AS r ON x.c = r.cur;
-- @text
--| LookupJoin(table=[r]
