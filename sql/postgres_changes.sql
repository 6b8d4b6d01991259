-- A table of PostgreSQL that follows two others: each order with its customer, kept current whichever of them changes.
--
-- PostgreSQL must run with wal_level = logical, and have:
--    CREATE TABLE customers (id int PRIMARY KEY, name text, country text);
--    CREATE TABLE orders (id int PRIMARY KEY, customer_id int, amount numeric(12, 2));
--    CREATE TABLE enriched_orders (id int PRIMARY KEY, amount numeric(12, 2), name text, country text);
-- Then, in the folder that holds sql/:    affluent run sql/postgres_changes.sql --var HOST=localhost --var DATABASE=shop
-- with PGUSER and PGPASSWORD in the environment: a user who may replicate (ALTER ROLE shop REPLICATION) and owns the tables.
--
-- The job makes the slots and publications 'affluent_orders' and 'affluent_customers'. When it is not needed any more:
--    SELECT pg_drop_replication_slot('affluent_orders'), pg_drop_replication_slot('affluent_customers');
-- A slot that nobody reads keeps the server's log from being removed.

SET 'pipeline.name' = 'enriched orders';
SET 'execution.checkpointing.interval' = '1 s';

CREATE TABLE orders (id INT, customer_id INT, amount DECIMAL(12, 2), PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'postgres-cdc', 'hostname' = '${HOST}', 'database-name' = '${DATABASE}', 'username' = '${PGUSER}',
      'password' = '${PGPASSWORD}', 'schema-name' = 'public', 'table-name' = 'orders', 'slot.name' = 'affluent_orders',
      'changelog-mode' = 'upsert');

CREATE TABLE customers (id INT, name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'postgres-cdc', 'hostname' = '${HOST}', 'database-name' = '${DATABASE}', 'username' = '${PGUSER}',
      'password' = '${PGPASSWORD}', 'schema-name' = 'public', 'table-name' = 'customers', 'slot.name' = 'affluent_customers',
      'changelog-mode' = 'upsert');

CREATE TABLE enriched_orders (id INT, amount DECIMAL(12, 2), name STRING, country STRING, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'jdbc', 'url' = 'jdbc:postgresql://${HOST}/${DATABASE}', 'username' = '${PGUSER}', 'password' = '${PGPASSWORD}',
      'table-name' = 'enriched_orders');

INSERT INTO enriched_orders
SELECT o.id, o.amount, c.name, c.country FROM orders AS o LEFT JOIN customers AS c ON o.customer_id = c.id;
