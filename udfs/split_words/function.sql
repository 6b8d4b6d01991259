-- The words of a text with their positions, one row each.
CREATE FUNCTION split_words(text STRING) RETURNS TABLE (word STRING, `position` INT)
LANGUAGE JAVASCRIPT
COMMENT 'The words of a text, one row each'
USING FILE 'split_words.js';
