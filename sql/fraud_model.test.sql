TEST 'a row is posted to the model server';
MOCK HTTP POST 'http://127.0.0.1:8090/score' WHEN body LIKE '%TSLA%' RESPONDS 200 '{"score": 0.5}';
MOCK HTTP POST 'http://127.0.0.1:8090/score' RESPONDS 200 '{"score": 0.001}';
INSERT INTO transactions (transaction_id, amount_obtained, stock_purchased, `timestamp`) VALUES
  ('t1', 95, 'TSLA', 1602720000), ('t2', 10, 'AAPL', 1602720001);
EXPECT RESULT VALUES ('t1', 95, 0.5);

TEST 'the model itself can be mocked';
MOCK MODEL fraud WHEN amount > 50 RETURNS VALUES (ROW(0.7));
MOCK MODEL fraud RETURNS VALUES (ROW(0.0));
INSERT INTO transactions (transaction_id, amount_obtained, stock_purchased, `timestamp`) VALUES
  ('t1', 95, 'TSLA', 1602720000), ('t2', 10, 'AAPL', 1602720001);
EXPECT RESULT VALUES ('t1', 95, 0.7);
EXPECT CALLS fraud 2;
