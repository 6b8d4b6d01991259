INSERT INTO transactions (user_id, transaction_id, stock_purchased, amount_obtained, `timestamp`) VALUES
  ('ann', 't1', 'INTC', 10, 100), ('bob', 't2', 'AAPL', 20, 101), ('ann', 't3', 'TSLA', 30, 102);

TEST 'each purchase has its place and the user''s purchase before it';
INSERT INTO file VALUES ('t1', 'USA', 'MA', '02110'), ('t3', 'USA', 'CA', '91356');
EXPECT RESULT (user_id, transaction_id, previous_transaction_id, state_of_purchase) VALUES
  ('ann', 't1', NULL, 'MA'), ('bob', 't2', NULL, NULL), ('ann', 't3', 't1', 'CA');

TEST 'the places come from the API' WITH ('var.BACKEND' = 'api');
MOCK HTTP GET 'http://127.0.0.1:8080/transactions/t1/place' RESPONDS 200 '{"transaction_id": "t1", "state_of_purchase": "MA"}';
MOCK HTTP GET 'http://127.0.0.1:8080/transactions/{t}/place' RESPONDS 404;
EXPECT RESULT (transaction_id, state_of_purchase) VALUES ('t1', 'MA'), ('t2', NULL), ('t3', NULL);

TEST 'the API is asked six times before the job fails' WITH ('var.BACKEND' = 'api');
MOCK HTTP GET '*/t2/place' TIMES 6 RESPONDS 500;
MOCK HTTP GET '*' RESPONDS 404;
EXPECT ERROR '/transactions/t2/place';
