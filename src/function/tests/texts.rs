//! Strings, hashes, encodings.

use super::table;

/// Checked against Flink 2.3.
#[test]
fn as_flink() {
    table(
        r###"
        SUBSTRING('abcdef', -2) => "ef"
        SUBSTRING('abcdef', 0, 2) => "ab"
        SUBSTRING('abcdef', -10, 3) => ""
        SUBSTRING('abc', 2, -1) => null
        SPLIT_INDEX('', ',', 0) => null
        SPLIT_INDEX('a,b', ',', 5) => null
        SPLIT_INDEX('a,b', '', 0) => "a,b"
        SPLIT_INDEX('a b', '', 1) => "b"
        LOCATE('', 'abc') => 1
        LOCATE('b', 'abc', 0) => 2
        LOCATE('b', 'abcb', 3) => 4
        INSTR('corporate', 'or', 3, 2) => 0
        INSTR('corporate', 'or', -3, 2) => 2
        INSTR('corporate', 'or') => 2
        LPAD('hi', 5, 'abc') => "abchi"
        LPAD('hello', 2, 'x') => "he"
        OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6) => "xxxxxxxxx"
        OVERLAY('xxxxxtest' PLACING 'xxxx' FROM 6 FOR 2) => "xxxxxxxxxst"
        OVERLAY('abc' PLACING 'Z' FROM 0) => "abc"
        OVERLAY('abc' PLACING 'Z' FROM 4) => "abc"
        OVERLAY('abc' PLACING 'Z' FROM 2 FOR -1) => "aZ"
        OVERLAY('abc' PLACING 'Z' FROM 2 FOR 0) => "aZ"
        OVERLAY('abcdef' PLACING 'Z' FROM 2 FOR 100) => "aZ"
        INITCAP('hello wORLD-foo bar2baz') => "Hello World-Foo Bar2baz"
        ASCII('é') => -61
        ASCII('') => 0
        CHR(97) => "a"
        CHR(353) => "a"
        CHR(-1) => ""
        CHR(256) => "\u0000"
        LEFT('abc', -1) => ""
        RIGHT('abc', 2) => "bc"
        TRIM(BOTH 'ab' FROM 'abcba') => "c"
        TRIM(LEADING 'a' FROM 'aab') => "b"
        TRIM('  x ') => "x"
        LTRIM('aabx', 'ab') => "x"
        BTRIM('xxyxx', 'x') => "y"
        REGEXP('abc', '') => false
        REGEXP('abc', 'b') => true
        REGEXP_REPLACE('abc', '(b)', '[$1]') => "a[$1]c"
        REGEXP_REPLACE('abc', '(', 'x') => ERROR
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 2) => "bar"
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)') => "foothebar"
        REGEXP_EXTRACT('foothebar', 'foo(.*?)(bar)', 5) => null
        REGEXP_EXTRACT_ALL('100-200, 300-400', '(\d+)-(\d+)') => ["100","300"]
        REGEXP_EXTRACT_ALL('100-200, 300-400', '(\d+)-(\d+)', 2) => ["200","400"]
        REGEXP_COUNT('hello world', 'o') => 2
        REGEXP_INSTR('hello world', 'o') => 5
        REGEXP_INSTR('hello', 'z') => 0
        REGEXP_SUBSTR('hello', 'l+') => "ll"
        TRANSLATE('abcd', 'abc', 'x') => "xd"
        STR_TO_MAP('k1=v1,k2=v2,k3') => {"k1":"v1","k2":"v2","k3":null}
        STR_TO_MAP('k1:v1;k2: v2', ';', ':') => {"k1":"v1","k2":" v2"}
        PRINTF('%s is %d, %05.2f %x', 'a', 5, 3.14159e0, 255) => "a is 5, 03.14 ff"
        ELT(2, 'a', 'b') => "b"
        ELT(3, 'a', 'b') => null
        MD5('abc') => "900150983cd24fb0d6963f7d28e17f72"
        SHA2('abc', 256) => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        IS_ALPHA('abc') => true
        IS_ALPHA('') => false
        IS_ALPHA(CAST(NULL AS STRING)) => false
        IS_DIGIT('12') => true
        IS_DECIMAL('1.5') => true
        IS_DECIMAL('1e5') => true
        IS_DECIMAL('-3') => true
        IS_DECIMAL('') => false
        IS_DECIMAL('abc') => false
        HEX(255) => "FF"
        HEX(-1) => "FFFFFFFFFFFFFFFF"
        HEX('abc') => "616263"
        UNHEX('4D7953514C') => "TXlTUUw="
        UNHEX('4D795351G') => null
        UNHEX('F') => "AA=="
        CONCAT('a', 1) => ERROR
        CONCAT_WS(CAST(NULL AS STRING), 'a', 'b') => null
        URL_ENCODE('a b&c=é/~*') => "a+b%26c%3D%C3%A9%2F%7E*"
        URL_DECODE('a+b%26c%3D%C3%A9') => "a b&c=é"
        URL_DECODE('%zz') => null
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'HOST') => "facebook.com"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'QUERY', 'k') => "v"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'FILE') => "/path/p1.php?query=1&k=v"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'AUTHORITY') => "user:pw@facebook.com:80"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'USERINFO') => "user:pw"
        PARSE_URL('http://user:pw@facebook.com:80/path/p1.php?query=1&k=v#Ref', 'PROTOCOL') => "http"
        PARSE_URL('http://facebook.com', 'PATH') => ""
        PARSE_URL('http://facebook.com', 'QUERY') => null
        SPLIT('a,b,,c', ',') => ["a","b","","c"]
        SPLIT('abc', '') => ["a","b","c"]
        SPLIT('', ',') => []
        TO_BASE64('héllo') => "aMOpbGxv"
        FROM_BASE64('aGVsbG8=') => "hello"
        FROM_BASE64('!!!') => ERROR
        ENCODE('aé', 'UTF-16') => "/v8AYQDp"
        ENCODE('aé', 'US-ASCII') => "YT8="
        DECODE(ENCODE('aé', 'UTF-16LE'), 'UTF-16LE') => "aé"
        REVERSE('añb') => "bña"
        REPEAT('ab', -1) => ""
        REPLACE('abc', '', 'x') => "xaxbxcx"
        STARTSWITH('abc', '') => true
        ENDSWITH('abc', 'bc') => true
        'abc' SIMILAR TO 'a(b|x)%' => true
        'abc' SIMILAR TO 'a_' => false
        'abc' LIKE 'a\_c' => false
        "###,
    );
}

#[test]
fn null_in_null_out() {
    let text = "CAST(NULL AS STRING)";
    for call in [
        "UPPER(@)",
        "LOWER(@)",
        "INITCAP(@)",
        "REVERSE(@)",
        "CHAR_LENGTH(@)",
        "ASCII(@)",
        "CONCAT('a', @)",
        "SUBSTRING(@, 1)",
        "SUBSTRING('a', CAST(NULL AS INT))",
        "LEFT(@, 1)",
        "RIGHT(@, 1)",
        "LPAD(@, 1, 'x')",
        "RPAD('a', 3, @)",
        "REPEAT(@, 2)",
        "REPLACE(@, 'a', 'b')",
        "REPLACE('a', @, 'b')",
        "OVERLAY(@ PLACING 'a' FROM 1)",
        "TRIM(@)",
        "LTRIM(@)",
        "RTRIM('x', @)",
        "POSITION(@ IN 'a')",
        "LOCATE('a', @)",
        "INSTR(@, 'a')",
        "STARTSWITH(@, 'a')",
        "ENDSWITH('a', @)",
        "SPLIT_INDEX(@, ',', 0)",
        "SPLIT(@, ',')",
        "STR_TO_MAP(@)",
        "REGEXP(@, 'a')",
        "REGEXP('a', @)",
        "REGEXP_REPLACE(@, 'a', 'b')",
        "REGEXP_EXTRACT(@, 'a')",
        "REGEXP_COUNT(@, 'a')",
        "REGEXP_EXTRACT_ALL(@, '(a)')",
        "REGEXP_INSTR(@, 'a')",
        "REGEXP_SUBSTR(@, 'a')",
        "@ SIMILAR TO 'a'",
        "TO_BASE64(@)",
        "FROM_BASE64(@)",
        "HEX(@)",
        "UNHEX(@)",
        "ENCODE(@, 'UTF-8')",
        "DECODE(CAST(@ AS BYTES), 'UTF-8')",
        "URL_ENCODE(@)",
        "URL_DECODE(@)",
        "PARSE_URL(@, 'HOST')",
        "MD5(@)",
        "SHA1(@)",
        "SHA2(@, 256)",
        "JSON_QUOTE(@)",
        "JSON_UNQUOTE(@)",
        "PRINTF(@, 1)",
        "@ || 'a'",
        "TRANSLATE(@, 'a', 'b')",
        "ELT(CAST(NULL AS INT), 'a')",
        "CHR(CAST(NULL AS INT))",
    ] {
        table(&format!("{} => null", call.replace('@', text)));
    }
}

#[test]
fn more() {
    table(
        r###"
        UPPER('straße') => "STRASSE"
        LOWER('ÄÖ') => "äö"
        INITCAP('élan vital') => "Élan Vital"
        CHAR_LENGTH('日本') => 2
        CHAR_LENGTH('') => 0
        SUBSTRING('日本語' FROM 2 FOR 1) => "本"
        SUBSTRING('日本語', -1) => "語"
        LEFT('日本語', 2) => "日本"
        RIGHT('日本語', 9) => "日本語"
        LPAD('日', 3, 'ab') => "ab日"
        RPAD('日', 3, 'ab') => "日ab"
        LPAD('x', 5, '') => null
        LPAD('x', -1, 'a') => null
        LPAD('x', 3000000000, 'a') => ERROR longer
        REPEAT('ab', 3) => "ababab"
        REPEAT('ab', 9000000000) => ERROR longer
        LOCATE('語', '日本語') => 3
        INSTR('aaaa', 'a', 1, 3) => 3
        INSTR('aaaa', 'a', 1, 0) => ERROR occurrences
        CONCAT_WS('-', 'a', CAST(NULL AS STRING), 'b') => "a-b"
        CONCAT_WS('-') => ""
        SPLIT_INDEX('a,b', 44, 1) => "b"
        SPLIT_INDEX('a,b', ',', -1) => null
        PRINTF('%5s|%-5s|%05d|%,d|%+d', 'a', 'b', 42, 1234567, 5) => "    a|b    |00042|1,234,567|+5"
        PRINTF('%e %b %c %X %o', 12345.678e0, true, 65, 255, 8) => "1.234568e+04 true A FF 10"
        PRINTF('%2$s %1$s %%', 'a', 'b') => "b a %"
        PRINTF('%g|%g|%g', 1234567e0, 0.00001234e0, 12.5e0) => "1.23457e+06|1.23400e-05|12.5000"
        PRINTF('%.3g|%10.2g|%G', 0e0, 99.96e0, 1e-10) => "0.00|   1.0e+02|1.00000E-10"
        PRINTF('%h %H', 255, CAST(4294967297 AS BIGINT)) => "ff 0"
        PRINTF('%h %h %h', CAST(123.45 AS DECIMAL(5, 2)), CAST(-999.99 AS DECIMAL(5, 2)), TRUE) => "5d6e9 ffd0b2c1 4cf"
        PRINTF('%(d %(,d %(.2f', -5, -12345, -1.5e0) => "(5) (12,345) (1.50)"
        PRINTF('%x %o', -1, CAST(-1 AS TINYINT)) => "ffffffff 377"
        PRINTF('%e', 1.5) => null
        STARTSWITH(X'6162', X'61') => true
        ENDSWITH(X'6162', X'61') => false
        STARTSWITH(NULL, X'61') => null
        ELT(2, X'61', X'62') = X'62' => true
        PRINTF('%.3s', 'abcdef') => "abc"
        PRINTF('%s', CAST(NULL AS STRING)) => "null"
        PRINTF('%d', 'x') => null
        PRINTF('%s') => null
        PRINTF('%y', 1) => null
        IS_DIGIT('1.2') => false
        IS_ALPHA('aé') => true
        IS_ALPHA(1) => false
        IS_DECIMAL(1) => true
        IS_DIGIT(1) => true
        SHA2('a', 100) => ERROR 224
        ENCODE('a', 'latin-9') => ERROR UTF-8
        REGEXP('a', '(?=x)') => false
        REGEXP('ab', '(a)(?=b)') => true
        REGEXP('aa', '(a)\1') => true
        REGEXP('a', '(?=x') => ERROR not valid
        UPPER(1) => ERROR STRING INT
        UPPER() => ERROR UPPER(STRING)
        LOG(1, 2, 3) => ERROR arguments
        'a%b' LIKE 'a!%b' ESCAPE '!' => true
        'axb' LIKE 'a!%b' ESCAPE '!' => false
        'a\b' LIKE 'a\b' => true
        'abc' SIMILAR TO 'a.c' => true
        'abc' SIMILAR TO '[a-c]{3}' => true
        TRANSLATE('abcd', '', 'x') => "abcd"
        TRANSLATE('abcd', 'ab', '') => "cd"
        REGEXP_REPLACE('abc', '', '-') => "-a-b-c-"
        STR_TO_MAP('a=1,a=2') => {"a":"2"}
        STR_TO_MAP('') => {}
        CHR(233) => "é"
        'abc' NOT SIMILAR TO 'x%' => true
        'a%' SIMILAR TO 'a!%' ESCAPE '!' => true
        "###,
    );
}
