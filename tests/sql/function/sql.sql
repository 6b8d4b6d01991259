-- Functions in SQL are expressions with parameters.
CREATE FUNCTION fahrenheit(celsius DOUBLE) RETURNS DOUBLE RETURN celsius * 1.8 + 32;
CREATE FUNCTION label(n INT, unit STRING DEFAULT 'C') RETURNS STRING RETURN CAST(n AS STRING) || ' ' || unit;
CREATE FUNCTION twice(n INT) RETURNS INT LANGUAGE SQL RETURN n * 2;
CREATE FUNCTION four_times(n INT) RETURNS INT RETURN twice(twice(n));

SELECT fahrenheit(c) AS f, label(n) AS a, label(unit => 'F', n => n) AS b, four_times(n) AS d
FROM (VALUES (0.0, 1), (100.0, 2), (CAST(NULL AS DOUBLE), 3)) AS t(c, n);
-- @expect
--| {"op":"+I","f":32.0,"a":"1 C","b":"1 F","d":4}
--| {"op":"+I","f":212.0,"a":"2 C","b":"2 F","d":8}
--| {"op":"+I","f":null,"a":"3 C","b":"3 F","d":12}

-- A NULL argument of a strict function gives NULL without a call.
CREATE FUNCTION known(s STRING) RETURNS STRING STRICT RETURN COALESCE(s, 'none');
CREATE FUNCTION known2(s STRING) RETURNS STRING RETURN COALESCE(s, 'none');
SELECT known(s) AS a, known2(s) AS b FROM (VALUES ('x'), (CAST(NULL AS STRING))) AS t(s);
-- @expect
--| {"op":"+I","a":"x","b":"x"}
--| {"op":"+I","a":null,"b":"none"}

-- In filters and groups too.
SELECT twice(n) AS k, COUNT(*) AS c FROM (VALUES (1), (1), (2)) AS t(n) WHERE four_times(n) < 8 GROUP BY twice(n);
-- @result
--| {"k":2,"c":2}

SHOW USER FUNCTIONS LIKE 'f%';
-- @text
--| fahrenheit
--| four_times

DESCRIBE FUNCTION label;
-- @text
--| label(n INT, unit STRING DEFAULT 'C') -> STRING

SHOW CREATE FUNCTION label;
-- @text
--| CREATE FUNCTION `label`(`n` INT, `unit` STRING DEFAULT 'C')
--| RETURNS STRING
--| RETURN CAST(n AS STRING) || ' ' || unit

CREATE FUNCTION twice(n INT) RETURNS INT RETURN n + n;
-- @error
--| function 'twice' exists already
CREATE OR REPLACE FUNCTION twice(n INT) RETURNS INT RETURN n * 20;
SELECT four_times(1) AS d;
-- @expect
--| {"op":"+I","d":400}

CREATE FUNCTION upper(s STRING) RETURNS STRING RETURN s;
-- @error
--| 'upper' is a built-in function
CREATE TEMPORARY SYSTEM FUNCTION upper(s STRING) RETURNS STRING RETURN 'mine: ' || s;
SELECT UPPER('a') AS u;
-- @expect
--| {"op":"+I","u":"mine: a"}
DROP TEMPORARY SYSTEM FUNCTION upper;
SELECT UPPER('a') AS u;
-- @expect
--| {"op":"+I","u":"A"}

DROP FUNCTION IF EXISTS never_was;
DROP FUNCTION never_was;
-- @error
--| function 'never_was' is not known

CREATE FUNCTION wrong(n INT) RETURNS STRING RETURN n + 1;
-- @error
--| the expression is INT, RETURNS says STRING
--| CAST(
CREATE FUNCTION wrong(n INT) RETURNS INT RETURN m + 1;
-- @error
--| function 'wrong'
CREATE FUNCTION wrong(n INT) RETURN n + 1;
-- @error
--| what function 'wrong' returns is not known
CREATE FUNCTION wrong(n INT, n INT) RETURNS INT RETURN n;
-- @error
--| the parameter 'n' is declared twice
CREATE FUNCTION wrong(n INT) RETURNS INT LANGUAGE RUBY AS 'm.f';
-- @error
--| functions in RUBY are not supported
CREATE FUNCTION wrong AS 'org.example.F';
-- @error
--| functions in Java are not supported

SELECT label(1, 'C', 3);
-- @error
--| label takes 2 arguments, 3 are given
SELECT label(number => 1);
-- @error
--| label has no parameter 'number'
SELECT label(n => 1, n => 2);
-- @error
--| is given twice
SELECT label('one');
-- @error
--| the argument 'n' of label must be INT, not STRING
