-- Every function of this folder, by its examples:   affluent test udfs
SET 'affluent.functions.path' = 'udfs';

TEST 'fahrenheit';
EXPECT (SELECT fahrenheit(c) FROM (VALUES (-40.0), (0.0), (37.0)) AS t(c)) VALUES (-40e0), (32e0), (98.60000000000001e0);

TEST 'mask_email hides the name';
EXPECT (SELECT mask_email(a) FROM (VALUES ('ann@example.org'), ('no address'), (CAST(NULL AS STRING))) AS t(a))
  VALUES ('a***@example.org'), ('***'), (NULL);

TEST 'geohash: the examples of its inventor';
EXPECT (SELECT geohash(57.64911, 10.40744, 11), geohash(digits => 5, latitude => 42.605, longitude => -5.603))
  VALUES ('u4pruydqqvj', 'ezs42');

TEST 'device_of';
EXPECT (SELECT d.browser, d.os, d.device FROM (SELECT device_of('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0') AS d))
  VALUES ('Firefox', 'Linux', 'desktop');

TEST 'split_words numbers the words of each row';
EXPECT (SELECT t.id, w.word, w.n FROM (VALUES (1, 'Hot, hotter!'), (2, '…')) AS t(id, s) CROSS JOIN LATERAL TABLE(split_words(t.s)) AS w(word, n))
  VALUES (1, 'hot', 1), (1, 'hotter', 2);

TEST 'weighted_average leaves out what has no value';
EXPECT (SELECT k, weighted_average(v, w) FROM (VALUES ('a', 1e0, 1e0), ('a', 4e0, 2e0), ('a', CAST(NULL AS DOUBLE), 9e0), ('b', 1e0, 0e0)) AS t(k, v, w) GROUP BY k)
  VALUES ('a', 3.0), ('b', NULL);

TEST 'in_polygon: the even-odd rule, with a hole';
EXPECT (SELECT in_polygon(4, 1, w), in_polygon(1.5, 1.5, w), in_polygon(9, 9, w) FROM (VALUES ('POLYGON ((0 0, 10 0, 0 10, 0 0), (1 1, 3 1, 1 3, 1 1))')) AS t(w))
  VALUES (TRUE, FALSE, FALSE);

TEST 'zone_of';
EXPECT (SELECT zone_of(40.6413, -73.7781), zone_of(40.7580, -73.9855)) VALUES ('JFK', NULL);

TEST 'sensor_info asks the API once for a sensor, and takes 404 as NULL';
MOCK HTTP GET 'https://api.example.com/sensors/a%20b' TIMES 1 AFTER '50 ms' RESPONDS 200 '{"brand": "Bosch", "country": "DE", "more": 1}';
MOCK HTTP GET 'https://api.example.com/sensors/c' RESPONDS 404;
EXPECT (SELECT t.id, t.info.brand, t.info.country FROM (SELECT id, sensor_info(id) AS info FROM (VALUES ('a b'), ('c'), ('a b'), (CAST(NULL AS STRING))) AS v(id)) AS t)
  VALUES ('a b', 'Bosch', 'DE'), ('a b', 'Bosch', 'DE'), ('c', NULL, NULL), (NULL, NULL, NULL);
EXPECT CALLS HTTP 2;
