TEST 'what the API knows of a sensor is added, and rows that were not safe are written again';
MOCK sensor_info RETURNS VALUES ('7', 'Thermix', 'DE');
INSERT INTO temperatures (sensorId, temperature) VALUES ('7', 1);
CHECKPOINT;
INSERT INTO temperatures (sensorId, temperature) VALUES ('8', 2);
EXPECT enriched (temperature, brand) VALUES (1, 'Thermix'), (2, NULL);
