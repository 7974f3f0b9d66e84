# Takes the results that durable-alipay posts. Set PORT and ORDER_SERVICE_SECRET.
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from standardwebhooks import Webhook, WebhookVerificationError

class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            result = Webhook(os.environ["ORDER_SERVICE_SECRET"]).verify(body, dict(self.headers))
            print(result["messageId"], result["orderId"], result["status"], flush=True)  # act once
            self.send_response(204)
        except WebhookVerificationError:
            self.send_response(401)
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Receiver).serve_forever()
