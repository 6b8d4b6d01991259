-- Regular expressions are Java's: look-around, back references, atomic groups and possessive quantifiers by a second engine.
-- @file t.jsonl
--| {"k": 1, "s": "price: 12 EUR", "p": "(?<=: )\\d+"}
--| {"k": 2, "s": "foobar foobaz aa", "p": "(\\w)\\1"}
--| {"k": 3, "s": null, "p": "("}
--| {"k": 4, "s": "aaa", "p": "a++a"}
CREATE TABLE t (k INT, s STRING, p STRING) WITH ('connector' = 'filesystem', 'path' = '${DIR}/t.jsonl', 'format' = 'json');

SELECT k, REGEXP_EXTRACT(s, '(?<=price: )\d+(?= EUR)') AS look, REGEXP_REPLACE(s, 'foo(?!bar)', 'X') AS ahead, REGEXP(s, '(\w)\1') AS twice, REGEXP_COUNT(s, '(?<![a-z])[a-z]') AS words FROM t;
-- @expect
--| {"op":"+I","k":1,"look":"12","ahead":"price: 12 EUR","twice":false,"words":1}
--| {"op":"+I","k":2,"look":null,"ahead":"foobar Xbaz aa","twice":true,"words":3}
--| {"op":"+I","k":3,"look":null,"ahead":null,"twice":null,"words":null}
--| {"op":"+I","k":4,"look":null,"ahead":"aaa","twice":true,"words":1}

-- A pattern of a column means what the literal means; one that is none is NULL there.
SELECT k, REGEXP_SUBSTR(s, p) AS a, REGEXP(s, 'a++a') AS possessive, REGEXP('x', p) AS b FROM t WHERE k > 1;
-- @expect
--| {"op":"+I","k":2,"a":"oo","possessive":false,"b":false}
--| {"op":"+I","k":3,"a":null,"possessive":null,"b":null}
--| {"op":"+I","k":4,"a":null,"possessive":false,"b":false}

SELECT REGEXP_EXTRACT_ALL('a1b22c', '(?<=[a-z])(\d+)') AS a, REGEXP_INSTR('über über', '(?<= )ü') AS i, REGEXP('A', '^\p{Upper}$') AS u, REGEXP('É', '\p{Upper}') AS n, REGEXP('a.b', '^\Qa.b\E$') AS q, REGEXP('ab', '(?>a|ab)$') AS atomic;
-- @expect
--| {"op":"+I","a":["1","22"],"i":6,"u":true,"n":false,"q":true,"atomic":false}

SELECT STR_TO_MAP('a=1;b=2', '(?<=[0-9]);', '=') AS m, 'abab' SIMILAR TO '(ab)+' AS s;
-- @expect
--| {"op":"+I","m":{"a":"1","b":"2"},"s":true}

-- What goes back too often is an error that names its pattern, and never NULL.
SELECT REGEXP(CONCAT(s, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), '^(a+)+\1b') FROM t WHERE k = 4;
-- @error
--| the regular expression '^(a+)+\1b' needs more than 1000000 steps

-- Constant patterns are looked at before a row is, at their place.
SELECT REGEXP(s, 'a(') FROM t WHERE k > 99;
-- @error
--| the regular expression is not valid
--| 'a(': unclosed group
--| patterns.sql:37:18

SELECT REGEXP_REPLACE(s, CONCAT('(', 'a'), '') FROM t WHERE k > 99;
-- @error
--| '(a': unclosed group

SELECT k FROM t WHERE s SIMILAR TO 'a(' AND k > 99;
-- @error
--| the pattern of SIMILAR TO is not valid
--| 'a(': unclosed group
--| patterns.sql:47:36

SELECT REGEXP(s, '(a)\2') FROM t WHERE k > 99;
-- @error
--| the regular expression is not valid

SELECT DATE_FORMAT(s, 'yyyy-b') FROM t WHERE k > 99;
-- @error
--| the date pattern is not valid
--| letter 'b' is not known
--| patterns.sql:57:23
