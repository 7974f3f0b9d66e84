// Takes Alipay's notifications at POST /alipay/notify. Set PORT and the settings of durable-alipay.
import 'reflect-metadata';
import { Body, Controller, Header, HttpCode, Module, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PaymentClient } from 'durable-alipay/client';
import { raw } from 'express';

const payments = await PaymentClient.connect();

@Controller('alipay/notify')
class NotifyController {
  @Post()
  @HttpCode(200)
  @Header('content-type', 'text/plain')
  notify(@Body() body: Buffer) {
    return payments.handleNotify(body);
  }
}

@Module({ controllers: [NotifyController] })
class ShopModule {}

const app = await NestFactory.create(ShopModule);
app.use('/alipay/notify', raw({ type: () => true }));
await app.listen(Number(process.env.PORT));
