TEST 'a large purchase at night is more suspicious than by day';
INSERT INTO transactions (transaction_id, amount_obtained, stock_purchased, `timestamp`) VALUES
  ('night', 95, 'TSLA', 1602727200), ('day', 95, 'TSLA', 1602763200), ('small', 10, 'AAPL', 1602727200), ('unknown', CAST(NULL AS INT), 'AAPL', 1602727200);
EXPECT RESULT VALUES ('night', 95, 0.8395), ('day', 95, 0.0277);
