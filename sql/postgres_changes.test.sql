TEST 'an order has its customer'
  WITH ('var.HOST' = 'db', 'var.DATABASE' = 'shop', 'var.PGUSER' = 'u', 'var.PGPASSWORD' = 'p');
INSERT INTO customers VALUES (1, 'Ann', 'NO');
INSERT INTO orders VALUES (10, 1, 5.00), (11, 2, 7.50);
EXPECT enriched_orders VALUES (10, 5.00, 'Ann', 'NO'), (11, 7.50, NULL, NULL);
