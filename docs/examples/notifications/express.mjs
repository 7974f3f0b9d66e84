// Takes Alipay's notifications at POST /alipay/notify. Set PORT and the settings of durable-alipay.
import express from 'express';
import { PaymentClient } from 'durable-alipay/client';

const payments = await PaymentClient.connect();
const app = express();
app.post('/alipay/notify', express.raw({ type: () => true }), (request, response, next) => {
  payments.handleNotify(request.body).then((word) => response.type('text').send(word), next);
});
app.use(express.urlencoded({ extended: false })); // the shop's own routes
app.listen(process.env.PORT);
