-- Tests of sensors.sql:   affluent test sql/sensors.sql
--
-- The pipeline runs as it is. Its file of temperatures is replaced by the rows below, and the sensor API by mocks below
-- the HTTP client: URL, cache and retries are the pipeline's own.

TEST 'each temperature gets the brand and country of its sensor';
MOCK HTTP GET 'http://127.0.0.1:8080/sensors/{id}' AFTER '20 ms'
  RESPONDS 200 '{"id": "{id}", "brand": "Thermix", "countryCode": "DE", "location": "Kiel"}';
INSERT INTO temperatures VALUES
  ('7', 21, 'OK', 1763712000000),
  ('8', 22, 'OK', 1763712000100);
EXPECT RESULT (sensorId, temperature, brand, countryCode) VALUES
  ('7', 21, 'Thermix', 'DE'),
  ('8', 22, 'Thermix', 'DE');
EXPECT CALLS HTTP VALUES
  ('GET', 'http://127.0.0.1:8080/sensors/7'),
  ('GET', 'http://127.0.0.1:8080/sensors/8');

TEST 'a sensor that the API does not know keeps its row';
MOCK HTTP GET 'http://127.0.0.1:8080/sensors/none' RESPONDS 404;
INSERT INTO temperatures VALUES ('none', 5, 'OK', 1763712000000);
EXPECT RESULT (sensorId, temperature, brand) VALUES ('none', 5, NULL);

TEST 'a sensor is asked for once a minute';
MOCK sensor_info TIMES 1 RETURNS (brand) VALUES ('before');
MOCK sensor_info TIMES 1 RETURNS (brand) VALUES ('after');
INSERT INTO temperatures VALUES ('7', 1, 'OK', 1), ('7', 2, 'OK', 2);
ADVANCE '59 s';
INSERT INTO temperatures VALUES ('7', 3, 'OK', 3);
ADVANCE '2 s';
INSERT INTO temperatures VALUES ('7', 4, 'OK', 4);
EXPECT RESULT (temperature, brand) VALUES (1, 'before'), (2, 'before'), (3, 'before'), (4, 'after');
EXPECT CALLS sensor_info VALUES ('7'), ('7');

TEST 'an API that is overloaded is asked again when it says so';
MOCK HTTP GET '*/sensors/7' TIMES 1 RESPONDS 429 'slow down' WITH ('Retry-After' = '30');
MOCK HTTP GET '*/sensors/7' TIMES 1 RESPONDS 200 '{"id": "7", "brand": "Thermix"}';
INSERT INTO temperatures (sensorId, `timestamp`) VALUES ('7', 1);
ADVANCE '29 s';
EXPECT NO ROWS IN RESULT;
ADVANCE '2 s';
EXPECT RESULT (sensorId, brand) VALUES ('7', 'Thermix');

TEST 'an API that stays away fails the job, and says which key it was';
MOCK HTTP GET '*/sensors/7' TIMES 4 RESPONDS 503 'maintenance';
INSERT INTO temperatures (sensorId, `timestamp`) VALUES ('7', 1);
EXPECT ERROR '503 Service Unavailable';

TEST 'a key cannot leave its place in the URL';
MOCK HTTP GET 'http://127.0.0.1:8080/sensors/{id}' RESPONDS 200 '{"id": "{id}", "brand": "Thermix"}';
INSERT INTO temperatures (sensorId, `timestamp`) VALUES ('a/b?c', 1);
EXPECT RESULT (sensorId, brand) VALUES ('a/b?c', 'Thermix');
EXPECT CALLS HTTP (url) VALUES ('http://127.0.0.1:8080/sensors/a%2Fb%3Fc');
