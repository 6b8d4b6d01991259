-- Browser, system and kind of device of a User-Agent header: what statistics need, not every version there is.
CREATE FUNCTION device_of(user_agent STRING) RETURNS ROW<browser STRING, os STRING, device STRING>
LANGUAGE JAVASCRIPT STRICT
COMMENT 'Browser, system and kind of device of a User-Agent header'
USING FILE 'device_of.js';
