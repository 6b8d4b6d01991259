-- The three strategies give the same rows; what differs is how often the service is asked, and how long rows wait.
MOCK sensor_info AFTER '20 ms' RETURNS VALUES ('7', 'Thermix', 'DE'), ('8', 'Boreal', 'FI');
INSERT INTO temperatures (sensorId, temperature) VALUES ('7', 1), ('8', 2), ('7', 3), ('9', 4);

TEST 'SYNC asks one after the other' WITH ('var.STRATEGY' = 'SYNC');
ADVANCE '79 ms';
EXPECT CALLS sensor_info 4;
EXPECT enriched (temperature, brand) VALUES (1, 'Thermix'), (2, 'Boreal'), (3, 'Thermix');
ADVANCE '1 ms';
EXPECT enriched (temperature, brand) VALUES (1, 'Thermix'), (2, 'Boreal'), (3, 'Thermix'), (4, NULL);

TEST 'ASYNC asks for all rows at once' WITH ('var.STRATEGY' = 'ASYNC');
ADVANCE '20 ms';
EXPECT enriched (temperature, brand) ORDERED VALUES (1, 'Thermix'), (2, 'Boreal'), (3, 'Thermix'), (4, NULL);
EXPECT CALLS sensor_info 4;

TEST 'CACHED asks for each key once' WITH ('var.STRATEGY' = 'CACHED');
ADVANCE '20 ms';
EXPECT enriched (temperature, brand) VALUES (1, 'Thermix'), (2, 'Boreal'), (3, 'Thermix'), (4, NULL);
EXPECT CALLS sensor_info VALUES ('7'), ('8'), ('9');
