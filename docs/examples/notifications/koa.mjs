// Takes Alipay's notifications at POST /alipay/notify. Set PORT and the settings of durable-alipay.
import Koa from 'koa';
import rawBody from 'raw-body';
import { PaymentClient } from 'durable-alipay/client';

const payments = await PaymentClient.connect();
const app = new Koa();
app.use(async (context, next) => {
  if (!/^\/alipay\/notify\/?$/.test(context.path)) return next();
  context.body = await payments.handleNotify(await rawBody(context.req, { limit: '32kb' }));
});
app.listen(process.env.PORT);
