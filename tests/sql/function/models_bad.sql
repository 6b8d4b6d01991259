-- Models that are busy, broken or wrong: tried again where that helps, an error of their rows else.
-- @route POST /busy/chat/completions 429 Retry-After: 0
--| {"error":{"message":"slow down"}}
-- @route POST /busy/chat/completions 503
--| overloaded
-- @route POST /busy/chat/completions 200
--| {"choices":[{"message":{"role":"assistant","content":"fine"}}]}
-- @route POST /page/chat/completions 200
--| <html>it works</html>
-- @route POST /silent/chat/completions 200
--| {"choices":[{"message":{"role":"assistant","content":null},"finish_reason":"content_filter"}]}
-- @route POST /denied/chat/completions 401
--| {"error":{"message":"no such key: very-secret-key"}}
-- @route POST /short/embeddings 200
--| {"data":[{"index":0,"embedding":[0.5,1.0]}]}
-- @route POST /none/embeddings 200
--| {"data":[]}
-- @route POST /words/embeddings 200
--| {"data":[{"index":0,"embedding":"AAAAAA=="}]}
-- @route POST /few/scores 200
--| {"predictions":[0.25]}
-- @route POST /half/chat/completions 200 cut
--| {"choices":[{"message":{"role":"assistant","content":"one"}}]}
CREATE VIEW one AS SELECT * FROM (VALUES ('good')) AS t(text);
CREATE MODEL busy INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/busy/chat/completions', 'model' = 'm');
SELECT label FROM ML_PREDICT(TABLE one, MODEL busy, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","label":"fine"}
-- @calls 3

CREATE MODEL page INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/page/chat/completions', 'model' = 'm');
SELECT label FROM ML_PREDICT(TABLE one, MODEL page, DESCRIPTOR(text));
-- @error
--| the model's answer is not JSON
--| text = good
-- @calls 4

CREATE MODEL silent INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/silent/chat/completions', 'model' = 'm', 'lookup.on-error' = 'null');
SELECT text, label FROM ML_PREDICT(TABLE one, MODEL silent, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","text":"good","label":null}

-- A status that no other attempt mends is asked once.
CREATE MODEL denied INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/denied/chat/completions', 'model' = 'm', 'api-key' = 'very-secret-key');
SELECT label FROM ML_PREDICT(TABLE one, MODEL denied, DESCRIPTOR(text));
-- @error
--| status 401: no such key: ${api-key}
-- @calls 6

-- A connection that breaks is tried again, and is an error in the end.
CREATE MODEL half INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/half/chat/completions', 'model' = 'm', 'lookup.max-retries' = '1');
SELECT label FROM ML_PREDICT(TABLE one, MODEL half, DESCRIPTOR(text));
-- @error
--| function 'half' failed
-- @calls 8

CREATE MODEL short INPUT (text STRING) OUTPUT (vector ARRAY<FLOAT>)
WITH ('provider' = 'openai', 'endpoint' = '${API}/short/embeddings', 'model' = 'm', 'dimension' = '3');
SELECT vector FROM ML_PREDICT(TABLE one, MODEL short, DESCRIPTOR(text));
-- @error
--| an embedding has 2 numbers, and 'dimension' is 3
CREATE MODEL none INPUT (text STRING) OUTPUT (vector ARRAY<FLOAT>)
WITH ('provider' = 'openai', 'endpoint' = '${API}/none/embeddings', 'model' = 'm');
SELECT vector FROM ML_PREDICT(TABLE one, MODEL none, DESCRIPTOR(text));
-- @error
--| lacks an embedding
CREATE MODEL words INPUT (text STRING) OUTPUT (vector ARRAY<FLOAT>)
WITH ('provider' = 'openai', 'endpoint' = '${API}/words/embeddings', 'model' = 'm', 'lookup.on-error' = 'null');
SELECT text, vector FROM ML_PREDICT(TABLE one, MODEL words, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","text":"good","vector":null}

-- Fewer answers than rows: nobody knows whose they are.
CREATE MODEL few INPUT (amount DOUBLE) OUTPUT (score DOUBLE)
WITH ('provider' = 'http', 'endpoint' = '${API}/few/scores', 'batch' = '10');
SELECT score FROM ML_PREDICT((SELECT * FROM (VALUES (1e0), (2e0)) AS t(amount)), MODEL few, DESCRIPTOR(amount));
-- @expect
--| {"op":"+I","score":0.25}
--| {"op":"+I","score":0.25}
