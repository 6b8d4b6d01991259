-- Modules that code imports from below its folder, and values that it is given.
-- @file lib/text.js
--| import { upper } from './deep/case.js';
--| export const greet = (name) => {
--|   if (name === 'nobody') throw new Error('nobody is there');
--|   return `hello ${upper(name)}`;
--| };
-- @file lib/deep/case.js
--| import { mark } from '../../mark.js';
--| export function upper(s) { return s.toUpperCase() + mark; }
-- @file mark.js
--| export const mark = '!';
-- @file greet.js
--| import {
--|   greet,
--| } from './lib/text.js';
--| export function hello(name) { return greet(name); }
--| export async function later(name) { return greet(name); }
-- @file outside.js
--| import { x } from '../../etc/passwd';
--| export function outside() { return 1; }
CREATE FUNCTION hello(name STRING) RETURNS STRING LANGUAGE JAVASCRIPT USING FILE '${DIR}/greet.js' WITH ('lookup.on-error' = 'null');
SELECT hello(n) AS h FROM (VALUES ('ann'), ('nobody'), ('bob')) AS t(n);
-- @expect
--| {"op":"+I","h":"hello ANN!"}
--| {"op":"+I","h":null}
--| {"op":"+I","h":"hello BOB!"}

-- An error in a module names its file and line.
CREATE FUNCTION strictly(name STRING) RETURNS STRING AS 'hello' LANGUAGE JAVASCRIPT USING FILE '${DIR}/greet.js';
SELECT strictly('nobody') AS h;
-- @error
--| nobody is there (lib/text.js:3:

CREATE FUNCTION later(name STRING) RETURNS STRING LANGUAGE JAVASCRIPT USING FILE '${DIR}/greet.js';
SELECT later(n) AS h FROM (VALUES ('ann'), ('bob')) AS t(n);
-- @expect
--| {"op":"+I","h":"hello ANN!"}
--| {"op":"+I","h":"hello BOB!"}

-- What is above the folder is not found.
CREATE FUNCTION outside() RETURNS INT LANGUAGE JAVASCRIPT USING FILE '${DIR}/outside.js';
-- @error
--| could not load module
--| modules are files below the folder of the function

-- A secret is there for the code, and shown to nobody.
CREATE FUNCTION salted(s STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  try { secrets.SALT = 'x'; } catch (e) { return e.name; }
  if (s === 'tell') throw new Error('it is ' + secrets.SALT);
  return s + secrets.SALT.length;
$$ WITH ('secret.SALT' = 'pepper-and-salt-123');
SELECT salted('a') AS s;
-- @expect
--| {"op":"+I","s":"TypeError"}
CREATE FUNCTION telling(s STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$
  throw new Error('it is ' + secrets.SALT);
$$ WITH ('secret.SALT' = 'pepper-and-salt-123');
SELECT telling('a') AS s;
-- @error
--| it is ${SALT}
SHOW CREATE FUNCTION telling;
-- @text
--| 'secret.SALT' = '******'

CREATE FUNCTION py(s STRING) RETURNS STRING LANGUAGE PYTHON AS $$
def py(s):
    return s
$$ WITH ('secret.SALT' = 'x');
-- @error
--| option 'secret.SALT' is of functions in JavaScript
--| 'env' names the variables

-- Files that running jobs follow: of functions that wait, and have one.
CREATE FUNCTION followed(name STRING) RETURNS STRING AS 'hello' LANGUAGE JAVASCRIPT USING FILE '${DIR}/greet.js' WITH ('reload' = 'on-change');
-- @error
--| option 'reload' is of functions that wait
CREATE FUNCTION inline(s STRING) RETURNS STRING LANGUAGE JAVASCRIPT AS $$ await null; return s; $$ WITH ('reload' = 'on-change');
-- @error
--| has no file that could change
