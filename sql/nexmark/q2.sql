-- Nexmark 2, selection: bids for every 123rd auction. (The original names five auctions, which would give
-- the same few rows however long the stream is.)

CREATE TABLE nexmark_q2 (auction BIGINT, price BIGINT) WITH ('connector' = 'blackhole');

INSERT INTO nexmark_q2
SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0;
