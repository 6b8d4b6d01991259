"""The same model as a server: POST {"amount": 90, "stock": "TSLA", "seconds": 1602603595}, answered with {"score": 0.7}.

    python3 udfs/fraud_score/serve.py          listens on 127.0.0.1:8090
"""
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fraud_score import fraud_score


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        body = json.dumps({"score": fraud_score(asked["amount"], asked["stock"], asked["seconds"])}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8090
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
