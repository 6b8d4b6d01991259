TEST 'snow is precipitation below the freezing point';
INSERT INTO weather (origin, temp, precip, visib, time_hour) VALUES
  ('JFK', 23, 0.1, 2, 'snow'), ('JFK', 32, 0.1, 2, 'rain'), ('JFK', 23, 0, 9, 'dry'), ('JFK', NULL, 0.1, 2, 'unknown');
EXPECT RESULT VALUES ('snow', 'John F. Kennedy International Airport', -5.0, 2.5, 2);

TEST 'a place that is no airport has no weather';
INSERT INTO weather (origin, temp, precip, visib, time_hour) VALUES ('XXX', 23, 0.1, 2, 'snow'), ('YYY', 23, 0.1, 2, 'snow');
INSERT INTO airports VALUES ('YYY', 'Why', 1, 2, 3);
EXPECT RESULT (name) VALUES ('Why');

TEST 'on the shipped six weeks';
EXPECT (SELECT COUNT(*) FROM weather) VALUES (3234);
