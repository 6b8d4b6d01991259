SET 'affluent.functions.path' = 'udfs';
SELECT d.browser, d.os, d.device FROM (SELECT device_of(agent) AS d FROM (VALUES
  ('Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0'),
  ('Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'),
  ('Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36'),
  ('Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0'),
  ('Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'),
  ('curl/8.5.0')) AS t(agent)) AS s;
-- @expect
--| {"op":"+I","browser":"Edge","os":"Windows","device":"desktop"}
--| {"op":"+I","browser":"Safari","os":"iOS","device":"phone"}
--| {"op":"+I","browser":"Chrome","os":"Android","device":"phone"}
--| {"op":"+I","browser":"Firefox","os":"Linux","device":"desktop"}
--| {"op":"+I","browser":"bot","os":null,"device":"bot"}
--| {"op":"+I","browser":"program","os":null,"device":"program"}
