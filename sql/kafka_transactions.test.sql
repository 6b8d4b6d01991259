TEST 'the purchase before is the user''s own' WITH ('var.KAFKA' = 'localhost:9092');
MOCK place_of_purchase MISSES;
INSERT INTO transactions (user_id, transaction_id, `timestamp`) VALUES ('ann', 't1', 100), ('bob', 't2', 101), ('ann', 't3', 102);
EXPECT enriched (transaction_id, previous_transaction_id) VALUES ('t1', NULL), ('t2', NULL), ('t3', 't1');
