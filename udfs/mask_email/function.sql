-- An e-mail address with all but the first letter of its name hidden; other text becomes ***.
CREATE FUNCTION mask_email(address STRING) RETURNS STRING
LANGUAGE JAVASCRIPT STRICT
COMMENT 'An e-mail address with its name hidden'
USING FILE 'mask_email.js';
