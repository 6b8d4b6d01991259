TEST 'a window is told when the watermark says that it is complete';
INSERT INTO readings VALUES
  ('0', 20, 'OK', 0), ('3', 40, 'FAULT', 9000), ('1', 7, 'OK', 5000);
EXPECT NO ROWS IN RESULT;
-- The watermark is a second behind the newest row.
INSERT INTO readings VALUES ('1', 1, 'OK', 10500);
EXPECT NO ROWS IN RESULT;
INSERT INTO readings VALUES ('1', 1, 'OK', 11500);
EXPECT RESULT (brand, readings, average, faults) VALUES ('Thermix', 2, 30, 1), ('Kelvin & Co', 1, 7, 0);
END;
EXPECT RESULT (brand, readings, average, faults) VALUES ('Thermix', 2, 30, 1), ('Kelvin & Co', 1, 7, 0), ('Kelvin & Co', 2, 1, 0);

TEST 'a reading that comes too late is left out';
INSERT INTO readings VALUES ('0', 1, 'OK', 1000), ('0', 2, 'OK', 20000), ('0', 100, 'OK', 2000);
EXPECT RESULT (window_start, average) VALUES
  (TIMESTAMP '1970-01-01 00:00:00', 1), (TIMESTAMP '1970-01-01 00:00:20', 2);

TEST 'brands follow from the number of the sensor';
INSERT INTO readings VALUES ('3', 1, 'OK', 1), ('4', 1, 'OK', 2), ('5', 1, 'OK', 3), ('x', 1, 'OK', 4);
EXPECT (SELECT sensorId, brand FROM branded) VALUES ('3', 'Thermix'), ('4', 'Kelvin & Co'), ('5', 'Boreal'), ('x', 'Boreal');

TEST 'against the reading before, of sensor 7 alone';
INSERT INTO readings VALUES ('7', 10, 'OK', 1000), ('8', 99, 'OK', 1500), ('7', 13, 'OK', 2000);
EXPECT RESULT 2 (temperature, change) VALUES (10, NULL), (13, 3);

TEST 'the three hottest change as rows come';
INSERT INTO readings VALUES ('1', 10, 'OK', 1), ('2', 20, 'OK', 2), ('3', 30, 'OK', 3);
EXPECT RESULT 3 (sensorId, temperature) VALUES ('1', 10), ('2', 20), ('3', 30);
INSERT INTO readings VALUES ('4', 15, 'OK', 4);
EXPECT RESULT 3 (sensorId, temperature) VALUES ('2', 20), ('3', 30), ('4', 15);

TEST 'a process that is killed goes on from its checkpoint';
INSERT INTO readings VALUES ('0', 10, 'OK', 1000);
CHECKPOINT;
INSERT INTO readings VALUES ('0', 30, 'OK', 2000);
KILL;
INSERT INTO readings VALUES ('0', 50, 'OK', 3000);
EXPECT RESULT (readings, average) VALUES (3, 30);
