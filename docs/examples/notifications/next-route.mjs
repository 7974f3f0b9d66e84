// app/alipay/notify/route.js of a Next application: takes Alipay's notifications.
import { PaymentClient } from 'durable-alipay/client';

const connecting = PaymentClient.connect();

export async function POST(request) {
  const payments = await connecting;
  return new Response(await payments.handleNotify(await request.arrayBuffer()));
}
