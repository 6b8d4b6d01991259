-- The chance that a transaction is fraud, by a small model that train.py makes in a second.
CREATE FUNCTION fraud_score(amount DOUBLE, stock STRING, seconds BIGINT) RETURNS DOUBLE
LANGUAGE PYTHON
COMMENT 'The chance from 0 to 1 that a transaction is fraud'
USING FILE 'fraud_score.py';
