//! JSON.

use super::table;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        JSON_QUOTE('a"b/é') => "\"a\\\"b\\/\\u00e9\""
        JSON_UNQUOTE('"a\u0041"') => "aA"
        JSON_UNQUOTE('abc') => "abc"
        '{"a":1}' IS JSON => true
        'x' IS JSON => false
        '[1]' IS JSON ARRAY => true
        '1' IS JSON SCALAR => true
        '{}' IS NOT JSON OBJECT => false
        CAST(NULL AS STRING) IS JSON => false
        '' IS JSON => false
        JSON_EXISTS('{"a":{"b":1}}', '$.a.b') => true
        JSON_EXISTS('{"a":1}', 'strict $.b') => false
        JSON_EXISTS('{"a":1}', 'strict $.b' TRUE ON ERROR) => true
        JSON_EXISTS('x', '$.b') => false
        JSON_EXISTS('x', 'lax $.b') => false
        JSON_VALUE('{"a":1}', '$.a') => "1"
        JSON_VALUE('{"a":1.50}', '$.a') => "1.50"
        JSON_VALUE('{"a":true}', '$.a') => "true"
        JSON_VALUE('{"a":null}', '$.a') => null
        JSON_VALUE('{"a":{"b":1}}', '$.a') => null
        JSON_VALUE('{"a":{"b":1}}', 'strict $.a' DEFAULT 'e' ON ERROR) => "e"
        JSON_VALUE('{"a":1}', '$.b' DEFAULT 'none' ON EMPTY) => null
        JSON_VALUE('{"a":1}', 'strict $.b' DEFAULT 'err' ON ERROR) => "err"
        JSON_VALUE('{"a":1}', 'strict $.b') => null
        JSON_VALUE('{"a":1}', 'strict $.b' ERROR ON ERROR) => ERROR
        JSON_VALUE('{"a":1}', '$.b' ERROR ON EMPTY) => null
        JSON_VALUE('{"a":true}', '$.a' RETURNING BOOLEAN) => true
        JSON_VALUE('bad', '$.a') => null
        JSON_VALUE('bad', 'strict $.a' ERROR ON ERROR) => ERROR
        JSON_VALUE('{"a":[1,2]}', '$.a[*]') => null
        JSON_VALUE('{"a":[1,2]}', '$.a[0]') => "1"
        JSON_VALUE('{"a":[{"b":1},{"b":2}]}', '$.a[?(@.b==2)].b') => null
        JSON_QUERY('{"a":{"b":1}}', '$.a') => "{\"b\":1}"
        JSON_QUERY('{"a":1}', '$.a') => null
        JSON_QUERY('{"a":1}', '$.a' WITH WRAPPER) => "[1]"
        JSON_QUERY('{"a":[1,2]}', '$.a' WITH CONDITIONAL WRAPPER) => "[1,2]"
        JSON_QUERY('{"a":1}', '$.a' WITH CONDITIONAL ARRAY WRAPPER) => "[1]"
        JSON_QUERY('{"a":1}', '$.b' EMPTY ARRAY ON EMPTY) => null
        JSON_QUERY('{"a":1}', 'strict $.b' EMPTY OBJECT ON ERROR) => "{}"
        JSON_QUERY('{"a":["x","y"]}', '$.a' RETURNING ARRAY<STRING>) => ["x","y"]
        JSON_QUERY('{"a": [ 1 , 2.50 ] }', '$') => "{\"a\":[1,2.50]}"
        JSON_STRING(1) => "1"
        JSON_STRING('a"b') => "\"a\\\"b\""
        JSON_STRING(1.50) => "1.50"
        JSON_STRING(1e0) => "1.0"
        JSON_STRING(TRUE) => "true"
        JSON_STRING(CAST(NULL AS INT)) => null
        JSON_STRING(TIMESTAMP '2020-01-01 10:00:00') => "\"2020-01-01T10:00:00\""
        JSON_STRING(TO_TIMESTAMP_LTZ(0,3)) => "\"1970-01-01T00:00:00Z\""
        JSON_STRING(ARRAY[1,NULL]) => "[1,null]"
        JSON_STRING(MAP['a',1]) => "{\"a\":1}"
        JSON_STRING(ROW(1,'a')) => "{\"EXPR$0\":1,\"EXPR$1\":\"a\"}"
        JSON_OBJECT() => "{}"
        JSON_OBJECT('a' VALUE 1, 'b' VALUE 'x') => "{\"a\":1,\"b\":\"x\"}"
        JSON_OBJECT(KEY 'a' VALUE CAST(NULL AS INT) ABSENT ON NULL) => "{}"
        JSON_OBJECT(KEY 'a' VALUE CAST(NULL AS INT)) => "{\"a\":null}"
        JSON_OBJECT('a' VALUE JSON_OBJECT('b' VALUE 1.5e0)) => "{\"a\":{\"b\":1.5}}"
        JSON_OBJECT('a': 1) => "{\"a\":1}"
        JSON_ARRAY(1, 'x', CAST(NULL AS INT)) => "[1,\"x\"]"
        JSON_ARRAY(1, CAST(NULL AS INT) NULL ON NULL) => "[1,null]"
        JSON_ARRAY(JSON_ARRAY(1)) => "[[1]]"
        JSON_ARRAY() => "[]"
        "###,
    );
}

/// Flink wants the JSON type to be the named one; here what reads as the type is taken.
#[test]
fn returning() {
    table(
        r###"
        JSON_VALUE('{"a":"12"}', '$.a' RETURNING INT) => 12
        JSON_VALUE('{"a":12.7}', '$.a' RETURNING INT) => null
        JSON_VALUE('{"a":12.7}', '$.a' RETURNING INT ERROR ON ERROR) => ERROR INT
        JSON_VALUE('{"a":12}', '$.a' RETURNING DOUBLE) => 12.0
        JSON_VALUE('{"a":"x"}', '$.a' RETURNING INT) => null
        JSON_VALUE('{"a":"x"}', '$.a' RETURNING INT DEFAULT 5 ON ERROR) => 5
        JSON_VALUE('{"a":99999999999}', '$.a' RETURNING BIGINT) => 99999999999
        JSON_VALUE('{"a":1}', '$.a' RETURNING DATE) => ERROR DATE
        "###,
    );
}

#[test]
fn more() {
    table(
        r###"
        JSON_VALUE('{"a":1}', 'lax $.b' DEFAULT 'none' ON EMPTY) => "none"
        JSON_VALUE('{"a":1}', 'lax $.b' ERROR ON EMPTY) => ERROR nothing
        JSON_VALUE('{"a":{"b":1}}', 'lax $.a' DEFAULT 'x' ON EMPTY) => "x"
        JSON_VALUE('{"a":null}', '$.a' DEFAULT 'x' ON EMPTY) => null
        JSON_VALUE('bad', 'lax $.a' DEFAULT 'x' ON EMPTY) => "x"
        JSON_VALUE(CAST(NULL AS STRING), '$.a' DEFAULT 'x' ON EMPTY) => null
        JSON_VALUE('{"a-b":1}', '$.a-b') => "1"
        JSON_VALUE('{"a b":1}', '$[''a b'']') => "1"
        JSON_VALUE('[1,2]', '$[-1]') => "2"
        JSON_VALUE('{}', 'a.b') => null
        JSON_EXISTS('{"a":null}', '$.a') => false
        JSON_EXISTS('{"a":[1,2]}', '$.a[?(@ > 1)]') => true
        JSON_EXISTS('x', '$.a' UNKNOWN ON ERROR) => null
        JSON_QUERY('{"a":[1,2]}', '$.a[*]') => "[1,2]"
        JSON_QUERY('{"a":[1,2]}', '$.a[?(@ > 1)]') => "[2]"
        JSON_QUERY('{"a":1}', 'lax $.b' EMPTY ARRAY ON EMPTY) => "[]"
        JSON_OBJECT(KEY 'q"' VALUE TRUE ABSENT ON NULL) => "{\"q\\\"\":true}"
        JSON_ARRAY('a', ARRAY[1, 2], JSON_QUERY('{"a":[1]}', '$.a')) => "[\"a\",[1,2],[1]]"
        JSON_STRING(1e20) => "1.0E+20"
        JSON_STRING(DATE '2020-01-01') => "\"2020-01-01\""
        JSON_STRING(X'41') => "\"QQ==\""
        '{"a":1' IS JSON => false
        CAST(NULL AS STRING) IS NOT JSON => true
        "###,
    );
}
