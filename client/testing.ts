// `durable-alipay/testing`. The sandbox is a package of its own, and an optional peer: a production install does without.
export * from 'alipay-sandbox';
