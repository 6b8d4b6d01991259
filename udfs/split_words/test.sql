SET 'affluent.functions.path' = 'udfs';
SELECT t.id, w.word, w.n FROM (VALUES (1, 'Hot, hotter!'), (2, '…'), (3, 'Größe 42')) AS t(id, s) CROSS JOIN LATERAL TABLE(split_words(t.s)) AS w(word, n);
-- @expect
--| {"op":"+I","id":1,"word":"hot","n":1}
--| {"op":"+I","id":1,"word":"hotter","n":2}
--| {"op":"+I","id":3,"word":"größe","n":1}
--| {"op":"+I","id":3,"word":"42","n":2}
