TEST 'what is hardly fraud is left out';
MOCK FUNCTION fraud_score WHEN amount > 50 RETURNS VALUES (0.9);
MOCK FUNCTION fraud_score RETURNS VALUES (0.01);
INSERT INTO transactions (transaction_id, amount_obtained, stock_purchased, `timestamp`) VALUES
  ('t1', 95, 'TSLA', 1602720000), ('t2', 10, 'AAPL', 1602720000);
EXPECT RESULT VALUES ('t1', 95, 0.9);
