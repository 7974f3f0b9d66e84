// Where the cashier sends the buyer. Set PORT and the settings of durable-alipay.
import express from 'express';
import { PaymentClient } from 'durable-alipay/client';

const payments = await PaymentClient.connect();
const app = express();
app.get('/thanks', (request, response) => {
  payments.verifyReturn(request.originalUrl).then(
    ({ status }) => response.send(status === 'PAID' ? 'Thank you!' : 'We wait for Alipay.'),
    (error) => response.status(error.status ?? 500).send('Please look at your orders.'),
  );
});
app.listen(process.env.PORT);
