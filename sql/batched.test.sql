TEST 'many keys are one request, and an id without a row is unknown';
MOCK HTTP POST 'http://127.0.0.1:8080/sensors/batch' WHEN body LIKE '{"ids": %'
  RESPONDS 200 '[{"id": "7", "brand": "Thermix", "countryCode": "DE"}, {"id": "8", "brand": "Boreal"}]';
INSERT INTO temperatures (sensorId, temperature) VALUES ('7', 1), ('8', 2), ('9', 3);
EXPECT RESULT VALUES ('7', 1, 'Thermix', 'DE'), ('8', 2, 'Boreal', NULL), ('9', 3, NULL, NULL);
EXPECT CALLS HTTP 1;
EXPECT CALLS HTTP (body) VALUES ('{"ids": ["7","8","9"]}');

TEST 'a batch that fails is asked again, key by key in the end';
MOCK sensor_info WHEN id = 'bad' FAILS 400 'no such sensor';
MOCK sensor_info RETURNS VALUES ('7', 'Thermix', 'DE');
INSERT INTO temperatures (sensorId, temperature) VALUES ('7', 1), ('bad', 2);
EXPECT ERROR 'no such sensor';
