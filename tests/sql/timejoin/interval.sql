-- Interval joins: rows of two streams whose times are close.
-- checked against Flink 2.3

-- @file orders.jsonl
--| {"id": 1, "ts": "2024-05-01 10:00:00", "qty": 1}
--| {"id": 2, "ts": "2024-05-01 10:30:00", "qty": 5}
--| {"id": 3, "ts": "2024-05-01 11:00:00", "qty": 7}
--| {"id": null, "ts": "2024-05-01 11:30:00", "qty": 9}
--| {"id": 1, "ts": "2024-05-01 15:00:00", "qty": 2}

-- @file shipments.jsonl
--| {"order_id": 1, "sent": "2024-05-01 10:00:00", "place": "Bonn"}
--| {"order_id": 1, "sent": "2024-05-01 14:00:00", "place": "Köln"}
--| {"order_id": 1, "sent": "2024-05-01 14:00:01", "place": "Ulm"}
--| {"order_id": 2, "sent": "2024-05-01 14:30:00", "place": "Jena"}
--| {"order_id": 9, "sent": "2024-05-01 14:31:00", "place": "Trier"}
--| {"order_id": null, "sent": "2024-05-01 14:32:00", "place": "Köln"}

CREATE TABLE orders (id INT, ts TIMESTAMP(3), qty INT, WATERMARK FOR ts AS ts)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/orders.jsonl', 'format' = 'json');

CREATE TABLE shipments (order_id INT, sent TIMESTAMP(3), place STRING, WATERMARK FOR sent AS sent)
  WITH ('connector' = 'filesystem', 'path' = '${DIR}/shipments.jsonl', 'format' = 'json');

SELECT id, place FROM orders JOIN shipments ON id = order_id AND ts BETWEEN sent - INTERVAL '4' HOUR AND sent;
-- @expect
--| {"op":"+I","id":1,"place":"Bonn"}
--| {"op":"+I","id":1,"place":"Köln"}
--| {"op":"+I","id":2,"place":"Jena"}

-- Bounds in any form: in WHERE, shifted on either side, strict, folded.
SELECT o.id, s.place FROM orders AS o, shipments AS s
 WHERE o.id = s.order_id AND s.sent + INTERVAL '1' SECOND > o.ts + INTERVAL '1' SECOND
   AND s.sent - INTERVAL '3' HOUR <= INTERVAL '1' HOUR + o.ts AND o.qty < 5;
-- @expect
--| {"op":"+I","id":1,"place":"Köln"}

SELECT o.id, s.place FROM orders AS o JOIN shipments AS s ON o.id = s.order_id AND o.ts = s.sent;
-- @expect
--| {"op":"+I","id":1,"place":"Bonn"}

SELECT o.id, o.qty, s.place FROM orders AS o LEFT JOIN shipments AS s
  ON o.id = s.order_id AND s.sent BETWEEN o.ts AND o.ts + INTERVAL '4' HOUR AND s.place <> 'Jena';
-- @expect
--| {"op":"+I","id":1,"qty":1,"place":"Bonn"}
--| {"op":"+I","id":1,"qty":1,"place":"Köln"}
--| {"op":"+I","id":2,"qty":5,"place":null}
--| {"op":"+I","id":3,"qty":7,"place":null}
--| {"op":"+I","id":null,"qty":9,"place":null}
--| {"op":"+I","id":1,"qty":2,"place":null}

SELECT o.qty, s.place FROM orders AS o RIGHT JOIN shipments AS s
  ON o.id = s.order_id AND s.sent BETWEEN o.ts AND o.ts + INTERVAL '4' HOUR AND o.qty > 1;
-- @expect
--| {"op":"+I","qty":null,"place":"Bonn"}
--| {"op":"+I","qty":null,"place":"Köln"}
--| {"op":"+I","qty":null,"place":"Ulm"}
--| {"op":"+I","qty":5,"place":"Jena"}
--| {"op":"+I","qty":null,"place":"Trier"}
--| {"op":"+I","qty":null,"place":"Köln"}

SELECT o.qty, s.place FROM orders AS o FULL JOIN shipments AS s
  ON o.id = s.order_id AND s.sent BETWEEN o.ts AND o.ts + INTERVAL '1' HOUR;
-- @expect
--| {"op":"+I","qty":1,"place":"Bonn"}
--| {"op":"+I","qty":5,"place":null}
--| {"op":"+I","qty":7,"place":null}
--| {"op":"+I","qty":9,"place":null}
--| {"op":"+I","qty":2,"place":null}
--| {"op":"+I","qty":null,"place":"Köln"}
--| {"op":"+I","qty":null,"place":"Ulm"}
--| {"op":"+I","qty":null,"place":"Jena"}
--| {"op":"+I","qty":null,"place":"Trier"}
--| {"op":"+I","qty":null,"place":"Köln"}

-- The time of either side is a time attribute behind the join.
CREATE VIEW sent_orders AS
  SELECT id, place, ts FROM orders JOIN shipments ON id = order_id AND sent BETWEEN ts AND ts + INTERVAL '4' HOUR;

SELECT id, place, window_start FROM TUMBLE(TABLE sent_orders, DESCRIPTOR(ts), INTERVAL '1' HOUR);
-- @expect
--| {"op":"+I","id":1,"place":"Bonn","window_start":"2024-05-01 10:00:00"}
--| {"op":"+I","id":1,"place":"Köln","window_start":"2024-05-01 10:00:00"}
--| {"op":"+I","id":2,"place":"Jena","window_start":"2024-05-01 10:00:00"}

EXPLAIN SELECT id, place FROM orders JOIN shipments ON id = order_id AND ts BETWEEN sent - INTERVAL '4' HOUR AND sent;
-- @text
--| IntervalJoin(joinType=[Inner], where=[orders.id = shipments.order_id], event time: shipments.sent - orders.ts in [0 ms, 14400000 ms]
