// What an asynchronous function finds besides the language, over what the engine gives (`host`). Evaluated once for
// each instance; gives the engine's own handles, which the code cannot reach.
(function (host) {
  'use strict';
  let last = 0;
  const waiting = new Map();
  const timers = new Map();
  const define = (name, value) =>
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });

  class RetryableError extends Error {
    constructor(message, options) {
      super(message, options);
      this.name = 'RetryableError';
      this.retryable = true;
      if (options && options.retryAfter !== undefined) this.retryAfter = Number(options.retryAfter);
    }
  }

  const operation = (start) => {
    const id = ++last;
    return new Promise((resolve, reject) => {
      waiting.set(id, [resolve, reject]);
      start(id);
    });
  };

  const text = (value) => (value instanceof Uint8Array ? host.decode(value) : String(value));
  const bytes = (value) => {
    if (value instanceof Uint8Array) return value;
    if (value instanceof ArrayBuffer) return new Uint8Array(value);
    if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return host.encode(String(value));
  };

  class TextEncoder {
    encode(value = '') {
      return host.encode(String(value));
    }
  }
  class TextDecoder {
    decode(value) {
      return value === undefined ? '' : host.decode(bytes(value));
    }
  }

  class Headers {
    constructor(entries) {
      this.map = new Map();
      if (entries === undefined || entries === null) return;
      const list = entries instanceof Headers ? entries.map : Array.isArray(entries) ? entries : Object.entries(entries);
      for (const [name, value] of list) this.append(name, value);
    }
    append(name, value) {
      const key = String(name).toLowerCase();
      const known = this.map.get(key);
      this.map.set(key, known === undefined ? String(value) : `${known}, ${value}`);
    }
    set(name, value) {
      this.map.set(String(name).toLowerCase(), String(value));
    }
    get(name) {
      return this.map.get(String(name).toLowerCase()) ?? null;
    }
    has(name) {
      return this.map.has(String(name).toLowerCase());
    }
    delete(name) {
      this.map.delete(String(name).toLowerCase());
    }
    forEach(call) {
      this.map.forEach((value, name) => call(value, name, this));
    }
    entries() {
      return this.map.entries();
    }
    [Symbol.iterator]() {
      return this.map.entries();
    }
  }

  class Response {
    constructor(status, url, redirected, headers, content) {
      this.status = status;
      this.ok = status >= 200 && status < 300;
      this.statusText = '';
      this.url = url;
      this.redirected = redirected;
      this.headers = new Headers(JSON.parse(headers));
      // Text where it is text, else bytes.
      Object.defineProperty(this, 'content', { value: content, enumerable: false });
    }
    async bytes() {
      return bytes(this.content);
    }
    async arrayBuffer() {
      return bytes(this.content).slice().buffer;
    }
    async text() {
      return text(this.content);
    }
    async json() {
      const body = text(this.content);
      try {
        return JSON.parse(body);
      } catch (error) {
        const start = body.length > 80 ? `${body.slice(0, 80)}...` : body;
        throw new SyntaxError(`the answer of ${this.url} is not JSON: ${start}`);
      }
    }
  }

  class URLSearchParams {
    constructor(init = '') {
      this.list = [];
      if (typeof init === 'string') {
        for (const part of init.replace(/^\?/, '').split('&')) {
          if (part === '') continue;
          const at = part.indexOf('=');
          const decode = (s) => decodeURIComponent(s.replace(/\+/g, ' '));
          this.append(decode(at < 0 ? part : part.slice(0, at)), at < 0 ? '' : decode(part.slice(at + 1)));
        }
      } else {
        const entries = typeof init[Symbol.iterator] === 'function' ? init : Object.entries(init);
        for (const [name, value] of entries) this.append(name, value);
      }
    }
    append(name, value) {
      this.list.push([String(name), String(value)]);
    }
    delete(name) {
      this.list = this.list.filter(([n]) => n !== name);
    }
    get(name) {
      const found = this.list.find(([n]) => n === name);
      return found === undefined ? null : found[1];
    }
    getAll(name) {
      return this.list.filter(([n]) => n === name).map(([, value]) => value);
    }
    has(name) {
      return this.list.some(([n]) => n === name);
    }
    set(name, value) {
      this.delete(name);
      this.append(name, value);
    }
    entries() {
      return this.list[Symbol.iterator]();
    }
    [Symbol.iterator]() {
      return this.entries();
    }
    toString() {
      const encode = (s) => encodeURIComponent(s).replace(/%20/g, '+');
      return this.list.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&');
    }
  }

  class URL {
    constructor(url, base) {
      const parts = JSON.parse(host.url(String(url), base === undefined ? null : String(base)));
      if (parts === null) throw new TypeError(`'${url}' is not a URL`);
      Object.assign(this, parts);
      this.searchParams = new URLSearchParams(this.search);
    }
    get href() {
      const search = this.searchParams.toString();
      return `${this.origin}${this.pathname}${search === '' ? '' : `?${search}`}${this.hash}`;
    }
    toString() {
      return this.href;
    }
    toJSON() {
      return this.href;
    }
  }

  const AbortSignal = {
    timeout: (milliseconds) => ({ milliseconds: Number(milliseconds), aborted: false }),
  };

  define('RetryableError', RetryableError);
  define('TextEncoder', TextEncoder);
  define('TextDecoder', TextDecoder);
  define('Headers', Headers);
  define('URL', URL);
  define('URLSearchParams', URLSearchParams);
  define('AbortSignal', AbortSignal);
  define('fetch', async (target, init = {}) => {
    const headers = new Headers(init.headers);
    let [words, raw] = [null, null];
    if (init.body !== undefined && init.body !== null) {
      if (init.body instanceof URLSearchParams && !headers.has('content-type')) {
        headers.set('content-type', 'application/x-www-form-urlencoded;charset=UTF-8');
      } else if (typeof init.body === 'string' && !headers.has('content-type')) {
        headers.set('content-type', 'text/plain;charset=UTF-8');
      }
      if (typeof init.body === 'string' || init.body instanceof URLSearchParams) words = String(init.body);
      else raw = bytes(init.body);
    }
    const method = String(init.method ?? 'GET').toUpperCase();
    const limit = init.signal && init.signal.milliseconds !== undefined ? init.signal.milliseconds : 0;
    const list = JSON.stringify([...headers]);
    return operation((id) => host.fetch(id, [method, String(target), list], words, raw, limit));
  });
  const timer = (call, milliseconds, repeat, args) => {
    if (typeof call !== 'function') throw new TypeError('a timer takes a function');
    const id = ++last;
    const fire = () => {
      if (repeat) host.timer(id, milliseconds);
      else timers.delete(id);
      call(...args);
    };
    timers.set(id, fire);
    host.timer(id, milliseconds);
    return id;
  };
  const clear = (id) => {
    if (timers.delete(id)) host.clear(id);
  };
  const delay = (ms) => Math.max(0, Number(ms) || 0);
  define('setTimeout', (call, ms, ...args) => timer(call, delay(ms), false, args));
  define('setInterval', (call, ms, ...args) => timer(call, Math.max(1, delay(ms)), true, args));
  define('clearTimeout', clear);
  define('clearInterval', clear);
  const shown = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return String(value);
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const log = (level) => (...values) => host.log(level, values.map(shown).join(' '));
  define('console', { log: log('info'), info: log('info'), debug: log('debug'), warn: log('warn'), error: log('error') });
  define('crypto', {
    randomUUID: () => host.uuid(),
    getRandomValues: (array) => {
      array.set(host.random(array.length));
      return array;
    },
    subtle: {
      digest: async (name, data) => host.digest(String(name.name ?? name).toUpperCase(), bytes(data)).buffer,
    },
  });

  const collect = async (rows) => {
    const all = [];
    for await (const row of rows) all.push(row);
    return all;
  };
  return {
    // Watches what a call gave.
    watch: (id, value) => {
      const rows = value !== null && typeof value === 'object' && typeof value[Symbol.asyncIterator] === 'function';
      Promise.resolve(rows ? collect(value) : value).then(
        (result) => host.done(id, false, result),
        (error) => host.done(id, true, error),
      );
    },
    response: (id, status, url, redirected, headers, content) => {
      const entry = waiting.get(id);
      waiting.delete(id);
      if (entry !== undefined) entry[0](new Response(status, url, redirected, headers, content));
    },
    failure: (id, message, retryable, timedOut) => {
      const entry = waiting.get(id);
      waiting.delete(id);
      if (entry === undefined) return;
      const error = retryable ? new RetryableError(message) : new TypeError(message);
      error.name = timedOut ? 'TimeoutError' : retryable ? 'NetworkError' : 'TypeError';
      error.network = true;
      entry[1](error);
    },
    fire: (id) => {
      const call = timers.get(id);
      if (call !== undefined) call();
    },
  };
})
