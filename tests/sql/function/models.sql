-- Models: providers, ML_PREDICT in Flink's spelling, batches, errors.
-- @route POST /v1/chat/completions 200
--| {"choices":[{"message":{"role":"assistant","content":"positive"}}]}
-- @route POST /v1/embeddings 200
--| {"data":[{"index":0,"embedding":[0.5,1.0]}]}
-- @route POST /score 200
--| {"score":0.75,"label":"fraud"}
-- @route POST /scores 200
--| {"predictions":[0.25,0.5]}
-- @route POST /v2/chat/completions 200
--| {"choices":[{"message":{"role":"assistant","content":"```json\n[{\"id\":0,\"answer\":\"a\"},{\"id\":1,\"answer\":\"b\"}]\n```"}}]}
-- @route POST /broken/chat/completions 400
--| {"error":{"message":"model not found"}}
CREATE MODEL sentiment INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/v1/chat/completions', 'model' = 'small', 'api-key' = 'very-secret-key',
      'system-prompt' = 'Say positive or negative.', 'temperature' = '0');
SELECT id, text, label FROM ML_PREDICT((SELECT * FROM (VALUES (1, 'good'), (2, CAST(NULL AS STRING))) AS t(id, text)), MODEL sentiment, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","id":1,"text":"good","label":"positive"}
--| {"op":"+I","id":2,"text":null,"label":null}
CREATE VIEW reviews AS SELECT * FROM (VALUES (1, 'good')) AS t(id, text);
SELECT label FROM TABLE(ML_PREDICT(INPUT => TABLE reviews, MODEL => MODEL sentiment, ARGS => DESCRIPTOR(text), CONFIG => MAP['async', 'true', 'max-concurrent-operations', '2', 'timeout', '10 s']));
-- @expect
--| {"op":"+I","label":"positive"}
SHOW CREATE MODEL sentiment;
-- @text
--| CREATE MODEL `sentiment`
--| 'api-key' = '******'
SHOW MODELS;
-- @text
--| sentiment

CREATE MODEL embed INPUT (text STRING) OUTPUT (vector ARRAY<FLOAT>)
WITH ('provider' = 'openai', 'endpoint' = '${API}/v1/embeddings', 'model' = 'embedder');
SELECT id, vector FROM ML_PREDICT(TABLE reviews, MODEL embed, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","id":1,"vector":[0.5,1.0]}

-- Any service: the inputs as an object, the outputs as one.
CREATE MODEL fraud INPUT (amount DOUBLE, country STRING) OUTPUT (score DOUBLE, label STRING)
WITH ('provider' = 'http', 'endpoint' = '${API}/score');
SELECT amount, score, label FROM ML_PREDICT((SELECT * FROM (VALUES (12e0, 'DE')) AS t(amount, country)), MODEL fraud, DESCRIPTOR(amount, country));
-- @expect
--| {"op":"+I","amount":12.0,"score":0.75,"label":"fraud"}
CREATE MODEL many INPUT (amount DOUBLE) OUTPUT (score DOUBLE)
WITH ('provider' = 'http', 'endpoint' = '${API}/scores', 'batch' = '10');
SELECT amount, score FROM ML_PREDICT((SELECT * FROM (VALUES (1e0), (2e0)) AS t(amount)), MODEL many, DESCRIPTOR(amount));
-- @expect
--| {"op":"+I","amount":1.0,"score":0.25}
--| {"op":"+I","amount":2.0,"score":0.5}
CREATE MODEL letters INPUT (text STRING) OUTPUT (answer STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/v2/chat/completions', 'model' = 'm', 'batch' = '5');
SELECT text, answer FROM ML_PREDICT((SELECT * FROM (VALUES ('x'), ('y')) AS t(text)), MODEL letters, DESCRIPTOR(text));
-- @expect
--| {"op":"+I","text":"x","answer":"a"}
--| {"op":"+I","text":"y","answer":"b"}

-- A function of the session as a model.
CREATE FUNCTION rate(amount DOUBLE) RETURNS DOUBLE RETURN amount / 100;
CREATE MODEL rated INPUT (amount DOUBLE) OUTPUT (score DOUBLE) WITH ('provider' = 'function', 'function' = 'rate');
SELECT amount, score FROM ML_PREDICT((SELECT * FROM (VALUES (50e0)) AS t(amount)), MODEL rated, DESCRIPTOR(amount));
-- @expect
--| {"op":"+I","amount":50.0,"score":0.5}

-- Errors.
CREATE MODEL broken INPUT (text STRING) OUTPUT (label STRING)
WITH ('provider' = 'openai', 'endpoint' = '${API}/broken/chat/completions', 'model' = 'nobody');
SELECT label FROM ML_PREDICT(TABLE reviews, MODEL broken, DESCRIPTOR(text));
-- @error
--| failed: status 400: model not found
--| text = good
SELECT label FROM ML_PREDICT(TABLE reviews, MODEL sentimant, DESCRIPTOR(text));
-- @error
--| model 'sentimant' is not known
--| did you mean 'sentiment'?
SELECT label FROM ML_PREDICT(TABLE reviews, MODEL sentiment, DESCRIPTOR(text, id));
-- @error
--| model 'sentiment' takes 1 columns, the DESCRIPTOR names 2
CREATE MODEL m INPUT (text STRING) OUTPUT (label STRING) WITH ('provider' = 'openai', 'endpoint' = '${API}/x', 'model' = 'm');
-- @error
--| neither of chat completions nor of embeddings
CREATE MODEL m INPUT (text STRING) OUTPUT (label STRING) WITH ('provider' = 'openia');
-- @error
--| 'openia'
DROP MODEL embed;
DROP MODEL embed;
-- @error
--| model 'embed' is not known
