// Takes the results that durable-alipay posts. Set PORT and ORDER_SERVICE_SECRET.
import { createServer } from 'node:http';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';

const webhook = new Webhook(process.env.ORDER_SERVICE_SECRET);
createServer(async (request, response) => {
  try {
    const body = Buffer.concat(await request.toArray());
    const result = webhook.verify(body, request.headers);
    console.log(result.messageId, result.orderId, result.status); // act once
    response.writeHead(204).end();
  } catch (error) {
    response.writeHead(error instanceof WebhookVerificationError ? 401 : 500).end();
  }
}).listen(process.env.PORT);
