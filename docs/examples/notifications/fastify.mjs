// Takes Alipay's notifications at POST /alipay/notify. Set PORT and the settings of durable-alipay.
import fastify from 'fastify';
import { PaymentClient } from 'durable-alipay/client';

const payments = await PaymentClient.connect();
const app = fastify({ routerOptions: { ignoreTrailingSlash: true } });
app.register(async (scope) => {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
  scope.post('/alipay/notify', (request) => payments.handleNotify(request.body));
});
await app.listen({ port: Number(process.env.PORT) });
