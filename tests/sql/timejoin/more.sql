-- Joins in time that Flink 2.3 has no plan for on streams, and processing time.
-- Results checked against Flink 2.3 where it runs them.

-- @file orders.jsonl
--| {"id": 1, "ts": "2024-05-01 10:00:00"}
--| {"id": 2, "ts": "2024-05-01 10:30:00"}
--| {"id": null, "ts": "2024-05-01 11:30:00"}

-- @file shipments.jsonl
--| {"order_id": 1, "sent": "2024-05-01 10:00:00", "place": "Bonn"}
--| {"order_id": 1, "sent": "2024-05-01 14:00:00", "place": "Köln"}
--| {"order_id": 2, "sent": "2024-05-01 20:00:00", "place": "Jena"}

CREATE TABLE orders (id INT, ts TIMESTAMP(3), pt AS PROCTIME(), WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders.jsonl', 'format' = 'json');
CREATE TABLE shipments (order_id INT, sent TIMESTAMP(3), place STRING, pt AS PROCTIME(), WATERMARK FOR sent AS sent)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/shipments.jsonl', 'format' = 'json');

-- Each row once, when the first match comes.
SELECT id FROM orders
 WHERE EXISTS (SELECT * FROM shipments WHERE order_id = id AND sent BETWEEN ts AND ts + INTERVAL '4' HOUR);
-- @expect
--| {"op":"+I","id":1}

-- When no match can come any more; nothing is taken back.
SELECT id FROM orders
 WHERE NOT EXISTS (SELECT * FROM shipments WHERE order_id = id AND sent BETWEEN ts AND ts + INTERVAL '4' HOUR);
-- @expect
--| {"op":"+I","id":2}
--| {"op":"+I","id":null}

EXPLAIN SELECT id FROM orders
 WHERE NOT EXISTS (SELECT * FROM shipments WHERE order_id = id AND sent BETWEEN ts AND ts + INTERVAL '4' HOUR);
-- @text
--| IntervalJoin(joinType=[Anti]

-- Without an equality all rows meet in one task.
SELECT id, place FROM orders JOIN shipments ON sent BETWEEN ts AND ts + INTERVAL '3' HOUR + INTERVAL '45' MINUTE;
-- @expect
--| {"op":"+I","id":1,"place":"Bonn"}
--| {"op":"+I","id":2,"place":"Köln"}
--| {"op":"+I","id":null,"place":"Köln"}

-- Bounds that exclude each other.
SELECT id, place FROM orders LEFT JOIN shipments ON id = order_id AND sent > ts AND sent < ts;
-- @expect
--| {"op":"+I","id":1,"place":null}
--| {"op":"+I","id":2,"place":null}
--| {"op":"+I","id":null,"place":null}

SELECT id, place FROM orders AS o LEFT JOIN shipments AS s
  ON id = order_id AND o.pt BETWEEN s.pt - INTERVAL '1' DAY AND s.pt + INTERVAL '1' DAY;
-- @expect
--| {"op":"+I","id":1,"place":"Bonn"}
--| {"op":"+I","id":1,"place":"Köln"}
--| {"op":"+I","id":2,"place":"Jena"}
--| {"op":"+I","id":null,"place":null}

-- Two joins in a row: the left time goes on.
SELECT o.id, s.place, t.place AS other FROM orders AS o
  JOIN shipments AS s ON o.id = s.order_id AND s.sent BETWEEN o.ts AND o.ts + INTERVAL '4' HOUR
  JOIN shipments AS t ON o.id = t.order_id AND t.sent BETWEEN o.ts AND o.ts + INTERVAL '1' HOUR;
-- @expect
--| {"op":"+I","id":1,"place":"Bonn","other":"Bonn"}
--| {"op":"+I","id":1,"place":"Köln","other":"Bonn"}
