// The first pattern that matches decides: browsers claim to be their predecessors.
const BROWSERS = [
  [/bot\b|crawler|spider|slurp/i, 'bot'], [/curl\/|wget\/|python-requests|okhttp|Go-http-client/i, 'program'],
  [/Edg(?:e|A|iOS)?\//, 'Edge'], [/OPR\/|Opera/, 'Opera'], [/SamsungBrowser\//, 'Samsung Internet'],
  [/Firefox\/|FxiOS\//, 'Firefox'], [/Chrome\/|CriOS\//, 'Chrome'], [/Version\/.*Safari\//, 'Safari'],
];
const SYSTEMS = [
  [/Windows/, 'Windows'], [/Android/, 'Android'], [/iPhone|iPad|iPod/, 'iOS'], [/Mac OS X|Macintosh/, 'macOS'],
  [/CrOS/, 'ChromeOS'], [/Linux|X11/, 'Linux'],
];

function first(rules, text) {
  const rule = rules.find(([pattern]) => pattern.test(text));
  return rule ? rule[1] : null;
}

export function device_of(agent) {
  const browser = first(BROWSERS, agent);
  let device = 'desktop';
  if (browser === 'bot' || browser === 'program') device = browser;
  else if (/iPad|Tablet|Android(?!.*Mobile)/.test(agent)) device = 'tablet';
  else if (/Mobi|iPhone/.test(agent)) device = 'phone';
  return { browser, os: first(SYSTEMS, agent), device };
}
