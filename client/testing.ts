// `durable-alipay/testing`. The sandbox is its own package and an optional peer: a production install does without it.
export * from 'alipay-sandbox';
