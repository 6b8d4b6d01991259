//! Arrays, maps, rows.

use super::table;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        CARDINALITY(ARRAY[1,NULL]) => 2
        CARDINALITY(MAP['a',1]) => 1
        ELEMENT(ARRAY[1]) => 1
        ELEMENT(ARRAY[1,2]) => ERROR
        ARRAY[1,2,3][2] => 2
        ARRAY[1,2,3][0] => ERROR
        ARRAY[1,2,3][-1] => ERROR
        ARRAY_CONTAINS(ARRAY[1,NULL], NULL) => true
        ARRAY_CONTAINS(ARRAY[1,2], NULL) => false
        ARRAY_CONTAINS(ARRAY[1,2], 2) => true
        ARRAY_APPEND(ARRAY[1], NULL) => [1,null]
        ARRAY_APPEND(CAST(NULL AS ARRAY<INT>), 1) => null
        ARRAY_PREPEND(ARRAY[1], 0) => [0,1]
        ARRAY_DISTINCT(ARRAY[3,1,3,NULL,NULL]) => [3,1,null]
        ARRAY_POSITION(ARRAY[3,1,3], 3) => 1
        ARRAY_POSITION(ARRAY[3,NULL], NULL) => null
        ARRAY_POSITION(ARRAY[3,1], 7) => 0
        ARRAY_REMOVE(ARRAY[3,1,3,NULL], 3) => [1,null]
        ARRAY_REMOVE(ARRAY[3,1,NULL], NULL) => [3,1]
        ARRAY_REVERSE(ARRAY[3,1,NULL]) => [null,1,3]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 2, 4) => [2,3,4]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], -2) => [4,5]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 0, 2) => [1,2]
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 4, 2) => []
        ARRAY_SLICE(ARRAY[1,2,3,4,5], 2, -2) => [2,3,4]
        ARRAY_SLICE(ARRAY[1,2,3], -10, 2) => [1,2]
        ARRAY_SORT(ARRAY[3,NULL,1]) => [null,1,3]
        ARRAY_SORT(ARRAY[3,NULL,1], false) => [3,1,null]
        ARRAY_SORT(ARRAY[3,NULL,1], true, false) => [1,3,null]
        ARRAY_SORT(ARRAY[3,NULL,1], false, true) => [null,3,1]
        ARRAY_UNION(ARRAY[1,2,2], ARRAY[3,NULL,1]) => [1,2,3,null]
        ARRAY_EXCEPT(ARRAY[1,2,2,3], ARRAY[2]) => [1,3]
        ARRAY_INTERSECT(ARRAY[1,2,2,3], ARRAY[2,3]) => [2,3]
        ARRAY_MAX(ARRAY[1,NULL,3]) => 3
        ARRAY_MIN(ARRAY[1,NULL,3]) => 1
        ARRAY_JOIN(ARRAY['a',NULL,'c'], '-') => "a-c"
        ARRAY_JOIN(ARRAY['a',NULL,'c'], '-', '?') => "a-?-c"
        MAP_KEYS(MAP['a',1,'b',2]) => ["a","b"]
        MAP_VALUES(MAP['a',1,'b',2]) => [1,2]
        MAP_FROM_ARRAYS(ARRAY['a','b'], ARRAY[1,2]) => {"a":1,"b":2}
        MAP_FROM_ARRAYS(ARRAY['a','b'], ARRAY[1]) => ERROR
        MAP_UNION(MAP['a',1], MAP['a',2,'b',3]) => {"a":2,"b":3}
        MAP['a',1,'a',2] => {"a":2}
        "###,
    );
}

#[test]
fn more() {
    table(
        r###"
        ARRAY[1, 2, 3][5] => null
        ARRAY[1, 2, 3][0] => ERROR counted
        ARRAY[1, 2, 3][one] => 1
        ARRAY[1, 2, 3][one - 1] => null
        MAP['a', 1]['b'] => null
        MAP['a', 1]['a'] => 1
        MAP[1, 'x'][1] => "x"
        MAP['a', 1, 'b'] => ERROR turn
        MAP[CAST(NULL AS STRING), 1] => ERROR NULL
        ARRAY[]  => []
        MAP[] => {}
        ARRAY[ARRAY[1], ARRAY[2, 3]][2][1] => 2
        ROW(1, 'a') => {"EXPR$0":1,"EXPR$1":"a"}
        CARDINALITY(NULL) => null
        ELEMENT(ARRAY[]) => null
        ARRAY_CONCAT(ARRAY[1], ARRAY[2], ARRAY[NULL]) => [1,2,null]
        ARRAY_CONTAINS(ARRAY['a', 'b'], 'b') => true
        ARRAY_CONTAINS(ARRAY[1], 'b') => ERROR
        ARRAY_JOIN(ARRAY[1], ',') => ERROR STRING
        ARRAY_MAX(ARRAY['b', 'c', 'a']) => "c"
        ARRAY_MIN(ARRAY[CAST(NULL AS INT)]) => null
        ARRAY_SORT(ARRAY['b', NULL, 'a']) => [null,"a","b"]
        ARRAY_DISTINCT(ARRAY[ROW(1, 'a'), ROW(1, 'a')]) => [{"EXPR$0":1,"EXPR$1":"a"}]
        MAP_ENTRIES(MAP['a', 1]) => [{"key":"a","value":1}]
        MAP_KEYS(MAP_UNION(MAP['a', 1], MAP['b', 2])) => ["b","a"]
        "###,
    );
}
